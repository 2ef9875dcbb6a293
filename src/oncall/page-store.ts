import { createHash } from 'node:crypto'
import { jsonb, newId, poke, sql, type Db, type Tx } from '../store/index.ts'
import type { Json } from '../core/index.ts'
import type { PageState, PagingState } from './model.ts'

/** SQL of pagings and pages. */

export interface Paging {
  incident_id: string
  first_page: string
  service: string
  team: string
  schedule: string
  escalation: string
  dri: string
  state: PagingState
  round: number
  step: number
  next_at: Date | null
  acknowledged_at: Date | null
  acknowledged_by: string | null
  acknowledged_page: string | null
  reason: string | null
}
export interface Page {
  id: string
  incident_id: string
  person: string
  responsible: boolean
  state: PageState
  round: number
  step: number
  why: Json
  ack_token: string | null
  subject: string | null
  receipt: string | null
  attempts: number
  error: string | null
  created_at: Date
  sent_at: Date | null
  acknowledged_at: Date | null
  acknowledged_by: string | null
}

export async function findPaging(db: Db | Tx, incident: string): Promise<Paging | null> {
  return (await sql<Paging>`select * from pagings where incident_id = ${incident}`.execute(db)).rows[0] ?? null
}
/** Locks the paging row: everything that changes a paging or its pages goes through this lock. */
export async function lockPaging(tx: Tx, by: { incident: string } | { firstPage: string }): Promise<Paging | null> {
  const where = 'incident' in by ? sql`incident_id = ${by.incident}` : sql`first_page = ${by.firstPage}`
  return (await sql<Paging>`select * from pagings where ${where} for update`.execute(tx)).rows[0] ?? null
}
export async function startPaging(tx: Tx, p: Pick<Paging, 'incident_id' | 'first_page' | 'service' | 'team' | 'schedule' | 'escalation' | 'dri' | 'step'>, nextInMs: number): Promise<void> {
  await sql`insert into pagings (incident_id, first_page, service, team, schedule, escalation, dri, step, next_at)
    values (${p.incident_id}, ${p.first_page}, ${p.service}, ${p.team}, ${p.schedule}, ${p.escalation}, ${p.dri}, ${p.step}, reglaze.now() + make_interval(secs => ${nextInMs / 1000}::float8))
    on conflict (incident_id) do update set state = 'running', reason = null, dri = excluded.dri, first_page = excluded.first_page, schedule = excluded.schedule,
      escalation = excluded.escalation, round = 0, step = excluded.step, next_at = excluded.next_at`.execute(tx)
}
export async function movePaging(tx: Tx, incident: string, to: { round: number; step: number; nextInMs: number }): Promise<void> {
  await sql`update pagings set round = ${to.round}, step = ${to.step}, next_at = reglaze.now() + make_interval(secs => ${to.nextInMs / 1000}::float8) where incident_id = ${incident}`.execute(tx)
}
export async function endPaging(tx: Tx, incident: string, state: 'exhausted' | 'stopped', reason: string): Promise<void> {
  await sql`update pagings set state = ${state}, reason = ${reason}, next_at = null where incident_id = ${incident}`.execute(tx)
}
/** The next step is due now: nobody of this one can be reached. */
export async function hurryPaging(tx: Tx, paging: Pick<Paging, 'incident_id' | 'first_page'>, kind: string): Promise<void> {
  await sql`update pagings set next_at = reglaze.now() where incident_id = ${paging.incident_id} and state = 'running'`.execute(tx)
  await poke(tx, kind, paging.first_page)
}
export async function acknowledgePaging(tx: Tx, incident: string, person: string, page: string | null): Promise<void> {
  await sql`update pagings set state = 'acknowledged', acknowledged_at = reglaze.now(), acknowledged_by = ${person}, acknowledged_page = ${page}, dri = ${person}, next_at = null
    where incident_id = ${incident}`.execute(tx)
}

export function hashToken(token: string): string {
  return createHash('sha256').update(token).digest('hex')
}
export async function insertPage(tx: Tx, p: { incident: string; person: string; responsible: boolean; round: number; step: number; why: Json; token: string }): Promise<string> {
  const id = newId('page')
  await sql`insert into pages (id, incident_id, person, responsible, round, step, why, ack_token, ack_hash)
    values (${id}, ${p.incident}, ${p.person}, ${p.responsible}, ${p.round}, ${p.step}, ${jsonb(p.why)}, ${p.token}, ${hashToken(p.token)})`.execute(tx)
  return id
}
export async function findPage(db: Db | Tx, by: { id: string } | { token: string }): Promise<Page | null> {
  const where = 'id' in by ? sql`id = ${by.id}` : sql`ack_hash = ${hashToken(by.token)}`
  return (await sql<Page>`select * from pages where ${where}`.execute(db)).rows[0] ?? null
}
export async function listPages(db: Db | Tx, f: { incident?: string | undefined; state?: PageState | undefined; person?: string | undefined; limit: number }): Promise<Page[]> {
  return (await sql<Page>`select * from pages where (${f.incident ?? null}::text is null or incident_id = ${f.incident ?? null})
    and (${f.state ?? null}::text is null or state = ${f.state ?? null}) and (${f.person ?? null}::text is null or person = ${f.person ?? null})
    order by id desc limit ${f.limit}`.execute(db)).rows
}
/** True when this call moved it; false when somebody else had moved it before. */
export async function markSent(tx: Tx, id: string, m: { subject: string; body: string; receipt: string }): Promise<boolean> {
  const { rows } = await sql`update pages set state = 'sent', sent_at = reglaze.now(), subject = ${m.subject}, body = ${m.body}, receipt = ${m.receipt}, ack_token = null,
    attempts = attempts + 1, error = null where id = ${id} and state = 'queued' returning id`.execute(tx)
  return rows.length > 0
}
export async function markFailed(tx: Tx, id: string, error: string): Promise<boolean> {
  const { rows } = await sql`update pages set state = 'failed', ack_token = null, attempts = attempts + 1, error = ${error} where id = ${id} and state = 'queued' returning id`.execute(tx)
  return rows.length > 0
}
export async function noteAttempt(db: Db, id: string, error: string): Promise<void> {
  await sql`update pages set attempts = attempts + 1, error = ${error} where id = ${id} and state = 'queued'`.execute(db)
}
export async function markAcknowledged(tx: Tx, id: string, person: string): Promise<boolean> {
  const { rows } = await sql`update pages set state = 'acknowledged', acknowledged_at = reglaze.now(), acknowledged_by = ${person}, ack_token = null
    where id = ${id} and state in ('queued', 'sent') returning id`.execute(tx)
  return rows.length > 0
}
/** Ends every page of the incident that is still under way; returns their ids. */
export async function supersede(tx: Tx, incident: string): Promise<string[]> {
  const { rows } = await sql<{ id: string }>`update pages set state = 'superseded', ack_token = null where incident_id = ${incident} and state in ('queued', 'sent') returning id`.execute(tx)
  return rows.map((r) => r.id)
}
