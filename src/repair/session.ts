import { existsSync, readdirSync, realpathSync, rmSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { CORE, ReglazeError } from '../core/errors.ts'
import {
  configAddress, createRunner, disk, findResource, indexState, init, isInitialised, loadConfig, parseAddress, planTo, pullState,
  type Address, type Block, type Config, type HclFile, type Module, type Place, type PlanDocument, type Runner, type StateDocument, type StateEntry,
} from '../terraform/index.ts'
import { REPAIR } from './errors.ts'
import { JournalFile } from './journal.ts'
import type { Effort } from './model.ts'

export interface RepairOptions {
  readonly env?: Readonly<Record<string, string | undefined>>
  readonly terraform?: Runner
  readonly onProgress?: (line: string) => void
  readonly signal?: AbortSignal
  readonly timeoutMs?: number
  readonly varFiles?: readonly string[]
  /** Folder of the journal and of saved states; default `.reglaze` beside the code. */
  readonly journalDir?: string
  readonly now?: () => Date
}
export interface Session {
  readonly dir: string
  readonly place: Place
  readonly journal: JournalFile
  readonly varArgs: readonly string[]
  readonly now: () => string
  config(): Config
  progress(line: string): void
  effort(): Effort
}
export interface Target {
  readonly address: string
  readonly parsed: Address
  readonly file: HclFile
  readonly block: Block
  readonly module: Module
}

export async function openSession(dir: string, o: RepairOptions): Promise<Session> {
  const started = performance.now()
  if (!existsSync(dir) || !readdirSync(dir).some((n) => /\.tf(\.json)?$/.test(n))) throw new ReglazeError(CORE.INVALID_INPUT, `${dir} is not a Terraform folder`, { place: dir, hint: 'Name the folder that holds the .tf files.' })
  const real = realpathSync(resolve(dir))
  const runner = o.terraform ?? (await createRunner(o.env ? { env: o.env } : {}))
  const before = o.terraform ? { invocations: runner.counters.invocations, ms: runner.counters.ms } : { invocations: 0, ms: 0 }
  const place: Place = { runner, dir: real, ...(o.env && { env: o.env }), ...(o.signal && { signal: o.signal }), ...(o.onProgress && { onProgress: o.onProgress }), ...(o.timeoutMs && { timeoutMs: o.timeoutMs }) }
  if (!isInitialised(real)) await init(place)
  return {
    dir: real, place, journal: new JournalFile(o.journalDir ?? join(real, '.reglaze')),
    varArgs: (o.varFiles ?? []).map((f) => `-var-file=${f}`),
    now: () => (o.now?.() ?? new Date()).toISOString(),
    config: () => loadConfig(disk, real, { varFiles: o.varFiles ?? [] }),
    progress: (line) => o.onProgress?.(line),
    effort: () => ({ invocations: runner.counters.invocations - before.invocations, terraformMs: Math.round(runner.counters.ms - before.ms), wallMs: Math.round(performance.now() - started) }),
  }
}

/** The block that declares an address. Throws REPAIR_NO_CODE. */
export function target(config: Config, address: string): Target {
  const parsed = parseAddress(address)
  const found = findResource(config, parsed)
  if (!found || parsed.mode !== 'managed') throw new ReglazeError(REPAIR.REPAIR_NO_CODE, `no code here declares ${address}`, { place: config.root })
  return { address, parsed, file: found.file, block: found.node, module: found.module }
}
export async function pulled(s: Session): Promise<{ state: StateDocument; text: string; entry(address: string): StateEntry | undefined }> {
  const { state, text } = await pullState(s.place)
  const index = indexState(state)
  return { state, text, entry: (a) => index.byAddress.get(a) }
}
/** Other objects of the state that the same block makes. */
export function sharing(config: Config, t: Target, state: StateDocument): string[] {
  return [...indexState(state).byAddress.values()].filter((e) => e.mode === 'managed' && e.address !== t.address && (e.config === configAddress(t.parsed) || sameBlock(config, e, t))).map((e) => e.address)
}
function sameBlock(config: Config, e: StateEntry, t: Target): boolean {
  return e.type === t.parsed.type && findResource(config, e.address)?.node === t.block
}

/** Plans into the journal's folder and hands the plan to `use`; the plan file is removed afterwards. */
export async function withPlan<T>(s: Session, name: string, args: readonly string[], use: (plan: PlanDocument | null, file: string, error: { summary: string; place: string | null } | null) => Promise<T>): Promise<T> {
  const file = join(s.journal.folder, `${name}-${process.pid}.tfplan`)
  rmSync(file, { force: true })
  try {
    const { plan, diagnostics } = await planTo(s.place, file, [...s.varArgs, ...args])
    const error = diagnostics.find((d) => d.severity === 'error')
    return await use(plan, file, error ? { summary: `${error.summary}${error.detail ? `: ${error.detail.split('\n').join(' ')}` : ''}`, place: error.place } : null)
  } finally {
    rmSync(file, { force: true })
  }
}
