import { Kysely, PostgresDialect, sql } from 'kysely'
import type { Transaction } from 'kysely'
import pg from 'pg'
import { ReglazeError } from '../core/errors.ts'
import type { Json } from '../core/json.ts'
import { OLDEST_MAJOR } from './binaries.ts'
import { STORE } from './errors.ts'
import type { Log } from './log.ts'

export type Db = Kysely<unknown>
export type Tx = Transaction<unknown>

const STATEMENT_TIMEOUT_MS = 30_000
/** A transaction that waits for its program stops vacuum and holds its locks: it is ended. */
const IDLE_IN_TRANSACTION_MS = 60_000
const CONNECT_TIMEOUT_MS = 10_000

export interface ConnectOptions {
  readonly url: string
  readonly name: string
  readonly max?: number
  /** 0 = none; for migrations and backups. */
  readonly statementTimeoutMs?: number
  readonly log: Log
}

/** Options that the URL brings along come first; ours are added to them, not put in their place. */
function withOptions(url: string, settings: Record<string, string | number>): { url: string; options: string } {
  const ours = Object.entries(settings).map(([k, v]) => `-c ${k}=${v}`).join(' ')
  const query = url.indexOf('?')
  if (query < 0) return { url, options: ours }
  const params = new URLSearchParams(url.slice(query + 1))
  const theirs = params.get('options')
  params.delete('options')
  const rest = params.toString()
  return { url: url.slice(0, query) + (rest === '' ? '' : `?${rest}`), options: theirs === null ? ours : `${theirs} ${ours}` }
}

/** Connection settings that every connection of ours has: search_path and time limits come with the connection itself. */
export function clientConfig(o: ConnectOptions): pg.ClientConfig {
  const { url, options } = withOptions(o.url, {
    search_path: 'reglaze,public',
    statement_timeout: o.statementTimeoutMs ?? STATEMENT_TIMEOUT_MS,
    idle_in_transaction_session_timeout: IDLE_IN_TRANSACTION_MS,
    timezone: 'UTC',
  })
  return { connectionString: url, options, application_name: o.name, connectionTimeoutMillis: CONNECT_TIMEOUT_MS, keepAlive: true }
}

/** A pool and Kysely on it. A lost idle connection is logged, never thrown: the next query gets a new one. */
export function connect(o: ConnectOptions): Db {
  const pool = new pg.Pool({ ...clientConfig(o), max: o.max ?? 10, idleTimeoutMillis: 30_000 })
  pool.on('error', (error) => o.log.warn({ error: error.message }, 'lost a database connection'))
  pool.on('connect', (client) => client.on('error', (error: Error) => o.log.debug({ error: error.message }, 'database connection ended')))
  return new Kysely<unknown>({ dialect: new PostgresDialect({ pool }) })
}

/** The server's version text. Throws STORE_UNREACHABLE, STORE_TOO_OLD. */
export async function checkServer(db: Db, url: string): Promise<string> {
  let row: { version: string; num: number } | undefined
  try {
    const { rows } = await sql<{ version: string; num: number }>`select current_setting('server_version') as version, current_setting('server_version_num')::int as num`.execute(db)
    row = rows[0]
  } catch (error) {
    throw new ReglazeError(STORE.STORE_UNREACHABLE, `the database ${withoutSecrets(url)} did not answer: ${(error as Error).message}`, { cause: error })
  }
  if (row === undefined || row.num < OLDEST_MAJOR * 10_000) {
    throw new ReglazeError(STORE.STORE_TOO_OLD, `the database server is PostgreSQL ${row?.version}; ${OLDEST_MAJOR} or newer is needed`, { place: withoutSecrets(url) })
  }
  return row.version
}

/** The URL for logs and messages: without user, password and parameters. */
export function withoutSecrets(url: string): string {
  return url.replace(/\/\/[^@/]*@/, '//').replace(/\?.*$/, '')
}

/** A JSON value as a parameter. Use it for every jsonb column: a bare JavaScript array would become a PostgreSQL array. */
export function jsonb(value: Json): ReturnType<typeof sql<Json>> {
  return sql<Json>`${JSON.stringify(value)}::jsonb`
}

/** SQLSTATE of a database error, or null. */
export function sqlState(error: unknown): string | null {
  const code = (error as { code?: unknown } | null)?.code
  return typeof code === 'string' && /^[0-9A-Z]{5}$/.test(code) ? code : null
}

const REPEATABLE = new Set(['40001', '40P01'])

/**
 * Runs `work` in one transaction; a deadlock or serialization failure repeats it (at most 5 times), so `work` must have
 * no effect outside the transaction.
 */
export async function transaction<T>(db: Db, work: (tx: Tx) => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await db.transaction().execute(work)
    } catch (error) {
      if (attempt >= 5 || !REPEATABLE.has(sqlState(error) ?? '')) throw error
    }
  }
}
