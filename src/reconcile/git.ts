/** git, run as a program. Commits are made beside the working tree, so that other people's changes in it stay untouched. */
import { spawn } from 'node:child_process'
import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { randomUUID } from 'node:crypto'
import { tmpdir } from 'node:os'
import { ReglazeError } from '../core/errors.ts'
import { RECONCILE } from './errors.ts'

export interface GitPlace {
  /** Top folder of the working tree. */
  readonly top: string
  readonly gitDir: string
  readonly env: Readonly<Record<string, string | undefined>> | undefined
}
const IDENTITY = { name: 'Reglaze', email: 'reglaze@localhost' }

async function run(cwd: string, args: readonly string[], o: { env?: Readonly<Record<string, string | undefined>> | undefined; input?: string; ok?: readonly number[] } = {}): Promise<{ code: number; out: string }> {
  return new Promise((resolve, reject) => {
    const env = { ...process.env, ...o.env, LC_ALL: 'C', GIT_TERMINAL_PROMPT: '0', GIT_OPTIONAL_LOCKS: '0' } as Record<string, string>
    const child = spawn('git', args, { cwd, env, stdio: ['pipe', 'pipe', 'pipe'] })
    const out: Buffer[] = []
    const err: Buffer[] = []
    child.stdout.on('data', (b: Buffer) => out.push(b))
    child.stderr.on('data', (b: Buffer) => err.push(b))
    child.stdin.on('error', () => {})
    child.stdin.end(o.input ?? '')
    child.on('error', (cause) => reject(new ReglazeError(RECONCILE.RECONCILE_GIT_FAILED, 'git could not be started', { cause, hint: 'Install git.' })))
    child.on('close', (code) => {
      if ((o.ok ?? [0]).includes(code ?? -1)) resolve({ code: code ?? -1, out: Buffer.concat(out).toString('utf8') })
      else reject(new ReglazeError(RECONCILE.RECONCILE_GIT_FAILED, `git ${args[0]}: ${Buffer.concat(err).toString('utf8').trim().slice(0, 2000)}`, { place: cwd }))
    })
  })
}

/** The repository that a folder is in; null when it is in none. */
export async function findGit(dir: string, env?: Readonly<Record<string, string | undefined>>): Promise<GitPlace | null> {
  const { code, out } = await run(dir, ['rev-parse', '--show-toplevel', '--absolute-git-dir'], { env, ok: [0, 128] })
  const [top, gitDir] = out.trim().split('\n')
  return code === 0 && top && gitDir ? { top, gitDir, env } : null
}

export async function headCommit(g: GitPlace): Promise<string | null> {
  const { code, out } = await run(g.top, ['rev-parse', '-q', '--verify', 'HEAD^{commit}'], { env: g.env, ok: [0, 1, 128] })
  return code === 0 ? out.trim() : null
}
/** Name of the branch that is checked out; null when none is (detached). */
export async function currentBranch(g: GitPlace): Promise<string | null> {
  const { code, out } = await run(g.top, ['symbolic-ref', '-q', '--short', 'HEAD'], { env: g.env, ok: [0, 1, 128] })
  return code === 0 ? out.trim() : null
}
export async function branchCommit(g: GitPlace, branch: string): Promise<string | null> {
  const { code, out } = await run(g.top, ['rev-parse', '-q', '--verify', `refs/heads/${branch}^{commit}`], { env: g.env, ok: [0, 1, 128] })
  return code === 0 ? out.trim() : null
}

const CODE = /\.(tf|tfvars)(\.json)?$/

/** Files below the top folder that differ from HEAD: tracked ones, and untracked ones that Terraform would read. */
export async function dirtyFiles(g: GitPlace, paths: readonly string[] = []): Promise<string[]> {
  const { out } = await run(g.top, ['status', '--porcelain=v1', '-z', '--untracked-files=all', ...(paths.length > 0 ? ['--', ...paths] : [])], { env: g.env })
  const fields = out.split('\0')
  const files: string[] = []
  for (let i = 0; i < fields.length; i++) {
    const field = fields[i] as string
    if (field === '') continue
    const status = field.slice(0, 2)
    const path = field.slice(3)
    if (status[0] === 'R' || status[0] === 'C') i++
    if (status === '??' && (!CODE.test(path) || path.includes('.terraform/'))) continue
    files.push(path)
  }
  return files.sort()
}

/**
 * Commits new contents of files on top of `parent` and puts the branch there, in one atomic step; the working tree and
 * the index are not touched. Returns the commit. Throws when the branch has moved since `expected`.
 */
export async function commitFiles(g: GitPlace, o: { branch: string; parent: string; expected: string | null; files: ReadonlyMap<string, string>; message: string }): Promise<string> {
  const index = join(tmpdir(), `reglaze-index-${randomUUID()}`)
  const identity = await authorEnv(g)
  const env = { ...g.env, ...identity, GIT_INDEX_FILE: index }
  try {
    await run(g.top, ['read-tree', o.parent], { env })
    for (const [path, text] of o.files) {
      const blob = (await run(g.top, ['hash-object', '-w', '--stdin', `--path=${path}`], { env, input: text })).out.trim()
      const mode = (await run(g.top, ['ls-tree', o.parent, '--', path], { env })).out.slice(0, 6) || '100644'
      await run(g.top, ['update-index', '--add', '--cacheinfo', `${mode},${blob},${path}`], { env })
    }
    const tree = (await run(g.top, ['write-tree'], { env })).out.trim()
    const commit = (await run(g.top, ['commit-tree', tree, '-p', o.parent, '-F', '-'], { env, input: o.message })).out.trim()
    await run(g.top, ['update-ref', `refs/heads/${o.branch}`, commit, o.expected ?? '0'.repeat(commit.length)], { env: g.env })
    return commit
  } finally {
    rmSync(index, { force: true })
  }
}

/** A committer has to be known; on a machine without one, ours is used. */
async function authorEnv(g: GitPlace): Promise<Record<string, string>> {
  const { code } = await run(g.top, ['var', 'GIT_COMMITTER_IDENT'], { env: g.env, ok: [0, 1, 128] })
  if (code === 0) return {}
  return { GIT_AUTHOR_NAME: IDENTITY.name, GIT_AUTHOR_EMAIL: IDENTITY.email, GIT_COMMITTER_NAME: IDENTITY.name, GIT_COMMITTER_EMAIL: IDENTITY.email }
}

/** Checks the branch out; git itself refuses when that would overwrite changes. */
export async function switchTo(g: GitPlace, branch: string): Promise<void> {
  await run(g.top, ['switch', '--quiet', branch], { env: g.env })
}
export async function diffText(g: GitPlace, from: string, to: string): Promise<string> {
  return (await run(g.top, ['diff', '--no-color', '--no-ext-diff', from, to], { env: g.env })).out
}
export async function changedFiles(g: GitPlace, from: string, to: string): Promise<string[]> {
  return (await run(g.top, ['diff', '--name-only', '-z', from, to], { env: g.env })).out.split('\0').filter((f) => f !== '').sort()
}
export async function mergeBase(g: GitPlace, a: string, b: string): Promise<string | null> {
  const { code, out } = await run(g.top, ['merge-base', a, b], { env: g.env, ok: [0, 1] })
  return code === 0 ? out.trim() : null
}
export async function messageOf(g: GitPlace, commit: string): Promise<string> {
  return (await run(g.top, ['log', '-1', '--format=%B', commit], { env: g.env })).out
}
/** A file's content at a commit; undefined when it is not there. */
export async function fileAt(g: GitPlace, commit: string, path: string): Promise<string | undefined> {
  const { code, out } = await run(g.top, ['show', `${commit}:${path}`], { env: g.env, ok: [0, 128] })
  return code === 0 ? out : undefined
}

/** Patch text between two versions of files outside of git's history. */
export async function plainDiff(before: ReadonlyMap<string, string>, after: ReadonlyMap<string, string>, scratch: string): Promise<string> {
  let patch = ''
  for (const [path, text] of after) {
    const a = join(scratch, 'a.txt')
    const b = join(scratch, 'b.txt')
    writeFileSync(a, before.get(path) ?? '')
    writeFileSync(b, text)
    const { out } = await run(scratch, ['diff', '--no-index', '--no-color', '--', a, b], { ok: [0, 1] })
    patch += out.replaceAll(a, `/${path}`).replaceAll(b, `/${path}`)
  }
  return patch
}

/** Brings index and working tree of these files to HEAD. Callers have made sure that they carry no changes of their own. */
export async function restore(g: GitPlace, paths: readonly string[]): Promise<void> {
  await run(g.top, ['restore', '--staged', '--worktree', '--', ...paths], { env: g.env })
}
