import { canonical, type Json } from '../core/index.ts'
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
  /** Under which hold it is held at the target, when an earlier incident holds the same automation; null = its own. */
  readonly lead: string | null
  /** Everybody whom any hold that shares it must let pass. */
  readonly all_passes: string[] | null
}
const columns = sql`h.*, h.expires_at <= reglaze.now() as overdue, (extract(epoch from reglaze.now() - h.held_at) * 1000)::float8 as steady_ms,
  (extract(epoch from reglaze.now() - h.resuming_at) * 1000)::float8 as resuming_ms,
  (select jsonb_agg(distinct p) from holds o, jsonb_array_elements(o.passes) p where o.state <> 'resumed' and coalesce(o.lead, o.id) = coalesce(h.lead, h.id)) as all_passes`

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
/** One decision at a time about one automation, whichever incidents hold it. */
async function oneAtATime(tx: Tx, h: Hold): Promise<void> {
  await sql`select pg_advisory_xact_lock(hashtextextended(${`hold ${h.connector} ${canonical(h.target)}`}, 0))`.execute(tx)
}
/** Another hold on the same automation that is still on, the oldest; only one whose earlier setting is captured counts. */
async function beside(tx: Tx, h: Hold): Promise<{ id: string; incident_id: string } | null> {
  const { rows } = await sql<{ id: string; incident_id: string }>`select id, incident_id from holds where connector = ${h.connector} and target = ${JSON.stringify(h.target)}::jsonb
    and id <> ${h.id} and state <> 'resumed' and prior_paused is not null order by requested_at, id limit 1`.execute(tx)
  return rows[0] ?? null
}
/** Stores the earlier setting once. What another hold has changed is no earlier setting: then that hold's is taken, and its identity at the target. */
export async function capture(tx: Tx, h: Hold, prior: Json, paused: boolean): Promise<{ captured: boolean; sharedWith: string | null }> {
  await oneAtATime(tx, h)
  const other = await beside(tx, h)
  const { rows } = other
    ? await sql`update holds h set prior = o.prior, prior_paused = o.prior_paused, lead = coalesce(o.lead, o.id) from holds o where h.id = ${h.id} and o.id = ${other.id} and h.prior_paused is null returning h.id`.execute(tx)
    : await sql`update holds set prior = ${JSON.stringify(prior)}::jsonb, prior_paused = ${paused} where id = ${h.id} and prior_paused is null returning id`.execute(tx)
  return { captured: rows.length > 0, sharedWith: other?.id ?? null }
}
/** The incident for which the automation stays held although this hold ends; the decision stands until the transaction ends. */
export async function stillHeldFor(tx: Tx, h: Hold): Promise<string | null> {
  await oneAtATime(tx, h)
  return (await beside(tx, h))?.incident_id ?? null
}
export async function one(db: Db | Tx, id: string): Promise<Hold | null> {
  return (await sql<Hold>`select ${columns} from holds h where id = ${id}`.execute(db)).rows[0] ?? null
}
/** Error text of a hold whose resume was called off: it is held again, and that nobody else switched it on is known. */
export const AGAIN = 'its resume was called off'

/** "Pause" on automation that is held already: no earlier than asked for now, and a resume under way is called off. Returns the holds that changed. */
export async function holdAgain(tx: Tx, incident: string, automations: readonly string[], forMs: number): Promise<string[]> {
  const mine = sql`incident_id = ${incident} and automation = any(${[...automations]}::text[]) and state <> 'resumed'`
  const until = sql`reglaze.now() + ${forMs} * interval '1 millisecond'`
  const longer = await sql<{ id: string }>`update holds set expires_at = ${until}, expiry_asked = false where ${mine} and expires_at < ${until} - interval '1 second' returning id`.execute(tx)
  const again = await sql<{ id: string }>`update holds set resume_asked_at = null, resume_sent_at = null, resuming_at = null, first_run = null,
      error = case when state in ('resuming','stuck') then ${AGAIN} else error end, held_at = case when state in ('resuming','stuck') then reglaze.now() else held_at end,
      state = case when state not in ('resuming','stuck') then state when prior_paused is null then state else 'held' end
    where ${mine} and resume_asked_at is not null and prior_paused is not null returning id`.execute(tx)
  return [...new Set([...longer.rows, ...again.rows].map((r) => r.id))]
}
/** A person takes the responsibility for automation whose first run was never seen. */
export async function waiveFirstRun(tx: Tx, incident: string, waived: Json): Promise<void> {
  await sql`update holds set first_run = ${JSON.stringify({ waived })}::jsonb where incident_id = ${incident} and state = 'stuck'`.execute(tx)
}
/** Incidents with live holds that no timer looks after. */
export async function unattended(db: Db | Tx, kind: string): Promise<string[]> {
  const { rows } = await sql<{ id: string }>`select distinct incident_id as id from holds where state <> 'resumed' and not exists (select 1 from reglaze.timers t where t.kind = ${kind} and t.subject = incident_id)`.execute(db)
  return rows.map((r) => r.id)
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
      resuming_at = case when ${c.state} = 'resuming' then coalesce(resuming_at, reglaze.now()) when ${c.state} = 'held' then null else resuming_at end,
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
