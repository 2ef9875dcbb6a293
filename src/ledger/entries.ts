import { canonical } from '../core/json.ts'
import type { Json } from '../core/json.ts'
import { ReglazeError } from '../core/errors.ts'
import { newId, sql } from '../store/index.ts'
import type { Db, Tx } from '../store/index.ts'
import { parseEntry } from './entry.ts'
import type { Entry } from './entry.ts'
import { LEDGER } from './errors.ts'

/** C2SP tlog-tiles carries an entry's length in 16 bits. */
export const MAX_ENTRY_BYTES = 65_535

export interface NewEntry {
  /** What happened, dotted: `grant.revoked`. */
  readonly kind: string
  readonly incident?: string | null
  /** The id of the thing it happened to. */
  readonly subject: string
  /** Person, machine identity or `reglaze`. */
  readonly actor: string
  readonly data: Json
}

/**
 * Writes an entry in the caller's transaction, so that it stands or falls with the change it tells of. Its time is the
 * transaction's. Numbered later by the sequencer. Returns its id. Throws LEDGER_ENTRY_TOO_LARGE.
 */
export async function append(tx: Tx | Db, e: NewEntry): Promise<string> {
  const id = newId('ledger')
  // The time is put in by the database: keys of canonical JSON are in order, so `at` comes right after `actor`.
  const before = `{"actor":${canonical(e.actor)},"at":"`
  const after = `",${canonical({ data: e.data ?? null, id, incident: e.incident ?? null, kind: e.kind, subject: e.subject }).slice(1)}`
  if (Buffer.byteLength(before) + Buffer.byteLength(after) + 24 > MAX_ENTRY_BYTES) {
    throw new ReglazeError(LEDGER.LEDGER_ENTRY_TOO_LARGE, `a ledger entry ${e.kind} of ${Buffer.byteLength(after)} bytes is too large`)
  }
  await sql`
    with entry as (
      insert into reglaze.ledger_entries (id, incident, bytes) values (${id}, ${e.incident ?? null},
        ${before}::text || to_char(reglaze.now() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') || ${after}::text)
      returning id)
    insert into reglaze.ledger_pending (id) select id from entry`.execute(tx)
  return id
}

export interface EntriesQuery {
  readonly incident?: string
  /** Only entries with a greater number. */
  readonly after?: number
  readonly limit?: number
  /** Also the newest ones, which have no number yet; they come last. */
  readonly pending?: boolean
}

/** Entries in the order of the log. */
export async function entries(db: Db | Tx, q: EntriesQuery = {}): Promise<Entry[]> {
  const ofIncident = q.incident === undefined ? sql`true` : sql`e.incident = ${q.incident}`
  const { rows } = await sql<{ seq: string; bytes: string }>`
    select l.seq, e.bytes from reglaze.ledger_leaves l join reglaze.ledger_entries e using (id)
    where l.seq > ${q.after ?? -1} and ${ofIncident} order by l.seq limit ${q.limit ?? 1000}`.execute(db)
  const numbered = rows.map((r) => parseEntry(r.bytes, Number(r.seq)))
  if (q.pending !== true || numbered.length >= (q.limit ?? 1000)) return numbered
  const { rows: waiting } = await sql<{ bytes: string }>`
    select e.bytes from reglaze.ledger_pending p join reglaze.ledger_entries e using (id)
    where ${ofIncident} order by p.n limit ${(q.limit ?? 1000) - numbered.length}`.execute(db)
  // One that got its number between the two looks is not listed twice.
  const seen = new Set(numbered.map((n) => n.id))
  return [...numbered, ...waiting.map((r) => parseEntry(r.bytes, null)).filter((e) => !seen.has(e.id))]
}
