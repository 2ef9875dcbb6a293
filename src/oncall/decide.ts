import type { Config, Escalation } from '../config/schema.ts'
import { parseDuration } from '../core/duration.ts'
import type { Overrides } from './engine.ts'
import type { Why } from './model.ts'
import { onCall } from './schedule.ts'

/** Who is paged, and when the next step is due. Pure. */

export interface Responder {
  readonly person: string
  readonly team: string
  readonly schedule: string
  readonly escalation: string
  /** End of the shift, RFC 3339. */
  readonly until: string
  readonly why: Why | { readonly kind: 'member' }
  /** Nobody of the rotation is on call: somebody stands in, and the schedule has to be mended. */
  readonly gap: boolean
}

/**
 * The one responsible person of a team at an instant: who is on call in its schedule, else the schedule's fallback person,
 * else the first member of the team. Always somebody (a page is never dropped); null only for an unknown team.
 */
export function responder(config: Config, team: string, at: number, overrides: Overrides): Responder | null {
  const found = config.teams.find((t) => t.id === team)
  const schedule = config.schedules.find((s) => s.id === found?.schedule)
  if (!found || !schedule) return null
  const shift = onCall(schedule, at, overrides(schedule.id))
  const gap = shift.why.kind === 'gap' || shift.why.kind === 'fallback'
  const base = { team, schedule: schedule.id, escalation: found.escalation, until: new Date(shift.to).toISOString(), gap }
  if (shift.person !== null) return { ...base, person: shift.person, why: shift.why }
  return { ...base, person: found.members[0] as string, why: { kind: 'member' } }
}

export interface Target {
  readonly person: string
  readonly why: { readonly kind: 'schedule'; readonly schedule: string; readonly shift: Why } | { readonly kind: 'person' }
}

/** The people of one step, each once. A schedule that nobody covers at that time adds nobody. */
export function targets(config: Config, escalation: Escalation, step: number, at: number, overrides: Overrides): Target[] {
  const found = new Map<string, Target>()
  for (const notify of escalation.steps[step]?.notify ?? []) {
    if ('person' in notify) {
      if (!found.has(notify.person)) found.set(notify.person, { person: notify.person, why: { kind: 'person' } })
      continue
    }
    const schedule = config.schedules.find((s) => s.id === notify.schedule)
    const shift = schedule && onCall(schedule, at, overrides(schedule.id))
    if (shift?.person && !found.has(shift.person)) found.set(shift.person, { person: shift.person, why: { kind: 'schedule', schedule: notify.schedule, shift: shift.why } })
  }
  return [...found.values()]
}

const LONELY_STEP_WAIT_MS = 5 * 60_000

/** Milliseconds from the beginning of a round to a step; -1 = the round's beginning. */
function offset(escalation: Escalation, step: number): number {
  const after = escalation.steps[step]?.after
  return after === undefined || after === '0s' ? 0 : parseDuration(after)
}

/** The step at which paging begins: the first one when it is due at once, else -1 (only the responsible person). */
export function firstStep(escalation: Escalation): number {
  return offset(escalation, 0) === 0 ? 0 : -1
}

/**
 * How long a step waits for an acknowledgement until what follows it. `after` counts from the beginning of the round; before
 * a repetition (or before giving up) the wait is as long as the one before the last step, for a lonely step 5 minutes.
 */
export function waitAfter(escalation: Escalation, step: number): number {
  const last = escalation.steps.length - 1
  if (step < last) return Math.max(0, offset(escalation, step + 1) - offset(escalation, step))
  const before = last === 0 ? 0 : offset(escalation, last) - offset(escalation, last - 1)
  return (before > 0 ? before : LONELY_STEP_WAIT_MS) + offset(escalation, 0)
}

/** What follows a step: the next one, the first one of another round, or nothing. */
export function following(escalation: Escalation, at: { round: number; step: number }): { round: number; step: number } | 'exhausted' {
  if (at.step < escalation.steps.length - 1) return { round: at.round, step: at.step + 1 }
  return at.round < escalation.repeat ? { round: at.round + 1, step: 0 } : 'exhausted'
}
