// Pieces of a small world for tests: a git remote, token files, the automations in this process.
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'

export interface TestRemote {
  readonly url: string
  /** Writes the files (null removes one), commits and pushes; returns the commit id. */
  commit(files: Record<string, string | null>, message?: string): string
}

export function tempDir(): string {
  return mkdtempSync(join(tmpdir(), 'sandbox-world-'))
}
export function removeDir(dir: string): void {
  rmSync(dir, { recursive: true, force: true, maxRetries: 5 })
}

/** A bare remote with a working copy beside it. */
export function testRemote(dir: string, files: Record<string, string>): TestRemote {
  const url = join(dir, 'remote.git')
  const copy = join(dir, 'copy')
  const git = (...args: string[]): string => execFileSync('git', ['-c', 'user.name=Test', '-c', 'user.email=test@example.com', ...args], { cwd: copy, encoding: 'utf8', env: { ...process.env, GIT_CONFIG_GLOBAL: '/dev/null', GIT_CONFIG_NOSYSTEM: '1' }, stdio: ['ignore', 'pipe', 'pipe'] }).trim()
  mkdirSync(copy, { recursive: true })
  execFileSync('git', ['init', '--quiet', '--bare', '-b', 'main', url])
  git('init', '--quiet', '-b', 'main')
  const commit = (changes: Record<string, string | null>, message = 'change'): string => {
    for (const [path, text] of Object.entries(changes)) {
      const file = join(copy, path)
      if (text === null) rmSync(file)
      else {
        mkdirSync(dirname(file), { recursive: true })
        writeFileSync(file, text)
      }
    }
    git('add', '-A')
    git('commit', '--quiet', '-m', message)
    git('push', '--quiet', url, 'HEAD:main')
    return git('rev-parse', 'HEAD')
  }
  commit(files, 'first')
  return { url, commit }
}

export const USERS = { admin: 'admins', tool: 'operators', human: 'operators', viewer: 'readers' } as const
/** A token file with users admin, tool, human and viewer; the token of each is `<user>-token`. */
export function testTokens(dir: string): string {
  const file = join(dir, 'api.tokens')
  writeFileSync(file, Object.entries(USERS).map(([user, group]) => `${user}-token,${user},${user},"${group}"\n`).join(''))
  return file
}

/** Asks again and again until the answer is there; fails with the last thing seen. */
export async function until<T>(what: string, ask: () => Promise<T | null | undefined | false>, ms = 15_000): Promise<T> {
  const end = Date.now() + ms
  for (;;) {
    const got = await ask()
    if (got !== null && got !== undefined && got !== false) return got
    if (Date.now() > end) throw new Error(`not within ${ms} ms: ${what}`)
    await wait(25)
  }
}

/** The next answer must stay true for some rounds of the automation: proof that nothing undoes it. */
export async function holds(what: string, ask: () => Promise<boolean>, ms: number): Promise<void> {
  const end = Date.now() + ms
  while (Date.now() < end) {
    if (!(await ask())) throw new Error(`did not hold: ${what}`)
    await wait(50)
  }
}

export async function api(url: string, user: string, method: string, path: string, body?: unknown, headers: Record<string, string> = {}): Promise<{ status: number; body: any; headers: Headers }> {
  const res = await fetch(url + path, { method, headers: { authorization: `Bearer ${user}-token`, ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...headers }, ...(body === undefined ? {} : { body: JSON.stringify(body) }) })
  const text = await res.text()
  return { status: res.status, body: text === '' ? null : JSON.parse(text), headers: res.headers }
}
