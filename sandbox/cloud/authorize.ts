import { ApiError } from '../lib/index.ts'
import type { Call } from '../lib/index.ts'
import { isExpired } from './model.ts'
import type { CloudState, Given, Lock, Membership, Role } from './model.ts'
import { hashSecret } from './store.ts'
import type { Caller } from './store.ts'

/** What a call needs; each role covers some of it. `self` = any authenticated caller. */
export type Need = 'self' | 'read' | 'write' | 'access' | 'admin'

const COVERS: Readonly<Record<Role, readonly Need[]>> = {
  reader: ['self', 'read'],
  operator: ['self', 'read', 'write'],
  'access-admin': ['self', 'read', 'access'],
  admin: ['self', 'read', 'write', 'access', 'admin'],
}

/** The caller behind the bearer secret, or 401. A session brings the roles of its login; a key those of this moment. */
export function authenticate(state: CloudState, call: Call, now: Date): Caller {
  if (!call.bearer) throw new ApiError(401, 'Unauthenticated', 'send Authorization: Bearer with a key or a session token')
  const hash = hashSecret(call.bearer)
  const session = Object.values(state.tables.sessions).find((s) => s.hash === hash)
  if (session) {
    if (isExpired(session.expires_at, now)) throw new ApiError(401, 'Unauthenticated', `session ${session.session_id} ended at ${session.expires_at}`)
    return { principal: session.principal, credential: session.session_id, isKey: false, source_identity: session.source_identities[0] ?? null, given: session.given }
  }
  const key = Object.values(state.tables.keys).find((k) => k.hash === hash)
  if (!key) throw new ApiError(401, 'Unauthenticated', 'this key or session token is not known (removed, ended, or of another cloud)')
  return { principal: key.principal, credential: key.key_id, isKey: true, source_identity: null, given: effective(state, key.principal, now).given }
}

/** What a principal holds now: live memberships and role assignments, the earliest end among them, and the marks they carry, the newest first. */
export function effective(state: CloudState, principal: string, now: Date): { given: Given[]; endsAt: string | null; source_identities: string[] } {
  const live: { role: Role; scope: string; expires_at: string | null; source_identity: string | null; at: string }[] = []
  if (principal === 'root') live.push({ role: 'admin', scope: '/', expires_at: null, source_identity: null, at: '' })
  for (const m of Object.values(state.tables.memberships)) {
    if (m.principal === principal && !isExpired(m.expires_at, now)) live.push({ role: m.role, scope: '/', expires_at: m.expires_at, source_identity: m.source_identity, at: m.updated_at })
  }
  for (const a of Object.values(state.tables['role-assignments'])) {
    if (a['principal'] !== principal || isExpired(a['expires_at'], now)) continue
    live.push({ role: a['role'] as Role, scope: a['scope'] as string, expires_at: a['expires_at'] as string | null, source_identity: (a['source_identity'] as string | null) ?? null, at: a['created_at'] as string })
  }
  const ends = live.flatMap((l) => (l.expires_at ? [l.expires_at] : [])).sort((a, b) => Date.parse(a) - Date.parse(b))
  const marked = live.sort((a, b) => (a.at < b.at ? 1 : -1)).flatMap((l) => (l.source_identity ? [l.source_identity] : []))
  return { given: live.map((l) => ({ role: l.role, scope: l.scope })), endsAt: ends[0] ?? null, source_identities: [...new Set(marked)] }
}

/** Throws 403 unless a role on everything, or on one of these resources, covers the need. */
export function allow(caller: Caller, need: Need, what: string, resources: readonly string[]): void {
  if (need === 'self') return
  const has = caller.given.some((g) => (g.scope === '/' || resources.includes(g.scope)) && COVERS[g.role].includes(need))
  if (has) return
  const enough = Object.entries(COVERS).filter(([, needs]) => needs.includes(need))
  const held = caller.given.map((g) => (g.scope === '/' ? g.role : `${g.role} on ${g.scope}`))
  throw new ApiError(403, 'Forbidden', `${caller.principal} may not ${what}: this needs ${enough.map(([role]) => role).join(' or ')}, the credential has ${held.join(', ') || 'no role'}`)
}

/** Throws 423 when a lock stands in the way of this change. `target` is `<collection>/<id>`; a create has only its collection. */
export function checkLocks(state: CloudState, principal: string, target: string, deleting: boolean): void {
  const lock = Object.values(state.tables.locks).find(
    (l) => !l.except.includes(principal) && (l.scope === '/' || l.scope === target) && (l.level === 'read-only' || deleting),
  )
  if (lock) throw new ApiError(423, 'ScopeLocked', lockText(lock))
}
function lockText(l: Lock): string {
  return `locked by ${l.owner}: ${l.reason} (lock "${l.name}", ${l.level}, scope ${l.scope})`
}

/** A membership as the API shows it. */
export function showMembership(m: Membership, now: Date): Membership & { expired: boolean } {
  return { ...m, expired: isExpired(m.expires_at, now) }
}
