import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync, readdirSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gunzipSync, gzipSync } from 'node:zlib'
import pg from 'pg'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { migrate } from '../store/migrate.ts'
import { migrations } from '../store/migrations/index.ts'
import { backup, embeddedPid, leaveObserveOnly, moveTo, observeOnly, openStore, poke, removeEmbedded, restore, restoreInto, silent, sql, step } from '../store/index.ts'
import type { Store } from '../store/index.ts'
import { useTestStore } from '../store/testing/index.ts'
import { append, checkLedger, startSequencer } from './index.ts'

const t = useTestStore()
let folder: string
let file: string
let admin: pg.Client
const stores: Store[] = []
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'reglaze-backup-'))
  file = join(folder, 'b.gz')
  admin = new pg.Client({ connectionString: t.cluster.socketUrl('postgres') })
  await admin.connect()
  await admin.query('create database target')
})
afterEach(async () => {
  for (const s of stores.splice(0)) await s.close()
  await admin.query('drop database target with (force)')
  await admin.end()
  rmSync(folder, { recursive: true, force: true })
})
const target = (): string => t.cluster.socketUrl('target')
const open = async (url: string): Promise<Store> => {
  const s = await openStore({ dataDir: folder, databaseUrl: url })
  stores.push(s)
  return s
}
const isEmpty = async (): Promise<boolean> => {
  const client = new pg.Client({ connectionString: target() })
  await client.connect()
  const { rows } = await client.query(`select from pg_namespace where nspname = 'reglaze'`)
  await client.end()
  return rows.length === 0
}

/** Values that break careless dumps: nulls, arrays, quotes, every kind of white space, infinity, bytes, large numbers. */
async function fill(): Promise<void> {
  const s = startSequencer(t.store, { keyDir: join(folder, 'keys'), origin: 'tailwind.test/ledger' })
  for (let n = 0; n < 1_203; n++) await append(t.store.db, { kind: 'x', incident: n % 2 === 0 ? null : 'inc_1', subject: `s${n}`, actor: 'a', data: { n, t: '"\\\n\t{},NULL\u2028ä' } })
  await s.flush()
  await s.stop()
  await append(t.store.db, { kind: 'x', subject: 'not numbered yet', actor: 'a', data: null })
  await poke(t.store.db, 'k', 'a', { inMs: 1e9 })
  await sql`insert into reglaze.timers (kind, subject, due_at) values ('k', '', 'infinity'), ('k', '{"a,b"}', '-infinity')`.execute(t.store.db)
  await step(t.store.db, 'f', 'k', async () => [null, { a: [] }, 1e21, 'NULL'])
}

test('a backup restored holds the same, in observe-only mode, and its ledger goes on in a new epoch', async () => {
  await fill()
  const made = await backup({ url: t.store.url, file })
  expect(statSync(file).mode & 0o777).toBe(0o600)
  expect(readdirSync(folder).sort()).toEqual(['b.gz', 'keys'])
  const restored = await restore({ url: target(), file })
  for (const [table, summary] of Object.entries(made.tables)) if (!['meta', 'ledger_head'].includes(table)) expect(restored.tables[table], table).toEqual(summary)
  expect(made.tables['ledger_entries']?.rows).toBe(1_204)

  const copy = await open(target())
  expect(await observeOnly(copy.db)).toMatchObject({ reason: expect.stringContaining('restored from the backup') })
  expect((await checkLedger(copy.db)).problems).toEqual([])
  const s = startSequencer(copy, { keyDir: join(folder, 'keys'), origin: 'tailwind.test/ledger' })
  const checkpoint = await s.flush()
  await s.stop()
  expect(checkpoint.origin).toMatch(/^tailwind\.test\/ledger\/restored-[0-9a-f]{8}$/)
  expect(checkpoint.size).toBe(1_204)
  await expect(sql`delete from reglaze.ledger_entries`.execute(copy.db)).rejects.toThrow(/append-only/)
  await poke(copy.db, 'k', 'after the restore')
  expect(await leaveObserveOnly(copy.db, { actor: 'mary', note: 'compared' })).toBe(true)
  expect(await leaveObserveOnly(copy.db, { actor: 'mary', note: 'again' })).toBe(false)
  expect(await observeOnly(copy.db)).toBe(null)
})

test('a torn or edited file is refused, and the database stays empty', async () => {
  await fill()
  await backup({ url: t.store.url, file })
  const whole = readFileSync(file)
  const lines = gunzipSync(whole).toString('utf8').trimEnd().split('\n')
  const s7 = lines.findIndex((l) => l.includes('s7\\"'))
  const bad: Record<string, Buffer> = {
    'cut in the middle': whole.subarray(0, whole.length / 2),
    'cut at the end': whole.subarray(0, whole.length - 1),
    'a byte changed': Buffer.concat([whole.subarray(0, 2_000), Buffer.of((whole[2_000] as number) ^ 1), whole.subarray(2_001)]),
    'no gzip': Buffer.from('hello'),
    'empty': Buffer.alloc(0),
    'another gzip': gzipSync('{"a":1}\n'),
    'end missing': gzipSync(`${lines.slice(0, -1).join('\n')}\n`),
    'a row missing': gzipSync(`${lines.filter((_, i) => i !== s7).join('\n')}\n`),
    'a row changed': gzipSync(`${lines.join('\n').replace('not numbered yet', 'not numbered yes')}\n`),
    'something after the end': gzipSync(`${lines.join('\n')}\n[]\n`),
  }
  for (const [what, bytes] of Object.entries(bad)) {
    writeFileSync(join(folder, 'bad'), bytes)
    await expect(restore({ url: target(), file: join(folder, 'bad') }), what).rejects.toMatchObject({ code: 'STORE_BACKUP_INVALID' })
    expect(await isEmpty(), what).toBe(true)
  }
  await expect(restore({ url: target(), file: join(folder, 'none') })).rejects.toMatchObject({ code: 'STORE_BACKUP_INVALID' })
  const newer = gzipSync(`${lines.join('\n').replace('"schema":[', '"schema":["9999_future",')}\n`)
  writeFileSync(join(folder, 'bad'), newer)
  await expect(restore({ url: target(), file: join(folder, 'bad') })).rejects.toMatchObject({ code: 'STORE_NEWER_SCHEMA' })
  expect(await isEmpty()).toBe(true)
})

test('a backup of an earlier release is restored and then migrated on', async () => {
  const old = 'target_old'
  await admin.query(`create database ${old}`)
  try {
    await migrate(t.cluster.socketUrl(old), silent, migrations.slice(0, 2))
    await backup({ url: t.cluster.socketUrl(old), file })
  } finally {
    await admin.query(`drop database ${old} with (force)`)
  }
  const { manifest } = await restore({ url: target(), file })
  expect(manifest.schema).toEqual(['0001_store', '0002_ledger'])
  const store = await open(target())
  expect((await sql`select from reglaze.kysely_migration`.execute(store.db)).rows.length).toBe(migrations.length)
})

test('a backup goes into a new data folder, whose database is stopped again', async () => {
  await poke(t.store.db, 'k', 'a')
  await backup({ url: t.store.url, file })
  const dataDir = join(folder, 'new')
  try {
    await restoreInto({ dataDir, file })
    expect(embeddedPid(dataDir)).toBe(null)
    const store = await openStore({ dataDir })
    expect((await sql`select from reglaze.timers`.execute(store.db)).rows.length).toBe(1)
    expect(await observeOnly(store.db)).not.toBe(null)
    await store.close()
    await expect(restoreInto({ dataDir, file })).rejects.toMatchObject({ code: 'STORE_NOT_EMPTY' })
  } finally {
    await removeEmbedded(dataDir)
  }
})

test('a backup is not restored over data', async () => {
  await backup({ url: t.store.url, file })
  await expect(restore({ url: t.store.url, file })).rejects.toMatchObject({ code: 'STORE_NOT_EMPTY' })
})

test('a backup that fails leaves no file, and the earlier one as it was', async () => {
  writeFileSync(file, 'earlier')
  await expect(backup({ url: t.cluster.socketUrl('target'), file })).rejects.toThrow()
  expect(readFileSync(file, 'utf8')).toBe('earlier')
  expect(readdirSync(folder)).toEqual(['b.gz'])
})

test('the move to another database: the same store there, at normal work; the source only observes', async () => {
  await fill()
  const moved = await moveTo(t.store, { databaseUrl: target(), dataDir: folder })
  expect(moved.rows).toBeGreaterThan(2_400)
  const there = await open(target())
  expect(await observeOnly(there.db)).toBe(null)
  expect(await observeOnly(t.store.db)).toMatchObject({ reason: expect.stringContaining('moved to') })
  const s = startSequencer(there, { keyDir: join(folder, 'keys'), origin: 'tailwind.test/ledger' })
  expect(await s.flush()).toMatchObject({ origin: 'tailwind.test/ledger', size: 1_204 })
  await s.stop()
  expect((await checkLedger(there.db)).problems).toEqual([])
})

test('a source that others still use is not moved', async () => {
  await t.another()
  await expect(moveTo(t.store, { databaseUrl: target(), dataDir: folder })).rejects.toMatchObject({ code: 'STORE_MOVE_MISMATCH' })
  expect(await isEmpty()).toBe(true)
})
