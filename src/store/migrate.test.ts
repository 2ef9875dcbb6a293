import { afterEach, beforeEach, expect, test } from 'vitest'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import { openStore, sql } from './index.ts'
import { silent } from './log.ts'
import { appliedMigrations, migrate } from './migrate.ts'
import { migrations } from './migrations/index.ts'
import { useTestStore } from './testing/index.ts'

const t = useTestStore()
let url: string
let admin: pg.Client
beforeEach(async () => {
  admin = new pg.Client({ connectionString: t.cluster.socketUrl('postgres') })
  await admin.connect()
  await admin.query('create database empty_one')
  url = t.cluster.socketUrl('empty_one')
})
afterEach(async () => {
  await admin.query('drop database empty_one with (force)')
  await admin.end()
})
const extra = { name: '9999_future', up: 'create table reglaze.future (x int)' }

test('the names of migrations are unique and in order, and each brings its name', () => {
  const names = migrations.map((m) => m.name)
  expect(names).toEqual([...names].sort())
  expect(new Set(names).size).toBe(names.length)
  for (const name of names) expect(name).toMatch(/^\d{4}_[a-z_]+$/)
})

test('several processes at once: each migration is applied once', async () => {
  const done = await Promise.all([1, 2, 3, 4].map(() => migrate(url, silent)))
  expect(done.flat().sort()).toEqual(migrations.map((m) => m.name).sort())
  expect(await migrate(url, silent)).toEqual([])
})

test('a new release starts on the previous schema; the older one then refuses', async () => {
  const older = migrations.slice(0, 2)
  await migrate(url, silent, older)
  const store = await openStore({ dataDir: t.dataDir, databaseUrl: url })
  expect(await appliedMigrations(store.db)).toEqual(migrations.map((m) => m.name))
  await store.close()
  await expect(migrate(url, silent, older)).rejects.toMatchObject({ code: 'STORE_NEWER_SCHEMA' })
  await migrate(url, silent, [...migrations, extra])
  for (const again of [true, false]) {
    await expect(openStore({ dataDir: t.dataDir, databaseUrl: url, migrate: again })).rejects.toMatchObject({ code: 'STORE_NEWER_SCHEMA', message: expect.stringContaining('9999_future') })
  }
})

test('two processes work on through an upgrade by a third (rolling)', async () => {
  await migrate(url, silent)
  const old = await openStore({ dataDir: t.dataDir, databaseUrl: url })
  await migrate(url, silent, [...migrations, extra])
  await sql`insert into reglaze.meta (key, value) values ('x', '1')`.execute(old.db)
  await old.close()
})

test('a failing migration leaves nothing behind', async () => {
  await migrate(url, silent)
  const bad = { name: '9998_bad', up: 'create table reglaze.half (x int); select 1 / 0' }
  await expect(migrate(url, silent, [...migrations, bad, extra])).rejects.toMatchObject({ code: 'STORE_MIGRATION_FAILED', message: expect.stringContaining('9998_bad') })
  expect(await migrate(url, silent)).toEqual([])
})

test('a release refuses a database with a movable clock', async () => {
  await expect(openStore({ dataDir: t.dataDir, databaseUrl: t.url })).rejects.toMatchObject({ code: 'STORE_TEST_CLOCK' })
})

test('a database that does not answer is named without its password', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'reglaze-none-'))
  try {
    await openStore({ dataDir: folder, databaseUrl: 'postgresql://mary:geheim@127.0.0.1:1/none' })
    expect.unreachable()
  } catch (error) {
    expect(error).toMatchObject({ code: 'STORE_UNREACHABLE' })
    expect(String((error as Error).message)).not.toContain('geheim')
  } finally {
    rmSync(folder, { recursive: true })
  }
})

test('options that a URL brings along are kept beside ours', async () => {
  await migrate(url, silent)
  const store = await openStore({ dataDir: t.dataDir, databaseUrl: `${url}?options=-c%20work_mem%3D5MB` })
  const { rows } = await sql<{ m: string; s: string; i: string }>`select current_setting('work_mem') as m, current_setting('search_path') as s, current_setting('idle_in_transaction_session_timeout') as i`.execute(store.db)
  expect(rows[0]).toEqual({ m: '5MB', s: 'reglaze,public', i: '1min' })
  await store.close()
})
