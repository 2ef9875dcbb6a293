import { afterEach, describe, expect, test } from 'vitest'
import { entries } from '../ledger/index.ts'
import { poke, sql, startWorker } from '../store/index.ts'
import { useTestStore } from '../store/testing/index.ts'
import { Access, GRANT_TRANSITIONS, startAccessLoop } from './index.ts'
import { converge } from './loop.ts'
import { CONVERGE } from './service.ts'
import { nobodyLeftIn, useBench } from './testing/bench.ts'

const t = useTestStore()
const b = useBench(t)
const stops: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const target of Object.values(b.targets)) {
    target.mend()
    target.release()
  }
  for (const stop of stops.splice(0)) await stop()
  expect(await nobodyLeftIn(b)).toBe(true)
})
const kinds = async () => (await entries(t.store.db, { pending: true })).map((e) => e.kind)
const state = async (id: string) => (await b.access.view(id)).state
const targetStates = async (id: string) => (await b.access.view(id)).targets.map((x) => x.state)
const until = async (what: () => boolean | Promise<boolean>) => {
  for (let i = 0; i < 400; i++) {
    if (await what()) return
    await new Promise((done) => setTimeout(done, 25))
  }
  throw new Error('it did not come to that')
}

test('the transition table of the model is the one in the database', async () => {
  const { rows } = await sql<{ pair: string }>`select from_state || '>' || to_state as pair from grant_transitions order by 1`.execute(t.store.db)
  expect(rows.map((r) => r.pair)).toEqual(GRANT_TRANSITIONS.map((p) => p.join('>')).sort())
})

describe('granting', () => {
  test('reaches all targets, is read back, and is looked at again at the latest at its deadline', async () => {
    const id = await b.grant('alice', { duration: '10s' })
    expect(await state(id)).toBe('active')
    expect(await b.run(id)).toBeLessThanOrEqual(10_000)
    expect(await kinds()).toEqual(expect.arrayContaining(['grant.requested', 'grant.approved', 'grant.intended', 'grant.target-active', 'grant.active']))
  })
  test('an answer that never came is unknown, then observed, and never given twice', async () => {
    b.targets.one.fault('grant', 'lost-answer')
    const id = await b.grant()
    expect(await state(id)).toBe('unknown')
    await b.run(id)
    expect(await state(id)).toBe('active')
    expect(b.targets.one.calls.filter((c) => c.startsWith('grant'))).toHaveLength(1)
  })
  test('a refusing target is retried at most 15 s apart, the other target is active meanwhile', async () => {
    b.targets.two.fault('grant', 'fail', 99)
    const id = await b.grant()
    for (let i = 0; i < 10; i++) expect(await b.run(id)).toBeLessThanOrEqual(15_000)
    expect(await targetStates(id)).toEqual(['active', 'granting'])
    expect((await b.access.view(id)).targets[1]?.error).toMatch('refused')
  })
  test('why an approved grant does not begin is shown', async () => {
    b.targets.one.fault('prepare', 'fail', 99)
    const g = await b.request()
    const worker = startWorker(t.store, { kind: CONVERGE, handle: converge(b.access) })
    stops.push(() => worker.stop())
    await until(async () => (await b.access.view(g.id)).error !== null)
    expect((await b.access.view(g.id)).error).toMatch('prepare is refused')
    await b.access.end(g.id, 'done', 'alice')
    await until(async () => (await state(g.id)) === 'withdrawn')
  })
  test('a hanging observation shows neither gone nor active for ever: unknown is unknown', async () => {
    const id = await b.grant()
    b.targets.one.fault('observe', 'unknown', 1)
    await b.run(id)
    expect(await state(id)).toBe('unknown')
    await b.run(id)
    expect(await state(id)).toBe('active')
  })
})

describe('the deadline', () => {
  test('is the database’s, and revokes every target with read-back', async () => {
    const id = await b.grant('alice', { duration: '1h' })
    await t.advance(3_599_000)
    await b.run(id)
    expect(await state(id)).toBe('active')
    await t.advance(2_000)
    expect(await b.run(id)).toBeNull()
    const view = await b.access.view(id)
    expect(view).toMatchObject({ state: 'revoked', end_reason: 'deadline', level: 'proven' })
    expect(b.targets.one.members.size + b.targets.two.members.size).toBe(0)
  })
  test('in the running loop: nobody pokes, it ends by itself, also after a restart of the process', async () => {
    const loop = startAccessLoop(b.access)
    const g = await b.request('alice', { duration: '1h' })
    await until(async () => (await state(g.id)) === 'active')
    await loop.stop()
    await t.advance(3_700_000)
    const again = startAccessLoop(b.access)
    stops.push(() => again.stop())
    await until(async () => (await state(g.id)) === 'revoked')
  })
  test('one target that hangs delays neither the revocation of the others nor is it called gone', async () => {
    const id = await b.grant()
    b.targets.one.fault('revoke', 'hang', 1)
    await b.access.end(id, 'done', 'alice')
    const started = performance.now()
    await b.run(id)
    expect(performance.now() - started).toBeLessThan(5000)
    expect(await targetStates(id)).toEqual(['revoking', 'revoked'])
    expect(await state(id)).toBe('revoking')
    b.targets.one.release()
    await until(async () => (await b.run(id)) === null)
    expect(await state(id)).toBe('revoked')
  })
  test('8 and more grants that hang leave room for the one that can end', async () => {
    const loop = startAccessLoop(b.access)
    stops.push(() => loop.stop())
    b.roles = [...b.roles, ...Array.from({ length: 10 }, (_, i) => ({ ...(b.roles[0] as object), id: `r${i}`, targets: [{ connector: 'one', right: { n: i } }] }) as never), { ...(b.roles[0] as object), id: 'other', targets: [{ connector: 'two', right: {} }] } as never]
    const ids = [] as string[]
    for (let i = 0; i < 10; i++) ids.push((await b.request('alice', { role: `r${i}` })).id)
    const other = (await b.request('bob', { role: 'other' })).id
    await until(async () => (await Promise.all([...ids, other].map(state))).every((s) => s === 'active'))
    b.targets.one.fault('revoke', 'hang', 10)
    for (const id of ids) await b.access.end(id, 'panic', 'x')
    await until(() => b.targets.one.hanging === 10)
    const started = performance.now()
    await b.access.end(other, 'done', 'bob')
    await until(async () => (await state(other)) === 'revoked')
    expect(performance.now() - started).toBeLessThan(2500)
  })
})

describe('revoking wins', () => {
  test('ended while the call that gives the right is on its way: not revoked before it came back, and gone after', async () => {
    b.targets.one.fault('grant', 'hang-then-do')
    const g = await b.request()
    await b.run(g.id)
    expect(b.targets.one.hanging).toBe(1)
    await b.access.end(g.id, 'done', 'alice')
    await b.run(g.id)
    await b.run(g.id)
    expect(await targetStates(g.id)).toEqual(['revoking', 'revoked'])
    b.targets.one.release()
    await until(async () => (await b.run(g.id)) === null)
    expect(await state(g.id)).toBe('revoked')
    expect(b.targets.one.members.size).toBe(0)
    expect(await kinds()).toContain('grant.late-undone')
  })
  test('the call comes back in a process that has lost the grant to another one: what it did is undone', async () => {
    b.targets.one.fault('grant', 'hang-then-do')
    const g = await b.request()
    await b.run(g.id)
    await b.access.end(g.id, 'panic', 'bob')
    const elsewhere = new Access(b.access.deps)
    expect(await b.run(g.id, { on: elsewhere })).toBeNull()
    expect(await state(g.id)).toBe('revoked')
    b.targets.one.release()
    await until(async () => (await kinds()).includes('grant.late-undone'))
    expect(b.targets.one.members.size).toBe(0)
  })
  test('ended while prepare runs: nothing is ever given', async () => {
    b.targets.one.fault('prepare', 'hang-then-do')
    const g = await b.request()
    const running = b.run(g.id)
    await until(() => b.targets.one.hanging === 1)
    await b.access.end(g.id, 'done', 'alice')
    b.targets.one.release()
    await running
    await b.run(g.id)
    expect(await state(g.id)).toBe('revoked')
    expect([...b.targets.one.calls, ...b.targets.two.calls].filter((c) => c.startsWith('grant'))).toEqual([])
  })
  test('ended between the look and the call (another process): the intent is refused', async () => {
    const g = await b.request()
    await b.run(g.id, { times: 1 })
    const { db } = t.store
    await sql`update grants set end_asked_at = reglaze.now(), end_reason = 'done' where id = ${g.id}`.execute(db)
    const { beginGranting } = await import('./store.ts')
    expect(await beginGranting(db, { grant_id: g.id, n: 0 } as never)).toBe(false)
    await b.run(g.id)
    expect(await state(g.id)).toBe('revoked')
  })
  test('an approval and an end at the same moment: the end is not lost', async () => {
    for (let i = 0; i < 5; i++) {
      const g = await b.request('alice', { role: 'voted' })
      await b.access.vote(g.id, 'approve', { name: 'bob', role: 'approver', person: 'bob', tokenId: null })
      await Promise.allSettled([b.access.vote(g.id, 'approve', { name: 'carol', role: 'approver', person: 'carol', tokenId: null }), b.access.end(g.id, 'panic', 'x')])
      await b.run(g.id)
      expect(['withdrawn', 'revoked']).toContain(await state(g.id))
    }
  })
  test('sessions end also where the right itself cannot be taken yet', async () => {
    const id = await b.grant()
    b.targets.one.fault('revoke', 'fail', 1)
    await b.access.end(id, 'done', 'alice')
    await b.run(id)
    expect(b.targets.one.members.get(id)?.sessions).toBe(0)
    await b.run(id)
    expect(await state(id)).toBe('revoked')
  })
})

describe('stuck', () => {
  test('pages with the command, says it again, goes on trying, and ends when the target is back', async () => {
    b.targets.one.fault('grant', 'fail', 7)
    const g = await b.request()
    for (let i = 0; i < 9; i++) await b.run(g.id)
    expect(await state(g.id)).toBe('active')
    b.targets.one.fault('revoke', 'fail', 99)
    await b.access.end(g.id, 'done', 'alice')
    for (let i = 0; i < 4; i++) await b.run(g.id)
    expect([await state(g.id), b.alarms.length]).toEqual(['revoking', 0])
    await b.run(g.id)
    expect([await state(g.id), b.alarms.length]).toEqual(['stuck', 1])
    expect(b.alarms[0]?.text).toMatch(`fake remove ${g.id}`)
    for (let i = 0; i < 3; i++) expect(await b.run(g.id)).toBeLessThanOrEqual(300_000)
    expect(b.alarms).toHaveLength(2)
    expect((await b.access.openItems(b.incident))[0]?.code).toBe('grant-stuck')
    b.targets.one.mend()
    expect(await b.run(g.id)).toBeNull()
    expect(await state(g.id)).toBe('revoked')
  })
  test('tries that failed while granting do not hide the page', async () => {
    b.targets.one.fault('grant', 'lost-answer')
    b.targets.one.fault('observe', 'unknown', 8)
    const g = await b.request()
    for (let i = 0; i < 8; i++) await b.run(g.id)
    b.targets.one.mend()
    b.targets.one.fault('revoke', 'fail', 99)
    await b.access.end(g.id, 'done', 'alice')
    for (let i = 0; i < 5; i++) await b.run(g.id)
    expect([await state(g.id), b.alarms.length]).toEqual(['stuck', 1])
    b.targets.one.mend()
    await b.run(g.id)
  })
  test('a connector that cannot be made any more is a failed try like any other: the other target ends, people are paged, lists still work', async () => {
    const id = await b.grant()
    b.missing.add('one')
    await b.access.end(id, 'done', 'alice')
    for (let i = 0; i < 5; i++) await b.run(id)
    expect(await targetStates(id)).toEqual(['stuck', 'revoked'])
    expect(b.alarms).toHaveLength(1)
    expect((await b.access.list({}))[0]?.targets[0]?.manual).toMatch('no command can be given')
    b.missing.clear()
    await b.run(id)
    expect(await state(id)).toBe('revoked')
  })
  test('a target that does not tell is never "revoked"', async () => {
    const id = await b.grant()
    b.targets.one.fault('observe', 'unknown', 99)
    await b.access.end(id, 'done', 'alice')
    for (let i = 0; i < 6; i++) await b.run(id)
    expect(await state(id)).toBe('stuck')
    b.targets.one.mend()
    await b.run(id)
    expect(await state(id)).toBe('revoked')
  })
  test('an alarm that cannot be sent stops nothing', async () => {
    const id = await b.grant()
    const access = new Access({ ...b.access.deps, alarm: async () => { throw new Error('no mail') } })
    b.targets.one.fault('revoke', 'fail', 6)
    await access.end(id, 'done', 'alice')
    for (let i = 0; i < 7; i++) await b.run(id, { on: access })
    expect(await state(id)).toBe('revoked')
  })
})

describe('overlapping grants of one right', () => {
  test('the end of one leaves the other its right', async () => {
    b.targets.one.shared = b.targets.two.shared = true
    const first = await b.grant('alice', { duration: '1h' })
    const second = await b.grant('alice', { role: 'short' })
    await b.access.end(first, 'done', 'alice')
    expect(await b.run(first)).toBeNull()
    await b.run(second)
    await b.run(second)
    expect([await state(first), await state(second), b.targets.one.members.size]).toEqual(['revoked', 'active', 1])
    await b.access.end(second, 'done', 'alice')
    expect(await b.run(second)).toBeNull()
    expect(b.targets.one.members.size).toBe(0)
  })
  test('a right that a longer grant still has is not "gone", and does not hold the first one up', async () => {
    const first = await b.grant('alice', { role: 'short' })
    const second = await b.grant('alice', { duration: '2h' })
    // As the cloud: the longer grant's mark covers the shorter one, so its right is seen and left alone.
    const { one } = b.targets
    const observe = one.observe.bind(one)
    one.observe = async (spec) => {
      const seen = await observe(spec)
      return seen.status === 'known' && one.members.has(second) ? { ...seen, value: { ...seen.value, member: true } } : seen
    }
    await b.access.end(first, 'done', 'alice')
    expect(await b.run(first)).toBeNull()
    expect(await state(first)).toBe('revoked')
    await b.access.end(second, 'done', 'alice')
    expect(await b.run(second)).toBeNull()
  })
})

describe('taken away by somebody else', () => {
  test('is not given again: read twice, then the grant ends everywhere, loudly', async () => {
    const id = await b.grant()
    b.targets.one.members.delete(id)
    await b.run(id)
    expect(await state(id)).toBe('active')
    await b.run(id)
    expect(await b.run(id)).toBeNull()
    expect(await b.access.view(id)).toMatchObject({ state: 'revoked', end_reason: 'removed-outside' })
    expect(b.targets.one.calls.filter((c) => c.startsWith('grant'))).toHaveLength(1)
    expect(b.alarms[0]?.subject).toMatch('taken away at one')
  })
  test('one wrong look ends nothing', async () => {
    const id = await b.grant()
    const was = b.targets.one.members.get(id)
    b.targets.one.members.delete(id)
    await b.run(id)
    b.targets.one.members.set(id, was as never)
    await b.run(id)
    await b.run(id)
    expect(await state(id)).toBe('active')
    await b.access.end(id, 'done', 'x')
    await b.run(id)
  })
})

test('a restored server only observes: nothing is given and nothing is taken', async () => {
  const id = await b.grant()
  b.observeOnly = true
  await b.access.end(id, 'done', 'alice')
  const calls = b.targets.one.calls.length
  expect(await b.run(id)).toBe(5000)
  expect(b.targets.one.calls.length).toBe(calls)
  b.observeOnly = false
  expect(await b.run(id)).toBeNull()
})

test('a wake-up that comes while the grant is being worked on is not lost', async () => {
  const loop = startAccessLoop(b.access)
  stops.push(() => loop.stop())
  b.targets.one.fault('grant', 'hang-then-do')
  const g = await b.request()
  await until(() => b.targets.one.hanging === 1)
  await b.access.end(g.id, 'done', 'alice')
  b.targets.one.release()
  await until(async () => (await state(g.id)) === 'revoked')
  await poke(t.store.db, CONVERGE, g.id)
})
