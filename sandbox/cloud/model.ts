import type { Json } from '../lib/index.ts'

export const ROLES = ['reader', 'operator', 'access-admin', 'admin'] as const
export type Role = (typeof ROLES)[number]

export interface Principal {
  readonly id: string
  readonly kind: 'person' | 'service'
  readonly display_name: string
  readonly created_at: string
}
export interface Key {
  readonly key_id: string
  readonly principal: string
  readonly hash: string
  readonly note: string | null
  readonly created_at: string
}
export interface Membership {
  readonly role: Role
  readonly principal: string
  readonly expires_at: string | null
  readonly source_identity: string | null
  readonly note: string | null
  readonly created_at: string
  readonly updated_at: string
}
/** A role on everything (`/`) or on one resource. */
export interface Given {
  readonly role: Role
  readonly scope: string
}
export interface Session {
  readonly session_id: string
  readonly hash: string
  readonly principal: string
  /** Fixed at login, whatever happens to the memberships afterwards. */
  readonly given: readonly Given[]
  /** Marks of everything that gave it a role at login, the newest first; nobody can change them. */
  readonly source_identities: readonly string[]
  readonly created_at: string
  readonly expires_at: string
}
export interface Lock {
  readonly name: string
  readonly level: 'read-only' | 'no-delete'
  readonly scope: string
  readonly except: readonly string[]
  readonly reason: string
  readonly owner: string
  readonly created_at: string
  readonly created_by: string
  readonly updated_at: string
  readonly updated_by: string
}
/** Attributes plus hidden ones, whose names begin with `_`. */
export type Resource = { id: string; name: string } & Record<string, Json>

export interface AuditEvent {
  readonly seq: number
  readonly id: string
  readonly time: string
  readonly actor: string
  readonly credential: string
  readonly source_identity: string | null
  readonly method: string
  readonly path: string
  readonly action: 'create' | 'update' | 'delete' | 'read' | 'other'
  readonly resource: { readonly type: string; readonly id: string; readonly name: string | null } | null
  readonly before: Json
  readonly after: Json
  readonly status: number
  readonly request: Json
}

export interface Tables {
  principals: Record<string, Principal>
  keys: Record<string, Key>
  memberships: Record<string, Membership>
  sessions: Record<string, Session>
  locks: Record<string, Lock>
  instances: Record<string, Resource>
  databases: Record<string, Resource>
  routes: Record<string, Resource>
  firewalls: Record<string, Resource>
  'role-assignments': Record<string, Resource>
  snapshots: Record<string, Resource>
}
export type Table = keyof Tables

/** One row set (value) or removed (null). */
export type Change = readonly [table: Table, key: string, value: unknown]

export interface Entry {
  readonly changes: readonly Change[]
  readonly event: AuditEvent | null
}

export interface CloudState {
  tables: Tables
  /** Oldest first; reads and writes together. */
  events: AuditEvent[]
  seq: number
  /** Highest sequence number that was dropped from the log, by kind. */
  droppedRead: number
  droppedWrite: number
}

const KEEP_READS = 5000
const KEEP_WRITES = 100_000

export function emptyState(): CloudState {
  return {
    tables: { principals: {}, keys: {}, memberships: {}, sessions: {}, locks: {}, instances: {}, databases: {}, routes: {}, firewalls: {}, 'role-assignments': {}, snapshots: {} },
    events: [],
    seq: 0,
    droppedRead: 0,
    droppedWrite: 0,
  }
}

/** Replays one entry; the same entries give the same state. */
export function applyEntry(state: CloudState, entry: Entry): void {
  for (const [table, key, value] of entry.changes) {
    const rows = state.tables[table] as Record<string, unknown>
    if (value === null) delete rows[key]
    else rows[key] = value
  }
  if (!entry.event) return
  state.events.push(entry.event)
  state.seq = entry.event.seq
  if (state.seq % 1000 === 0) trim(state)
}

// Reads come every second from every agent; they must not push the writes out of the log.
function trim(state: CloudState): void {
  for (const [isRead, keep, mark] of [
    [true, KEEP_READS, 'droppedRead'],
    [false, KEEP_WRITES, 'droppedWrite'],
  ] as const) {
    const kind = state.events.filter((e) => (e.action === 'read') === isRead)
    const cut = kind.length - keep
    if (cut <= 0) continue
    const last = (kind[cut - 1] as AuditEvent).seq
    state[mark] = last
    state.events = state.events.filter((e) => (e.action === 'read') !== isRead || e.seq > last)
  }
}

export function isExpired(expiresAt: Json | undefined, now: Date): boolean {
  return typeof expiresAt === 'string' && Date.parse(expiresAt) <= now.getTime()
}
