import type { Json } from '../core/index.ts'
import { newId, sql, type Db, type Tx } from '../store/index.ts'
import type { Decision } from './decide.ts'
import type { EndReason, GrantState, Level, TargetState } from './model.ts'

export interface Grant {
  readonly id: string
  readonly incident_id: string | null
  readonly role: string
  readonly role_text: { targets: { connector: string; right: Record<string, Json> }[] }
  readonly person: string
  readonly reason: string
  readonly state: GrantState
  readonly decision: Json
  readonly approvals_needed: number
  readonly approvers: string[]
  readonly requested_at: Date
  readonly requested_ms: string
  readonly expires_at: Date | null
  readonly hard_end: Date | null
  readonly active_at: Date | null
  readonly end_asked_at: Date | null
  readonly end_reason: EndReason | null
  readonly revoked_at: Date | null
  readonly level: Level | null
  /** Whether the deadline has passed by the database's clock. */
  readonly overdue: boolean
  readonly ms_left: number | null
}
export interface Target {
  readonly grant_id: string
  readonly n: number
  readonly connector: string
  readonly right_wanted: Record<string, Json>
  readonly principal: string
  readonly prior: Record<string, Json>
  readonly state: TargetState
  readonly observed: Json
  readonly observed_at: Date | null
  readonly attempts: number
  readonly error: string | null
  readonly granted_at: Date | null
  readonly revoked_at: Date | null
}

const columns = sql`g.*, coalesce(g.expires_at <= reglaze.now(), false) as overdue, (extract(epoch from g.expires_at - reglaze.now()) * 1000)::float8 as ms_left`

export async function find(db: Db | Tx, id: string): Promise<Grant | null> {
  return (await sql<Grant>`select ${columns} from grants g where id = ${id}`.execute(db)).rows[0] ?? null
}
export async function list(db: Db | Tx, o: { all?: boolean; incident?: string | undefined; person?: string | undefined }): Promise<Grant[]> {
  return (
    await sql<Grant>`select ${columns} from grants g
      where (${o.all ?? false} or state not in ('revoked','denied','withdrawn'))
        and (${o.incident ?? null}::text is null or incident_id = ${o.incident ?? null})
        and (${o.person ?? null}::text is null or person = ${o.person ?? null})
      order by requested_at desc limit 1000`.execute(db)
  ).rows
}
export async function targets(db: Db | Tx, grantId: string): Promise<Target[]> {
  return (await sql<Target>`select * from grant_targets where grant_id = ${grantId} order by n`.execute(db)).rows
}
export async function insert(tx: Tx, g: { incident: string; role: string; roleText: Json; person: string; reason: string; ms: number; decision: Decision }): Promise<string> {
  const id = newId('grant')
  await sql`insert into grants (id, incident_id, role, role_text, person, reason, requested_ms, decision, approvals_needed, approvers)
    values (${id}, ${g.incident}, ${g.role}, ${JSON.stringify(g.roleText)}::jsonb, ${g.person}, ${g.reason}, ${g.ms}, ${JSON.stringify(g.decision)}::jsonb, ${g.decision.approvals}, ${JSON.stringify(g.decision.approvers)}::jsonb)`.execute(tx)
  return id
}
/** Compare-and-set of the state; false when somebody else moved it meanwhile. */
export async function move(tx: Tx | Db, id: string, from: GrantState, to: GrantState): Promise<boolean> {
  return (await sql`update grants set state = ${to} where id = ${id} and state = ${from} returning id`.execute(tx)).rows.length > 0
}
export async function approve(tx: Tx, id: string, maxMs: number): Promise<boolean> {
  const { rows } = await sql`update grants set state = 'approved', expires_at = reglaze.now() + least(requested_ms, ${maxMs}) * interval '1 millisecond',
    hard_end = reglaze.now() + ${maxMs} * interval '1 millisecond' where id = ${id} and state = 'requested' returning id`.execute(tx)
  return rows.length > 0
}
export async function activated(tx: Tx, id: string): Promise<void> {
  await sql`update grants set active_at = coalesce(active_at, reglaze.now()) where id = ${id}`.execute(tx)
}
export async function askEnd(tx: Tx, id: string, reason: EndReason): Promise<boolean> {
  const { rows } = await sql`update grants set end_asked_at = reglaze.now(), end_reason = ${reason}
    where id = ${id} and end_asked_at is null and state not in ('revoked','denied','withdrawn','requested') returning id`.execute(tx)
  return rows.length > 0
}
export async function revoked(tx: Tx, id: string, from: GrantState, level: Level): Promise<boolean> {
  const { rows } = await sql`update grants set state = 'revoked', revoked_at = reglaze.now(), level = ${level} where id = ${id} and state = ${from} returning id`.execute(tx)
  return rows.length > 0
}
export async function addTarget(tx: Tx, t: { grant: string; n: number; connector: string; right: Json; principal: string; prior: Json }): Promise<void> {
  await sql`insert into grant_targets (grant_id, n, connector, right_wanted, principal, prior)
    values (${t.grant}, ${t.n}, ${t.connector}, ${JSON.stringify(t.right)}::jsonb, ${t.principal}, ${JSON.stringify(t.prior)}::jsonb) on conflict do nothing`.execute(tx)
}
export async function setTarget(tx: Tx | Db, t: Target, s: { state: TargetState; observed?: Json; error?: string | null; attempts?: number }): Promise<void> {
  await sql`update grant_targets set state = ${s.state},
      observed = coalesce(${s.observed === undefined ? null : JSON.stringify(s.observed)}::jsonb, observed),
      observed_at = case when ${s.observed !== undefined} then reglaze.now() else observed_at end,
      error = ${s.error ?? null}, attempts = ${s.attempts ?? 0},
      granted_at = case when ${s.state} = 'active' then coalesce(granted_at, reglaze.now()) else granted_at end,
      revoked_at = case when ${s.state} = 'revoked' then reglaze.now() else revoked_at end
    where grant_id = ${t.grant_id} and n = ${t.n}`.execute(tx)
}
/** Another grant in force that needs the same right of the same principal, ending later. */
export async function keptBy(db: Db | Tx, t: Target): Promise<string | null> {
  const { rows } = await sql<{ id: string }>`select g.id from grant_targets o join grants g on g.id = o.grant_id join grants mine on mine.id = ${t.grant_id}
    where o.connector = ${t.connector} and o.principal = ${t.principal} and o.right_wanted = ${JSON.stringify(t.right_wanted)}::jsonb and g.id <> ${t.grant_id}
      and g.state in ('granting','unknown','active') and g.end_asked_at is null and g.expires_at > greatest(mine.expires_at, reglaze.now()) limit 1`.execute(db)
  return rows[0]?.id ?? null
}
export async function addApproval(tx: Tx, id: string, person: string, decision: 'approve' | 'deny'): Promise<number> {
  await sql`insert into grant_approvals (grant_id, person, decision) values (${id}, ${person}, ${decision}) on conflict do nothing`.execute(tx)
  const { rows } = await sql<{ n: number }>`select count(*)::int as n from grant_approvals where grant_id = ${id} and decision = 'approve'`.execute(tx)
  return rows[0]?.n ?? 0
}
export interface Window {
  grantId: string
  person: string
  principals: string[]
  from: Date
  until: Date | null
}
/** When each grant was in force at its targets: what manual modifications are attributed by. */
export async function windows(db: Db | Tx): Promise<Window[]> {
  return (
    await sql<Window>`select g.id as "grantId", g.person, array_agg(distinct t.principal) as principals, min(coalesce(t.granted_at, g.requested_at)) as "from",
        coalesce(g.end_asked_at, g.revoked_at, case when g.expires_at <= reglaze.now() then g.expires_at end) as until
      from grants g join grant_targets t on t.grant_id = g.id group by g.id`.execute(db)
  ).rows
}
