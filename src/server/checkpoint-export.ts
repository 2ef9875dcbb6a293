import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { Log } from './log.ts'

const run = promisify(execFile)
export const BRANCH = 'reglaze-checkpoints'

/**
 * Keeps signed checkpoints outside the database: `first` (written once) and `latest` beside the data, and, when a git
 * remote is given, on a branch of their own there. A remote that cannot be reached is logged; the next checkpoint tries again.
 */
export async function exportCheckpoint(o: { note: string; first: () => Promise<string | null>; key: () => Promise<string>; dir: string; remote: string | undefined; log: Log }): Promise<void> {
  await mkdir(o.dir, { recursive: true, mode: 0o755 })
  const put = async (name: string, text: string) => {
    await writeFile(join(o.dir, `.${name}`), text)
    await rename(join(o.dir, `.${name}`), join(o.dir, name))
  }
  // The ledger's own first one: a data folder that was moved or made anew must not call a later one the first.
  const first = await readFile(join(o.dir, 'first.checkpoint'), 'utf8').catch(() => null)
  const sameLog = first !== null && first.split('\n')[0] === o.note.split('\n')[0]
  // A new epoch is another log: its first one takes the place, the old one is kept beside it.
  if (first !== null && !sameLog) await put(`first.${(first.split('\n')[0] ?? '').replace(/[^\w.-]/g, '_')}.checkpoint`, first)
  if (!sameLog) await put('first.checkpoint', (await o.first()) ?? o.note)
  await put('latest.checkpoint', o.note)
  await put('ledger.key', `${await o.key()}\n`)
  if (o.remote) await push(o.dir, o.remote)
}

async function push(dir: string, remote: string): Promise<void> {
  const env = { ...process.env, GIT_TERMINAL_PROMPT: '0', GIT_AUTHOR_NAME: 'reglaze', GIT_AUTHOR_EMAIL: 'reglaze@localhost', GIT_COMMITTER_NAME: 'reglaze', GIT_COMMITTER_EMAIL: 'reglaze@localhost' }
  const git = (...args: string[]) => run('git', args, { cwd: dir, env, timeout: 20_000 })
  if (!existsSync(join(dir, '.git'))) await git('init', '-q', '-b', BRANCH)
  // Another server may have pushed meanwhile, or the data folder was moved: go on from what is there.
  const there = await git('fetch', '-q', remote, BRANCH).then(() => true, () => false)
  if (there) await git('reset', '-q', '--soft', 'FETCH_HEAD')
  await git('add', '-A', '--', '*.checkpoint', 'ledger.key')
  await git('commit', '-q', '-m', 'checkpoint').catch(() => undefined)
  await git('push', '-q', remote, `HEAD:refs/heads/${BRANCH}`)
}
