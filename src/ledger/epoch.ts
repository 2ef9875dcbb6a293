import { randomBytes } from 'node:crypto'
import { sql, transaction } from '../store/index.ts'
import type { Db } from '../store/index.ts'
import { append } from './entries.ts'

/**
 * Lets the ledger go on under a new name after its past was lost (a failover that dropped the last commits, a lost key). What
 * was signed under the old name stays valid for what it says; nobody can take the two for one log. Recorded as an entry.
 */
export async function beginEpoch(db: Db, o: { actor: string; reason: string }): Promise<void> {
  await transaction(db, async (tx) => {
    const epoch = `epoch-${randomBytes(4).toString('hex')}`
    const { rows } = await sql<{ vkey: string | null; size: string }>`select vkey, size from reglaze.ledger_head for update`.execute(tx)
    await sql`update reglaze.ledger_head set epoch = ${epoch}, vkey = null, signed_size = -1, signed_at = null, exported_size = -1`.execute(tx)
    await append(tx, { kind: 'ledger.epoch', subject: epoch, actor: o.actor, data: { reason: o.reason, before: rows[0]?.vkey ?? null, size: Number(rows[0]?.size ?? 0) } })
  })
}
