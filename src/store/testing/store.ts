import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import { afterAll, afterEach, beforeAll, beforeEach } from 'vitest'
import { removeCluster, startCluster } from '../cluster.ts'
import type { Cluster } from '../cluster.ts'
import { sql } from '../index.ts'
import type { Store } from '../index.ts'
import { silent } from '../log.ts'
import { migrate } from '../migrate.ts'
import { openStore } from '../store.ts'
import type { OpenOptions } from '../store.ts'

/** Makes reglaze.now() movable in this database. A release refuses such a database. */
export const MOVABLE_CLOCK = `
create table reglaze.test_clock (ahead interval not null);
insert into reglaze.test_clock values ('0');
create or replace function reglaze.now() returns timestamptz language sql stable as $$
  select pg_catalog.now() + (select ahead from reglaze.test_clock) $$;
insert into reglaze.meta (key, value) values ('test_clock', 'true');
`

export interface TestStore {
  /** A new, empty, migrated database for each test. */
  readonly store: Store
  /** Where a second process can open the same database. */
  readonly url: string
  readonly dataDir: string
  readonly cluster: Cluster
  /** Moves the clock of the database (reglaze.now()) on. */
  advance(ms: number): Promise<void>
  /** A second open store on the same database, as another process would have; closed after the test. */
  another(o?: Partial<OpenOptions>): Promise<Store>
}

async function admin(cluster: Cluster, statements: readonly string[], database = 'postgres'): Promise<void> {
  const client = new pg.Client({ connectionString: cluster.socketUrl(database) })
  client.on('error', () => {})
  await client.connect()
  try {
    for (const statement of statements) await client.query(statement)
  } finally {
    await client.end()
  }
}

/**
 * Real PostgreSQL for the tests of one file: one cluster (ends with this process, however it ends), one database per test,
 * with a movable clock unless `clock: false`. Call it once at the top of a `describe` or file.
 */
export function useTestStore(o: { clock?: boolean; pgBin?: string } = {}): TestStore {
  let cluster: Cluster
  let folder: string
  let store: Store
  let database: string
  const others: Store[] = []
  const open = (extra: Partial<OpenOptions> = {}): Promise<Store> => openStore({ dataDir: folder, databaseUrl: cluster.socketUrl(database), testClock: true, ...extra })

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'reglaze-test-'))
    cluster = await startCluster({ dir: join(folder, 'cluster'), withParent: true, ...(o.pgBin === undefined ? {} : { pgBin: o.pgBin }) })
    await admin(cluster, ['alter system set fsync = off', 'select pg_reload_conf()', 'create database template_store'])
    await migrate(cluster.socketUrl('template_store'), silent)
    if (o.clock !== false) await admin(cluster, [MOVABLE_CLOCK], 'template_store')
  })
  beforeEach(async () => {
    database = `t_${randomBytes(6).toString('hex')}`
    await admin(cluster, [`create database ${database} template template_store`])
    store = await open()
  })
  afterEach(async () => {
    for (const other of others.splice(0)) await other.close()
    await store.close()
    await admin(cluster, [`drop database ${database} with (force)`])
  })
  afterAll(async () => {
    await removeCluster(join(folder, 'cluster'))
    rmSync(folder, { recursive: true, force: true })
  })
  return {
    get store() {
      return store
    },
    get url() {
      return cluster.socketUrl(database)
    },
    get dataDir() {
      return folder
    },
    get cluster() {
      return cluster
    },
    async advance(ms) {
      await sql`update reglaze.test_clock set ahead = ahead + make_interval(secs => ${ms / 1000}::float8)`.execute(store.db)
    },
    async another(extra) {
      const made = await open(extra)
      others.push(made)
      return made
    },
  }
}
