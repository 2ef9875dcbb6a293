import { randomBytes } from 'node:crypto'
import type pg from 'pg'
import { ReglazeError } from '../core/errors.ts'
import { longClient, readBackup } from './backup.ts'
import type { Manifest } from './backup.ts'
import { withoutSecrets } from './connect.ts'
import { STORE } from './errors.ts'
import { silent } from './log.ts'
import type { Log } from './log.ts'
import { migrations } from './migrations/index.ts'
import { startEmbedded } from './store.ts'
import { listTables, quoted, summarize } from './tables.ts'
import type { Summary, Table } from './tables.ts'

const BATCH = 500

/** A data folder (the embedded database) or an external database, as for openStore. */
export interface RestorePlace {
  readonly dataDir: string
  readonly databaseUrl?: string | undefined
  readonly file: string
  readonly pgBin?: string | undefined
  readonly log?: Log | undefined
}

/** `reglaze restore from FILE`: into a new data folder or an empty database. Throws like `restore`. */
export async function restoreInto(o: RestorePlace): Promise<{ manifest: Manifest; tables: Record<string, Summary> }> {
  const log = o.log ?? silent
  if (o.databaseUrl !== undefined) return restore({ url: o.databaseUrl, file: o.file, log })
  const { cluster, url } = await startEmbedded(o, log)
  try {
    return await restore({ url, file: o.file, log })
  } finally {
    if (!cluster.attached) await cluster.stop()
  }
}

export interface RestoreOptions {
  /** An empty database: the schema `reglaze` must not be there yet. */
  readonly url: string
  readonly file: string
  readonly log?: Log
  /**
   * False only for a move whose source stands still: the new store is then the same one, elsewhere. Otherwise it starts in
   * observe-only mode, and its ledger goes on as a new epoch, because the old one may have been continued after the backup.
   */
  readonly observeOnly?: boolean
}

/** The schema as it was when the backup was made; a later start migrates it on. */
async function makeSchema(client: pg.Client, manifest: Manifest): Promise<void> {
  const names = new Set(migrations.map((m) => m.name))
  const unknown = manifest.schema.filter((name) => !names.has(name))
  if (unknown.length > 0) {
    throw new ReglazeError(STORE.STORE_NEWER_SCHEMA, `the backup was made by a newer release: it has ${unknown.join(', ')}`, { hint: 'Restore it with that release.', data: { unknown } })
  }
  await client.query('create schema reglaze')
  // The table of Kysely's migrator, as it makes it.
  await client.query('create table reglaze.kysely_migration (name varchar(255) primary key, "timestamp" varchar(255) not null)')
  for (const m of migrations.filter((m) => manifest.schema.includes(m.name))) {
    await client.query(m.up)
    await client.query('insert into reglaze.kysely_migration values ($1, $2)', [m.name, manifest.at])
  }
}

/** Takes foreign keys and triggers out of the way (an owner may; no superuser is needed); the returned call puts them back and so checks every row. */
async function withoutRules(client: pg.Client, tables: readonly Table[]): Promise<() => Promise<void>> {
  const { rows: keys } = await client.query<{ name: string; tab: string; def: string }>(`
    select k.conname as name, c.relname as tab, pg_get_constraintdef(k.oid) as def
    from pg_constraint k join pg_class c on c.oid = k.conrelid join pg_namespace n on n.oid = c.relnamespace
    where n.nspname = 'reglaze' and k.contype = 'f' and k.conparentid = 0`)
  for (const k of keys) await client.query(`alter table reglaze.${quoted(k.tab)} drop constraint ${quoted(k.name)}`)
  for (const t of tables) await client.query(`alter table reglaze.${quoted(t.name)} disable trigger user`)
  if (tables.length > 0) await client.query(`truncate ${tables.map((t) => `reglaze.${quoted(t.name)}`).join(', ')}`)
  return async () => {
    for (const t of tables) await client.query(`alter table reglaze.${quoted(t.name)} enable trigger user`)
    for (const k of keys) await client.query(`alter table reglaze.${quoted(k.tab)} add constraint ${quoted(k.name)} ${k.def}`)
  }
}

async function insertRows(client: pg.Client, table: Table, rows: readonly (readonly (string | null)[])[]): Promise<void> {
  const columns = table.columns.map((c) => quoted(c.name))
  const values = table.columns.map((c, i) => `v.c${i}::${c.type}`)
  const names = table.columns.map((_, i) => `c${i}`)
  const parameters = table.columns.map((_, i) => `$${i + 1}::text[]`)
  await client.query(
    `insert into reglaze.${quoted(table.name)} (${columns.join(', ')}) overriding system value select ${values.join(', ')} from unnest(${parameters.join(', ')}) as v(${names.join(', ')})`,
    table.columns.map((_, i) => rows.map((r) => r[i] ?? null)),
  )
}

async function load(client: pg.Client, file: string): Promise<Manifest> {
  let there: Map<string, Table> | null = null
  let back: (() => Promise<void>) | null = null
  let table: Table | null = null
  let waiting: (readonly (string | null)[])[] = []
  const flush = async (): Promise<void> => {
    if (table !== null && waiting.length > 0) await insertRows(client, table, waiting)
    waiting = []
  }
  const { manifest } = await readBackup(file, async (line, head) => {
    if (there === null) {
      await makeSchema(client, head)
      const tables = await listTables(client)
      there = new Map(tables.map((t) => [t.name, t]))
      back = await withoutRules(client, tables)
    }
    if ('row' in line) {
      waiting.push(line.row)
      if (waiting.length >= BATCH) await flush()
      return
    }
    await flush()
    table = line.table
    const own = there.get(table.name)
    const same = own !== undefined && JSON.stringify(own.columns) === JSON.stringify(table.columns)
    if (!same) throw new ReglazeError(STORE.STORE_BACKUP_INVALID, `the backup's table ${table.name} does not fit the schema it names`, { place: file })
  })
  await flush()
  await (back as (() => Promise<void>) | null)?.()
  for (const [name, value] of Object.entries(manifest.sequences)) await client.query('select setval($1::regclass, $2::bigint)', [`reglaze.${quoted(name)}`, value])
  return manifest
}

/**
 * Puts a backup into an empty database, in one transaction: all of it or nothing. The file is checked whole before it
 * counts. Throws STORE_BACKUP_INVALID, STORE_NOT_EMPTY, STORE_NEWER_SCHEMA.
 */
export async function restore(o: RestoreOptions): Promise<{ manifest: Manifest; tables: Record<string, Summary> }> {
  const client = await longClient(o.url, o.log ?? silent)
  try {
    const { rows } = await client.query(`select from pg_namespace where nspname = 'reglaze'`)
    if (rows.length > 0) throw new ReglazeError(STORE.STORE_NOT_EMPTY, `the database ${withoutSecrets(o.url)} already holds data of Reglaze`)
    await client.query('begin')
    const manifest = await load(client, o.file)
    if (o.observeOnly !== false) await becomeCopy(client, manifest)
    await client.query('commit')
    return { manifest, tables: await summarize(client) }
  } catch (error) {
    await client.query('rollback').catch(() => {})
    throw error
  } finally {
    await client.end().catch(() => {})
  }
}

async function becomeCopy(client: pg.Client, manifest: Manifest): Promise<void> {
  const reason = `restored from the backup of ${manifest.at}`
  await client.query(`insert into reglaze.meta (key, value) values ('observe_only', $1)
    on conflict (key) do update set value = excluded.value, set_at = excluded.set_at`, [JSON.stringify({ reason })])
  await client.query('update reglaze.ledger_head set epoch = $1, vkey = null, signed_size = -1, signed_at = null, exported_size = -1', [`restored-${randomBytes(4).toString('hex')}`])
}
