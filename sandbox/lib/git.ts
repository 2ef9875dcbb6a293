import { execFile } from 'node:child_process'
import { existsSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)

/** A private clone of one branch of a remote, for an automation that works from git. */
export class GitClone {
  readonly dir: string
  readonly url: string
  readonly branch: string
  constructor(o: { dir: string; url: string; branch: string }) {
    this.dir = o.dir
    this.url = o.url
    this.branch = o.branch
  }

  /** Brings the newest commit of the branch here (nothing is fetched when it is here already). Returns its id. */
  async update(): Promise<string> {
    if (!existsSync(join(this.dir, 'HEAD'))) {
      mkdirSync(this.dir, { recursive: true })
      await git(this.dir, ['init', '--quiet', '--bare'])
    }
    const [line = ''] = (await git(this.dir, ['ls-remote', this.url, `refs/heads/${this.branch}`])).split('\n')
    const commit = line.split('\t')[0] ?? ''
    if (!/^[0-9a-f]{40,64}$/.test(commit)) throw new Error(`${this.url} has no branch ${this.branch}`)
    if (!(await this.#has(commit))) await git(this.dir, ['fetch', '--quiet', '--no-tags', this.url, `+refs/heads/${this.branch}:refs/heads/${this.branch}`])
    return commit
  }

  /** The files directly under a folder at a commit, by name. */
  async files(commit: string, folder: string): Promise<{ path: string; text: string }[]> {
    const prefix = folder.replace(/\/+$/, '')
    const names = (await git(this.dir, ['ls-tree', '--name-only', '-z', commit, `${prefix}/`])).split('\0').filter(Boolean)
    if (names.length === 0) throw new Error(`${prefix}: app path does not exist`)
    return Promise.all(names.map(async (path) => ({ path, text: await git(this.dir, ['cat-file', 'blob', `${commit}:${path}`]).catch(() => '') })))
  }

  /** Message and author of a commit. */
  async describe(commit: string): Promise<{ subject: string; author: string }> {
    const [subject = '', author = ''] = (await git(this.dir, ['show', '--no-patch', '--format=%s%x00%an <%ae>', commit])).trim().split('\0')
    return { subject, author }
  }

  /** Makes `target` a checkout of the commit; files that git does not know are kept (a tool's working data). */
  async checkout(commit: string, target: string): Promise<void> {
    mkdirSync(target, { recursive: true })
    await git(this.dir, [`--work-tree=${target}`, 'checkout', '--quiet', '--force', commit, '--', '.'])
    const known = new Set((await git(this.dir, ['ls-tree', '-r', '--name-only', '-z', commit])).split('\0'))
    const tracked = (await git(this.dir, ['ls-files', '-z'])).split('\0').filter(Boolean)
    const gone = tracked.filter((path) => !known.has(path))
    if (gone.length > 0) await git(this.dir, [`--work-tree=${target}`, 'rm', '--quiet', '--force', '--', ...gone])
  }

  async #has(commit: string): Promise<boolean> {
    return git(this.dir, ['cat-file', '-e', `${commit}^{commit}`]).then(
      () => true,
      () => false,
    )
  }
}

async function git(dir: string, args: readonly string[]): Promise<string> {
  // No prompt, no pager, no configuration of whoever started us: an automation works alone.
  const env = { ...process.env, GIT_TERMINAL_PROMPT: '0', GIT_CONFIG_GLOBAL: '/dev/null', GIT_CONFIG_NOSYSTEM: '1', LC_ALL: 'C' }
  delete (env as Record<string, unknown>)['GIT_DIR']
  delete (env as Record<string, unknown>)['GIT_INDEX_FILE']
  const { stdout } = await run('git', ['-c', 'safe.directory=*', '-c', 'gc.auto=0', ...(args.some((a) => a.startsWith('--work-tree')) ? [`--git-dir=${dir}`, '-c', 'core.bare=false'] : ['-C', dir]), ...args], { env, maxBuffer: 64 * 1024 * 1024, timeout: 60_000 })
  return stdout
}
