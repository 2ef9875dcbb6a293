import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Caller, OpenItem } from '../core/index.ts'
import type { Config } from '../config/index.ts'
import { entries } from '../ledger/index.ts'
import { newId, sql } from '../store/index.ts'
import { useTestStore } from '../store/testing/index.ts'
import { HOLD_TRANSITIONS, holdOrder, Pause, startPauseLoop } from './index.ts'
import { converge } from './loop.ts'
import { FakeAutomations } from './testing/fake-automation.ts'

const t = useTestStore()
const alice: Caller = { name: 'alice', role: 'responder', person: 'alice', tokenId: null }
let fake: FakeAutomations
let pause: Pause
let one: string
let two: string
let alarms: string[]
let marked: string[]
/** The phase whose next mark is lost to a kill. */
let unmarked: string | null
let notProven: OpenItem[]
let automations: { id: string; connector: string; target: object; parents: string[]; services: string[]; passes: string[]; period: string }[]
let missing: Set<string>
const stops: (() => Promise<void>)[] = []

const open = async (dri: string) => {
  const id = newId('incident')
  await sql`insert into incidents (id, title, service, severity, opened_by, dri) values (${id}, 'it burns', ${`web of ${dri}`}, 1, 'x', ${dri})`.execute(t.store.db)
  return id
}
beforeEach(async () => {
  fake = new FakeAutomations()
  alarms = []
  marked = []
  unmarked = null
  notProven = []
  missing = new Set()
  const automation = (id: string, parents: string[] = []) => ({ id, connector: 'fake', target: { name: id }, parents, services: ['web'], passes: [], period: '2s' })
  automations = [automation('child', ['root']), automation('root'), automation('lock')]
  one = await open('alice')
  two = await open('bob')
  pause = new Pause({
    store: t.store, config: () => ({ automations, services: [{ id: 'web', depends_on: [] }], people: [{ id: 'alice', accounts: { cloud: 'alice-c' } }, { id: 'bob', accounts: {} }] }) as unknown as Config,
    pausable: (c) => {
      if (missing.has(c)) throw new Error(`no connector ${c}`)
      return fake
    },
    incident: async (id) => {
      const { rows } = await sql<{ dri: string; state: string }>`select dri, state from incidents where id = ${id}`.execute(t.store.db)
      return { id, label: id === one ? 'INC-1' : 'INC-2', service: 'web', dri: rows[0]?.dri ?? null, open: rows[0]?.state === 'open' }
    },
    stillOpen: async (tx, id) => (await sql`select 1 from incidents where id = ${id} and state = 'open' for share`.execute(tx)).rows.length > 0,
    markPhase: async (_i, phase, state) => {
      const lost = state === 'done' && phase === unmarked
      if (lost) unmarked = null
      if (lost) throw new Error('killed before the mark')
      marked.push(`${phase} ${state}`)
    },
    notProven: async () => notProven, alarm: async (_i, subject) => void alarms.push(subject), observeOnly: async () => false,
  })
})
afterEach(async () => {
  for (const stop of stops.splice(0)) await stop()
})
const turn = (id = one, times = 1, patience = 100) => {
  const loop = converge(pause, patience)
  return (async () => {
    let last: unknown
    for (let i = 0; i < times; i++) last = await loop(id, { attempts: 1, signal: new AbortController().signal })
    return last as { again: number } | 'done'
  })()
}
const holds = (id = one) => pause.list(id)
const states = async (id = one) => Object.fromEntries((await holds(id)).map((h) => [h.automation, h.state]))
const on = (name: string) => fake.state.get(name)?.on ?? true
const kinds = async () => (await entries(t.store.db, { pending: true })).map((e) => e.kind)
const hold = async (id = one, o: { automations?: string[]; for?: string } = {}) => {
  await pause.pause(id, { for: '8h', ...o }, alice)
  await turn(id)
}
const resume = async (id = one, times = 8) => {
  await pause.resume(id, {}, alice)
  await turn(id, times)
}

test('the transition table of the model is the one in the database', async () => {
  const { rows } = await sql<{ pair: string }>`select from_state || '>' || to_state as pair from hold_transitions order by 1`.execute(t.store.db)
  expect(rows.map((r) => r.pair)).toEqual(HOLD_TRANSITIONS.map((p) => p.join('>')).sort())
})

describe('holding', () => {
  test('outermost first, back in reverse to exactly the earlier setting, a setting that was nothing included', async () => {
    fake.state.set('child', { on: false, by: 'carol', passes: [] })
    await hold()
    expect(await states()).toEqual({ root: 'held', child: 'held', lock: 'held' })
    expect(fake.calls.filter((c) => c.startsWith('pause'))).toEqual(['pause root', 'pause child', 'pause lock'])
    expect((await holds()).map((h) => [h.automation, h.prior, h.prior_paused])).toEqual([['root', { on: true }, false], ['child', { on: false }, true], ['lock', null, false]])
    await resume()
    expect(await states()).toEqual({ root: 'resumed', child: 'resumed', lock: 'resumed' })
    expect(fake.calls.filter((c) => c.startsWith('resume'))).toEqual(['resume lock', 'resume child', 'resume root'])
    expect([on('root'), on('child'), on('lock')]).toEqual([true, false, true])
    expect(await turn()).toBe('done')
  })
  test('killed between the last hold and the mark of the phase: the next process marks it', async () => {
    unmarked = 'pausing'
    await expect(hold()).rejects.toThrow('killed')
    await turn()
    expect(marked).toContain('pausing done')
    unmarked = 'resuming'
    await expect(resume()).rejects.toThrow('killed')
    expect(await states()).toEqual({ root: 'resumed', child: 'resumed', lock: 'resumed' })
    await turn()
    expect(marked).toContain('resuming done')
  })
  test('a closed incident holds nothing, also when it closes at that moment; a name that is not known holds nothing', async () => {
    await expect(pause.pause(one, { automations: ['child', 'chlid'], for: '1h' }, alice)).rejects.toMatchObject({ code: 'INVALID_INPUT', place: 'automations' })
    await sql`update incidents set state = 'closed', closed_at = reglaze.now() where id = ${one}`.execute(t.store.db)
    await expect(pause.pause(one, { for: '1h' }, alice)).rejects.toMatchObject({ code: 'WRONG_STATE' })
    await expect(pause.pause(two, { for: 'soon' }, alice)).rejects.toMatchObject({ code: 'INVALID_INPUT' })
    expect(await pause.all()).toEqual([])
  })
  test('holder and our own revoker pass, by person and by account', async () => {
    await hold()
    expect(fake.state.get('root')?.passes).toEqual(expect.arrayContaining(['reglaze', 'alice', 'alice-c']))
  })
  test('one that hangs, fails or cannot be made keeps no other from being held, and is unknown, not held', async () => {
    fake.broken.set('root', 'unknown')
    await hold()
    expect(await states()).toEqual({ root: 'unknown', child: 'held', lock: 'held' })
    fake.broken.clear()
    await turn()
    expect(await states()).toMatchObject({ root: 'held' })
    missing.add('fake')
    await turn()
    expect(await states()).toEqual({ root: 'unknown', child: 'unknown', lock: 'unknown' })
    missing.clear()
    await turn()
    expect(await states()).toEqual({ root: 'held', child: 'held', lock: 'held' })
  })
  test('one that never answers delays the next by its patience only', async () => {
    fake.broken.set('root', 'hang')
    await pause.pause(one, { for: '8h' }, alice)
    const running = turn()
    for (let i = 0; i < 80 && on('lock'); i++) await new Promise((done) => setTimeout(done, 25))
    expect([on('child'), on('lock')]).toEqual([false, false])
    await running
    expect((await states())['root']).toBe('unknown')
  })
  test('told to pause and still on is not held', async () => {
    fake.broken.set('root', 'deaf')
    await hold()
    expect(await states()).toMatchObject({ root: 'requested', child: 'held' })
    expect((await holds())[0]?.error).toMatch('does not show it')
  })
  test('switched on behind our back: told, counted, held again', async () => {
    await hold()
    fake.state.set('child', { on: true, by: 'root-app', passes: [] })
    await turn()
    expect(on('child')).toBe(false)
    expect((await holds()).find((h) => h.automation === 'child')).toMatchObject({ state: 'held', reverts: 1 })
    expect(alarms).toEqual(['child was switched on again by root-app'])
  })
  test('is verified only after two periods without a change', async () => {
    await hold()
    expect((await holds())[0]?.verified_at).toBeNull()
    await t.advance(5000)
    await turn()
    expect((await holds()).every((h) => h.verified_at !== null)).toBe(true)
  })
  test('its end is asked about, also when the target does not tell, and never resumes by itself; pausing again makes it longer', async () => {
    await hold(one, { for: '1h' })
    fake.broken.set('root', 'unknown')
    await t.advance(3_700_000)
    await turn(one, 2)
    expect(alarms.filter((a) => a.includes('still held'))).toHaveLength(3)
    expect([on('root'), on('child')]).toEqual([false, false])
    await hold(one, { for: '2h' })
    expect((await holds()).every((h) => !h.overdue && !h.expiry_asked)).toBe(true)
  })
})

describe('giving back', () => {
  test('is refused while something is not proven, unless somebody says why', async () => {
    await hold()
    notProven = [{ code: 'not-proven', what: 'w', command: 'c' }]
    await expect(pause.resume(one, {}, alice)).rejects.toMatchObject({ code: 'RESUME_REFUSED' })
    await pause.resume(one, { without_proof: 'the cloud is gone' }, alice)
    expect(await kinds()).toContain('resume.asked')
  })
  test('what was never captured was never changed: nothing is called', async () => {
    fake.broken.set('root', 'unknown')
    await pause.pause(one, { for: '8h', automations: ['root'] }, alice)
    await turn()
    await pause.resume(one, {}, alice)
    await turn(one, 3)
    expect(await states()).toEqual({ root: 'resumed' })
    expect(fake.calls.filter((c) => c.startsWith('resume'))).toEqual([])
  })
  test('captured and never paused: the earlier setting is put in place all the same', async () => {
    fake.broken.set('root', 'deaf')
    await hold(one, { automations: ['root'] })
    fake.broken.clear()
    fake.state.set('root', { on: false, by: 'the pause that came late', passes: [] })
    await resume()
    expect([on('root'), (await states())['root']]).toEqual([true, 'resumed'])
  })
  test('that does not come to its end is told once with the command, goes on being tried, and blocks the close', async () => {
    await hold(one, { automations: ['root'] })
    await pause.resume(one, {}, alice)
    await turn()
    fake.broken.set('root', 'fail')
    await turn(one, 2)
    await t.advance(61_000)
    expect(await turn(one, 3)).toEqual({ again: 10_000 })
    expect(await states()).toEqual({ root: 'stuck' })
    expect(alarms).toEqual(['root could not be given back for INC-1'])
    expect((await pause.openItems(one))[0]).toMatchObject({ code: 'hold-stuck', command: expect.stringContaining('--without-proof') })
    fake.broken.clear()
    await turn()
    expect(await states()).toEqual({ root: 'resumed' })
  })
  test('what an earlier owner has given up meanwhile does not stay owed', async () => {
    await hold(one, { automations: ['root'] })
    const { resume: real } = fake
    fake.resume = async () => void fake.state.set('root', { on: false, by: 'nobody', passes: [] })
    await resume(one, 3)
    expect(await states()).toEqual({ root: 'resuming' })
    fake.gone = 'bob had locked it before; that lock is gone'
    await turn()
    fake.resume = real
    expect(await states()).toEqual({ root: 'resumed' })
    expect((await entries(t.store.db, { pending: true })).find((e) => e.kind === 'hold.resumed')?.data).toMatchObject({ given_up: expect.stringContaining('gone') })
  })
  test('a first run that changes something: held again, the rest of the resume stops, people are told', async () => {
    fake.watch()
    fake.runs.set('child', { ran: true, changed: ['sandbox_route.x'] })
    await hold()
    await resume()
    expect(await states()).toEqual({ root: 'held', child: 'held', lock: 'resumed' })
    expect(on('child')).toBe(false)
    expect(alarms).toEqual(['child changed something in its first run'])
    fake.runs.clear()
    await resume()
    expect(await states()).toMatchObject({ root: 'resumed', child: 'resumed' })
  })
  test('a first run that never comes is stuck until it comes or a person takes the responsibility', async () => {
    fake.watch()
    fake.runs.set('root', { ran: false, changed: [] })
    await hold(one, { automations: ['root'] })
    await resume(one, 3)
    await t.advance(61_000)
    await turn(one, 2)
    expect(await states()).toEqual({ root: 'stuck' })
    await pause.resume(one, { without_proof: 'it runs once a month' }, alice)
    await turn()
    expect(await states()).toEqual({ root: 'resumed' })
  })
  test('"pause" calls a resume off: held again without calling it a revert', async () => {
    await hold()
    await pause.resume(one, {}, alice)
    await turn(one, 2)
    await turn(one)
    await pause.pause(one, { for: '8h' }, alice)
    await turn(one, 2)
    expect(Object.values(await states()).filter((s) => s === 'held')).toHaveLength(3)
    expect([on('root'), on('child'), on('lock')]).toEqual([false, false, false])
    expect(alarms).toEqual([])
  })
})

describe('two incidents on the same automation', () => {
  test('the second takes over the first one’s earlier setting; it stays held until the last one resumes', async () => {
    await hold(one)
    await hold(two)
    expect((await holds(two)).find((h) => h.automation === 'root')).toMatchObject({ prior: { on: true }, prior_paused: false, state: 'held' })
    expect(fake.state.get('root')?.passes).toEqual(expect.arrayContaining(['alice', 'bob']))
    await resume(one)
    expect(await states(one)).toEqual({ root: 'resumed', child: 'resumed', lock: 'resumed' })
    expect([on('root'), on('child'), on('lock')]).toEqual([false, false, false])
    expect(await kinds()).toContain('hold.handed-over')
    await turn(two)
    expect(alarms).toEqual([])
    await resume(two)
    expect([on('root'), on('child'), on('lock')]).toEqual([true, true, true])
  })
  test('also when the second resumes first, and when both resume at the same moment', async () => {
    await hold(one)
    await hold(two)
    await resume(two)
    expect(on('root')).toBe(false)
    await hold(two)
    await Promise.all([pause.resume(one, {}, alice), pause.resume(two, {}, alice)])
    for (let i = 0; i < 8; i++) await Promise.all([turn(one), turn(two)])
    expect([await states(one), on('root'), on('child'), on('lock')]).toEqual([{ root: 'resumed', child: 'resumed', lock: 'resumed' }, true, true, true])
    expect((await holds(two)).every((h) => h.state === 'resumed')).toBe(true)
  })
  test('a hold that begins while the other is being given back wins', async () => {
    await hold(one, { automations: ['root'] })
    await pause.resume(one, {}, alice)
    await turn(one)
    await pause.pause(two, { for: '8h', automations: ['root'] }, alice)
    await turn(two)
    await turn(one, 3)
    await turn(two)
    expect([on('root'), await states(one), await states(two)]).toEqual([false, { root: 'resumed' }, { root: 'held' }])
    await resume(two)
    expect(on('root')).toBe(true)
  })
})

test('after a restart, and with its timer lost, the loop goes on by itself', async () => {
  await pause.pause(one, { for: '8h' }, alice)
  await sql`delete from reglaze.timers`.execute(t.store.db)
  const loop = startPauseLoop(pause)
  stops.push(() => loop.stop())
  for (let i = 0; i < 200 && on('lock'); i++) await new Promise((done) => setTimeout(done, 25))
  expect(on('lock')).toBe(false)
})

test('holdOrder: parents before children, everything that is asked for, nothing twice, also in a circle', () => {
  const names = ['a', 'b', 'c', 'd', 'e']
  const nodes = fc.tuple(...names.map((id) => fc.record({ id: fc.constant(id), parents: fc.subarray(names), services: fc.subarray(['s', 't']) })))
  fc.assert(fc.property(nodes, fc.option(fc.subarray(names)), (list, only) => {
    const order = holdOrder(list, new Set(['s']), only ? new Set(only) : undefined)
    expect(new Set(order).size).toBe(order.length)
    const wanted = list.filter((n) => (only ? only.includes(n.id) : n.services.includes('s'))).map((n) => n.id)
    for (const id of wanted) expect(order).toContain(id)
    for (const id of order) for (const p of list.find((n) => n.id === id)?.parents ?? []) expect(order).toContain(p)
    const above = (id: string, seen = new Set<string>()): Set<string> => {
      for (const p of list.find((n) => n.id === id)?.parents ?? []) if (!seen.has(p)) above(p, seen.add(p))
      return seen
    }
    for (const id of order) for (const p of above(id).has(id) ? [] : above(id)) expect(order.indexOf(p)).toBeLessThan(order.indexOf(id))
  }), { numRuns: 1000 })
})
