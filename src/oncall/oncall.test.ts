import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { CORE, ReglazeError } from '../core/index.ts'
import { oncallTransitions } from '../store/migrations/0030_oncall.ts'
import { enterObserveOnly, leaveObserveOnly, sql, storedPairs } from '../store/index.ts'
import { useTestStore } from '../store/testing/index.ts'
import { ALERT, DELIVERY, PAGE, PAGING } from './index.ts'
import { FIRING, RESOLVED } from './testing/samples.ts'
import { TEST_REFUSED, testConfig, TOKEN, until, world, type World } from './testing/world.ts'

const t = useTestStore()
const firing = readFileSync(FIRING)
const resolved = readFileSync(RESOLVED)
const ledger = async () => (await sql<{ bytes: string }>`select bytes from ledger_entries order by id`.execute(t.store.db)).rows.map((r) => JSON.parse(r.bytes) as { kind: string; incident: string | null; data: any })
const kinds = async () => (await ledger()).map((e) => e.kind)
const rows = async (table: string) => (await sql<Record<string, any>>`select * from ${sql.table(table)} order by 1`.execute(t.store.db)).rows
const open = () => rows('timers')
/** Nothing of this part is due or in hand. */
const idle = () => until(async () => (await sql`select 1 from timers where due_at <= reglaze.now() or owner is not null`.execute(t.store.db)).rows.length === 0)
const another = (o: { fingerprint?: string; startsAt?: string; status?: string; labels?: object; summary?: string } = {}) => {
  const body = JSON.parse(firing.toString())
  const base = body.alerts[0]
  body.alerts = [{ ...base, ...o, labels: { ...base.labels, ...o.labels }, annotations: { summary: o.summary ?? 'x' } }]
  return JSON.stringify(body)
}
async function run(w: World, body: () => Promise<void>): Promise<void> {
  const loops = w.part.start()
  try {
    await body()
  } finally {
    await loops.stop()
  }
}
const settled = (w: World) => run(w, idle)
const link = (text: string) => /\/ack\/(\S+)/.exec(text)?.[1] as string

describe('life cycles', () => {
  it('are the same in the model and in the database', async () => {
    for (const [model, table, initial] of [[PAGE, oncallTransitions.page, ['queued']], [PAGING, oncallTransitions.paging, ['running']], [ALERT, oncallTransitions.alert, ['firing', 'resolved']], [DELIVERY, oncallTransitions.delivery, ['stored']]] as const) {
      const pairs = [...initial.map((s) => `>${s}`), ...Object.entries(model).flatMap(([from, to]) => to.map((s: string) => `${from}>${s}`))].sort()
      expect(await storedPairs(t.store.db, table)).toEqual(pairs)
    }
  })
})

describe('intake', () => {
  it('wants the token of the source, as Bearer or as basic password', async () => {
    const w = await world(t.store)
    const basic = (pair: string) => `Basic ${Buffer.from(pair).toString('base64')}`
    for (const headers of [{}, { authorization: 'Bearer wrong' }, { authorization: basic('am:wrong') }, { authorization: TOKEN }, { authorization: 'Bearer' }]) {
      await expect(w.deliver(firing, headers as Record<string, string>)).rejects.toMatchObject({ code: 'INTAKE_UNAUTHENTICATED' })
    }
    await expect(w.call('intake.alertmanager', { params: { source: 'nowhere' }, raw: firing, headers: { authorization: `Bearer ${TOKEN}` } })).rejects.toMatchObject({ code: 'INTAKE_UNAUTHENTICATED' })
    expect(await rows('deliveries')).toHaveLength(0)
    await w.deliver(firing)
    await w.deliver(firing, { authorization: basic(`am:${TOKEN}`) })
    const [stored] = await rows('deliveries')
    expect(stored?.['state']).toBe('stored')
    expect(Buffer.compare(stored?.['body'], firing)).toBe(0)
  })

  it('turns the real payload into one alert, one incident, one page to the responsible person', async () => {
    const w = await world(t.store)
    await w.deliver(firing)
    await settled(w)
    const [alert] = (await w.call('alert.list')).alerts
    expect(alert).toMatchObject({ fingerprint: 'f601ee779ffc365b', state: 'firing', severity: 1, service: 'checkout', team: 'shop', routedBy: { service: 'checkout' }, deliveries: 1 })
    expect(await w.call('alert.get', { params: { id: alert.id } })).toEqual(alert)
    const dri = await w.part.dri('checkout')
    const { pages } = await w.call('page.list', { query: { incident: 'INC-1' } })
    expect(pages).toMatchObject([{ person: dri.person, responsible: true, state: 'sent', incident: alert.incident, round: 0, step: 0, why: { kind: 'rotation', layer: 'primary' } }])
    expect(w.mail.sent).toMatchObject([{ id: pages[0].id, to: `${dri.person}@tailwind.example`, subject: '[INC-1] sev 1 checkout: High % of errors on checkout: 40%' }])
    expect((await rows('test_incidents'))[0]).toMatchObject({ dri: dri.person })
    expect(await kinds()).toEqual(['alert.firing', 'page.queued', 'page.sent'])
    expect(await w.part.openItems(alert.incident)).toMatchObject([{ code: 'PAGE_UNACKNOWLEDGED', command: 'reglaze incident ack INC-1' }])
  })

  it('writes a page with what is needed first', async () => {
    const w = await world(t.store)
    await w.deliver(firing)
    await settled(w)
    const { text } = w.mail.sent[0] as { text: string }
    for (const part of ['INC-1  High % of errors on checkout: 40%', 'responsible person (DRI)', 'https://reglaze.example/ack/', 'Checkout (checkout), criticality 1', 'https://runbooks.example/checkout  ·  https://runbooks.example/high-errors', 'alertname=HighErrorRate', 'who else      nobody yet', 'reglaze incident ack INC-1', 'sandbox_instance/web']) expect(text).toContain(part)
    const [page] = await rows('pages')
    expect(page).toMatchObject({ ack_token: null })
    expect(page?.['body']).not.toContain(link(text))
  })

  it('takes a repeat as a sign of life: no event, no second page', async () => {
    const w = await world(t.store)
    await w.deliver(firing)
    await settled(w)
    const before = await kinds()
    const [first] = (await w.call('alert.list')).alerts
    await t.advance(60_000)
    for (let i = 0; i < 3; i++) await w.deliver(firing)
    await settled(w)
    const [now] = (await w.call('alert.list')).alerts
    expect(now.deliveries).toBe(4)
    expect(Date.parse(now.lastSeen) - Date.parse(first.lastSeen)).toBeGreaterThanOrEqual(60_000)
    expect(await kinds()).toEqual(before)
    expect(w.mail.sent).toHaveLength(1)
  })

  it('comes to the same result in any order; an old firing never reopens', async () => {
    const w = await world(t.store)
    await w.deliver(firing)
    await settled(w)
    await w.deliver(resolved)
    await settled(w)
    await w.deliver(firing)
    await settled(w)
    expect((await w.call('alert.list')).alerts).toMatchObject([{ state: 'resolved', endsAt: JSON.parse(resolved.toString()).alerts[0].endsAt, deliveries: 3 }])
    expect(w.incidents.calls).toEqual(['alert High % of errors on checkout: 40% +0', 'resolved 1 firing 0'])
    expect((await rows('pagings'))[0]).toMatchObject({ state: 'stopped', reason: 'every alert of the incident has resolved' })
    expect(await w.part.openItems((await rows('pagings'))[0]?.['incident_id'])).toEqual([])
    expect((await open()).filter((r) => r['kind'] === 'page.escalate')).toEqual([])
  })

  it('opens nothing for an alert that was resolved before we heard of it', async () => {
    const w = await world(t.store)
    await w.deliver(resolved)
    await w.deliver(firing)
    await settled(w)
    expect((await w.call('alert.list')).alerts).toMatchObject([{ state: 'resolved', incident: null }])
    expect(w.incidents.calls).toEqual([])
    expect(await kinds()).toEqual(['alert.resolved'])
  })

  it('keeps a delivery that it cannot read, and replays it', async () => {
    const w = await world(t.store)
    const id = await w.deliver('{"alerts": "no"}')
    await settled(w)
    const { dead_letters } = await w.call('intake.dead-letters')
    expect(dead_letters).toMatchObject([{ id, source: 'prometheus', bytes: 16, understood: 0 }])
    expect(await w.call('intake.dead-letter', { params: { id } })).toMatchObject({ body: '{"alerts": "no"}' })
    expect(await w.call('intake.replay', { params: { id } })).toEqual({ delivery: id, state: 'stored' })
    await settled(w)
    expect((await w.call('intake.dead-letters')).dead_letters).toHaveLength(1)
    expect(await kinds()).toEqual(['delivery.dead', 'delivery.replayed', 'delivery.dead'])
    await expect(w.call('intake.replay', { params: { id: 'dlv_none' } })).rejects.toMatchObject({ code: CORE.NOT_FOUND })
  })

  it('processes the good alerts of a half-broken delivery, once, also when it is replayed', async () => {
    const w = await world(t.store)
    const body = JSON.parse(firing.toString())
    body.alerts.push({ status: 'burning' }, { ...body.alerts[0], fingerprint: 'ab', status: 'resolved', endsAt: '2026-11-21T20:40:00Z' })
    const id = await w.deliver(JSON.stringify(body))
    await settled(w)
    await w.call('intake.replay', { params: { id } })
    await settled(w)
    expect((await w.call('intake.dead-letters')).dead_letters).toMatchObject([{ understood: 2 }])
    expect((await kinds()).filter((k) => k.startsWith('alert.'))).toEqual(['alert.firing', 'alert.resolved'])
    expect(w.mail.sent).toHaveLength(1)
  })

  it('takes 5,000 alerts in one body: one incident, one page', async () => {
    const w = await world(t.store)
    const body = JSON.parse(firing.toString())
    const [base] = body.alerts
    body.alerts = Array.from({ length: 5000 }, (_, i) => ({ ...base, labels: { ...base.labels, instance: `10.0.0.${i}` }, fingerprint: i.toString(16).padStart(16, '0') }))
    const raw = JSON.stringify(body)
    expect(raw.length).toBeGreaterThan(2_000_000)
    await w.deliver(raw)
    await settled(w)
    expect((await sql<{ n: number }>`select count(*)::int as n from alerts where incident_id is not null`.execute(t.store.db)).rows).toEqual([{ n: 5000 }])
    expect(w.incidents.calls).toHaveLength(1)
    expect(w.mail.sent).toHaveLength(1)
    body.alerts.forEach((a: any) => Object.assign(a, { status: 'resolved', endsAt: '2026-11-21T21:00:00Z' }))
    await w.deliver(JSON.stringify(body))
    await settled(w)
    expect(w.incidents.calls.at(-1)).toBe('resolved 5000 firing 0')
  })

  it('attaches the alerts of one service to its open incident and pages once', async () => {
    const w = await world(t.store)
    await w.deliver(another({ fingerprint: '01', summary: 'one' }))
    await w.deliver(another({ fingerprint: '02', summary: 'two' }))
    await settled(w)
    expect(new Set((await w.call('alert.list')).alerts.map((a: any) => a.incident)).size).toBe(1)
    expect(w.mail.sent).toHaveLength(1)
    await w.deliver(another({ fingerprint: '01', status: 'resolved', summary: 'one' }))
    await settled(w)
    expect(w.incidents.calls.at(-1)).toBe('resolved 1 firing 1')
    expect((await rows('pagings'))[0]).toMatchObject({ state: 'running' })
  })

  it('gives an unknown alert to the catch-all team', async () => {
    const w = await world(t.store)
    await w.deliver(another({ labels: { service: 'mystery', severity: 'weird' } }))
    await settled(w)
    expect((await w.call('alert.list')).alerts).toMatchObject([{ service: 'orders-db', team: 'platform', routedBy: null, severity: null }])
    expect(w.mail.sent).toMatchObject([{ to: 'cat@tailwind.example', subject: expect.stringContaining('sev ?') }])
  })
})

describe('paging', () => {
  it('walks the steps by the clock of the database, repeats, and says when it is exhausted', async () => {
    const w = await world(t.store)
    await w.deliver(firing)
    await settled(w)
    const dri = (await w.part.dri('checkout')).person
    const at = async (minutes: number) => {
      const before = w.mail.sent.length
      await t.advance(minutes * 60_000)
      await settled(w)
      return w.mail.sent.slice(before).map((m) => m.to.split('@')[0]).sort()
    }
    expect(await at(4)).toEqual([])
    expect(await at(1.1)).toEqual(['cat', 'dan'])
    expect(await at(9)).toEqual([])
    expect(await at(1.1)).toEqual(['zoe'])
    expect(await at(10.1)).toEqual([dri])
    expect(await at(5.1)).toEqual(['cat', 'dan'])
    expect(await at(10.1)).toEqual(['zoe'])
    expect((await rows('pagings'))[0]).toMatchObject({ state: 'running', round: 1, step: 2 })
    expect(await at(10.1)).toEqual([])
    expect((await rows('pagings'))[0]).toMatchObject({ state: 'exhausted', next_at: null })
    expect((await ledger()).filter((e) => e.kind === 'page.escalated').every((e) => e.data.late_ms >= 0 && e.data.late_ms < 60_000)).toBe(true)
    expect((await kinds()).at(-1)).toBe('page.exhausted')
    expect(w.mail.sent.at(-1)?.text).toContain('escalated: nobody has acknowledged yet')
  })

  it('stops everything when somebody acknowledges, and answers a second time the same', async () => {
    const w = await world(t.store)
    await w.deliver(firing)
    await settled(w)
    await t.advance(5.1 * 60_000)
    await settled(w)
    const { pages } = await w.call('page.list')
    const dan = pages.find((p: any) => p.person === 'dan')
    const first = await w.call('page.ack', { params: { id: dan.id }, caller: { name: 'dan', person: 'dan' } })
    expect(first).toMatchObject({ page: dan.id, acknowledged_by: 'dan', already: false })
    expect(await w.call('incident.ack', { params: { id: 'INC-1' }, caller: { name: 'cat', person: 'cat' } })).toMatchObject({ acknowledged_by: 'dan', page: dan.id, already: true })
    expect((await w.call('page.list')).pages.map((p: any) => [p.person, p.state]).sort()).toEqual([['ann', 'superseded'], ['ben', 'superseded'], ['cat', 'superseded'], ['dan', 'acknowledged']].filter(([p]) => pages.some((x: any) => x.person === p)))
    await t.advance(86_400_000)
    await settled(w)
    expect(w.mail.sent).toHaveLength(3)
    expect(await open()).toEqual([])
    expect(w.incidents.calls.filter((c) => c.startsWith('ack'))).toEqual(['acknowledged by dan on page_'])
    expect((await kinds()).filter((k) => k === 'page.acknowledged')).toHaveLength(1)
    await w.deliver(another({ fingerprint: '07' }))
    await settled(w)
    expect(w.mail.sent).toHaveLength(3)
  })

  it('lets only one of two acknowledgements at the same time win', async () => {
    const w = await world(t.store)
    await w.deliver(firing)
    await settled(w)
    const ack = (person: string) => w.call('incident.ack', { params: { id: 'INC-1' }, caller: { name: person, person } })
    const answers = await Promise.all(['ann', 'ben', 'cat', 'dan'].map(ack))
    expect(answers.filter((a) => !a.already)).toHaveLength(1)
    expect(new Set(answers.map((a) => a.acknowledged_by)).size).toBe(1)
  })

  it('acknowledges by the link only when the button is pressed', async () => {
    const w = await world(t.store)
    await w.deliver(firing)
    await settled(w)
    const token = link((w.mail.sent[0] as { text: string }).text)
    const form = await w.call('page.ack-form', { params: { token } })
    expect(form).toMatchObject({ status: 200, headers: { 'content-type': 'text/html; charset=utf-8' } })
    expect(form.body).toContain('<form method="post">')
    expect((await rows('pagings'))[0]).toMatchObject({ state: 'running' })
    expect((await w.call('page.ack-link', { params: { token } })).body).toContain('you are the responsible person now')
    expect((await rows('pagings'))[0]).toMatchObject({ state: 'acknowledged', acknowledged_by: (await w.part.dri('checkout')).person })
    expect((await w.call('page.ack-link', { params: { token } })).body).toContain('had acknowledged already')
    expect((await w.call('page.ack-form', { params: { token } })).body).not.toContain('<form')
    expect(await w.call('page.ack-form', { params: { token: 'nonsense' } })).toMatchObject({ status: 404 })
    expect(await w.call('page.ack-link', { params: { token: 'nonsense' } })).toMatchObject({ status: 404 })
  })

  it('shows text of outside systems as text', async () => {
    const w = await world(t.store)
    await w.deliver(another({ summary: '<script>alert(1)</script>\n\nBcc: all' }))
    await settled(w)
    const mail = w.mail.sent[0] as { subject: string; text: string }
    expect(mail.subject).toBe('[INC-1] sev 1 checkout: <script>alert(1)</script> Bcc: all')
    expect((await w.call('page.ack-form', { params: { token: link(mail.text) } })).body).not.toContain('<script>')
  })

  it('names a person: a machine token cannot acknowledge for itself, an admin can for somebody', async () => {
    const w = await world(t.store)
    await w.deliver(firing)
    await settled(w)
    const call = (caller: object, body?: unknown) => w.call('incident.ack', { params: { id: 'INC-1' }, caller, body })
    await expect(call({ name: 'ci', person: null })).rejects.toMatchObject({ code: 'PAGE_NEEDS_PERSON' })
    await expect(call({}, { person: 'ben' })).rejects.toMatchObject({ code: CORE.REFUSED })
    await expect(call({ name: 'root', role: 'admin', person: null }, { person: 'nobody' })).rejects.toMatchObject({ code: CORE.INVALID_INPUT })
    expect(await call({ name: 'root', role: 'admin', person: null }, { person: 'ben' })).toMatchObject({ acknowledged_by: 'ben' })
    await expect(w.call('incident.ack', { params: { id: 'INC-99' } })).rejects.toMatchObject({ code: CORE.NOT_FOUND })
  })

  it('tries again after a failure that may pass, with the same message id', async () => {
    const w = await world(t.store)
    w.mail.failures.push(new Error('greylisted'), new ReglazeError(CORE.OUTCOME_UNKNOWN, 'connection lost'))
    await w.deliver(firing)
    await settled(w)
    await run(w, () => until(() => w.mail.sent.length === 1))
    await until(async () => (await w.call('page.list')).pages[0].state === 'sent')
    expect((await w.call('page.list')).pages).toMatchObject([{ attempts: 3, state: 'sent' }])
    expect(w.mail.sent[0]?.id).toBe((await w.call('page.list')).pages[0].id)
  })

  it('goes to the next step at once when the first cannot be reached', async () => {
    const w = await world(t.store)
    w.mail.failures.push(new ReglazeError(TEST_REFUSED, 'no such user'))
    await w.deliver(firing)
    await settled(w)
    const states = (await w.call('page.list')).pages.map((p: any) => p.state).sort()
    expect(states).toEqual(['failed', 'sent', 'sent'])
    expect(await kinds()).toContain('page.failed')
  })

  it('never drops a page because nobody is on call: fallback person, or the first of the team, and an entry about the gap', async () => {
    const future = (id: string) => ({ id, layers: [{ id: 'later', zone: 'UTC', start: '2090-01-02', handoff: { at: '09:00' }, rotation: { kind: 'weekly' }, members: ['ann'] }] })
    const w = await world(t.store, testConfig((c) => (c['schedules'] = [{ ...future('shop'), fallback: 'zoe' }, future('platform')])))
    await w.deliver(firing)
    await w.deliver(another({ fingerprint: '03', labels: { alertname: 'DatabaseDown' } }))
    await settled(w)
    expect(w.mail.sent.map((m) => m.to).sort()).toEqual(['cat@tailwind.example', 'zoe@tailwind.example'])
    expect((await ledger()).filter((e) => e.kind === 'oncall.gap').map((e) => e.data)).toMatchObject(expect.arrayContaining([expect.objectContaining({ schedule: 'shop', stands_in: 'zoe', as: 'fallback' }), expect.objectContaining({ schedule: 'platform', stands_in: 'cat', as: 'member' })]))
    const [shop] = await rows('pagings')
    expect(await w.part.facts('zoe', { id: shop?.['incident_id'], service: 'checkout', team: null })).toMatchObject({ primary: true })
    expect(await w.part.facts('cat', { id: 'x', service: 'orders-db', team: null })).toMatchObject({ primary: false })
  })

  it('pages nobody from a restored store until a person lets it', async () => {
    const w = await world(t.store)
    await enterObserveOnly(t.store.db, 'restored')
    await w.deliver(firing)
    await run(w, () => until(async () => (await rows('pages')).length === 1))
    await settled(w)
    expect(w.mail.sent).toEqual([])
    await leaveObserveOnly(t.store.db, { actor: 'ann', note: 'compared' })
    await t.advance(5_000)
    await settled(w)
    expect(w.mail.sent).toHaveLength(1)
  })

  it('pages again when an alert fires after the paging had stopped', async () => {
    const w = await world(t.store)
    for (const body of [firing, resolved]) {
      await w.deliver(body)
      await settled(w)
    }
    await w.deliver(another({ startsAt: '2026-11-22T10:00:00Z' }))
    await settled(w)
    expect((await rows('pagings'))[0]).toMatchObject({ state: 'running', reason: null })
    expect(w.mail.sent).toHaveLength(2)
  })
})

describe('policy facts', () => {
  it('make only the one on call for the service of the incident primary', async () => {
    const w = await world(t.store)
    const incident = { id: 'inc_x', service: 'checkout', team: null }
    const dri = await w.part.dri('checkout')
    const other = dri.person === 'ann' ? 'ben' : 'ann'
    expect(await w.part.facts(dri.person, incident)).toEqual({ primary: true, schedule: 'shop', until: dri.until, dri: false, acknowledged: false, schedules: ['shop'] })
    expect(await w.part.facts(other, incident)).toMatchObject({ primary: false, schedules: [] })
    expect(await w.part.facts('cat', incident)).toMatchObject({ primary: false, schedules: ['platform'] })
    expect(await w.part.facts(dri.person, null)).toMatchObject({ primary: false, schedule: null })
    expect(await w.part.facts(dri.person, { id: 'inc_x', service: 'gone', team: 'gone' })).toMatchObject({ primary: false })
  })
})

describe('overrides', () => {
  it('change who is on call, for whom they may, and can be taken back', async () => {
    const w = await world(t.store)
    const { person, until: end } = await w.part.dri('checkout')
    const now = (await w.call('oncall.now')).at
    const make = (body: object, caller: object = {}) => w.call('oncall.override', { params: { schedule: 'shop' }, body: { from: now, to: end, reason: 'dentist', ...body }, caller })
    await expect(make({ person: 'dan' }, { person: 'cat' })).rejects.toMatchObject({ code: 'OVERRIDE_REFUSED' })
    await expect(make({ person: 'nobody' })).rejects.toMatchObject({ code: CORE.INVALID_INPUT })
    await expect(make({ person: 'dan', to: now }, { person: 'dan' })).rejects.toMatchObject({ code: CORE.INVALID_INPUT })
    await expect(make({ person: 'dan', replaces: 'zoe' }, { person: 'dan' })).rejects.toMatchObject({ code: 'OVERRIDE_WITHOUT_EFFECT' })
    const made = await make({ person: 'dan', replaces: person }, { name: 'dan', person: 'dan' })
    expect(made).toMatchObject({ schedule: 'shop', person: 'dan', changes: [{ person: 'dan', why: { kind: 'override', override: made.id, instead: person } }] })
    expect(await w.part.dri('checkout')).toMatchObject({ person: 'dan' })
    expect(await w.part.facts('dan', { id: 'x', service: 'checkout', team: null })).toMatchObject({ primary: true })
    expect((await w.call('oncall.overrides', { params: { schedule: 'shop' } })).overrides).toMatchObject([{ id: made.id }])
    const shifts = (await w.call('oncall.shifts', { params: { schedule: 'shop' }, query: { from: now, to: new Date(Date.parse(now) + 14 * 86_400_000).toISOString() } })).shifts
    expect(shifts[0]).toMatchObject({ person: 'dan', from: now })
    await expect(w.call('oncall.override-delete', { params: { id: made.id }, caller: { name: 'x', person: 'cat' } })).rejects.toMatchObject({ code: 'OVERRIDE_REFUSED' })
    expect(await w.call('oncall.override-delete', { params: { id: made.id }, caller: { name: 'dan', person: 'dan' } })).toEqual({ id: made.id, deleted: true })
    expect(await w.part.dri('checkout')).toMatchObject({ person })
    expect((await kinds())).toEqual(['oncall.override-created', 'oncall.override-deleted'])
    await expect(w.call('oncall.shifts', { params: { schedule: 'none' }, query: { from: now, to: end } })).rejects.toMatchObject({ code: 'SCHEDULE_NOT_FOUND' })
  })
})
