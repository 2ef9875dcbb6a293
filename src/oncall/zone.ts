/**
 * Wall clock to instant and back, for every zone of the database. A wall time is a number too: the milliseconds that the
 * same digits would be in UTC, so that calendar arithmetic is integer arithmetic. Pure: the zone data come from Intl, the
 * zone of the process is never asked.
 */
const HOUR = 3_600_000
const DAY = 24 * HOUR
/** No zone ever changed its offset and changed it back within this time since 1970. */
const PROBE = 6 * DAY

/** From `start` on (an instant) the local clock is UTC + `offset` milliseconds, until the next segment. */
export interface Segment {
  readonly start: number
  readonly offset: number
}

const formats = new Map<string, Intl.DateTimeFormat>()
const years = new Map<string, readonly Segment[]>()

/** What the local clock of `zone` shows at an instant. */
export function wallAt(zone: string, instant: number): number {
  const segments = segmentsOf(zone, new Date(instant).getUTCFullYear())
  let found = segments[0] as Segment
  for (const segment of segments) if (segment.start <= instant) found = segment
  return instant + found.offset
}

/**
 * The first instant whose local clock shows this wall time or later: a time in a gap is the first instant after the gap,
 * a time that exists twice is its first occurrence. Unlike Temporal's `compatible`, nothing is shifted by the gap's length.
 */
export function instantOf(zone: string, wall: number): number {
  // No offset was ever larger than 16 hours, so one and a half days on each side is enough.
  const from = wall - 36 * HOUR
  const segments = segmentsBetween(zone, from, wall + 60 * HOUR)
  for (let i = 0; i < segments.length; i++) {
    const { start, offset } = segments[i] as Segment
    const end = segments[i + 1]?.start ?? Number.POSITIVE_INFINITY
    const candidate = Math.max(start, wall - offset)
    if (candidate >= from && candidate < end) return candidate
  }
  throw new RangeError(`no instant for wall time ${wall} in ${zone}`)
}

/** The wall time of a date (`2026-01-05`) and a time of day (`09:00`). */
export function wallOf(date: string, time: string): number {
  return Date.parse(`${date}T${time}:00.000Z`)
}

/** The wall time of the day's beginning. */
export function dayOf(wall: number): number {
  return Math.floor(wall / DAY) * DAY
}

/** Calendar months later at the same time of day, clamped to the length of the month: 31 January + 1 = 28 or 29 February. */
export function addMonths(wall: number, months: number): number {
  const at = new Date(wall)
  const first = Date.UTC(at.getUTCFullYear(), at.getUTCMonth() + months, 1)
  const last = new Date(Date.UTC(at.getUTCFullYear(), at.getUTCMonth() + months + 1, 0)).getUTCDate()
  return first + (Math.min(at.getUTCDate(), last) - 1) * DAY + (wall - dayOf(wall))
}

function segmentsBetween(zone: string, from: number, to: number): Segment[] {
  const first = new Date(from).getUTCFullYear()
  const last = new Date(to).getUTCFullYear()
  const all: Segment[] = []
  for (let year = first; year <= last; year++) {
    for (const segment of segmentsOf(zone, year)) if (all.at(-1)?.offset !== segment.offset) all.push(segment)
  }
  return all
}

function segmentsOf(zone: string, year: number): readonly Segment[] {
  const key = `${zone} ${year}`
  const known = years.get(key)
  if (known) return known
  const begin = Date.UTC(year, 0, 1)
  const end = Date.UTC(year + 1, 0, 1)
  const found: Segment[] = [{ start: begin, offset: offsetAt(zone, begin) }]
  // Probes stop a millisecond before the year's end: a change exactly there belongs to the next year.
  for (let at = begin; at < end - 1; at += PROBE) findChanges(zone, at, Math.min(at + PROBE, end - 1), found)
  years.set(key, found)
  return found
}

/** Adds the changes in (low, high]. Days are looked at one by one only where the offset is not the same at both ends. */
function findChanges(zone: string, low: number, high: number, found: Segment[]): void {
  if (offsetAt(zone, high) === (found.at(-1) as Segment).offset) return
  for (let day = low; day < high; day += DAY) {
    const before = (found.at(-1) as Segment).offset
    const next = Math.min(day + DAY, high)
    const after = offsetAt(zone, next)
    if (after !== before) found.push({ start: firstChange(zone, day, next, before), offset: after })
  }
}

/** Bisects for the first instant in (low, high] whose offset is no longer `before`. */
function firstChange(zone: string, low: number, high: number, before: number): number {
  let a = low
  let b = high
  while (b - a > 1) {
    const middle = Math.floor((a + b) / 2)
    if (offsetAt(zone, middle) === before) a = middle
    else b = middle
  }
  return b
}

function offsetAt(zone: string, instant: number): number {
  let format = formats.get(zone)
  if (!format) {
    format = new Intl.DateTimeFormat('en-US', {
      timeZone: zone, calendar: 'iso8601', hourCycle: 'h23',
      year: 'numeric', month: 'numeric', day: 'numeric', hour: 'numeric', minute: 'numeric', second: 'numeric',
    })
    formats.set(zone, format)
  }
  const whole = Math.floor(instant / 1000) * 1000
  const part: Record<string, number> = {}
  for (const { type, value } of format.formatToParts(whole)) part[type] = Number(value)
  const { year = 0, month = 1, day = 1, hour = 0, minute = 0, second = 0 } = part
  return Date.UTC(year, month - 1, day, hour, minute, second) - whole
}
