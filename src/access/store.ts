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
/** Target states from which granting may write; once revoking began, no answer of an earlier grant call changes the row. */
export const GRANT_SIDE: readonly TargetState[] = ['intended', 'granting', 'unknown', 'active']
export const REVOKE_SIDE: readonly TargetState[] = ['revoking', 'stuck']

/** Sets a target that is in one of the states `from`; false when it is not (any more). */
export async function setTarget(tx: Tx | Db, t: Target, s: { state: TargetState; observed?: Json; error?: string | null; attempts?: number }, from: readonly TargetState[]): Promise<boolean> {
  const { rows } = await sql`update grant_targets set state = ${s.state},
      observed = coalesce(${s.observed === undefined ? null : JSON.stringify(s.observed)}::jsonb, observed),
      observed_at = case when ${s.observed !== undefined} then reglaze.now() else observed_at end,
      error = ${s.error ?? null}, attempts = ${s.attempts ?? 0},
      granted_at = case when ${s.state} = 'active' then coalesce(granted_at, reglaze.now()) else granted_at end,
      revoked_at = case when ${s.state} = 'revoked' then reglaze.now() else revoked_at end
    where grant_id = ${t.grant_id} and n = ${t.n} and state = any(${[...from]}::text[]) returning n`.execute(tx)
  return rows.length > 0
}
const IN_FORCE = sql`g.end_asked_at is null and g.expires_at > reglaze.now() and g.state in ('intended','granting','unknown','active')`

/** The intent to call the target, written before the call; false when the grant is not in force any more. */
export async function beginGranting(db: Db | Tx, t: Target): Promise<boolean> {
  const { rows } = await sql`update grant_targets t set state = 'granting', error = null where t.grant_id = ${t.grant_id} and t.n = ${t.n} and t.state = any(${[...GRANT_SIDE]}::text[])
    and exists (select 1 from grants g where g.id = t.grant_id and ${IN_FORCE}) returning n`.execute(db)
  return rows.length > 0
}
/** Whether the target is still to be granted. */
export async function inForce(db: Db | Tx, t: Target): Promise<boolean> {
  const { rows } = await sql`select 1 from grant_targets t join grants g on g.id = t.grant_id
    where t.grant_id = ${t.grant_id} and t.n = ${t.n} and t.state = any(${[...GRANT_SIDE]}::text[]) and ${IN_FORCE}`.execute(db)
  return rows.length > 0
}
/** The intent to revoke; from here on granting writes nothing. Returns the failed tries so far (of revoking, not of granting), null when it is revoked. */
export async function beginRevoking(db: Db | Tx, t: Target): Promise<number | null> {
  const { rows } = await sql<{ attempts: number }>`update grant_targets set attempts = case when state in ('revoking','stuck') then attempts else 0 end, state = case when state = 'stuck' then 'stuck' else 'revoking' end
    where grant_id = ${t.grant_id} and n = ${t.n} and state <> 'revoked' returning attempts`.execute(db)
  return rows[0]?.attempts ?? null
}
const SAME_RIGHT = (t: Target) => sql`o.connector = ${t.connector} and o.principal = ${t.principal} and o.right_wanted = ${JSON.stringify(t.right_wanted)}::jsonb and o.grant_id <> ${t.grant_id}`

/** Another grant in force for the same right of the same principal that lasts at least as long: while it does, the right may be there. */
export async function keptBy(db: Db | Tx, t: Target): Promise<string | null> {
  const { rows } = await sql<{ id: string }>`select g.id from grant_targets o join grants g on g.id = o.grant_id join grants mine on mine.id = ${t.grant_id}
    where ${SAME_RIGHT(t)} and ${IN_FORCE} and o.state in ('granting','unknown','active') and g.expires_at >= mine.expires_at limit 1`.execute(db)
  return rows[0]?.id ?? null
}
/** Whether another grant of the same right is being revoked now: what it takes away may be what this one needs. */
export async function endingBeside(db: Db | Tx, t: Target): Promise<boolean> {
  return (await sql`select 1 from grant_targets o where ${SAME_RIGHT(t)} and o.state in ('revoking','stuck') limit 1`.execute(db)).rows.length > 0
}
/** After this right was taken away: grants in force that need the same one get it anew. Returns their ids. */
export async function regrantBeside(tx: Tx | Db, t: Target): Promise<string[]> {
  const { rows } = await sql<{ id: string }>`update grant_targets o set state = 'granting' from grants g where g.id = o.grant_id and ${SAME_RIGHT(t)} and ${IN_FORCE} and o.state = 'active' returning g.id`.execute(tx)
  return rows.map((r) => r.id)
}
/** Locks a grant's row for the rest of the transaction, so that votes and ends come one after the other. */
export async function locked(tx: Tx, id: string): Promise<Grant | null> {
  await sql`select 1 from grants where id = ${id} for update`.execute(tx)
  return find(tx, id)
}
/** One request at a time for a role of a person in an incident. */
export async function oneAtATime(tx: Tx, ...what: string[]): Promise<void> {
  await sql`select pg_advisory_xact_lock(hashtextextended(${what.join(' ')}, 0))`.execute(tx)
}
/** Why the last look at a grant failed as a whole, e.g. because the person has no account at a target. */
export async function lastError(db: Db | Tx, kind: string, id: string): Promise<string | null> {
  return (await sql<{ last_error: string | null }>`select last_error from reglaze.timers where kind = ${kind} and subject = ${id}`.execute(db)).rows[0]?.last_error ?? null
}
/** Live grants that no timer looks after: there are none, unless somebody changed tables by hand or restored them in part. */
export async function unattended(db: Db | Tx, kind: string): Promise<string[]> {
  const { rows } = await sql<{ id: string }>`select id from grants g where state not in ('requested','revoked','denied','withdrawn') and not exists (select 1 from reglaze.timers t where t.kind = ${kind} and t.subject = g.id)`.execute(db)
  return rows.map((r) => r.id)
}
export async function liveIds(db: Db | Tx, o: { incident?: string | undefined; person?: string | undefined }): Promise<string[]> {
  const { rows } = await sql<{ id: string }>`select id from grants where state not in ('revoked','denied','withdrawn')
    and (${o.incident ?? null}::text is null or incident_id = ${o.incident ?? null}) and (${o.person ?? null}::text is null or person = ${o.person ?? null}) order by requested_at desc`.execute(db)
  return rows.map((r) => r.id)
}
export async function addApproval(tx: Tx, id: string, person: string, decision: 'approve' | 'deny'): Promise<number> {
  await sql`insert into grant_approvals (grant_id, person, decision) values (${id}, ${person}, ${decision}) on conflict do nothing`.execute(tx)
  const { rows } = await sql<{ n: number }>`select count(*)::int as n from grant_approvals where grant_id = ${id} and decision = 'approve'`.execute(tx)
  return rows[0]?.n ?? 0
}
export interface Window {
  grantId: string
  incident: string | null
  person: string
  principals: string[]
  from: Date
  until: Date | null
}
/** When each grant was in force at its targets: what manual modifications are attributed by. `since`: only those that had not ended by then. */
export async function windows(db: Db | Tx, since?: string): Promise<Window[]> {
  return (
    await sql<Window>`select * from (
      select g.id as "grantId", g.incident_id as incident, g.person, array_agg(distinct t.principal) as principals, min(coalesce(t.granted_at, g.requested_at)) as "from",
        case when g.end_asked_at is not null or g.expires_at <= reglaze.now() then least(g.end_asked_at, g.expires_at) end as until
      from grants g join grant_targets t on t.grant_id = g.id group by g.id) w
      where ${since ?? null}::timestamptz is null or until is null or until >= ${since ?? null}::timestamptz - interval '1 day'`.execute(db)
  ).rows
}
