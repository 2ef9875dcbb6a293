import type { Json } from '../core/index.ts'
import { newId, sql, type Db, type Tx } from '../store/index.ts'
import { numberOf, type Incident, type Phase } from './model.ts'

export interface PhaseRow {
  phase: Phase
  state: 'active' | 'done'
  evidence: Json
  at: Date
  by_whom: string
}
type Raw = Omit<Incident, 'opened_at' | 'acknowledged_at' | 'alerts_resolved_at' | 'closed_at'> & { opened_at: Date; acknowledged_at: Date | null; alerts_resolved_at: Date | null; closed_at: Date | null }

const iso = (d: Date | null) => (d === null ? null : d.toISOString())
const shape = (r: Raw): Incident => ({ ...r, opened_at: r.opened_at.toISOString(), acknowledged_at: iso(r.acknowledged_at), alerts_resolved_at: iso(r.alerts_resolved_at), closed_at: iso(r.closed_at) })

export async function find(db: Db | Tx, idOrLabel: string): Promise<Incident | null> {
  const number = numberOf(idOrLabel)
  const { rows } = await sql<Raw>`select * from incidents where ${number === null ? sql`id = ${idOrLabel}` : sql`number = ${number}`}`.execute(db)
  return rows[0] ? shape(rows[0]) : null
}
export async function list(db: Db | Tx, all: boolean): Promise<Incident[]> {
  const { rows } = await sql<Raw>`select * from incidents where ${all} or state = 'open' order by number desc limit 500`.execute(db)
  return rows.map(shape)
}
export async function openFor(tx: Tx, service: string): Promise<Incident | null> {
  const { rows } = await sql<Raw>`select * from incidents where state = 'open' and service = ${service} order by number desc limit 1 for update`.execute(tx)
  return rows[0] ? shape(rows[0]) : null
}
/** Null when somebody opened one for the service at the same moment. */
export async function insert(tx: Tx, r: { title: string; service: string; team: string | null; severity: number; openedBy: string; dri: string | null }): Promise<Incident | null> {
  const { rows } = await sql<Raw>`insert into incidents (id, title, service, team, severity, opened_by, dri)
    values (${newId('incident')}, ${r.title}, ${r.service}, ${r.team}, ${r.severity}, ${r.openedBy}, ${r.dri}) on conflict (service) where state = 'open' do nothing returning *`.execute(tx)
  return rows[0] ? shape(rows[0]) : null
}
/** Sets columns of an open incident; returns null when it is not open any more. */
export async function acknowledge(tx: Tx, id: string, person: string): Promise<boolean> {
  const { rows } = await sql`update incidents set acknowledged_at = reglaze.now(), acknowledged_by = ${person}, dri = ${person}
    where id = ${id} and state = 'open' and acknowledged_at is null returning id`.execute(tx)
  return rows.length > 0
}
export async function setDri(tx: Tx, id: string, person: string): Promise<void> {
  await sql`update incidents set dri = ${person} where id = ${id} and state = 'open'`.execute(tx)
}
export async function setAlertsResolved(tx: Tx, id: string, resolved: boolean): Promise<void> {
  await sql`update incidents set alerts_resolved_at = ${resolved ? sql`reglaze.now()` : sql`null`} where id = ${id} and state = 'open'`.execute(tx)
}
/** Whether it is open; keeps it from being closed until the transaction ends. */
export async function stillOpen(tx: Tx, id: string): Promise<boolean> {
  return (await sql`select 1 from incidents where id = ${id} and state = 'open' for share`.execute(tx)).rows.length > 0
}
/** The same for the one who closes it: waits for those who are adding to it, and nobody adds until the transaction ends. */
export async function closing(tx: Tx, id: string): Promise<boolean> {
  return (await sql`select 1 from incidents where id = ${id} and state = 'open' for update`.execute(tx)).rows.length > 0
}
/** One opening at a time for a service: two alerts at once are one incident. */
export async function oneForService(tx: Tx, service: string): Promise<void> {
  await sql`select pg_advisory_xact_lock(hashtextextended(${`incident ${service}`}, 0))`.execute(tx)
}
export async function close(tx: Tx, id: string, by: string): Promise<boolean> {
  const { rows } = await sql`update incidents set state = 'closed', closed_at = reglaze.now(), closed_by = ${by} where id = ${id} and state = 'open' returning id`.execute(tx)
  return rows.length > 0
}
export async function phases(db: Db | Tx, id: string): Promise<PhaseRow[]> {
  return (await sql<PhaseRow>`select phase, state, evidence, at, by_whom from incident_phases where incident_id = ${id}`.execute(db)).rows
}
export async function setPhase(tx: Tx, id: string, phase: Phase, state: 'active' | 'done', evidence: Json, by: string): Promise<void> {
  await sql`insert into incident_phases (incident_id, phase, state, evidence, by_whom) values (${id}, ${phase}, ${state}, ${JSON.stringify(evidence)}::jsonb, ${by})
    on conflict (incident_id, phase) do update set state = excluded.state, evidence = incident_phases.evidence || excluded.evidence, at = reglaze.now(), by_whom = excluded.by_whom`.execute(tx)
}
