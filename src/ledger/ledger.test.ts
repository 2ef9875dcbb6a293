import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { sql, transaction } from '../store/index.ts'
import { useTestStore } from '../store/testing/index.ts'
import { append, beginEpoch, checkLedger, consistencyProof, entries, inclusionProof, latestCheckpoint, publicKeyText, startSequencer } from './index.ts'
import type { Sequencer, SequencerOptions } from './index.ts'
import { openCheckpoint, parseVerifier } from './note.ts'
import { leafHash, verifyConsistency, verifyInclusion } from './tree.ts'

const t = useTestStore()
let keyDir: string
const running: Sequencer[] = []
beforeEach(() => {
  keyDir = mkdtempSync(join(tmpdir(), 'reglaze-key-'))
})
afterEach(async () => {
  for (const s of running.splice(0)) await s.stop()
  rmSync(keyDir, { recursive: true, force: true })
})
const start = (o: Partial<SequencerOptions> = {}): Sequencer => {
  const s = startSequencer(t.store, { keyDir, origin: 'tailwind.test/ledger', ...o })
  running.push(s)
  return s
}
const add = (n: number, incident: string | null = 'inc_1') => append(t.store.db, { kind: 'test.done', incident, subject: `gr_${n}`, actor: 'mary', data: { n, text: 'ä\u0000"\ud800' } })

test('entries are stored as canonical JSON with the time of their transaction', async () => {
  const id = await add(1)
  const [e] = await entries(t.store.db, { pending: true })
  expect(e).toMatchObject({ seq: null, id, kind: 'test.done', incident: 'inc_1', subject: 'gr_1', actor: 'mary', data: { n: 1, text: 'ä\u0000"\ud800' } })
  expect(e?.at).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)
  const { canonical } = await import('../core/json.ts')
  expect(e?.bytes).toBe(canonical(JSON.parse(e?.bytes ?? '')))
})

test('numbers, tree, checkpoint: proofs hold against the signed checkpoint', async () => {
  const s = start()
  const empty = await s.flush()
  expect(empty.size).toBe(0)
  for (let n = 0; n < 5; n++) await add(n)
  const five = await s.flush()
  await transaction(t.store.db, async (tx) => {
    for (let n = 5; n < 300; n++) await append(tx, { kind: 'test.done', incident: null, subject: `gr_${n}`, actor: 'mary', data: n })
  })
  const all = await s.flush()
  expect([five.size, all.size]).toEqual([5, 300])
  expect(openCheckpoint(all.note, parseVerifier((await publicKeyText(t.store.db)) as string))?.size).toBe(300)
  const list = await entries(t.store.db)
  expect(list.map((e) => e.seq)).toEqual(Array.from({ length: 300 }, (_, i) => i))
  for (const seq of [0, 4, 5, 255, 256, 299]) {
    const e = list[seq]
    expect(verifyInclusion(leafHash(Buffer.from(e?.bytes ?? '')), seq, 300, await inclusionProof(t.store.db, seq, 300), all.root)).toBe(true)
  }
  expect(verifyConsistency(5, 300, await consistencyProof(t.store.db, 5, 300), five.root, all.root)).toBe(true)
  expect((await entries(t.store.db, { incident: 'inc_1' })).length).toBe(5)
  expect(await checkLedger(t.store.db)).toEqual({ ok: true, size: 300, problems: [] })
  await expect(inclusionProof(t.store.db, 300, 300)).rejects.toMatchObject({ code: 'LEDGER_NOT_THERE' })
})

test('nobody changes or deletes an entry through SQL', async () => {
  await add(1)
  await start().flush()
  for (const table of ['ledger_entries', 'ledger_leaves', 'ledger_checkpoints']) {
    await expect(sql.raw(`delete from reglaze.${table}`).execute(t.store.db)).rejects.toThrow(/append-only/)
    await expect(sql.raw(`truncate reglaze.${table} cascade`).execute(t.store.db)).rejects.toThrow(/append-only/)
  }
  await expect(sql`update reglaze.ledger_entries set bytes = 'x'`.execute(t.store.db)).rejects.toThrow(/append-only/)
})

test('an owner of the database who edits anyway is found, and nothing more is signed over it', async () => {
  const s = start()
  for (let n = 0; n < 4; n++) await add(n)
  await s.flush()
  await sql.raw(`alter table reglaze.ledger_entries disable trigger all; update reglaze.ledger_entries set bytes = replace(bytes, '"n":2', '"n":9')`).execute(t.store.db)
  expect((await checkLedger(t.store.db)).problems).toContain('entry 2 is not what was hashed')
  await sql.raw(`update reglaze.ledger_tiles set hashes = decode(repeat('00', 128), 'hex') where level = 0`).execute(t.store.db)
  await add(5)
  await expect(s.flush()).rejects.toMatchObject({ code: 'LEDGER_INCONSISTENT' })
})

test('a database taken back to an earlier time is refused because of the checkpoint beside the key', async () => {
  const s = start()
  for (let n = 0; n < 4; n++) await add(n)
  await s.flush()
  await s.stop()
  await sql.raw(`alter table reglaze.ledger_checkpoints disable trigger all; delete from reglaze.ledger_checkpoints;
    alter table reglaze.ledger_leaves disable trigger all; delete from reglaze.ledger_leaves where seq > 1;
    update reglaze.ledger_tiles set hashes = substring(hashes from 1 for 64); update reglaze.ledger_head set size = 2, signed_size = -1`).execute(t.store.db)
  await expect(start().flush()).rejects.toMatchObject({ code: 'LEDGER_INCONSISTENT' })
  await beginEpoch(t.store.db, { actor: 'mary', reason: 'failover' })
  expect((await start().flush()).origin).toMatch(/^tailwind\.test\/ledger\/epoch-[0-9a-f]{8}$/)
})

test('the key is private, and another key or an unsafe one is refused', async () => {
  await start().flush()
  expect(statSync(join(keyDir, 'ledger-key.pem')).mode & 0o777).toBe(0o600)
  const other = mkdtempSync(join(tmpdir(), 'reglaze-key-'))
  try {
    await expect(start({ keyDir: other }).flush()).rejects.toMatchObject({ code: 'LEDGER_KEY_MISSING' })
    writeFileSync(join(other, 'ledger-key.pem'), 'x', { mode: 0o644 })
    await expect(start({ keyDir: other }).flush()).rejects.toMatchObject({ code: 'LEDGER_KEY_UNSAFE' })
  } finally {
    rmSync(other, { recursive: true })
  }
})

test('several sequencers at once: every entry has one number, without a gap', async () => {
  const other = await t.another()
  const a = start()
  const b = startSequencer(other, { keyDir, origin: 'tailwind.test/ledger' })
  running.push(b)
  await Promise.all(Array.from({ length: 200 }, async (_, n) => {
    await add(n)
    if (n % 10 === 0) await (n % 20 === 0 ? a : b).flush()
  }))
  await Promise.all([a.flush(), b.flush()])
  expect((await checkLedger(t.store.db))).toEqual({ ok: true, size: 200, problems: [] })
  expect((await latestCheckpoint(t.store.db))?.size).toBe(200)
})

test('checkpoints are brought outside, the first one at first start; a failure is repeated', async () => {
  const notes: string[] = []
  let fail = true
  const s = start({
    exportCheckpoint: async (note) => {
      if (fail) throw new Error('remote is away')
      notes.push(note)
    },
  })
  await s.flush()
  fail = false
  await add(1)
  await s.flush()
  await s.flush()
  expect(notes.map((n) => n.split('\n')[1])).toEqual(['1'])
})

test('an entry that is too large is refused, and nothing is written', async () => {
  await expect(append(t.store.db, { kind: 'x', subject: 's', actor: 'a', data: 'x'.repeat(65_536) })).rejects.toMatchObject({ code: 'LEDGER_ENTRY_TOO_LARGE' })
  expect(await entries(t.store.db, { pending: true })).toEqual([])
})
