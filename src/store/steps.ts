import { sql } from 'kysely'
import type { Json } from '../core/json.ts'
import { jsonb } from './connect.ts'
import type { Db, Tx } from './connect.ts'

/**
 * Runs one step of a flow once: a recorded result is returned without running. Between the effect and its record a kill
 * may strike, so `run` must be repeatable. Of two that finish at once, the first recorded result counts for both.
 */
export async function step<T extends Json>(db: Db | Tx, flow: string, key: string, run: () => Promise<T>): Promise<T> {
  const recorded = async (): Promise<{ result: T } | undefined> => {
    const { rows } = await sql<{ result: T }>`select result from reglaze.steps where flow = ${flow} and key = ${key}`.execute(db)
    return rows[0]
  }
  const before = await recorded()
  if (before !== undefined) return before.result
  const result = await run()
  const { rows } = await sql<{ result: T }>`
    insert into reglaze.steps (flow, key, result) values (${flow}, ${key}, ${jsonb(result ?? null)})
    on conflict (flow, key) do nothing returning result`.execute(db)
  return (rows[0] ?? ((await recorded()) as { result: T })).result
}

/** The recorded results of a flow, by step. */
export async function steps(db: Db | Tx, flow: string): Promise<Map<string, Json>> {
  const { rows } = await sql<{ key: string; result: Json }>`select key, result from reglaze.steps where flow = ${flow} order by done_at`.execute(db)
  return new Map(rows.map((r) => [r.key, r.result]))
}

/** Forgets a flow, so that it runs from its beginning; for one step: only that. */
export async function forgetSteps(db: Db | Tx, flow: string, key?: string): Promise<void> {
  await (key === undefined ? sql`delete from reglaze.steps where flow = ${flow}` : sql`delete from reglaze.steps where flow = ${flow} and key = ${key}`).execute(db)
}
