import type pg from 'pg'
import { createHash } from 'node:crypto'

/** A table as a backup sees it: columns that hold data of their own (generated ones are computed again). */
export interface Table {
  readonly name: string
  readonly columns: readonly { readonly name: string; readonly type: string }[]
}

/** Not backed up: who lives now, what the schema itself records, and the tests' clock. */
const LEFT_OUT = new Set(['nodes', 'kysely_migration', 'kysely_migration_lock', 'test_clock'])

export function quoted(name: string): string {
  return `"${name.replaceAll('"', '""')}"`
}

/** All tables of the schema, by name. */
export async function listTables(client: pg.Client): Promise<Table[]> {
  const { rows } = await client.query<{ name: string; columns: { name: string; type: string }[] }>(`
    select c.relname as name, json_agg(json_build_object('name', a.attname, 'type', format_type(a.atttypid, a.atttypmod)) order by a.attnum) as columns
    from pg_class c join pg_namespace n on n.oid = c.relnamespace join pg_attribute a on a.attrelid = c.oid
    where n.nspname = 'reglaze' and c.relkind in ('r', 'p') and not c.relispartition and a.attnum > 0 and not a.attisdropped and a.attgenerated = ''
    group by c.relname order by c.relname`)
  return rows.filter((t) => !LEFT_OUT.has(t.name))
}

const FETCH = 1_000

/** Calls `each` with rows (every value as PostgreSQL's own text) in an order that is the same in every database. */
export async function readTable(client: pg.Client, table: Table, each: (rows: (string | null)[][]) => Promise<void>): Promise<void> {
  const texts = table.columns.map((c) => `${quoted(c.name)}::text`)
  const where = table.name === 'meta' ? `where key <> 'test_clock'` : ''
  const order = texts.map((t) => `${t} collate "C" nulls first`).join(', ')
  await client.query(`declare backup_rows no scroll cursor for select array[${texts.join(', ')}] as row from reglaze.${quoted(table.name)} ${where} order by ${order}`)
  try {
    for (;;) {
      const { rows } = await client.query<{ row: (string | null)[] }>(`fetch ${FETCH} from backup_rows`)
      if (rows.length === 0) break
      await each(rows.map((r) => r.row))
    }
  } finally {
    await client.query('close backup_rows').catch(() => {})
  }
}

export interface Summary {
  readonly rows: number
  readonly sha256: string
}

export function rowLine(row: readonly (string | null)[]): string {
  return `${JSON.stringify(row)}\n`
}

/** Row count and digest of every table, in one snapshot: equal for equal content, whatever server holds it. */
export async function summarize(client: pg.Client): Promise<Record<string, Summary>> {
  const all: Record<string, Summary> = {}
  await client.query('begin isolation level repeatable read read only')
  try {
    for (const table of await listTables(client)) {
      const digest = createHash('sha256')
      let count = 0
      await readTable(client, table, async (rows) => {
        for (const row of rows) digest.update(rowLine(row))
        count += rows.length
      })
      all[table.name] = { rows: count, sha256: digest.digest('hex') }
    }
  } finally {
    await client.query('rollback')
  }
  return all
}
