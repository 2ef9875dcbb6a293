import { expect, it } from 'vitest'
import { evalSchedules, gaps, shifts } from './engine.ts'
import { testConfig } from './testing/world.ts'

/** Office hours of one person, with and without somebody who stands in. */
const config = testConfig((c) => {
  const layer = { id: 'office', zone: 'Europe/Paris', start: '2026-01-05', handoff: { at: '09:00' }, rotation: { kind: 'weekly' }, members: ['ann'], restrict: [{ days: ['monday', 'tuesday', 'wednesday', 'thursday', 'friday'], from: '09:00', to: '17:00' }] }
  c['schedules'] = [{ id: 'shop', layers: [layer], fallback: 'zoe' }, { id: 'platform', layers: [layer] }]
})
const from = new Date('2026-03-27T00:00:00Z')
const to = new Date('2026-03-31T00:00:00Z')

it('says who is on call in every schedule, from configuration alone', () => {
  expect(evalSchedules(config, new Date('2026-03-27T08:00:00Z'))).toEqual([
    { schedule: 'shop', person: 'ann', from: '2026-03-27T08:00:00.000Z', to: '2026-03-27T16:00:00.000Z', why: { kind: 'rotation', layer: 'office', turn: 11 }, gap: false },
    { schedule: 'platform', person: 'ann', from: '2026-03-27T08:00:00.000Z', to: '2026-03-27T16:00:00.000Z', why: { kind: 'rotation', layer: 'office', turn: 11 }, gap: false },
  ])
  expect(() => evalSchedules(config, new Date('tomorrow'))).toThrow(expect.objectContaining({ code: 'SCHEDULE_TIME' }))
})

it('lists the gaps, over the weekend and the clock change, also those that somebody stands in for', () => {
  const own = gaps(config, from, to).map((g) => [g.schedule, g.person, g.from, g.to])
  const times = [['2026-03-27T00:00:00.000Z', '2026-03-27T08:00:00.000Z'], ['2026-03-27T16:00:00.000Z', '2026-03-30T07:00:00.000Z'], ['2026-03-30T15:00:00.000Z', '2026-03-31T00:00:00.000Z']]
  expect(own).toEqual([...times.map((t) => ['shop', 'zoe', ...t]), ...times.map((t) => ['platform', null, ...t])])
  expect(shifts(config, from, to).filter((s) => s.schedule === 'shop')).toHaveLength(5)
})

it('takes overrides from whoever has them', () => {
  const [shop] = evalSchedules(config, new Date('2026-03-27T10:00:00Z'), (schedule) => (schedule === 'shop' ? [{ id: 'ovr_1', person: 'ben', replaces: 'ann', from: from.getTime(), to: to.getTime() }] : []))
  expect(shop).toMatchObject({ person: 'ben', why: { kind: 'override', override: 'ovr_1', instead: 'ann' } })
})
