import { sql } from 'kysely'
import type { Db, Tx } from './connect.ts'

export interface PokeOptions {
  /** Set the time even when that makes it later. */
  readonly replace?: boolean
}

/**
 * Makes the work `kind` on `subject` due: now, at a time, or in so many milliseconds of the database's clock. One row per
 * (kind, subject): a poke brings it forward to the earlier time, and never loses: while the handler runs, it makes it run again.
 */
export async function poke(tx: Db | Tx, kind: string, subject: string, at?: Date | { inMs: number }, o: PokeOptions = {}): Promise<void> {
  const due = at === undefined ? sql`reglaze.now()` : at instanceof Date ? sql`${at.toISOString()}::timestamptz` : sql`reglaze.now() + make_interval(secs => ${at.inMs / 1000}::float8)`
  const earlier = (column: 'due_at' | 'next_at') => (o.replace === true ? sql`excluded.due_at` : sql`least(t.${sql.raw(column)}, excluded.due_at)`)
  await sql`
    insert into reglaze.timers as t (kind, subject, due_at) values (${kind}, ${subject}, ${due})
    on conflict (kind, subject) do update set
      due_at = case when t.owner is not null then t.due_at when t.cancelled then excluded.due_at else ${earlier('due_at')} end,
      next_at = case when t.owner is not null then ${earlier('next_at')} end,
      cancelled = false`.execute(tx)
}

/** Takes the work away. A handler that runs at this moment finishes, but does not run again. */
export async function unpoke(tx: Db | Tx, kind: string, subject: string): Promise<void> {
  await sql`update reglaze.timers set cancelled = true, next_at = null where kind = ${kind} and subject = ${subject}`.execute(tx)
  await sql`delete from reglaze.timers where kind = ${kind} and subject = ${subject} and owner is null and cancelled`.execute(tx)
}

/** When the work is due next (a running one: its claimed time), or null when there is none. */
export async function dueAt(db: Db | Tx, kind: string, subject: string): Promise<Date | null> {
  const { rows } = await sql<{ due_at: Date }>`select due_at from reglaze.timers where kind = ${kind} and subject = ${subject} and not cancelled`.execute(db)
  return rows[0]?.due_at ?? null
}

/** The one clock of the product: the database's. */
export async function dbNow(db: Db | Tx): Promise<Date> {
  const { rows } = await sql<{ now: Date }>`select reglaze.now() as now`.execute(db)
  return (rows[0] as { now: Date }).now
}
