import { createHash, randomBytes } from 'node:crypto'
import { createReadStream, createWriteStream } from 'node:fs'
import { open, rename, rm } from 'node:fs/promises'
import { createInterface } from 'node:readline'
import { once } from 'node:events'
import { finished } from 'node:stream/promises'
import { createGunzip, createGzip } from 'node:zlib'
import pg from 'pg'
import { ReglazeError } from '../core/errors.ts'
import { clientConfig } from './connect.ts'
import { STORE } from './errors.ts'
import { silent } from './log.ts'
import type { Log } from './log.ts'
import { listTables, readTable, rowLine } from './tables.ts'
import type { Summary, Table } from './tables.ts'

/**
 * A backup: gzip of lines of JSON. First the manifest, then for each table a line with its columns and a line for each
 * row, at the end the counts and digests. The end makes a torn file visible, the digests an edited one.
 */
export interface Manifest {
  readonly reglaze: 'backup'
  readonly version: 1
  readonly at: string
  readonly server: string
  /** Names of the migrations that the data has had. */
  readonly schema: readonly string[]
  /** Last values of the sequences. */
  readonly sequences: Readonly<Record<string, string>>
}
export interface Ending {
  readonly end: true
  readonly tables: Readonly<Record<string, Summary>>
  /** SHA-256 of all lines before this one. */
  readonly sha256: string
}

/** A connection of its own without a statement limit: backups may take long. */
export async function longClient(url: string, log: Log): Promise<pg.Client> {
  const client = new pg.Client(clientConfig({ url, name: 'reglaze backup', statementTimeoutMs: 0, log }))
  client.on('error', () => {})
  await client.connect()
  return client
}

async function manifestOf(client: pg.Client): Promise<Manifest> {
  const { rows: schema } = await client.query<{ name: string }>('select name from reglaze.kysely_migration order by name')
  const { rows: sequences } = await client.query<{ name: string; value: string }>(`
    select sequencename as name, last_value::text as value from pg_sequences where schemaname = 'reglaze' and last_value is not null order by 1`)
  const { rows } = await client.query<{ at: Date; server: string }>(`select reglaze.now() as at, current_setting('server_version') as server`)
  const { at, server } = rows[0] as { at: Date; server: string }
  return { reglaze: 'backup', version: 1, at: at.toISOString(), server, schema: schema.map((r) => r.name), sequences: Object.fromEntries(sequences.map((s) => [s.name, s.value])) }
}

/**
 * Writes a backup of everything in the database: one snapshot, while work goes on. The file appears whole or not at all,
 * readable by its owner only. It holds no signing key: keep the key folder too.
 */
export async function backup(o: { url: string; file: string; log?: Log }): Promise<{ tables: Record<string, Summary>; manifest: Manifest }> {
  const client = await longClient(o.url, o.log ?? silent)
  const draft = `${o.file}.${process.pid}.${randomBytes(4).toString('hex')}`
  try {
    await client.query('begin isolation level repeatable read read only')
    const handle = await open(draft, 'wx', 0o600)
    await handle.close()
    const gzip = createGzip()
    const out = gzip.pipe(createWriteStream(draft))
    const failed = finished(out)
    failed.catch(() => {})
    const whole = createHash('sha256')
    const write = async (line: string): Promise<void> => {
      whole.update(line)
      if (!gzip.write(line)) await Promise.race([once(gzip, 'drain'), failed])
    }
    const manifest = await manifestOf(client)
    await write(`${JSON.stringify(manifest)}\n`)
    const tables: Record<string, Summary> = {}
    for (const table of await listTables(client)) {
      await write(`${JSON.stringify({ table: table.name, columns: table.columns })}\n`)
      const digest = createHash('sha256')
      let count = 0
      await readTable(client, table, async (rows) => {
        const text = rows.map(rowLine).join('')
        digest.update(text)
        count += rows.length
        await write(text)
      })
      tables[table.name] = { rows: count, sha256: digest.digest('hex') }
    }
    const ending: Ending = { end: true, tables, sha256: whole.digest('hex') }
    gzip.end(`${JSON.stringify(ending)}\n`)
    await failed
    await sync(draft)
    await rename(draft, o.file)
    return { tables, manifest }
  } finally {
    await client.end().catch(() => {})
    await rm(draft, { force: true })
  }
}

async function sync(path: string): Promise<void> {
  const handle = await open(path, 'r')
  await handle.sync()
  await handle.close()
}

function damaged(file: string, why: string, cause?: unknown): ReglazeError {
  return new ReglazeError(STORE.STORE_BACKUP_INVALID, `the backup ${file} cannot be used: ${why}`, { place: file, cause })
}

export type BackupLine = { readonly table: Table } | { readonly row: readonly (string | null)[] }

/**
 * Reads a backup from beginning to end, checking everything; calls `each` on the way. Whoever changes something on the way
 * must be able to take it back: only a normal return says that the file is whole.
 */
export async function readBackup(file: string, each: (line: BackupLine, manifest: Manifest) => Promise<void> | void): Promise<{ manifest: Manifest; ending: Ending }> {
  const source = createReadStream(file)
  const gunzip = createGunzip()
  source.on('error', (error) => gunzip.destroy(error))
  const whole = createHash('sha256')
  const counts = new Map<string, { rows: number; digest: ReturnType<typeof createHash> }>()
  let manifest: Manifest | null = null
  let ending: Ending | null = null
  let current: { name: string; width: number } | null = null
  try {
    const lines = createInterface({ input: source.pipe(gunzip), crlfDelay: Infinity })
    let failure: unknown = null
    gunzip.on('error', (error) => {
      failure = error
      lines.close()
    })
    for await (const text of lines) {
      if (ending !== null) throw damaged(file, 'something follows its end')
      const line = JSON.parse(text) as unknown
      if (manifest === null) {
        manifest = checkManifest(file, line)
      } else if (Array.isArray(line)) {
        if (current === null || line.length !== current.width) throw damaged(file, 'a row without its table')
        const seen = counts.get(current.name) as { rows: number; digest: ReturnType<typeof createHash> }
        seen.rows++
        seen.digest.update(`${text}\n`)
        await each({ row: line as (string | null)[] }, manifest)
      } else if ((line as Ending).end === true) {
        ending = line as Ending
        continue
      } else {
        const { table, columns } = line as { table: string; columns: Table['columns'] }
        current = { name: table, width: columns.length }
        counts.set(table, { rows: 0, digest: createHash('sha256') })
        await each({ table: { name: table, columns } }, manifest)
      }
      whole.update(`${text}\n`)
    }
    if (failure !== null) throw failure
  } catch (error) {
    if (error instanceof ReglazeError || (error as { severity?: unknown }).severity !== undefined) throw error
    throw damaged(file, `it is torn or no backup (${(error as Error).message})`, error)
  } finally {
    source.destroy()
    gunzip.destroy()
  }
  if (manifest === null || ending === null) throw damaged(file, 'its end is missing')
  if (ending.sha256 !== whole.digest('hex')) throw damaged(file, 'its content does not fit its digest')
  const found = Object.fromEntries([...counts].map(([name, c]) => [name, { rows: c.rows, sha256: c.digest.digest('hex') }]))
  if (JSON.stringify(found) !== JSON.stringify(ending.tables)) throw damaged(file, 'its tables do not fit their digests')
  return { manifest, ending }
}

function checkManifest(file: string, line: unknown): Manifest {
  const m = line as Partial<Manifest> | null
  if (m?.reglaze !== 'backup' || !Array.isArray(m.schema)) throw damaged(file, 'it is no backup of Reglaze')
  if (m.version !== 1) throw damaged(file, `its format ${String(m.version)} is not known to this release`)
  return m as Manifest
}
