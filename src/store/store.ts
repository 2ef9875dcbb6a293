import { join } from 'node:path'
import { sql } from 'kysely'
import pg from 'pg'
import { ReglazeError } from '../core/errors.ts'
import { startCluster } from './cluster.ts'
import type { Cluster } from './cluster.ts'
import { checkServer, connect, sqlState } from './connect.ts'
import type { Db } from './connect.ts'
import { STORE } from './errors.ts'
import { silent } from './log.ts'
import type { Log } from './log.ts'
import { migrate, refuseNewer } from './migrate.ts'
import { startNode } from './nodes.ts'
import type { Node } from './nodes.ts'
import { startPoller } from './poller.ts'
import type { Poller } from './poller.ts'

export interface Store {
  readonly db: Db
  /** For programs that connect themselves; it holds the password of an external database, so it is never logged. */
  readonly url: string
  readonly kind: 'embedded' | 'external'
  readonly serverVersion: string
  /** This incarnation of this process: owner of what it claims. It changes when its lease was lost. */
  readonly nodeId: string
  close(): Promise<void>
}

export interface OpenOptions {
  readonly dataDir: string
  /** An external PostgreSQL >= 14; without it the embedded one in `dataDir/postgres`. */
  readonly databaseUrl?: string | undefined
  readonly log?: Log | undefined
  /** False: refuse nothing but a newer schema, change nothing. */
  readonly migrate?: boolean | undefined
  /** Connections of this process; default 10. */
  readonly poolSize?: number | undefined
  /** A folder with PostgreSQL's programs, or `npm`; overrides REGLAZE_PG_BIN. */
  readonly pgBin?: string | undefined
  /** Accept a database with a movable clock. Only when run from source: a release refuses it always. */
  readonly testClock?: boolean | undefined
}

interface Internals {
  readonly node: Node
  readonly poller: Poller
  readonly log: Log
}
const known = new WeakMap<Store, Internals>()

/** What the store's own modules need of an open store. */
export function internals(store: Store): Internals {
  const found = known.get(store)
  if (found === undefined) throw new Error('not a store made by openStore')
  return found
}

/** The folder of the embedded cluster in a data folder. */
export function embeddedFolder(dataDir: string): string {
  return join(dataDir, 'postgres')
}

const DATABASE = 'reglaze'
const USER = 'reglaze'

/** The embedded cluster of a data folder with its database, started or attached to; not migrated. */
export async function startEmbedded(o: Pick<OpenOptions, 'dataDir' | 'pgBin'>, log: Log): Promise<{ cluster: Cluster; url: string }> {
  const cluster = await startCluster({ dir: embeddedFolder(o.dataDir), user: USER, log, ...(o.pgBin === undefined ? {} : { pgBin: o.pgBin }) })
  const client = new pg.Client({ connectionString: cluster.url, application_name: 'reglaze start' })
  client.on('error', () => {})
  await client.connect()
  try {
    const { rowCount } = await client.query('select from pg_database where datname = $1', [DATABASE])
    if (rowCount === 0) {
      await client.query(`create database ${DATABASE}`).catch((error: unknown) => {
        // Another process was faster.
        if (sqlState(error) !== '42P04' && sqlState(error) !== '23505') throw error
      })
    }
  } finally {
    await client.end()
  }
  return { cluster, url: cluster.socketUrl(DATABASE) }
}

/** Whether this program runs from its source; a release is compiled. */
const FROM_SOURCE = import.meta.url.endsWith('.ts')

async function refuseTestClock(db: Db, allowed: boolean): Promise<void> {
  const { rows } = await sql`select 1 from reglaze.meta where key = 'test_clock'`.execute(db)
  if (rows.length > 0 && !(allowed && FROM_SOURCE)) {
    throw new ReglazeError(STORE.STORE_TEST_CLOCK, 'this database has a movable clock: it was made by a test')
  }
}

/** Others that use this embedded database: connected now, or alive a moment ago (they come back after a restart of it). */
async function othersUse(db: Db, name: string): Promise<boolean> {
  const { rows: nodes } = await sql`select from reglaze.nodes where beat_at > pg_catalog.now() - interval '3 seconds'`.execute(db)
  if (nodes.length > 0) return true
  const { rows } = await sql<{ n: number }>`
    select count(*)::int as n from pg_stat_activity where backend_type = 'client backend' and pid <> pg_backend_pid()
      and application_name not in (${name}, ${`${name} beat`})`.execute(db)
  return (rows[0]?.n ?? 0) > 0
}

let opened = 0
const SHUTTING_DOWN = new Set(['57P01', '57P03', 'ECONNREFUSED', 'ENOENT', 'ECONNRESET'])

function mayPass(error: unknown): boolean {
  for (let e: unknown = error; e instanceof Error; e = e.cause) {
    if (SHUTTING_DOWN.has(String((e as NodeJS.ErrnoException).code)) || /Connection terminated/.test(e.message)) return true
  }
  return false
}

/**
 * Opens the store: the database at `databaseUrl`, or the embedded one in the data folder (started, or attached to when it
 * runs already). Migrates, then registers this process. Safe for several processes at once.
 * Throws the STORE_ errors of errors.ts.
 */
export async function openStore(o: OpenOptions): Promise<Store> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await openOnce(o)
    } catch (error) {
      // The last user of an embedded database may be stopping it at this very moment.
      if (o.databaseUrl !== undefined || attempt >= 3 || !mayPass(error)) throw error
    }
  }
}

async function openOnce(o: OpenOptions): Promise<Store> {
  const log = o.log ?? silent
  const own = o.databaseUrl === undefined ? await startEmbedded(o, log) : null
  const url = o.databaseUrl ?? (own as { url: string }).url
  const name = `reglaze ${process.pid}.${++opened}`
  const db = connect({ url, name, max: o.poolSize ?? 10, log })
  let node: Node
  let serverVersion: string
  try {
    serverVersion = await checkServer(db, url)
    if (o.migrate === false) await refuseNewer(db)
    else await migrate(url, log)
    await refuseTestClock(db, o.testClock === true)
    node = await startNode({ url, name: `${name} beat`, log, ...(own === null ? {} : { revive: async () => void (await startEmbedded(o, log)) }) })
  } catch (error) {
    await db.destroy()
    throw error
  }
  const poller = startPoller(db, (error) => log.debug({ error: String(error) }, 'could not look for due timers'))
  let closing: Promise<void> | null = null
  const close = async (): Promise<void> => {
    await node.stop()
    const last = own !== null && !(await othersUse(db, name).catch(() => true))
    await db.destroy()
    if (last) await own.cluster.stop()
  }
  const store: Store = {
    db, url, serverVersion,
    kind: own === null ? 'external' : 'embedded',
    get nodeId() {
      return node.key
    },
    close: () => (closing ??= close()),
  }
  known.set(store, { node, poller, log })
  return store
}
