import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { sql } from 'kysely'
import { ReglazeError } from '../core/errors.ts'
import { backup, longClient } from './backup.ts'
import { connect, withoutSecrets } from './connect.ts'
import { STORE } from './errors.ts'
import { silent } from './log.ts'
import type { Log } from './log.ts'
import { enterObserveOnly } from './meta.ts'
import { restore } from './restore.ts'
import { summarize } from './tables.ts'
import type { Summary } from './tables.ts'
import type { Store } from './store.ts'

function differences(a: Record<string, Summary>, b: Record<string, Summary>): string[] {
  return [...new Set([...Object.keys(a), ...Object.keys(b)])].filter((t) => a[t]?.rows !== b[t]?.rows || a[t]?.sha256 !== b[t]?.sha256).sort()
}

/**
 * Moves everything to another, empty database (usually from the embedded to an external one). The source must stand still: no other process
 * uses it, and its rows are the same before and after. The target is then the same store, at normal work; the source is left
 * in observe-only mode, so that it cannot act a second time. Throws STORE_MOVE_MISMATCH, STORE_NOT_EMPTY.
 */
export async function moveTo(store: Store, o: { databaseUrl: string; dataDir: string; log?: Log }): Promise<{ rows: number; tables: number }> {
  const log = o.log ?? silent
  const { rows: others } = await sql<{ key: string }>`select key from reglaze.nodes where key <> ${store.nodeId} and beat_at > pg_catalog.now() - interval '3 seconds'`.execute(store.db)
  if (others.length > 0) throw new ReglazeError(STORE.STORE_MOVE_MISMATCH, `other processes use the source: ${others.map((r) => r.key).join(', ')}`, { hint: 'Stop them, then move.' })
  const file = join(o.dataDir, `move-${process.pid}.backup`)
  try {
    const before = await backup({ url: store.url, file, log })
    const moved = await restore({ url: o.databaseUrl, file, log, observeOnly: false })
    const source = await longClient(store.url, log)
    const after = await summarize(source).finally(() => source.end())
    const wrong = [...new Set([...differences(before.tables, moved.tables), ...differences(before.tables, after)])]
    if (wrong.length > 0) {
      const target = connect({ url: o.databaseUrl, name: 'reglaze move', max: 1, log })
      await enterObserveOnly(target, 'moved here while the source still changed').finally(() => target.destroy())
      throw new ReglazeError(STORE.STORE_MOVE_MISMATCH, `source and target differ in ${wrong.join(', ')}`, { data: { tables: wrong } })
    }
    await enterObserveOnly(store.db, `moved to ${withoutSecrets(o.databaseUrl)}`)
    return { rows: Object.values(moved.tables).reduce((n, t) => n + t.rows, 0), tables: Object.keys(moved.tables).length }
  } finally {
    rmSync(file, { force: true })
  }
}
