import type { Json } from '../core/index.ts'
import { newId, sql, type Db, type Tx } from '../store/index.ts'
import type { HoldState } from './model.ts'

export interface Hold {
  readonly id: string
  readonly incident_id: string
  readonly automation: string
  readonly connector: string
  readonly target: Record<string, Json>
  readonly place: number
  readonly state: HoldState
  readonly reason: string
  readonly passes: string[]
  readonly held_for: string
  readonly period_ms: string
  readonly expires_at: Date
  readonly expiry_asked: boolean
  readonly prior: Json
  readonly prior_paused: boolean | null
  readonly observed: Json
  readonly observed_at: Date | null
  readonly error: string | null
  readonly held_at: Date | null
  readonly verified_at: Date | null
  readonly reverts: number
  readonly resume_asked_at: Date | null
  readonly resume_sent_at: Date | null
  readonly resumed_at: Date | null
  readonly first_run: Json
  readonly overdue: boolean
  readonly steady_ms: number | null
  readonly resuming_ms: number | null
}
const columns = sql`h.*, h.expires_at <= reglaze.now() as overdue, (extract(epoch from reglaze.now() - h.held_at) * 1000)::float8 as steady_ms, (extract(epoch from reglaze.now() - h.resume_sent_at) * 1000)::float8 as resuming_ms`

export async function ofIncident(db: Db | Tx, incident: string): Promise<Hold[]> {
  return (await sql<Hold>`select ${columns} from holds h where incident_id = ${incident} order by place`.execute(db)).rows
}
export async function live(db: Db | Tx): Promise<Hold[]> {
  return (await sql<Hold>`select ${columns} from holds h where state <> 'resumed' order by requested_at, place`.execute(db)).rows
}
export async function insert(tx: Tx, h: { incident: string; automation: string; connector: string; target: Json; place: number; reason: string; passes: string[]; heldFor: string; periodMs: number; forMs: number }): Promise<string | null> {
  const { rows } = await sql<{ id: string }>`insert into holds (id, incident_id, automation, connector, target, place, reason, passes, held_for, period_ms, expires_at)
    values (${newId('hold')}, ${h.incident}, ${h.automation}, ${h.connector}, ${JSON.stringify(h.target)}::jsonb, ${h.place}, ${h.reason}, ${JSON.stringify(h.passes)}::jsonb, ${h.heldFor}, ${h.periodMs}, reglaze.now() + ${h.forMs} * interval '1 millisecond')
    on conflict do nothing returning id`.execute(tx)
  return rows[0]?.id ?? null
}
export async function capture(tx: Tx, id: string, prior: Json, paused: boolean): Promise<boolean> {
  return (await sql`update holds set prior = ${JSON.stringify(prior)}::jsonb, prior_paused = ${paused} where id = ${id} and prior_paused is null returning id`.execute(tx)).rows.length > 0
}
export interface Change {
  state: HoldState
  observed?: Json
  error?: string | null
  reverted?: boolean
  verified?: boolean
  firstRun?: Json
}
/** Compare-and-set from the state that was read; false when somebody moved it meanwhile. */
export async function change(tx: Tx | Db, h: Hold, c: Change): Promise<boolean> {
  const { rows } = await sql`update holds set state = ${c.state}, error = ${c.error ?? null},
      observed = coalesce(${c.observed === undefined ? null : JSON.stringify(c.observed)}::jsonb, observed),
      observed_at = case when ${c.observed !== undefined} then reglaze.now() else observed_at end,
      held_at = case when ${c.state} = 'held' and state <> 'held' then reglaze.now() else held_at end,
      verified_at = case when ${c.verified ?? false} then coalesce(verified_at, reglaze.now()) when ${c.state} = 'reverted' then null else verified_at end,
      reverts = reverts + ${c.reverted ? 1 : 0},
      first_run = coalesce(${c.firstRun === undefined ? null : JSON.stringify(c.firstRun)}::jsonb, first_run),
      resumed_at = case when ${c.state} = 'resumed' then reglaze.now() else null end,
      resume_asked_at = case when ${c.state} = 'held' and state in ('resuming','stuck') then null else resume_asked_at end,
      resume_sent_at = case when ${c.state} = 'held' and state in ('resuming','stuck') then null else resume_sent_at end
    where id = ${h.id} and state = ${h.state} returning id`.execute(tx)
  return rows.length > 0
}
export async function askResume(tx: Tx, incident: string): Promise<number> {
  return (await sql`update holds set resume_asked_at = reglaze.now() where incident_id = ${incident} and state <> 'resumed' and resume_asked_at is null returning id`.execute(tx)).rows.length
}
export async function stopResume(tx: Tx, incident: string): Promise<void> {
  await sql`update holds set resume_asked_at = null where incident_id = ${incident} and state not in ('resumed','resuming')`.execute(tx)
}
export async function resumeSent(tx: Tx | Db, id: string): Promise<void> {
  await sql`update holds set resume_sent_at = coalesce(resume_sent_at, reglaze.now()) where id = ${id}`.execute(tx)
}
export async function expiryAsked(tx: Tx | Db, id: string): Promise<void> {
  await sql`update holds set expiry_asked = true where id = ${id}`.execute(tx)
}
