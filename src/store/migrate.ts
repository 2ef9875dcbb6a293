import { Migrator, sql } from 'kysely'
import { ReglazeError } from '../core/errors.ts'
import { connect } from './connect.ts'
import type { Db } from './connect.ts'
import { STORE } from './errors.ts'
import type { Log } from './log.ts'
import { migrations } from './migrations/index.ts'
import type { Migration } from './migrations/index.ts'

/** Names of the migrations that this database has had; empty for a new one. */
export async function appliedMigrations(db: Db): Promise<string[]> {
  const { rows: found } = await sql<{ there: boolean }>`select to_regclass('reglaze.kysely_migration') is not null as there`.execute(db)
  if (found[0]?.there !== true) return []
  const { rows } = await sql<{ name: string }>`select name from reglaze.kysely_migration order by name`.execute(db)
  return rows.map((r) => r.name)
}

/** Throws STORE_NEWER_SCHEMA when the database knows a migration that this program does not. */
export async function refuseNewer(db: Db, known: readonly Migration[] = migrations): Promise<void> {
  const names = new Set(known.map((m) => m.name))
  const unknown = (await appliedMigrations(db)).filter((name) => !names.has(name))
  if (unknown.length > 0) {
    throw new ReglazeError(STORE.STORE_NEWER_SCHEMA, `the database has migrations that this release does not know: ${unknown.join(', ')}`, { data: { unknown } })
  }
}

/**
 * Brings the schema to this release. Several processes may do it at once: one applies, the others wait for it.
 * All steps are one transaction. Throws STORE_NEWER_SCHEMA, STORE_MIGRATION_FAILED.
 */
export async function migrate(url: string, log: Log, known: readonly Migration[] = migrations): Promise<string[]> {
  const db = connect({ url, name: 'reglaze migrate', max: 1, statementTimeoutMs: 0, log })
  try {
    await refuseNewer(db, known)
    const applied = new Set(await appliedMigrations(db))
    if (known.every((m) => applied.has(m.name))) return []
    const migrator = new Migrator({
      db,
      migrationTableSchema: 'reglaze',
      // Parts number their own migrations; a lower number may come later than a higher one.
      allowUnorderedMigrations: true,
      provider: {
        getMigrations: async () => Object.fromEntries(known.map((m) => [m.name, { up: async (on: Db) => void (await sql.raw(m.up).execute(on)) }])),
      },
    })
    const { error, results } = await migrator.migrateToLatest()
    if (error !== undefined) {
      // Somebody newer may have finished between our look and our turn.
      await refuseNewer(db, known)
      const failed = results?.find((r) => r.status === 'Error')?.migrationName
      throw new ReglazeError(STORE.STORE_MIGRATION_FAILED, `migration ${failed ?? ''} failed: ${error instanceof Error ? error.message : JSON.stringify(error)}`, { cause: error })
    }
    const done = (results ?? []).map((r) => r.migrationName)
    if (done.length > 0) log.info({ migrations: done }, 'schema brought up to date')
    return done
  } finally {
    await db.destroy()
  }
}
