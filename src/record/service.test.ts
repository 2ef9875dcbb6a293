import { hash } from 'node:crypto'
import * as fs from 'node:fs'
import * as os from 'node:os'
import * as path from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { AuditEvent, Caller } from '../core/index.ts'
import { sql } from '../store/index.ts'
import { useTestStore } from '../store/testing/index.ts'
import { collector } from './collect.ts'
import { closeInterrupted, record, replayBytes, type GrantWindow, RECORDING_TRANSITIONS, recordPart, type RecordPart, type UndoneFinding } from './index.ts'

const t = useTestStore()
const caller = (o: Partial<Caller> = {}): Caller => ({ name: 'alice-laptop', role: 'responder', person: 'alice', tokenId: 'tok_1', ...o })
const admin = caller({ name: 'boss', role: 'admin', person: 'boss' })
let dir: string
let part: RecordPart
let events: AuditEvent[]
let grants: GrantWindow[]
let undone: UndoneFinding[]
let broken: string | null
let complete: boolean
const at = (s: number) => new Date(Date.now() + s * 1000).toISOString()
const incidents = [{ id: 'inc_1', number: 42, openedAt: at(-600) }]

beforeEach(() => {
  dir = fs.mkdtempSync(path.join(os.tmpdir(), 'reglaze-record-'))
  events = []
  grants = [{ grantId: 'gr_1', person: 'alice', principal: 'alice', activeFrom: at(-300), endedAt: at(-10), incident: 'inc_1' }]
  undone = []
  broken = null
  complete = true
  part = make()
})
afterEach(() => fs.rmSync(dir, { recursive: true, force: true }))
const make = () => recordPart({
  store: t.store, dataDir: dir,
  sources: () => ({
    cloud: {
      read: (cursor) => {
        if (broken) return Promise.reject(new Error(broken))
        const from = cursor === null ? 0 : Number(cursor)
        const page = events.slice(from, from + 2)
        return Promise.resolve({ events: page, cursor: String(from + page.length), complete })
      },
    },
  }),
  grantsFor: () => Promise.resolve(grants), openIncidents: () => Promise.resolve(incidents), automation: () => ['svc-gitops'], ours: () => ['svc-reglaze'],
  addressOf: (_, r) => (r.name === null ? null : `${r.type}.${r.name}`), onUndone: async (_tx, f) => void undone.push(f), isBusy: () => true,
  incidentId: (text) => Promise.resolve(text === 'INC-42' ? 'inc_1' : text),
})
const event = (n: number, o: Partial<AuditEvent> = {}): AuditEvent => ({
  id: `evt-${String(n).padStart(6, '0')}`, time: at(-200 + n), actor: 'alice', credential: 'ses-1', sourceIdentity: 'gr_1', action: 'update', resource: { type: 'sandbox_database', id: 'db-1', name: 'orders' },
  before: { engine_version: '13.11' }, after: { engine_version: '14.9' }, ok: true, request: 'PATCH', ...o,
})
const ledger = async () => (await sql<{ kind: string }>`select bytes::jsonb->>'kind' as kind from ledger_entries order by id`.execute(t.store.db)).rows.map((r) => r.kind)
const handler = (id: string) => {
  const found = part.routes.find((r) => r.route.id === id)
  if (!found) throw new Error(id)
  return (o: { params?: unknown; query?: unknown; body?: unknown; caller?: Caller }) => {
    const body = found.route.body ? found.route.body.parse(o.body ?? {}) : undefined
    const query = found.route.query ? found.route.query.parse(o.query ?? {}) : undefined
    const params = found.route.params ? found.route.params.parse(o.params ?? {}) : undefined
    return found.handle({ params, query, body, caller: o.caller ?? caller(), request: { headers: {}, rawBody: new Uint8Array() } }).then((answer) => found.route.response.parse(answer)) as Promise<Record<string, never>>
  }
}

describe('modifications', () => {
  test('attributed, unexplained and machine changes; each once, also when read again; explain clears the gate', async () => {
    events = [event(1), event(2, { sourceIdentity: null, credential: 'key-1' }), event(3, { actor: 'svc-gitops', sourceIdentity: null, resource: { type: 'sandbox_route', id: 'rt-1', name: 'www' } }), event(4, { action: 'read' }), event(195, { time: at(-1) })]
    await part.collectNow()
    const list = (await handler('record.modifications')({ query: { incident: 'INC-42' } }))['modifications'] as unknown as { id: string; verdict: string; hcl: string; person: string }[]
    expect(list.map((m) => m.verdict)).toEqual(['attributed', 'unexplained', 'automation', 'unexplained'])
    expect(list[0]).toMatchObject({ person: 'alice', grant: 'gr_1', address: 'sandbox_database.orders', hcl: expect.stringContaining('engine_version = "14.9"') as string })
    await sql`update audit_cursors set cursor = null`.execute(t.store.db)
    await part.collectNow()
    expect((await ledger()).filter((k) => k.startsWith('modification.'))).toEqual(['modification.attributed', 'modification.unexplained', 'modification.unexplained'])
    const open = await part.openItems('inc_1')
    expect(open.map((i) => i.code)).toEqual(['MODIFICATION_UNEXPLAINED', 'MODIFICATION_UNEXPLAINED'])
    expect(open[0]?.command).toBe(`reglaze record explain ${list[1]?.id} --reason …`)
    expect(open[1]?.what).toMatch(/had ended/)
    expect(await part.openItems('inc_2')).toEqual([])
    for (const m of [list[1], list[3]]) await handler('record.explain')({ params: { id: m?.id }, body: { reason: 'vendor on the phone' }, caller: admin })
    expect(await part.openItems('inc_1')).toEqual([])
    await expect(handler('record.explain')({ params: { id: list[0]?.id }, body: { reason: 'why not' }, caller: admin })).rejects.toMatchObject({ code: 'MODIFICATION_EXPLAINED' })
  })
  test('a change made between the last turn and the close is seen by the gate', async () => {
    expect(await part.openItems('inc_1')).toEqual([])
    events = [event(1, { actor: 'mallory', sourceIdentity: null })]
    expect(await part.openItems('inc_1')).toHaveLength(1)
  })
  test('a log that cannot be read, or that lost events, blocks: unknown is not absent', async () => {
    broken = 'connection refused'
    expect(await part.openItems('inc_1')).toMatchObject([{ code: 'AUDIT_UNREAD', what: expect.stringContaining('connection refused') as string }])
    broken = null
    complete = false
    events = [event(1)]
    const open = await part.openItems('inc_1')
    expect(open.every((i) => i.code === 'MODIFICATION_UNEXPLAINED' && i.what.includes('lost events'))).toBe(true)
    expect(open.length).toBeGreaterThan(0)
  })
  test('what automation undid is told once, with who and when', async () => {
    events = [event(1), event(2, { actor: 'svc-gitops', sourceIdentity: null, before: { engine_version: '14.9' }, after: { engine_version: '13.11' } })]
    await Promise.all([part.collectNow(), make().collectNow(), make().collectNow()])
    await sql`update audit_cursors set cursor = null`.execute(t.store.db)
    await part.collectNow()
    expect(undone).toMatchObject([{ incident: 'inc_1', person: 'alice', address: 'sandbox_database.orders', undone: { by: 'svc-gitops', how: 'reverted', event: 'evt-000002', attributes: ['engine_version'] } }])
    expect((await ledger()).filter((k) => k === 'modification.undone')).toHaveLength(1)
  })
  test('what Reglaze does itself undoes nothing', async () => {
    events = [event(1), event(2, { actor: 'svc-reglaze', sourceIdentity: null, before: { engine_version: '14.9' }, after: { engine_version: '13.11' } })]
    await part.collectNow()
    expect(undone).toEqual([])
  })
  test('a grant that becomes known later explains an earlier change', async () => {
    const [grant] = grants
    grants = []
    events = [event(1)]
    expect(await part.openItems('inc_1')).toHaveLength(1)
    grants = [grant as GrantWindow]
    expect(await part.openItems('inc_1')).toEqual([])
  })
  test('150 events in pages of two; the loop asks again at once, then every second while incidents are open', async () => {
    events = Array.from({ length: 150 }, (_, i) => event(i))
    const run = collector(part.recordings.deps)
    const signal = new AbortController().signal
    expect(await run('cloud', { attempts: 1, signal })).toEqual({ again: 0 })
    expect(await run('cloud', { attempts: 1, signal })).toEqual({ again: 1000 })
    expect(await run('gone', { attempts: 1, signal })).toBe('done')
    const { rows } = await sql<{ n: number }>`select count(*)::int as n from modifications`.execute(t.store.db)
    expect(rows[0]?.n).toBe(150)
  })
})

describe('uploads', () => {
  const put = (id: string, bytes: Buffer, offset: number, who = caller()) => handler('record.part')({ params: { id }, body: { offset, sha256: hash('sha256', bytes, 'hex'), data: bytes.toString('base64') }, caller: who })
  const made = async (id: string) => {
    const done = await record({ file: `${dir}/${id}.local`, id, command: '/bin/sh', args: ['-c', 'echo hello; exit 3'], incident: 'INC-42', grant: 'gr_1' })
    return { done, bytes: fs.readFileSync(done.file) }
  }
  test('parts in pieces, repeated, overlapping, after a restart; verified at the end', async () => {
    const { done, bytes } = await made('rec_aaaaaaaaaaaa')
    const id = done.id
    for (let i = 0; i < 2; i++) await handler('record.open')({ body: { id, incident: 'INC-42', grant: 'gr_1', title: 'upgrade' } })
    expect(await put(id, bytes.subarray(0, 200), 0)).toEqual({ size: 200 })
    expect(await put(id, bytes.subarray(0, 200), 0)).toEqual({ size: 200 })
    // A crash after the write and before the commit: bytes beyond the acknowledged size mean nothing.
    fs.appendFileSync(part.recordings.file(id), 'garbage')
    part = make()
    expect(await put(id, bytes.subarray(100, 400), 100)).toEqual({ size: 400 })
    await expect(put(id, bytes.subarray(500), 500)).rejects.toMatchObject({ code: 'RECORDING_OFFSET', data: { size: 400 } })
    await expect(put(id, Buffer.from('other'), 10)).rejects.toMatchObject({ code: 'RECORDING_OFFSET' })
    await expect(handler('record.part')({ params: { id }, body: { offset: 400, sha256: '0'.repeat(64), data: 'AAAA' } })).rejects.toMatchObject({ code: 'RECORDING_PART' })
    await expect(put(id, bytes.subarray(400), 400, caller({ name: 'mallory' }))).rejects.toMatchObject({ code: 'REFUSED' })
    await expect(handler('record.complete')({ params: { id }, body: { size: bytes.length, head: done.head } })).rejects.toMatchObject({ code: 'RECORDING_OFFSET' })
    await put(id, bytes.subarray(400), 400)
    for (let i = 0; i < 2; i++) expect(await handler('record.complete')({ params: { id }, body: { size: bytes.length, head: done.head } })).toMatchObject({ state: 'complete', head: done.head, incident_id: 'inc_1' })
    expect(await put(id, bytes.subarray(0, 200), 0)).toEqual({ size: bytes.length })
    await expect(put(id, Buffer.from('more'), bytes.length)).rejects.toMatchObject({ code: 'RECORDING_CLOSED' })
    expect(Buffer.from(replayBytes(part.recordings.file(id))).toString()).toBe('hello\r\n')
    expect(await handler('record.verify')({ params: { id } })).toMatchObject({ ok: true, state: 'complete' })
    const { data } = await handler('record.data')({ params: { id }, query: { offset: '10', length: '5' } })
    expect(Buffer.from(data as unknown as string, 'base64')).toEqual(bytes.subarray(10, 15))
    expect(await handler('record.commands')({ params: { id } })).toEqual({ commands: [] })
    expect((await ledger()).filter((k) => k.startsWith('recording.'))).toEqual(['recording.opened', 'recording.closed'])
    expect((await handler('record.list')({ query: { incident: 'INC-42' } }))['recordings']).toHaveLength(1)
  })
  test('a damaged upload is refused; an interrupted one is partial; an abandoned one says why', async () => {
    const { done, bytes } = await made('rec_bbbbbbbbbbbb')
    const bad = Buffer.from(bytes)
    bad[300] = (bad[300] as number) ^ 1
    for (const [id, data] of [['rec_cccccccccccc', bad], ['rec_dddddddddddd', bytes.subarray(0, bytes.length - 100)]] as const) {
      await handler('record.open')({ body: { id } })
      await put(id, data, 0)
    }
    await expect(handler('record.complete')({ params: { id: 'rec_cccccccccccc' }, body: { size: bad.length, head: done.head } })).rejects.toMatchObject({ code: 'RECORDING_BROKEN' })
    await expect(handler('record.complete')({ params: { id: 'rec_dddddddddddd' }, body: { size: bytes.length - 100, head: done.head } })).rejects.toMatchObject({ code: 'RECORDING_BROKEN' })
    expect(await handler('record.abandon')({ params: { id: 'rec_cccccccccccc' }, body: { reason: 'the disk of the laptop is gone' }, caller: admin })).toMatchObject({ state: 'partial', reason: 'the disk of the laptop is gone' })
    fs.writeFileSync(`${dir}/cut.rec`, bytes.subarray(0, bytes.length - 100))
    await expect(closeInterrupted(`${dir}/cut.rec`)).rejects.toMatchObject({ code: 'RECORDING_LIVE' })
  })
  test('the states of the table are those of the code, and a closed recording stays as it is', async () => {
    const { rows } = await sql<{ from_state: string; to_state: string }>`select from_state, to_state from recording_transitions order by 1, 2`.execute(t.store.db)
    expect(rows.map((r) => [r.from_state, r.to_state])).toEqual(RECORDING_TRANSITIONS.toSorted())
    await handler('record.open')({ body: { id: 'rec_eeeeeeeeeeee' } })
    await handler('record.abandon')({ params: { id: 'rec_eeeeeeeeeeee' }, body: { reason: 'nothing came' }, caller: admin })
    await expect(sql`update recordings set title = 'x'`.execute(t.store.db)).rejects.toThrow(/closed/)
    await expect(sql`delete from recordings`.execute(t.store.db)).rejects.toThrow(/closed/)
  })
})
