import { newId, sql, type Db, type Tx } from '../store/index.ts'
import type { Incoming, Routed } from './alertmanager.ts'
import type { Alert, AlertState, DeliveryState, Override } from './model.ts'

/** SQL of deliveries, alerts and overrides. */

export interface DeliveryRow {
  id: string
  source: string
  received_at: Date
  body: Buffer
  state: DeliveryState
  reason: string | null
  alerts: number | null
  truncated: number
}

export interface NewDelivery {
  readonly id: string
  readonly source: string
  readonly body: Uint8Array
  readonly contentType: string | null
  readonly userAgent: string | null
}
/** Stores deliveries and makes their processing due, in one statement. */
export async function insertDeliveries(db: Db | Tx, kind: string, list: readonly NewDelivery[]): Promise<void> {
  await sql`with stored as (
      insert into deliveries (id, source, body, content_type, user_agent)
      select * from unnest(${list.map((d) => d.id)}::text[], ${list.map((d) => d.source)}::text[], ${list.map((d) => Buffer.from(d.body))}::bytea[], ${list.map((d) => d.contentType)}::text[], ${list.map((d) => d.userAgent)}::text[])
      returning id)
    insert into reglaze.timers (kind, subject, due_at) select ${kind}, id, reglaze.now() from stored`.execute(db)
}
export async function lockDelivery(tx: Tx, id: string): Promise<DeliveryRow | null> {
  const { rows } = await sql<DeliveryRow>`select * from deliveries where id = ${id} for update`.execute(tx)
  return rows[0] ?? null
}
export async function finishDelivery(tx: Tx, id: string, r: { state: 'processed' | 'dead'; alerts: number; truncated: number; reason: string | null }): Promise<void> {
  await sql`update deliveries set state = ${r.state}, alerts = ${r.alerts}, truncated = ${r.truncated}, reason = ${r.reason}, processed_at = reglaze.now()
    where id = ${id} and state = 'stored'`.execute(tx)
}
export async function reviveDelivery(tx: Tx, id: string): Promise<boolean> {
  const { rows } = await sql`update deliveries set state = 'stored', reason = null, processed_at = null where id = ${id} and state = 'dead' returning id`.execute(tx)
  return rows.length > 0
}
export async function deadLetters(db: Db, limit: number): Promise<DeliveryRow[]> {
  return (await sql<DeliveryRow>`select * from deliveries where state = 'dead' order by received_at desc limit ${limit}`.execute(db)).rows
}
export async function findDelivery(db: Db, id: string): Promise<DeliveryRow | null> {
  return (await sql<DeliveryRow>`select * from deliveries where id = ${id}`.execute(db)).rows[0] ?? null
}

interface AlertRow {
  id: string
  source: string
  fingerprint: string
  starts_at: Date
  state: AlertState
  ends_at: Date | null
  severity: number | null
  title: string
  labels: Record<string, string>
  annotations: Record<string, string>
  generator_url: string | null
  service: string
  team: string
  routed_by: Record<string, string> | null
  incident_id: string | null
  first_seen: Date
  last_seen: Date
  deliveries: number
}
/** An alert with what only the lists show. */
export interface AlertView extends Alert {
  readonly firstSeen: string
  /** Last sign of life from the sender. */
  readonly lastSeen: string
  readonly deliveries: number
}

function shape(r: AlertRow): AlertView {
  return {
    id: r.id, source: r.source, fingerprint: r.fingerprint, startsAt: r.starts_at.toISOString(), state: r.state, endsAt: r.ends_at?.toISOString() ?? null,
    severity: r.severity, title: r.title, labels: r.labels, annotations: r.annotations, generatorUrl: r.generator_url, service: r.service, team: r.team,
    routedBy: r.routed_by, incident: r.incident_id, firstSeen: r.first_seen.toISOString(), lastSeen: r.last_seen.toISOString(), deliveries: r.deliveries,
  }
}

/**
 * Writes the alerts of one delivery in one statement, and returns those that began with it (new and firing) and those that
 * it resolved. An episode that is already resolved stays so whatever comes later, so the result does not depend on the
 * order of deliveries. Rows are locked in the order of their identity: two deliveries at once cannot block each other.
 */
export async function upsertAlerts(tx: Tx, delivery: { id: string; source: string }, alerts: readonly (Incoming & Routed)[]): Promise<{ began: Alert[]; resolved: Alert[] }> {
  const ordered = alerts.toSorted((a, b) => (a.fingerprint + a.startsAt < b.fingerprint + b.startsAt ? -1 : 1)).map((a) => ({ ...a, id: newId('alert') }))
  const { rows } = await sql<AlertRow & { fresh: boolean; just_resolved: boolean | null }>`
    insert into alerts as a (id, source, fingerprint, starts_at, state, ends_at, severity, title, labels, annotations, generator_url, service, team, routed_by,
      first_delivery, last_delivery, resolved_delivery, resolved_at)
    select r.id, ${delivery.source}, r."fingerprint", r."startsAt", r."state", r."endsAt", r."severity", r."title", r."labels", r."annotations", r."generatorUrl",
      r."service", r."team", nullif(r."routedBy", 'null'), ${delivery.id}, ${delivery.id},
      case when r."state" = 'resolved' then ${delivery.id} end, case when r."state" = 'resolved' then reglaze.now() end
    from jsonb_to_recordset(${JSON.stringify(ordered)}::jsonb) as r(id text, "fingerprint" text, "startsAt" timestamptz, "state" text, "endsAt" timestamptz,
      "severity" int, "title" text, "labels" jsonb, "annotations" jsonb, "generatorUrl" text, "service" text, "team" text, "routedBy" jsonb)
    order by r."fingerprint", r."startsAt"
    on conflict (source, fingerprint, starts_at) do update set
      state = case when a.state = 'resolved' then 'resolved' else excluded.state end,
      ends_at = coalesce(a.ends_at, excluded.ends_at),
      resolved_at = coalesce(a.resolved_at, excluded.resolved_at),
      resolved_delivery = coalesce(a.resolved_delivery, excluded.resolved_delivery),
      annotations = case when a.state = 'resolved' then a.annotations else excluded.annotations end,
      title = case when a.state = 'resolved' then a.title else excluded.title end,
      last_seen = reglaze.now(), last_delivery = excluded.last_delivery, deliveries = a.deliveries + 1
    returning *, (xmax = 0) as fresh, (resolved_delivery = ${delivery.id} and resolved_at = reglaze.now()) as just_resolved`.execute(tx)
  return {
    began: rows.filter((r) => r.fresh && r.state === 'firing').map(shape),
    resolved: rows.filter((r) => r.just_resolved === true).map(shape),
  }
}
export async function attach(tx: Tx, alerts: readonly string[], incident: string): Promise<void> {
  await sql`update alerts set incident_id = ${incident} where id = any(${alerts as string[]}::text[])`.execute(tx)
}
export async function stillFiring(db: Db | Tx, incident: string): Promise<number> {
  const { rows } = await sql<{ n: number }>`select count(*)::int as n from alerts where incident_id = ${incident} and state = 'firing'`.execute(db)
  return rows[0]?.n ?? 0
}
export async function findAlert(db: Db, id: string): Promise<AlertView | null> {
  const { rows } = await sql<AlertRow>`select * from alerts where id = ${id}`.execute(db)
  return rows[0] ? shape(rows[0]) : null
}
export async function listAlerts(db: Db | Tx, f: { state?: AlertState | undefined; incident?: string | undefined; service?: string | undefined; limit: number }): Promise<AlertView[]> {
  const { rows } = await sql<AlertRow>`select * from alerts where (${f.state ?? null}::text is null or state = ${f.state ?? null})
    and (${f.incident ?? null}::text is null or incident_id = ${f.incident ?? null}) and (${f.service ?? null}::text is null or service = ${f.service ?? null})
    order by severity nulls last, starts_at limit ${f.limit}`.execute(db)
  return rows.map(shape)
}

export interface OverrideRow extends Override {
  readonly schedule: string
  readonly reason: string
  readonly createdBy: string
}
interface RawOverride {
  id: string
  schedule: string
  person: string
  replaces: string | null
  from_at: Date
  to_at: Date
  reason: string
  created_by: string
}
/** Overrides in force, oldest first: that is the order in which they are applied. */
export async function overrides(db: Db | Tx, f: { schedule?: string; endsAfter?: Date } = {}): Promise<OverrideRow[]> {
  const { rows } = await sql<RawOverride>`select * from schedule_overrides where deleted_at is null
    and (${f.schedule ?? null}::text is null or schedule = ${f.schedule ?? null})
    and (${f.endsAfter?.toISOString() ?? null}::timestamptz is null or to_at > ${f.endsAfter?.toISOString() ?? null}::timestamptz)
    order by created_at, id`.execute(db)
  return rows.map(({ from_at, to_at, created_by, ...o }) => ({ ...o, from: from_at.getTime(), to: to_at.getTime(), createdBy: created_by }))
}
export async function insertOverride(tx: Tx, o: Omit<OverrideRow, 'id'>): Promise<OverrideRow> {
  // An override is an event of its schedule, and its id says what it is.
  const id = newId('override')
  await sql`insert into schedule_overrides (id, schedule, person, replaces, from_at, to_at, reason, created_by)
    values (${id}, ${o.schedule}, ${o.person}, ${o.replaces}, ${new Date(o.from)}, ${new Date(o.to)}, ${o.reason}, ${o.createdBy})`.execute(tx)
  return { ...o, id }
}
export async function deleteOverride(tx: Tx, id: string, by: string): Promise<boolean> {
  const { rows } = await sql`update schedule_overrides set deleted_at = reglaze.now(), deleted_by = ${by} where id = ${id} and deleted_at is null returning id`.execute(tx)
  return rows.length > 0
}
