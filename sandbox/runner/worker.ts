// Makes runs (new commit, schedule, API) and carries them out, one at a time.
import { randomBytes } from 'node:crypto'
import { existsSync, mkdirSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import type { GitClone, Journal } from '../lib/index.ts'
import { ACTIVE, FINAL, runsOf, type Entry, type Run, type State, type Workspace } from './model.ts'
import { environment, isOurTerraform, readPlan, terraform, type Invocation } from './terraform.ts'

export interface WorkerOptions {
  readonly journal: Journal<State, Entry>
  readonly git: GitClone
  readonly dataDir: string
  /** Folder of the configuration in the repository. */
  readonly workingDirectory: string
  readonly envFile: string
  /** 0 = no schedule. */
  readonly driftIntervalMs: number
}

export class Worker {
  #o: WorkerOptions
  #initialised = ''
  #lastDrift = Date.now()
  #stopping = false
  /** One Terraform at a time: rounds and confirmations queue here. */
  #turn: Promise<void> = Promise.resolve()
  constructor(o: WorkerOptions) {
    this.#o = o
    mkdirSync(join(o.dataDir, 'runs'), { recursive: true })
    mkdirSync(join(o.dataDir, 'work'), { recursive: true })
  }

  get workspace(): Workspace {
    return this.#o.journal.state.workspace as Workspace
  }
  logOf(run: string): string {
    return join(this.#o.dataDir, 'runs', `${run}.log`)
  }
  planJsonOf(run: string): string {
    return join(this.#o.dataDir, 'runs', `${run}.plan.json`)
  }

  /** Runs that a killed runner left behind are errored; their Terraform, if it still works, is asked to end first. */
  async recover(): Promise<void> {
    for (const run of runsOf(this.#o.journal.state).filter((r) => ACTIVE.includes(r.status))) {
      if (run.pid !== null) await endTerraform(run.pid, realpathSync(this.#cwd()))
      await this.#step(run, { status: 'errored', pid: null, error: 'the runner was stopped during this run' })
    }
  }
  /** Asks the running Terraform to end (it releases its state lock). */
  async stop(): Promise<void> {
    this.#stopping = true
    const run = runsOf(this.#o.journal.state).find((r) => ACTIVE.includes(r.status))
    if (run?.pid) await endTerraform(run.pid, realpathSync(this.#cwd()))
  }

  /** One look: a waiting run, else a new commit, else the schedule. A locked workspace starts nothing. */
  round(): Promise<void> {
    return this.#alone(() => this.#look())
  }
  #alone(work: () => Promise<void>): Promise<void> {
    const mine = this.#turn.then(work)
    this.#turn = mine.catch(() => undefined)
    return mine
  }
  async #look(): Promise<void> {
    if (this.workspace.locked_by !== null || this.#stopping) return
    const waiting = runsOf(this.#o.journal.state).filter((r) => r.status === 'pending').at(-1)
    const commit = await this.#o.git.update()
    if (this.workspace.locked_by !== null) return
    if (waiting !== undefined) return this.#carryOut(waiting, commit)
    if (commit !== this.workspace.commit) {
      const { subject } = await this.#o.git.describe(commit)
      return this.#carryOut(await this.create({ message: subject, source: 'tfe-configuration-version', trigger_reason: 'vcs-push', created_by: 'vcs' }), commit)
    }
    if (this.#o.driftIntervalMs === 0 || Date.now() - this.#lastDrift < this.#o.driftIntervalMs) return
    await this.#carryOut(await this.create({ message: 'Scheduled drift run', source: 'tfe-schedule', trigger_reason: 'drift-schedule', created_by: 'schedule' }), commit)
  }

  async create(o: Pick<Run, 'message' | 'source' | 'trigger_reason' | 'created_by'> & { is_destroy?: boolean; plan_only?: boolean; refresh_only?: boolean; auto_apply?: boolean }): Promise<Run> {
    const at = new Date().toISOString()
    const run: Run = {
      ...o,
      id: `run-${randomBytes(8).toString('hex')}`,
      created_at: at,
      is_destroy: o.is_destroy ?? false,
      plan_only: o.plan_only ?? false,
      refresh_only: o.refresh_only ?? false,
      auto_apply: o.auto_apply ?? this.workspace.auto_apply,
      status: 'pending', commit: null, has_changes: false, timestamps: { 'queued-at': at }, plan: null, apply: null, changed: [], error: null, pid: null,
    }
    await this.#o.journal.commit({ t: 'run', run })
    return run
  }

  /** Somebody confirmed a planned run. */
  async confirm(run: Run): Promise<void> {
    await this.#alone(async () => {
      if (run.status === 'planned') await this.#attempt(run, (at) => this.#apply(run, at))
    })
  }
  async discard(run: Run, why: string): Promise<void> {
    await this.#step(run, { status: 'discarded', error: why })
  }
  async cancel(run: Run): Promise<void> {
    if (run.status === 'pending') return this.#step(run, { status: 'canceled' })
    if (run.pid !== null) await endTerraform(run.pid, realpathSync(this.#cwd()))
  }

  async #carryOut(run: Run, commit: string): Promise<void> {
    for (const old of runsOf(this.#o.journal.state).filter((r) => r.status === 'planned')) await this.discard(old, `superseded by ${run.id}`)
    if (this.#stopping) return
    await this.#attempt(run, async (at) => {
      await this.#step(run, { status: 'planning', commit })
      await this.#o.git.checkout(commit, join(this.#o.dataDir, 'work'))
      await this.#init(commit, at)
      const file = this.#planFile(run)
      await this.#terraform(['plan', '-input=false', '-no-color', ...(run.is_destroy ? ['-destroy'] : []), ...(run.refresh_only ? ['-refresh-only'] : []), `-out=${file}`], at)
      const json = await this.#terraform(['show', '-json', '-no-color', file], at)
      const plan = readPlan(json)
      writeFileSync(this.planJsonOf(run.id), json, { mode: 0o600 })
      const found = { plan: plan.counts, changed: plan.changed, has_changes: plan.hasChanges, pid: null }
      if (!plan.hasChanges || run.plan_only) return this.#step(run, { ...found, status: 'planned_and_finished' })
      await this.#step(run, { ...found, status: 'planned' })
      if (run.auto_apply) await this.#apply(run, at)
    })
    if (commit !== this.workspace.commit) await this.#o.journal.commit({ t: 'settings', at: new Date().toISOString(), set: { commit } })
    this.#lastDrift = Date.now()
  }

  async #apply(run: Run, at: Invocation): Promise<void> {
    await this.#step(run, { status: 'applying' })
    await this.#terraform(['apply', '-input=false', '-no-color', '-auto-approve', this.#planFile(run)], at)
    await this.#step(run, { status: 'applied', apply: run.plan, pid: null })
  }

  async #attempt(run: Run, work: (at: Invocation) => Promise<void>): Promise<void> {
    try {
      const at: Invocation = {
        cwd: this.#cwd(),
        env: environment(this.#o.envFile, this.#o.dataDir),
        log: this.logOf(run.id),
        started: (pid) => this.#step(run, { pid }),
      }
      await work(at)
    } catch (e) {
      await this.#step(run, { status: 'errored', pid: null, error: (e as Error).message })
    }
  }

  async #init(commit: string, at: Invocation): Promise<void> {
    // The back end's address is in the environment: another one needs a new init as well.
    const key = `${commit} ${JSON.stringify(Object.entries(at.env).filter(([k]) => k.startsWith('TF_')))}`
    if (this.#initialised === key && existsSync(join(at.cwd, '.terraform'))) return
    await this.#terraform(['init', '-input=false', '-no-color', '-reconfigure'], at)
    this.#initialised = key
  }
  #terraform(args: readonly string[], at: Invocation): Promise<string> {
    // Between two steps of a run there is no process to end: a runner that stops must not begin the next one.
    if (this.#stopping) throw new Error('the runner was stopped during this run')
    return terraform(args, at)
  }
  #planFile(run: Run): string {
    return join(this.#o.dataDir, 'runs', `${run.id}.plan`)
  }
  #cwd(): string {
    return join(this.#o.dataDir, 'work', this.#o.workingDirectory)
  }
  // A plan file holds secrets in clear text: it goes when nobody can apply it any more.
  async #step(run: Run, set: Partial<Omit<Run, 'id' | 'timestamps'>>): Promise<void> {
    await this.#o.journal.commit({ t: 'step', id: run.id, at: new Date().toISOString(), set })
    if (set.status !== undefined && FINAL.includes(set.status)) rmSync(this.#planFile(run), { force: true })
  }
}

async function endTerraform(pid: number, cwd: string): Promise<void> {
  for (const [signal, ms] of [['SIGINT', 5000], ['SIGKILL', 2000]] as const) {
    if (!isOurTerraform(pid, cwd)) return
    process.kill(pid, signal)
    for (let waited = 0; waited < ms && isOurTerraform(pid, cwd); waited += 50) await wait(50)
  }
}
