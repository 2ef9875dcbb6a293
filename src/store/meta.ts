import { sql } from 'kysely'
import { jsonb, transaction } from './connect.ts'
import type { Db, Tx } from './connect.ts'

export interface ObserveOnly {
  readonly since: string
  readonly reason: string
}

/**
 * Set when this store may not be the truth any more (restored from a backup, moved away): the server then observes, but
 * grants, pages and resumes nothing. Null = normal work. Every loop that changes something outside asks it first.
 */
export async function observeOnly(db: Db | Tx): Promise<ObserveOnly | null> {
  const { rows } = await sql<{ value: { reason: string }; set_at: Date }>`select value, set_at from reglaze.meta where key = 'observe_only'`.execute(db)
  return rows[0] === undefined ? null : { since: rows[0].set_at.toISOString(), reason: rows[0].value.reason }
}

export async function enterObserveOnly(db: Db | Tx, reason: string): Promise<void> {
  await sql`insert into reglaze.meta (key, value) values ('observe_only', ${jsonb({ reason })}) on conflict (key) do nothing`.execute(db)
}

/** Back to normal work, by a person who compared the targets with the ledger. False when it was normal already. */
export async function leaveObserveOnly(db: Db, o: { actor: string; note: string }): Promise<boolean> {
  return transaction(db, async (tx) => {
    const { numAffectedRows } = await sql`delete from reglaze.meta where key = 'observe_only'`.execute(tx)
    if ((numAffectedRows ?? 0n) === 0n) return false
    await sql`insert into reglaze.meta (key, value) values ('observe_only_left', ${jsonb({ actor: o.actor, note: o.note })})
      on conflict (key) do update set value = excluded.value, set_at = reglaze.now()`.execute(tx)
    return true
  })
}
