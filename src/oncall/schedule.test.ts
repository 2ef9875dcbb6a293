import { execFileSync } from 'node:child_process'
import fc from 'fast-check'
import { Temporal } from 'temporal-polyfill'
import { describe, expect, it } from 'vitest'
import { layerSchema, scheduleSchema } from '../config/schema.ts'
import type { Schedule } from '../config/schema.ts'
import type { Override, Shift } from './model.ts'
import { onCall, turnAt, turnStart } from './schedule.ts'
import { addMonths, instantOf, wallAt } from './zone.ts'

const DAY = 86_400_000
const ZONES = ['America/New_York', 'Europe/Paris', 'Asia/Kathmandu', 'Australia/Lord_Howe', 'America/Sao_Paulo', 'Africa/Casablanca', 'Pacific/Apia', 'America/St_Johns', 'Asia/Gaza', 'Europe/London', 'Antarctica/Troll', 'UTC']
const iso = (ms: number) => new Date(ms).toISOString()
const wall = (text: string) => Date.parse(`${text}:00Z`)

/** The rule of the reference in words of Temporal: the earlier one, or the first instant after the gap. */
function oracle(zone: string, wallMs: number): number {
  const wanted = Temporal.PlainDateTime.from(new Date(wallMs).toISOString().slice(0, -1))
  const zoned = wanted.toZonedDateTime(zone, { disambiguation: 'earlier' })
  if (zoned.toPlainDateTime().equals(wanted)) return zoned.epochMilliseconds
  return (zoned.getTimeZoneTransition('next') as Temporal.ZonedDateTime).epochMilliseconds
}

describe('boundary rule', () => {
  it.each([
    ['2025-03-09T02:30', 'America/New_York', '2025-03-09T07:00:00.000Z'],
    ['2025-11-02T01:30', 'America/New_York', '2025-11-02T05:30:00.000Z'],
    ['2025-03-30T02:30', 'Europe/Paris', '2025-03-30T01:00:00.000Z'],
    ['2025-10-26T02:30', 'Europe/Paris', '2025-10-26T00:30:00.000Z'],
    ['2025-06-01T09:00', 'Asia/Kathmandu', '2025-06-01T03:15:00.000Z'],
    ['2011-12-30T12:00', 'Pacific/Apia', '2011-12-30T10:00:00.000Z'],
  ])('%s in %s is %s', (text, zone, expected) => {
    expect(iso(instantOf(zone, wall(text)))).toBe(expected)
  })

  it('equals Temporal around every change of the years 2000 to 2035', () => {
    let checked = 0
    for (const zone of ZONES) {
      let at = Temporal.Instant.from('2000-01-01T00:00Z').toZonedDateTimeISO(zone)
      for (;;) {
        const next = at.getTimeZoneTransition('next')
        if (!next || next.year > 2035) break
        const base = Math.round((next.epochMilliseconds + next.offsetNanoseconds / 1e6) / 60_000) * 60_000
        for (const minutes of [-90, -61, -60, -31, -30, -1, 0, 1, 15, 30, 59, 60, 90]) {
          expect([zone, iso(base), minutes, instantOf(zone, base + minutes * 60_000)]).toEqual([zone, iso(base), minutes, oracle(zone, base + minutes * 60_000)])
          checked++
        }
        at = next
      }
    }
    expect(checked).toBeGreaterThan(5000)
  })

  it('equals Temporal for random zones and times, and the clock reads back', () => {
    const zones = Intl.supportedValuesOf('timeZone')
    fc.assert(
      fc.property(fc.constantFrom(...zones), fc.integer({ min: Date.UTC(1975, 0, 1) / 60_000, max: Date.UTC(2037, 0, 1) / 60_000 }), (zone, minutes) => {
        const wanted = minutes * 60_000
        const at = instantOf(zone, wanted)
        expect(at).toBe(oracle(zone, wanted))
        expect(wallAt(zone, at)).toBeGreaterThanOrEqual(wanted)
        expect(wallAt(zone, at - 1)).toBeLessThan(wanted)
      }),
      { numRuns: 1500 },
    )
  })

  it('clamps months from the anchor each time', () => {
    const anchor = wall('2026-01-31T09:00')
    expect([0, 1, 2, 3, 13].map((n) => iso(addMonths(anchor, n)).slice(0, 16))).toEqual(['2026-01-31T09:00', '2026-02-28T09:00', '2026-03-31T09:00', '2026-04-30T09:00', '2027-02-28T09:00'])
  })
})

const people = ['ann', 'ben', 'cat', 'dan', 'eve']
const time = fc.tuple(fc.integer({ min: 0, max: 23 }), fc.constantFrom(0, 15, 30, 59)).map(([h, m]) => `${String(h).padStart(2, '0')}:${String(m).padStart(2, '0')}`)
const restriction = fc.record({ days: fc.option(fc.subarray(['monday', 'tuesday', 'friday', 'saturday', 'sunday'], { minLength: 1 }), { nil: undefined }), from: time, to: time })
const layer = (restricted: boolean) =>
  fc
    .record({
      id: fc.constantFrom('a', 'b', 'c'),
      zone: fc.constantFrom(...ZONES),
      start: fc.integer({ min: Date.UTC(2022, 0, 1) / DAY, max: Date.UTC(2026, 0, 1) / DAY }).map((d) => iso(d * DAY).slice(0, 10)),
      handoff: fc.record({ at: time }),
      rotation: fc.record({ kind: fc.constantFrom('hourly', 'daily', 'weekly', 'monthly'), every: fc.integer({ min: 1, max: 30 }) }),
      members: fc.subarray(people, { minLength: 1 }),
      restrict: restricted ? fc.array(restriction, { maxLength: 3 }) : fc.constant([]),
    })
    .map((l) => layerSchema.parse(l))
const schedule: fc.Arbitrary<Schedule> = fc
  .record({ id: fc.constant('s'), layers: fc.array(layer(true), { minLength: 1, maxLength: 3 }), fallback: fc.option(fc.constant('zoe'), { nil: undefined }) })
  .map((s) => scheduleSchema.parse(s))
const instant = fc.integer({ min: Date.UTC(2024, 0, 1) / 60_000, max: Date.UTC(2028, 0, 1) / 60_000 }).map((m) => m * 60_000)
const window = fc.tuple(instant, fc.integer({ min: 1, max: 40 * 1440 })).map(([from, minutes]) => ({ from, to: from + minutes * 60_000 }))
const override: fc.Arbitrary<Override> = fc
  .record({ id: fc.uuid(), person: fc.constantFrom(...people, 'guest'), replaces: fc.option(fc.constantFrom(...people), { nil: null }), window })
  .map(({ window: w, ...o }) => ({ ...o, ...w }))

function cut(shifts: Shift[], from: number, to: number): Shift[] {
  return shifts.map((s) => ({ ...s, from: Math.max(s.from, from), to: Math.min(s.to, to) })).filter((s) => s.from < s.to)
}
const RUNS = { numRuns: 120 }

describe('one function', () => {
  it('covers a window without hole, overlap or empty shift, in order', () => {
    fc.assert(
      fc.property(schedule, window, fc.array(override, { maxLength: 3 }), (s, w, o) => {
        const list = onCall(s, w, o)
        expect(list[0]?.from).toBe(w.from)
        expect(list.at(-1)?.to).toBe(w.to)
        list.forEach((shift, i) => {
          expect(shift.from).toBeLessThan(shift.to)
          if (i > 0) expect(shift.from).toBe(list[i - 1]?.to)
        })
      }),
      RUNS,
    )
  })

  it('gives for a part of a window what the whole gives, cut', () => {
    fc.assert(
      fc.property(schedule, window, fc.array(override, { maxLength: 3 }), fc.double({ min: 0, max: 1, noNaN: true }), (s, w, o, share) => {
        const middle = w.from + Math.floor((w.to - w.from) * share)
        const whole = onCall(s, w, o)
        expect(onCall(s, { from: w.from, to: middle }, o)).toEqual(cut(whole, w.from, middle))
        expect(onCall(s, { from: middle, to: w.to }, o)).toEqual(cut(whole, middle, w.to))
      }),
      RUNS,
    )
  })

  it('says for an instant what the list of shifts says', () => {
    fc.assert(
      fc.property(schedule, instant, fc.array(override, { maxLength: 2 }), (s, at, o) => {
        const now = onCall(s, at, o)
        expect(now.from <= at && at < now.to).toBe(true)
        const [listed] = onCall(s, { from: at, to: at + 1 }, o)
        expect({ person: now.person, why: now.why }).toEqual({ person: listed?.person, why: listed?.why })
        const around = onCall(s, { from: Math.max(now.from, at - 40 * DAY) - 60_000, to: Math.min(now.to, at + 40 * DAY) + 60_000 }, o)
        const found = around.find((shift) => shift.from <= at && at < shift.to)
        expect(found?.from).toBe(Math.max(now.from, (around[0] as Shift).from))
      }),
      RUNS,
    )
  })

  it('never invents coverage by an override, and applies a plain one exactly inside its window', () => {
    fc.assert(
      fc.property(schedule, window, override, (s, w, o) => {
        const before = onCall(s, w)
        const after = onCall(s, w, [o])
        const uncovered = (list: Shift[]) => list.filter((x) => x.why.kind === 'gap' || x.why.kind === 'fallback')
        expect(uncovered(after)).toEqual(uncovered(before))
        for (const shift of after) if (shift.why.kind === 'override') expect(shift.person === o.person && shift.from >= o.from && shift.to <= o.to).toBe(true)
        for (const shift of cut(after, o.from, o.to)) if (o.replaces === null && shift.why.kind === 'rotation') expect(shift.person).toBe(o.person)
      }),
      RUNS,
    )
  })

  it('is fair to one turn, keeps the order over clock changes, and its turns tile the time', () => {
    fc.assert(
      fc.property(layer(false), fc.integer({ min: 0, max: 60 }), (l, first) => {
        const count: Record<string, number> = {}
        for (let n = first; n < first + 60; n++) {
          const start = turnStart(l, n)
          const next = turnStart(l, n + 1)
          expect(start).toBeLessThanOrEqual(next)
          if (start === next) continue
          expect(turnAt(l, start)).toBe(n)
          expect(turnAt(l, next - 1)).toBe(n)
          const shift = onCall({ id: 's', layers: [l] }, start)
          expect(shift).toEqual({ person: l.members[n % l.members.length], from: start, to: Math.min(next, start + 366 * DAY), why: { kind: 'rotation', layer: l.id, turn: n } })
          count[shift.person as string] = (count[shift.person as string] ?? 0) + 1
        }
        // A turn that falls into a gap of the clock is lost; no other difference is possible.
        expect(Math.max(...Object.values(count)) - Math.min(...Object.values(count))).toBeLessThanOrEqual(2)
      }),
      { numRuns: 60 },
    )
  })

  it('agrees with a walk of the local clock by Temporal, minute by minute', () => {
    fc.assert(
      fc.property(layer(true), instant, (l, start) => {
        const s: Schedule = { id: 's', layers: [l] }
        for (let at = start; at < start + 3 * DAY; at += 47 * 60_000) expect([iso(at), onCall(s, { from: at, to: at + 1 })[0]?.person]).toEqual([iso(at), bruteForce(l, at)])
      }),
      { numRuns: 40 },
    )
  })
})

/** Independent of schedule.ts: handoffs and hours found by trying, on Temporal's arithmetic. */
function bruteForce(l: Schedule['layers'][number], at: number): string | null {
  const anchor = Temporal.PlainDateTime.from(`${l.start}T${l.handoff.at}`)
  const unit = { hourly: 'hours', daily: 'days', weekly: 'weeks', monthly: 'months' }[l.rotation.kind]
  const starts = (n: number) => oracle(l.zone, Date.parse(`${anchor.add({ [unit]: n * l.rotation.every }).toString({ smallestUnit: 'millisecond' })}Z`))
  if (starts(0) > at) return null
  let low = 0
  let high = 1
  while (starts(high) <= at) high *= 2
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2)
    if (starts(middle) <= at) low = middle
    else high = middle
  }
  const inside = l.restrict.length === 0 || l.restrict.some((r) => insideHours(l.zone, r, at))
  return inside ? (l.members[low % l.members.length] as string) : null
}
function insideHours(zone: string, r: Schedule['layers'][number]['restrict'][number], at: number): boolean {
  const today = Temporal.Instant.fromEpochMilliseconds(at).toZonedDateTimeISO(zone).toPlainDate()
  for (const back of [-1, 0, 1, 2]) {
    const date = today.subtract({ days: back })
    if (r.days && !(r.days as string[]).includes(['monday', 'tuesday', 'wednesday', 'thursday', 'friday', 'saturday', 'sunday'][date.dayOfWeek - 1] as string)) continue
    const start = oracle(zone, Date.parse(`${date}T${r.from}Z`))
    const end = oracle(zone, Date.parse(`${r.to > r.from ? date : date.add({ days: 1 })}T${r.to}Z`))
    if (start <= at && at < end) return true
  }
  return false
}

describe('examples', () => {
  const week = scheduleSchema.parse({
    id: 'web',
    layers: [
      { id: 'primary', zone: 'Europe/Paris', start: '2026-01-05', handoff: { at: '09:00' }, rotation: { kind: 'weekly' }, members: ['ann', 'ben'] },
      { id: 'nights', zone: 'Europe/Paris', start: '2026-01-05', handoff: { at: '09:00' }, rotation: { kind: 'daily' }, members: ['cat', 'dan'], restrict: [{ days: ['saturday', 'sunday'], from: '22:00', to: '06:00' }] },
    ],
  })
  const at = (text: string) => Date.parse(text)

  it('hands off at nine local time in winter and in summer', () => {
    expect(onCall(week, at('2026-01-12T07:59:59Z')).person).toBe('ann')
    expect(onCall(week, at('2026-01-12T08:00:00Z'))).toEqual({ person: 'ben', from: at('2026-01-12T08:00:00Z'), to: at('2026-01-17T21:00:00Z'), why: { kind: 'rotation', layer: 'primary', turn: 1 } })
    expect(onCall(week, at('2026-03-30T06:59:59Z')).why).toMatchObject({ turn: 11 })
    expect(onCall(week, at('2026-03-30T07:00:00Z')).why).toMatchObject({ turn: 12 })
  })

  it('lets the later layer win inside its hours, over midnight', () => {
    expect(onCall(week, at('2026-01-10T20:59:00Z')).why).toMatchObject({ layer: 'primary' })
    expect(onCall(week, at('2026-01-10T21:00:00Z'))).toMatchObject({ person: 'dan', why: { layer: 'nights', turn: 5 } })
    expect(onCall(week, at('2026-01-11T04:59:00Z'))).toMatchObject({ person: 'dan' })
    expect(onCall(week, at('2026-01-11T05:00:00Z'))).toMatchObject({ person: 'ann' })
  })

  it('states a gap before the rotation begins, and the fallback person if there is one', () => {
    expect(onCall(week, at('2026-01-01T00:00:00Z'))).toMatchObject({ person: null, why: { kind: 'gap' }, to: at('2026-01-05T08:00:00Z') })
    expect(onCall({ ...week, fallback: 'eve' }, at('2026-01-01T00:00:00Z'))).toMatchObject({ person: 'eve', why: { kind: 'fallback' } })
  })

  it('applies overrides in their order, each to what the earlier ones left', () => {
    const span = { from: at('2026-01-06T00:00:00Z'), to: at('2026-01-07T00:00:00Z') }
    const overrides = [{ id: 'o1', person: 'eve', replaces: null, ...span }, { id: 'o2', person: 'dan', replaces: 'eve', ...span, from: at('2026-01-06T12:00:00Z') }]
    expect(onCall(week, span, overrides).map((s) => [s.person, s.why])).toEqual([
      ['eve', { kind: 'override', override: 'o1', instead: 'ann', layer: 'primary', turn: 0 }],
      ['dan', { kind: 'override', override: 'o2', instead: 'eve', layer: 'primary', turn: 0 }],
    ])
  })

  it('refuses what is no time, and times without a calendar', () => {
    for (const when of [Number.NaN, Number.POSITIVE_INFINITY, Date.parse('0001-01-01T00:00:00Z'), Date.parse('9999-01-01T00:00:00Z')]) expect(() => onCall(week, when)).toThrow(expect.objectContaining({ code: 'SCHEDULE_TIME' }))
    expect(() => onCall(week, { from: 0, to: Number.NaN })).toThrow(expect.objectContaining({ code: 'SCHEDULE_TIME' }))
  })

  it('answers the same in any time zone of the process', () => {
    const program = `
      import { onCall } from './src/oncall/schedule.ts'
      const s = ${JSON.stringify(week)}
      console.log(JSON.stringify(onCall(s, { from: Date.parse('2026-03-20T00:00:00Z'), to: Date.parse('2026-04-10T00:00:00Z') })))`
    const run = (TZ: string) => execFileSync(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', program], { env: { ...process.env, TZ }, encoding: 'utf8' })
    expect(new Set(['UTC', 'America/Los_Angeles', 'Pacific/Kiritimati'].map(run)).size).toBe(1)
  })

  it('does bounded work: an old rotation and a thousand hourly turns', () => {
    const old = scheduleSchema.parse({ id: 'o', layers: [{ id: 'a', zone: 'America/New_York', start: '1990-01-01', handoff: { at: '00:00' }, rotation: { kind: 'hourly' }, members: people }] })
    const began = performance.now()
    for (let i = 0; i < 200; i++) onCall(old, at('2026-06-01T00:00:00Z') + i * 3_600_000)
    expect(onCall(old, { from: at('2026-06-01T00:00:00Z'), to: at('2026-07-13T00:00:00Z') })).toHaveLength(42 * 24)
    expect(performance.now() - began).toBeLessThan(3000)
  })
})
