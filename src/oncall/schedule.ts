import type { Layer, Schedule } from '../config/schema.ts'
import { ReglazeError } from '../core/errors.ts'
import { ONCALL } from './errors.ts'
import type { Override, Shift, Why, Window } from './model.ts'
import { addMonths, dayOf, instantOf, wallAt, wallOf } from './zone.ts'

const HOUR = 3_600_000
const DAY = 24 * HOUR
/** How far around an instant the ends of its shift are looked for; a longer gap is cut there. */
const HORIZON = 366 * DAY
const EARLIEST = 0
const LATEST = Date.UTC(2400, 0, 1)
const WEEKDAYS = ['sunday', 'monday', 'tuesday', 'wednesday', 'thursday', 'friday', 'saturday']

/**
 * Who is on call: the only implementation, for paging, API, policy and checks alike. For an instant: the one shift that
 * contains it, with its full extent (at most 366 days each way). For a window: every shift in it in order, cut to the
 * window, without a hole: what nobody covers is a shift of the fallback person or an explicit gap. Pure. Throws SCHEDULE_TIME.
 */
export function onCall(schedule: Schedule, at: number, overrides?: readonly Override[]): Shift
export function onCall(schedule: Schedule, window: Window, overrides?: readonly Override[]): Shift[]
export function onCall(schedule: Schedule, when: number | Window, overrides: readonly Override[] = []): Shift | Shift[] {
  const ends = typeof when === 'number' ? [when] : [when.from, when.to]
  if (!ends.every((t) => t >= EARLIEST && t <= LATEST)) throw new ReglazeError(ONCALL.SCHEDULE_TIME, 'the time is not a time, or it is before 1970 or after 2400')
  return typeof when === 'number' ? atInstant(schedule, when, overrides) : inWindow(schedule, when, overrides)
}

function atInstant(schedule: Schedule, at: number, overrides: readonly Override[]): Shift {
  for (let reach = 2 * DAY; ; reach = Math.min(reach * 4, HORIZON)) {
    const window = { from: at - reach, to: at + reach }
    const shift = inWindow(schedule, window, overrides).find((s) => s.from <= at && at < s.to) as Shift
    if ((shift.from > window.from && shift.to < window.to) || reach === HORIZON) return shift
  }
}

function inWindow(schedule: Schedule, window: Window, overrides: readonly Override[]): Shift[] {
  if (!(window.from < window.to)) return []
  let covered: Shift[] = []
  // The last layer wins: it goes first, the others only fill what is left.
  for (const layer of schedule.layers.toReversed()) covered = fillHoles(covered, layerShifts(layer, window))
  const uncovered: Shift = schedule.fallback
    ? { person: schedule.fallback, ...window, why: { kind: 'fallback' } }
    : { person: null, ...window, why: { kind: 'gap' } }
  let shifts = fillHoles(covered, [uncovered])
  for (const override of overrides) shifts = shifts.flatMap((shift) => applyOverride(shift, override))
  return joinEqual(shifts)
}

/** Start of turn n. Calendar arithmetic on the wall clock from the anchor each time, never from the previous handoff. */
export function turnStart(layer: Layer, n: number): number {
  const anchor = wallOf(layer.start, layer.handoff.at)
  const steps = n * layer.rotation.every
  switch (layer.rotation.kind) {
    case 'hourly':
      return instantOf(layer.zone, anchor + steps * HOUR)
    case 'daily':
      return instantOf(layer.zone, anchor + steps * DAY)
    case 'weekly':
      return instantOf(layer.zone, anchor + steps * 7 * DAY)
    case 'monthly':
      return instantOf(layer.zone, addMonths(anchor, steps))
  }
}

/** The turn that contains an instant; negative before the rotation begins. A turn of no length (inside a gap) is lost. */
export function turnAt(layer: Layer, at: number): number {
  const passed = wallAt(layer.zone, at) - wallOf(layer.start, layer.handoff.at)
  const length = { hourly: HOUR, daily: DAY, weekly: 7 * DAY, monthly: 30.436875 * DAY }[layer.rotation.kind] * layer.rotation.every
  let n = Math.floor(passed / length)
  while (turnStart(layer, n) > at) n--
  while (turnStart(layer, n + 1) <= at) n++
  return n
}

function layerShifts(layer: Layer, window: Window): Shift[] {
  const turns: Shift[] = []
  let n = Math.max(0, turnAt(layer, window.from))
  for (let start = turnStart(layer, n); start < window.to; n++) {
    const next = turnStart(layer, n + 1)
    const person = layer.members[n % layer.members.length] as string
    const piece = { person, from: Math.max(start, window.from), to: Math.min(next, window.to), why: { kind: 'rotation', layer: layer.id, turn: n } as const }
    if (piece.from < piece.to) turns.push(piece)
    start = next
  }
  return layer.restrict.length === 0 ? turns : intersect(turns, restrictedWindows(layer, window))
}

/**
 * The hours of a restricted layer, as instants, in order and united. `to` not after `from` means the next day; equal
 * means the whole day. Start and end follow the same rule, so windows that tile the day leave no hole on any day.
 */
function restrictedWindows(layer: Layer, window: Window): Window[] {
  const found: Window[] = []
  const lastDay = dayOf(wallAt(layer.zone, window.to)) + DAY
  for (let day = dayOf(wallAt(layer.zone, window.from)) - 2 * DAY; day <= lastDay; day += DAY) {
    const weekday = WEEKDAYS[new Date(day).getUTCDay()] as string
    for (const { days, from, to } of layer.restrict) {
      if (days && !(days as readonly string[]).includes(weekday)) continue
      const start = instantOf(layer.zone, day + clock(from))
      const end = instantOf(layer.zone, day + clock(to) + (clock(to) <= clock(from) ? DAY : 0))
      if (start < end) found.push({ from: start, to: end })
    }
  }
  found.sort((a, b) => a.from - b.from)
  const united: Window[] = []
  for (const next of found) {
    const last = united.at(-1)
    if (last && next.from <= last.to) united[united.length - 1] = { from: last.from, to: Math.max(last.to, next.to) }
    else united.push(next)
  }
  return united
}

function clock(time: string): number {
  return wallOf('1970-01-01', time)
}

/** Both lists in order and free of overlap: one pass. */
function intersect(shifts: readonly Shift[], windows: readonly Window[]): Shift[] {
  const out: Shift[] = []
  let w = 0
  for (const shift of shifts) {
    while (w < windows.length && (windows[w] as Window).to <= shift.from) w++
    for (let k = w; k < windows.length && (windows[k] as Window).from < shift.to; k++) {
      const { from, to } = windows[k] as Window
      out.push({ ...shift, from: Math.max(shift.from, from), to: Math.min(shift.to, to) })
    }
  }
  return out
}

/** What covers stays; `below` shows through where it leaves holes. */
function fillHoles(cover: readonly Shift[], below: readonly Shift[]): Shift[] {
  const holes: Window[] = []
  let free = Number.NEGATIVE_INFINITY
  for (const shift of cover) {
    if (free < shift.from) holes.push({ from: free, to: shift.from })
    free = shift.to
  }
  holes.push({ from: free, to: Number.POSITIVE_INFINITY })
  return [...cover, ...intersect(below, holes)].sort((a, b) => a.from - b.from)
}

function applyOverride(shift: Shift, o: Override): Shift[] {
  const from = Math.max(shift.from, o.from)
  const to = Math.min(shift.to, o.to)
  const { why, person } = shift
  if (from >= to || person === null || person === o.person || (o.replaces !== null && o.replaces !== person)) return [shift]
  if (why.kind !== 'rotation' && why.kind !== 'override') return [shift]
  const replaced: Why = { kind: 'override', override: o.id, instead: person, layer: why.layer, turn: why.turn }
  const parts = [{ ...shift, to: from }, { person: o.person, from, to, why: replaced }, { ...shift, from: to }]
  return parts.filter((part) => part.from < part.to)
}

function joinEqual(shifts: readonly Shift[]): Shift[] {
  const out: Shift[] = []
  for (const next of shifts) {
    const last = out.at(-1)
    if (last && last.to === next.from && last.person === next.person && sameWhy(last.why, next.why)) out[out.length - 1] = { ...last, to: next.to }
    else out.push(next)
  }
  return out
}

function sameWhy(a: Why, b: Why): boolean {
  return JSON.stringify(a) === JSON.stringify(b)
}
