import { createHash } from 'node:crypto'
import { join } from 'node:path'
import { Faults, GitClone, Loop, Tokens, openJournal, serveJson } from '../lib/index.ts'
import { runnerApi } from './api.ts'
import { apply, type Entry, type State } from './model.ts'
import { Worker } from './worker.ts'

export interface RunnerOptions {
  readonly dataDir: string
  readonly port: number
  readonly organization: string
  readonly workspace: string
  readonly repo: string
  readonly branch: string
  readonly workingDirectory: string
  readonly envFile: string
  readonly tokenFile: string
  readonly pollMs: number
  readonly driftIntervalMs: number
  /** Only for the first start; later the workspace's setting counts. */
  readonly autoApply: boolean
  readonly runsLock: boolean
}

/** Starts the runner: API and worker. */
export async function startRunner(o: RunnerOptions): Promise<{ url: string; close(): Promise<void> }> {
  const journal = openJournal<State, Entry>({ dir: join(o.dataDir, 'store'), name: 'runner', initial: () => ({ workspace: null, runs: {} }), apply, snapshotEvery: 2000 })
  if (journal.state.workspace === null) {
    const at = new Date().toISOString()
    const id = `ws-${createHash('sha256').update(`${o.organization}/${o.workspace}`).digest('hex').slice(0, 16)}`
    await journal.commit({ t: 'workspace', workspace: { id, name: o.workspace, organization: o.organization, created_at: at, updated_at: at, auto_apply: o.autoApply, description: null, locked_by: null, locked_reason: '', commit: null } })
  }
  const git = new GitClone({ dir: join(o.dataDir, 'repo.git'), url: o.repo, branch: o.branch })
  const worker = new Worker({ journal, git, dataDir: o.dataDir, workingDirectory: o.workingDirectory, envFile: o.envFile, driftIntervalMs: o.driftIntervalMs })
  await worker.recover()
  const loop = new Loop(() => worker.round(), o.pollMs)
  const api = runnerApi({ journal, worker, tokens: new Tokens(o.tokenFile), faults: new Faults(), workingDirectory: o.workingDirectory, runsLock: o.runsLock, changed: () => loop.poke() })
  const listening = await serveJson(api, { port: o.port, contentType: 'application/vnd.api+json' })
  loop.start()
  return {
    url: listening.url,
    close: async () => {
      await listening.close()
      await worker.stop()
      await loop.stop()
      await journal.close()
    },
  }
}
