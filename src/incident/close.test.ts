import { beforeEach, expect, test } from 'vitest'
import type { Caller, OpenItem } from '../core/index.ts'
import type { Config } from '../config/index.ts'
import { entries } from '../ledger/index.ts'
import { sql } from '../store/index.ts'
import { useTestStore } from '../store/testing/index.ts'
import { Incidents } from './index.ts'

const t = useTestStore()
const alice: Caller = { name: 'alice', role: 'responder', person: 'alice', tokenId: null }
let open: (id: string) => Promise<OpenItem[]>
let certify: () => Promise<{ name: string; text: string }>
let incidents: Incidents
beforeEach(() => {
  open = async () => []
  certify = async () => ({ name: 'c', text: 'certificate' })
  incidents = new Incidents({ store: t.store, config: () => ({ services: [{ id: 'web', team: 'web' }] }) as unknown as Config, openItems: (id) => open(id), page: async () => 'alice', certify: () => certify() })
})
const begin = () => incidents.openByHand({ service: 'web', title: 'it burns', severity: 1 }, alice)
const kinds = async () => (await entries(t.store.db, { pending: true })).map((e) => e.kind)

test('is refused with the list and its commands while anything stands open, and nothing changes', async () => {
  const i = await begin()
  open = async () => [{ code: 'x', what: 'a grant of bob', command: 'reglaze access end gr_1' }]
  await expect(incidents.close(i.id, alice)).rejects.toMatchObject({ code: 'CLOSE_REFUSED', message: expect.stringContaining('a grant of bob  →  reglaze access end gr_1') })
  expect((await incidents.get(i.id)).state).toBe('open')
  expect(await kinds()).toContain('incident.close-refused')
})
test('what cannot be asked keeps it open', async () => {
  const i = await begin()
  open = async () => { throw new Error('the database of a part is away') }
  await expect(incidents.close(i.id, alice)).rejects.toThrow('away')
  expect((await incidents.get(i.id)).state).toBe('open')
})
test('what comes between the first look and the close is seen: the look that counts is taken with the incident locked', async () => {
  const i = await begin()
  let looks = 0
  open = async () => (++looks === 1 ? [] : [{ code: 'grant-live', what: 'came late', command: 'c' }])
  await expect(incidents.close(i.id, alice)).rejects.toMatchObject({ code: 'CLOSE_REFUSED' })
  expect((await incidents.get(i.id)).state).toBe('open')
})
test('whoever adds something first makes the close wait and see it; whoever comes later is told that it is closed', async () => {
  const i = await begin()
  const things: string[] = []
  open = async () => things.map((what) => ({ code: 'x', what, command: 'c' }))
  let go = () => {}
  const mayGo = new Promise<void>((done) => (go = done))
  let inside = () => {}
  const isInside = new Promise<void>((done) => (inside = done))
  const adding = t.store.db.transaction().execute(async (tx) => {
    expect(await incidents.stillOpen(tx, i.id)).toBe(true)
    inside()
    await mayGo
    things.push('a grant')
  })
  await isInside
  const closing = incidents.close(i.id, alice).catch((e: unknown) => e)
  for (let n = 0; n < 200; n++) {
    const { rows } = await sql`select 1 from pg_locks where not granted`.execute(t.store.db)
    if (rows.length > 0) break
    await new Promise((done) => setTimeout(done, 10))
  }
  go()
  await adding
  expect(await closing).toMatchObject({ code: 'CLOSE_REFUSED' })
  things.length = 0
  await incidents.close(i.id, alice)
  expect(await t.store.db.transaction().execute((tx) => incidents.stillOpen(tx, i.id))).toBe(false)
})
test('many at once close it once; killed before the certificate, the next call writes it', async () => {
  const i = await begin()
  certify = async () => { throw new Error('killed') }
  await expect(incidents.close(i.id, alice)).rejects.toThrow('killed')
  expect((await incidents.get(i.id)).state).toBe('closed')
  certify = async () => ({ name: 'INC-1.certificate.json', text: 'x' })
  const all = await Promise.all(Array.from({ length: 15 }, () => incidents.close(i.id, alice)))
  expect(all.every((c) => c.certificate === 'INC-1.certificate.json')).toBe(true)
  expect((await kinds()).filter((k) => k === 'incident.closed')).toHaveLength(1)
  await expect(incidents.getOpen(i.id)).rejects.toMatchObject({ code: 'INCIDENT_CLOSED' })
  await expect(sql`update incidents set state = 'open', closed_at = null where id = ${i.id}`.execute(t.store.db)).rejects.toThrow('is closed')
})
test('two openings of a service at once are one incident; an unknown service is an error with the known ones', async () => {
  const made = await Promise.all(Array.from({ length: 6 }, begin))
  expect(new Set(made.map((i) => i.id)).size).toBe(1)
  await expect(incidents.openByHand({ service: 'wbe', title: 'it burns', severity: 1 }, alice)).rejects.toMatchObject({ code: 'UNKNOWN_SERVICE', hint: expect.stringContaining('web') })
})
