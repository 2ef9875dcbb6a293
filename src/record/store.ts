/** SQL of recordings, modifications and audit cursors. */
import type { Json } from '../core/json.ts'
import { type Db, jsonb, newId, sql, type Tx } from '../store/index.ts'
import type { Modification, RecordingState, Undone } from './model.ts'

export interface RecordingRow {
  readonly id: string
  readonly incident_id: string | null
  readonly grant_id: string | null
  readonly person: string | null
  readonly title: string
  readonly state: RecordingState
  readonly reason: string | null
  readonly size: string
  readonly head: string | null
  readonly frames: number | null
  readonly created_at: Date
  readonly created_by: string
  readonly completed_at: Date | null
}
export interface ModificationRow {
  readonly id: string
  readonly source: string
  readonly event_id: string
  readonly incident_id: string | null
  readonly at: Date
  readonly actor: string
  readonly credential: string
  readonly source_identity: string | null
  readonly action: string
  readonly request: string
  readonly resource_type: string
  readonly resource_id: string
  readonly resource_name: string | null
  readonly address: string | null
  readonly before: Json
  readonly after: Json
  readonly attributes: Modification['attributes']
  readonly verdict: Modification['verdict']
  readonly why: string
  readonly grant_id: string | null
  readonly person: string | null
  readonly hcl: string | null
  readonly explained_by: string | null
  readonly explained_at: Date | null
  readonly explanation: string | null
  readonly undone: Undone | null
}
export interface CursorRow {
  readonly source: string
  readonly cursor: string | null
  readonly read_at: Date | null
  readonly error: string | null
  readonly failing_since: Date | null
}

type On = Db | Tx

export async function insertRecording(on: On, r: { id: string; incident: string | null; grant: string | null; person: string | null; title: string; by: string }): Promise<boolean> {
  const { rows } = await sql`
    insert into recordings (id, incident_id, grant_id, person, title, created_by) values (${r.id}, ${r.incident}, ${r.grant}, ${r.person}, ${r.title}, ${r.by})
    on conflict (id) do nothing returning id`.execute(on)
  return rows.length > 0
}
export async function findRecording(on: On, id: string, lock = false): Promise<RecordingRow | undefined> {
  const { rows } = await sql<RecordingRow>`select * from recordings where id = ${id} ${lock ? sql`for update` : sql``}`.execute(on)
  return rows[0]
}
export async function listRecordings(on: On, incident: string | null): Promise<RecordingRow[]> {
  const { rows } = await sql<RecordingRow>`select * from recordings where ${incident}::text is null or incident_id = ${incident} order by created_at desc limit 1000`.execute(on)
  return rows
}
export async function grown(on: On, id: string, size: number): Promise<void> {
  await sql`update recordings set size = ${size}, part_at = reglaze.now() where id = ${id}`.execute(on)
}
export async function closeRecording(on: On, id: string, to: { state: RecordingState; reason: string | null; head: string | null; frames: number | null }): Promise<void> {
  await sql`update recordings set state = ${to.state}, reason = ${to.reason}, head = ${to.head}, frames = ${to.frames}, completed_at = reglaze.now() where id = ${id}`.execute(on)
}

/** Stores a modification once for each event of a source. Null: it was there. */
export async function insertModification(on: On, source: string, m: Modification, hcl: string | null): Promise<ModificationRow | null> {
  const { rows } = await sql<ModificationRow>`
    insert into modifications (id, source, event_id, incident_id, at, actor, credential, source_identity, action, request, resource_type, resource_id, resource_name, address,
      before, after, attributes, verdict, why, grant_id, person, hcl)
    values (${newId('modification')}, ${source}, ${m.event}, ${m.incident}, ${m.at}::timestamptz, ${m.actor}, ${m.credential}, ${m.sourceIdentity}, ${m.action}, ${m.request},
      ${m.resource.type}, ${m.resource.id}, ${m.resource.name}, ${m.address}, ${jsonb(m.before)}, ${jsonb(m.after)}, ${jsonb(m.attributes as unknown as Json)}, ${m.verdict}, ${m.why}, ${m.grant}, ${m.person}, ${hcl})
    on conflict (source, event_id) do nothing returning *`.execute(on)
  return rows[0] ?? null
}
export async function listModifications(on: On, o: { incident?: string | null; verdict?: string | null }): Promise<ModificationRow[]> {
  const { rows } = await sql<ModificationRow>`
    select * from modifications where (${o.incident ?? null}::text is null or incident_id = ${o.incident ?? null}) and (${o.verdict ?? null}::text is null or verdict = ${o.verdict ?? null})
    order by at, event_id limit 5000`.execute(on)
  return rows
}
export async function unexplained(on: On, incident: string): Promise<ModificationRow[]> {
  const { rows } = await sql<ModificationRow>`select * from modifications where incident_id = ${incident} and verdict = 'unexplained' and explained_by is null order by at, event_id`.execute(on)
  return rows
}
/** Unexplained changes that a grant which became known later may still explain. */
export async function maybeLate(on: On, source: string): Promise<ModificationRow[]> {
  const { rows } = await sql<ModificationRow>`
    select * from modifications where source = ${source} and verdict = 'unexplained' and explained_by is null and source_identity is not null and at > reglaze.now() - interval '1 hour' limit 200`.execute(on)
  return rows
}
export async function attributeLater(on: On, id: string, m: Pick<Modification, 'verdict' | 'why' | 'grant' | 'person' | 'incident'>): Promise<boolean> {
  const { rows } = await sql`
    update modifications set verdict = ${m.verdict}, why = ${m.why}, grant_id = ${m.grant}, person = ${m.person}, incident_id = coalesce(${m.incident}, incident_id)
    where id = ${id} and verdict = 'unexplained' and explained_by is null returning id`.execute(on)
  return rows.length > 0
}
/** Changes by people that nothing has undone yet. */
export async function standing(on: On, source: string): Promise<ModificationRow[]> {
  const { rows } = await sql<ModificationRow>`
    select m.* from modifications m where m.source = ${source} and m.verdict <> 'automation' and m.undone is null and m.at > reglaze.now() - interval '7 days' order by m.at, m.event_id limit 2000`.execute(on)
  return rows
}
export async function setUndone(on: On, id: string, undone: Undone): Promise<boolean> {
  const { rows } = await sql`update modifications set undone = ${jsonb(undone as unknown as Json)} where id = ${id} and undone is null returning id`.execute(on)
  return rows.length > 0
}
export async function findModification(on: On, id: string, lock = false): Promise<ModificationRow | undefined> {
  const { rows } = await sql<ModificationRow>`select * from modifications where id = ${id} ${lock ? sql`for update` : sql``}`.execute(on)
  return rows[0]
}
export async function explain(on: On, id: string, by: string, reason: string): Promise<void> {
  await sql`update modifications set explained_by = ${by}, explained_at = reglaze.now(), explanation = ${reason} where id = ${id}`.execute(on)
}

export async function cursor(on: On, source: string, lock = false): Promise<CursorRow> {
  await sql`insert into audit_cursors (source) values (${source}) on conflict do nothing`.execute(on)
  const { rows } = await sql<CursorRow>`select * from audit_cursors where source = ${source} ${lock ? sql`for update` : sql``}`.execute(on)
  return rows[0] as CursorRow
}
export async function cursors(on: On): Promise<CursorRow[]> {
  const { rows } = await sql<CursorRow>`select * from audit_cursors order by source`.execute(on)
  return rows
}
export async function moveCursor(on: On, source: string, to: string | null): Promise<void> {
  await sql`update audit_cursors set cursor = ${to}, read_at = reglaze.now(), error = null, failing_since = null where source = ${source}`.execute(on)
}
export async function cursorFailed(on: On, source: string, error: string): Promise<void> {
  await sql`update audit_cursors set error = ${error}, failing_since = coalesce(failing_since, reglaze.now()) where source = ${source}`.execute(on)
}
/** Recordings of an incident whose end never came. */
export async function openRecordings(db: Db | Tx, incident: string): Promise<RecordingRow[]> {
  return (await sql<RecordingRow>`select * from recordings where incident_id = ${incident} and state = 'open' order by created_at`.execute(db)).rows
}
