import type { Config, Schedule } from '../config/schema.ts'
import type { Override, Shift, Why } from './model.ts'
import { onCall } from './schedule.ts'

/** A shift with RFC 3339 times, as files, API and command line show it. */
export interface ShiftView {
  readonly schedule: string
  readonly person: string | null
  readonly from: string
  readonly to: string
  readonly why: Why
  /** Nobody of the rotation is on call then; `person` is the fallback or null. */
  readonly gap: boolean
}

/** Overrides by schedule id; files alone have none, the server gives those of its database. */
export type Overrides = (schedule: string) => readonly Override[]
const NONE: Overrides = () => []

/** Who is on call in every schedule at an instant. */
export function evalSchedules(config: Pick<Config, 'schedules'>, at: Date, overrides: Overrides = NONE): ShiftView[] {
  return config.schedules.map((s) => view(s, onCall(s, at.getTime(), overrides(s.id))))
}

/** Every shift of every schedule in `[from, to)`, in order. */
export function shifts(config: Pick<Config, 'schedules'>, from: Date, to: Date, overrides: Overrides = NONE): ShiftView[] {
  return config.schedules.flatMap((s) => onCall(s, { from: from.getTime(), to: to.getTime() }, overrides(s.id)).map((shift) => view(s, shift)))
}

/** The parts of `[from, to)` that no rotation covers, also those for which a fallback person stands in. */
export function gaps(config: Pick<Config, 'schedules'>, from: Date, to: Date, overrides: Overrides = NONE): ShiftView[] {
  return shifts(config, from, to, overrides).filter((s) => s.gap)
}

/** A shift of one schedule with RFC 3339 times. */
export function view(schedule: Pick<Schedule, 'id'>, shift: Shift): ShiftView {
  const { person, from, to, why } = shift
  return {
    schedule: schedule.id,
    person,
    from: new Date(from).toISOString(),
    to: new Date(to).toISOString(),
    why,
    gap: why.kind === 'gap' || why.kind === 'fallback',
  }
}
