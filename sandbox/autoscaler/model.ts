// An autoscaling group and what happened to it. Words and process names are those of AWS Auto Scaling.

/** The processes that can be suspended; the agent itself performs the first two. */
export const PROCESSES = ['HealthCheck', 'ReplaceUnhealthy', 'AZRebalance', 'AlarmNotification', 'ScheduledActions', 'InstanceRefresh', 'Launch', 'Terminate', 'AddToLoadBalancer'] as const
export type Process = (typeof PROCESSES)[number]

export interface Activity {
  readonly activity_id: string
  readonly description: string
  readonly cause: string
  readonly start_time: string
  end_time: string | null
  status: 'InProgress' | 'Successful' | 'Failed'
  status_message: string | null
  readonly instance: string
  /** What is launched in its place, kept until it is done. */
  replace: Record<string, unknown> | null
}
export interface Suspension {
  readonly process: Process
  /** As AWS words it, with the user added. */
  readonly reason: string
  readonly by: string
  readonly at: string
}
export interface Group {
  readonly name: string
  /** Instances that carry all these tags belong to the group. */
  readonly match: Readonly<Record<string, string>>
  suspended: Suspension[]
  activities: Activity[]
  /** When the group last looked, and what it did then; null before the first look. */
  evaluated_at: string | null
  /** Who suspended or resumed something last. */
  changed_by: string | null
}

export interface State { groups: Record<string, Group> }
export type Entry =
  | { t: 'group'; name: string; match: Record<string, string> }
  | { t: 'suspend'; name: string; suspensions: Suspension[] }
  | { t: 'resume'; name: string; processes: Process[]; by: string; at: string }
  | { t: 'began'; name: string; activity: Activity }
  | { t: 'ended'; name: string; id: string; status: 'Successful' | 'Failed'; message: string | null; at: string }

const KEPT = 100

export function apply(state: State, e: Entry): void {
  if (e.t === 'group') {
    const old = state.groups[e.name]
    state.groups[e.name] = { name: e.name, match: e.match, suspended: old?.suspended ?? [], activities: old?.activities ?? [], evaluated_at: null, changed_by: old?.changed_by ?? null }
    return
  }
  const group = state.groups[e.name]
  if (group === undefined) return
  if (e.t === 'suspend') group.suspended = [...group.suspended, ...e.suspensions.filter((s) => !group.suspended.some((o) => o.process === s.process))]
  if (e.t === 'resume') group.suspended = group.suspended.filter((s) => !e.processes.includes(s.process))
  if (e.t === 'resume') group.changed_by = e.by
  if (e.t === 'suspend') group.changed_by = e.suspensions[0]?.by ?? group.changed_by
  if (e.t === 'began') group.activities = [{ ...e.activity }, ...group.activities].slice(0, KEPT)
  if (e.t === 'ended') {
    const activity = group.activities.find((a) => a.activity_id === e.id)
    if (activity) Object.assign(activity, { status: e.status, status_message: e.message, end_time: e.at, replace: null })
  }
}

export function isSuspended(group: Group, process: Process): boolean {
  return group.suspended.some((s) => s.process === process)
}
