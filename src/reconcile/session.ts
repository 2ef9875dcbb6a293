/** What every call of the engine starts with: the folder, the program, a place for evidence, the figures. */
import { createHmac, randomBytes } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, realpathSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { ReglazeError } from '../core/errors.ts'
import { createRunner, init, isInitialised, pullState, type Digest, type Place, type Runner, type StateDocument } from '../terraform/index.ts'
import { RECONCILE } from './errors.ts'
import { findGit, type GitPlace } from './git.ts'
import type { Effort } from './model.ts'

export interface EngineOptions {
  /** Variables for Terraform and git, on top of this process' own: credentials, TF_VAR_…, TF_WORKSPACE. */
  readonly env?: Readonly<Record<string, string | undefined>>
  /** Handed over to share its version look-up and its counters. */
  readonly terraform?: Runner
  readonly onProgress?: (line: string) => void
  readonly signal?: AbortSignal
  /** Deadline of one Terraform run in milliseconds. */
  readonly timeoutMs?: number
  readonly varFiles?: readonly string[]
  /** Folder for state copies and plan files; default `reglaze` inside the git directory, or `.reglaze` beside the code. */
  readonly workDir?: string
  /** Key of the digests that stand for secrets; without it they can not be compared between two runs. */
  readonly digestKey?: string
  readonly now?: () => Date
}
export interface Session {
  readonly dir: string
  readonly place: Place
  readonly runner: Runner
  readonly git: GitPlace | null
  readonly workDir: string
  readonly digest: Digest
  readonly env: Readonly<Record<string, string | undefined>>
  readonly varArgs: readonly string[]
  readonly varFiles: readonly string[]
  readonly now: () => Date
  progress(line: string): void
  effort(): Effort
}

/** Opens a Terraform folder; runs `init` when nobody has. Throws RECONCILE_NOT_A_DIRECTORY and the runner's errors. */
export async function openSession(dir: string, o: EngineOptions): Promise<Session> {
  const started = performance.now()
  const root = resolve(dir)
  if (!existsSync(root) || !statSync(root).isDirectory()) throw new ReglazeError(RECONCILE.RECONCILE_NOT_A_DIRECTORY, `${dir} is not a folder`, { place: dir })
  const real = realpathSync(root)
  if (!readdirSync(real).some((n) => /\.tf(\.json)?$/.test(n))) throw new ReglazeError(RECONCILE.RECONCILE_NOT_A_DIRECTORY, `${dir} has no .tf file`, { place: dir })
  const runner = o.terraform ?? (await createRunner(o.env ? { env: o.env } : {}))
  const before = { invocations: o.terraform ? runner.counters.invocations : 0, ms: o.terraform ? runner.counters.ms : 0 }
  const git = await findGit(real, o.env)
  const workDir = o.workDir ?? (git ? join(git.gitDir, 'reglaze') : join(real, '.reglaze'))
  mkdirSync(workDir, { recursive: true, mode: 0o700 })
  // Saved states hold secrets: the folder stays out of git wherever it is.
  if (!existsSync(join(workDir, '.gitignore'))) writeFileSync(join(workDir, '.gitignore'), '*\n')
  sweepPlans(workDir)
  const key = o.digestKey ?? randomBytes(32).toString('hex')
  const place: Place = { runner, dir: real, ...(o.env && { env: o.env }), ...(o.signal && { signal: o.signal }), ...(o.onProgress && { onProgress: o.onProgress }), ...(o.timeoutMs && { timeoutMs: o.timeoutMs }) }
  if (!isInitialised(real)) await init(place)
  return {
    dir: real, place, runner, git, workDir,
    digest: (text) => createHmac('sha256', key).update(text).digest('hex').slice(0, 32),
    env: { ...process.env, ...o.env },
    varFiles: o.varFiles ?? [],
    varArgs: (o.varFiles ?? []).map((f) => `-var-file=${f}`),
    now: o.now ?? (() => new Date()),
    progress: (line) => o.onProgress?.(line),
    effort: () => ({
      invocations: runner.counters.invocations - before.invocations,
      terraformMs: Math.round(runner.counters.ms - before.ms),
      wallMs: Math.round(performance.now() - started),
    }),
  }
}

/** Plan files of runs that were killed hold secrets and are of no use any more. */
function sweepPlans(folder: string): void {
  for (const name of readdirSync(folder)) {
    const pid = /-(\d+)\.tfplan$/.exec(name)?.[1]
    if (pid !== undefined && !isAlive(Number(pid))) rmSync(join(folder, name), { force: true })
  }
}
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (e) {
    return (e as NodeJS.ErrnoException).code === 'EPERM'
  }
}

/** Pulls the state and keeps a copy: refreshing erases the evidence of what was changed. Mode 0600, secrets are in clear in it. */
export async function keepState(s: Session): Promise<{ state: StateDocument; text: string; file: string }> {
  const { text, state } = await pullState(s.place)
  const folder = join(s.workDir, 'states')
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  const file = join(folder, `${state.lineage || 'empty'}-${state.serial}.tfstate`)
  // One serial of one lineage has one content: an earlier copy is the same.
  if (!existsSync(file)) writeFileSync(file, text, { mode: 0o600 })
  return { state, text, file }
}
