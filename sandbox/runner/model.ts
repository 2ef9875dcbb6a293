// A workspace and its runs, as HCP Terraform names them.

export type RunStatus = 'pending' | 'planning' | 'planned' | 'applying' | 'applied' | 'planned_and_finished' | 'errored' | 'discarded' | 'canceled'
export const ACTIVE: readonly RunStatus[] = ['planning', 'applying']
export const FINAL: readonly RunStatus[] = ['applied', 'planned_and_finished', 'errored', 'discarded', 'canceled']

export interface Holder { readonly type: 'users' | 'runs'; readonly id: string; readonly name: string }
export interface Workspace {
  readonly id: string
  readonly name: string
  readonly organization: string
  readonly created_at: string
  updated_at: string
  auto_apply: boolean
  description: string | null
  locked_by: Holder | null
  locked_reason: string
  /** The newest commit that a run was made for. */
  commit: string | null
}
export interface Counts { additions: number; changes: number; destructions: number; imports: number }
export interface Run {
  readonly id: string
  readonly message: string
  readonly source: 'tfe-api' | 'tfe-configuration-version' | 'tfe-schedule'
  readonly trigger_reason: 'manual' | 'vcs-push' | 'drift-schedule'
  readonly created_at: string
  readonly created_by: string
  readonly is_destroy: boolean
  readonly plan_only: boolean
  readonly refresh_only: boolean
  /** Taken from the workspace when the run is made: switching it off later does not reach this run. */
  readonly auto_apply: boolean
  status: RunStatus
  commit: string | null
  has_changes: boolean
  timestamps: Record<string, string>
  plan: Counts | null
  apply: Counts | null
  changed: string[]
  error: string | null
  /** The Terraform process of this run while one runs. */
  pid: number | null
}
export interface State { workspace: Workspace | null; runs: Record<string, Run> }
export type Entry =
  | { t: 'workspace'; workspace: Workspace }
  | { t: 'settings'; at: string; set: Partial<Pick<Workspace, 'auto_apply' | 'description' | 'commit'>> }
  | { t: 'lock'; at: string; by: Holder; reason: string }
  | { t: 'unlock'; at: string }
  | { t: 'run'; run: Run }
  | { t: 'step'; id: string; at: string; set: Partial<Omit<Run, 'id' | 'timestamps'>> }

const KEPT_RUNS = 500

export function apply(state: State, e: Entry): void {
  const ws = state.workspace
  if (e.t === 'workspace') state.workspace = e.workspace
  else if (e.t === 'run') {
    state.runs[e.run.id] = e.run
    const done = Object.values(state.runs).filter((r) => FINAL.includes(r.status))
    for (const old of done.slice(0, Math.max(0, Object.keys(state.runs).length - KEPT_RUNS))) delete state.runs[old.id]
  } else if (e.t === 'step') {
    const run = state.runs[e.id]
    if (run === undefined) return
    if (e.set.status !== undefined && e.set.status !== run.status) run.timestamps[`${e.set.status.replaceAll('_', '-')}-at`] = e.at
    Object.assign(run, e.set)
  } else if (ws !== null) {
    ws.updated_at = e.at
    if (e.t === 'settings') Object.assign(ws, e.set)
    if (e.t === 'lock') Object.assign(ws, { locked_by: e.by, locked_reason: e.reason })
    if (e.t === 'unlock') Object.assign(ws, { locked_by: null, locked_reason: '' })
  }
}

/** Newest first. */
export function runsOf(state: State): Run[] {
  return Object.values(state.runs).reverse()
}
