import { describe, expect, test } from 'vitest'
import { entries } from '../ledger/index.ts'
import { sql } from '../store/index.ts'
import { useTestStore } from '../store/testing/index.ts'
import { sweep } from './sweep.ts'
import { as, nobodyLeftIn, useBench } from './testing/bench.ts'

const t = useTestStore()
const b = useBench(t)
const kinds = async () => (await entries(t.store.db, { pending: true })).map((e) => e.kind)
const closeIncident = () => sql`update incidents set state = 'closed', closed_at = reglaze.now() where id = ${b.incident}`.execute(t.store.db)

describe('a request', () => {
  test('the same one again, also at the same moment, is one grant', async () => {
    const many = await Promise.all(Array.from({ length: 6 }, () => b.request()))
    expect(new Set(many.map((g) => g.id)).size).toBe(1)
  })
  test('in a closed incident is refused, also when it closes between the look and the row', async () => {
    const access = b.access
    const { facts } = access.deps
    Object.assign(access.deps, { facts: async (p: string, i: string) => (await closeIncident(), facts(p, i)) })
    await expect(b.request()).rejects.toMatchObject({ code: 'WRONG_STATE' })
    expect(await access.list({ all: true })).toEqual([])
    await expect(b.request()).rejects.toMatchObject({ code: 'WRONG_STATE' })
  })
  test.each([
    [{ duration: '3h' }, 'DURATION_TOO_LONG'], [{ duration: 'soon' }, 'INVALID_INPUT'], [{ duration: '-1h' }, 'INVALID_INPUT'], [{ duration: '999999999999999w' }, 'INVALID_INPUT'], [{ role: 'root' }, 'ROLE_UNKNOWN'],
  ])('%j is %s, and nothing is stored', async (o, code) => {
    await expect(b.request('alice', o)).rejects.toMatchObject({ code })
    expect(await b.access.list({ all: true })).toEqual([])
  })
  test('by a machine token, by somebody unknown, and on a server that only observes is refused', async () => {
    await expect(b.access.request({ role: 'repair', incident: b.incident, reason: 'x y z' }, { name: 'ci', role: 'responder', person: null, tokenId: null })).rejects.toMatchObject({ code: 'REFUSED' })
    await expect(b.request('mallory')).rejects.toMatchObject({ code: 'NOT_FOUND' })
    b.observeOnly = true
    await expect(b.request()).rejects.toMatchObject({ code: 'OBSERVE_ONLY' })
  })
  test('that the policy denies is kept as denied and gives nothing', async () => {
    b.roles = [{ ...(b.roles[0] as object), eligible: [{ when: 'oncall.primary' }] } as never]
    b.facts = { oncall: { primary: false } }
    await expect(b.request()).rejects.toMatchObject({ code: 'ACCESS_DENIED' })
    const [g] = await b.access.list({ all: true })
    expect(g?.state).toBe('denied')
    expect(await b.run(g?.id as string)).toBeNull()
    expect(b.targets.one.calls).toEqual([])
  })
})

describe('approvals', () => {
  const vote = (id: string, person: string, what: 'approve' | 'deny' = 'approve') => b.access.vote(id, what, as(person, 'approver'))
  test('never by who asked, by a stranger, or by a machine; twice by one person counts once', async () => {
    const g = await b.request('alice', { role: 'voted' })
    for (const caller of [as('alice', 'admin'), as('erin', 'admin'), { ...as('bob'), person: null }]) await expect(b.access.vote(g.id, 'approve', caller)).rejects.toMatchObject({ code: 'NOT_AN_APPROVER' })
    await vote(g.id, 'bob')
    expect((await vote(g.id, 'bob')).state).toBe('requested')
    expect((await vote(g.id, 'carol')).state).toBe('approved')
  })
  test('two at the same moment see each other', async () => {
    for (let i = 0; i < 5; i++) {
      const g = await b.request('alice', { role: 'voted' })
      await Promise.all([vote(g.id, 'bob'), vote(g.id, 'carol')])
      expect((await b.access.view(g.id)).state).toBe('approved')
      await b.access.end(g.id, 'done', 'alice')
      await b.run(g.id)
    }
  })
  test('a decided request takes no more votes: it says so, and the ledger has none', async () => {
    const g = await b.request('alice', { role: 'voted' })
    await vote(g.id, 'bob', 'deny')
    await expect(vote(g.id, 'carol')).rejects.toMatchObject({ code: 'WRONG_STATE' })
    await expect(vote(g.id, 'carol', 'deny')).rejects.toMatchObject({ code: 'WRONG_STATE' })
    expect((await kinds()).filter((k) => k.startsWith('grant.vote'))).toEqual(['grant.vote-deny'])
    expect((await b.access.view(g.id)).state).toBe('denied')
  })
  test('the clock starts at the approval, not at the request', async () => {
    const g = await b.request('alice', { role: 'voted', duration: '1h' })
    await t.advance(3_000_000)
    await vote(g.id, 'bob')
    await vote(g.id, 'carol')
    await t.advance(3_000_000)
    await b.run(g.id)
    expect((await b.access.view(g.id)).state).toBe('active')
    await b.access.end(g.id, 'done', 'x')
    await b.run(g.id)
  })
})

describe('credentials', () => {
  test('for the person of an active grant only, and never after its end', async () => {
    Object.assign(b.targets.one, { credentials: async () => ({ password: 'x' }) })
    const g = await b.request()
    await expect(b.access.credentials(g.id, as('alice'))).rejects.toMatchObject({ code: 'WRONG_STATE' })
    await b.run(g.id)
    for (const caller of [as('bob', 'admin'), as('carol', 'approver'), { ...as('alice'), person: null }]) await expect(b.access.credentials(g.id, caller)).rejects.toMatchObject({ code: 'NOT_YOUR_GRANT' })
    expect((await b.access.credentials(g.id, as('alice'))).targets).toEqual([{ connector: 'one', credentials: { password: 'x' } }])
    expect(JSON.stringify(await entries(t.store.db, { pending: true }))).not.toContain('password')
    await t.advance(7_300_000)
    await expect(b.access.credentials(g.id, as('alice'))).rejects.toMatchObject({ code: 'WRONG_STATE' })
    await b.run(g.id)
    await expect(b.access.credentials(g.id, as('alice'))).rejects.toMatchObject({ code: 'WRONG_STATE' })
  })
})

describe('panic', () => {
  test('ends what is asked for, requests too, and nothing else', async () => {
    const mine = await b.grant('alice')
    const waiting = (await b.request('alice', { role: 'voted' })).id
    const other = await b.grant('bob')
    expect((await b.access.panic('person', 'alice', as('dave'))).sort()).toEqual([mine, waiting].sort())
    for (const id of [mine, waiting, other]) await b.run(id)
    expect(await Promise.all([mine, waiting, other].map(async (id) => (await b.access.view(id)).state))).toEqual(['revoked', 'withdrawn', 'active'])
    expect(await b.access.panic('all', undefined, as('dave'))).toEqual([other])
    await b.run(other)
    expect(await nobodyLeftIn(b)).toBe(true)
  })
  test('a name with a typing mistake is an error, never "everybody is out"', async () => {
    await expect(b.access.panic('person', 'alcie', as('dave'))).rejects.toMatchObject({ code: 'NOT_FOUND' })
    await expect(b.access.panic('person', undefined, as('dave'))).rejects.toMatchObject({ code: 'INVALID_INPUT' })
    expect(await b.access.panic('person', 'carol', as('dave'))).toEqual([])
  })
  test('one grant that cannot be ended does not keep the others in', async () => {
    const ids = [await b.grant('alice'), await b.grant('bob'), await b.grant('carol')]
    const { access } = b
    const end = access.end.bind(access)
    Object.assign(access, { end: (id: string, ...rest: ['panic', string]) => (id === ids[1] ? Promise.reject(new Error('no')) : end(id, ...rest)) })
    await expect(access.panic('all', undefined, as('dave'))).rejects.toThrow('1 of 3')
    Object.assign(access, { end })
    for (const id of ids) await b.run(id)
    expect(await Promise.all(ids.map(async (id) => (await access.view(id)).state))).toEqual(['revoked', 'active', 'revoked'])
  })
  test('somebody else than its person, an approver or an admin cannot end a single grant', async () => {
    const id = await b.grant('alice')
    await expect(b.access.endByPerson(id, as('bob'))).rejects.toMatchObject({ code: 'REFUSED' })
    await b.access.endByPerson(id, as('bob', 'approver'))
  })
})

test('a window of attribution ends at the deadline, also when the loop came later', async () => {
  const id = await b.grant('alice', { duration: '1h' })
  await t.advance(7_200_000)
  await b.run(id)
  const [w] = await b.access.windows()
  const { expires_at } = await b.access.view(id)
  expect(w?.until?.toISOString()).toBe(expires_at)
})

describe('the sweep', () => {
  const ctx = { attempts: 1, signal: new AbortController().signal }
  const right = { principal: 'alice', sessions: 1 }
  const ended = async (person = 'alice') => {
    const id = await b.grant(person)
    await b.access.end(id, 'done', person)
    await b.run(id)
    return id
  }
  test('takes away a right that came back after its grant was revoked, ends its sessions, and says so', async () => {
    const id = await ended()
    b.targets.one.members.set(id, right)
    expect(await sweep(b.access)('one', ctx)).toEqual({ again: 60_000 })
    expect(b.targets.one.members.size).toBe(0)
    expect(await kinds()).toContain('sweep.removed')
    expect(b.alarms[0]?.subject).toMatch('after its grant had ended')
  })
  test('leaves grants in force and grants that are being revoked alone', async () => {
    const id = await b.grant()
    await sweep(b.access)('one', ctx)
    expect(b.targets.one.members.has(id)).toBe(true)
    expect(b.targets.one.calls.filter((c) => c.startsWith('revoke'))).toEqual([])
  })
  test('reports a right that nobody knows once, and never removes it', async () => {
    b.targets.one.members.set('gr_unknown', right)
    const run = sweep(b.access)
    await run('one', ctx)
    await run('one', ctx)
    expect(b.targets.one.members.size).toBe(1)
    expect((await kinds()).filter((k) => k === 'sweep.unknown')).toHaveLength(1)
    expect(b.alarms).toHaveLength(1)
  })
  test('the brake: many leftovers at once are a mistake of ours, and nothing is removed', async () => {
    const ids = []
    for (let i = 0; i < 6; i++) ids.push(await ended())
    for (const id of ids) b.targets.one.members.set(id, right)
    await sweep(b.access)('one', ctx)
    expect(b.targets.one.members.size).toBe(6)
    expect(b.alarms[0]).toMatchObject({ subject: expect.stringMatching('6 rights at one'), text: expect.stringMatching(`fake remove ${ids[0]}`) })
    b.targets.one.members.delete(ids[0] as string)
    await sweep(b.access)('one', ctx)
    expect(b.targets.one.members.size).toBe(0)
  })
  test('what the target does not tell is not removed blindly; one that fails is tried again', async () => {
    const id = await ended()
    b.targets.one.members.set(id, right)
    b.targets.one.fault('observe', 'unknown', 1)
    await sweep(b.access)('one', ctx)
    expect(b.targets.one.members.size).toBe(1)
    b.targets.one.fault('revoke', 'fail', 1)
    await expect(sweep(b.access)('one', ctx)).rejects.toThrow('refused')
    await sweep(b.access)('one', ctx)
    expect(b.targets.one.members.size).toBe(0)
  })
  test('wakes grants that lost their timer, looks at every connector, and does nothing on a server that only observes', async () => {
    const g = await b.request()
    await sql`delete from reglaze.timers`.execute(t.store.db)
    b.observeOnly = true
    await sweep(b.access)('*', ctx)
    expect((await sql`select 1 from reglaze.timers`.execute(t.store.db)).rows).toEqual([])
    b.observeOnly = false
    await sweep(b.access)('*', ctx)
    const { rows } = await sql<{ kind: string; subject: string }>`select kind, subject from reglaze.timers order by 1, 2`.execute(t.store.db)
    expect(rows.map((r) => `${r.kind} ${r.subject}`)).toEqual(['access.sweep mail', 'access.sweep one', 'access.sweep two', `grant.converge ${g.id}`])
    expect(await sweep(b.access)('mail', ctx)).toBe('done')
    await b.access.end(g.id, 'done', 'x')
    await b.run(g.id)
  })
})
