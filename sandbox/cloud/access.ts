import { ApiError, bodyObject } from '../lib/index.ts'
import type { Json } from '../lib/index.ts'
import { allow, checkLocks, effective, showMembership } from './authorize.ts'
import { ROLES, isExpired } from './model.ts'
import type { Membership, Principal, Role, Session } from './model.ts'
import { isTime } from './schema.ts'
import { conflict, hashSecret, invalid, newId, newSecret, notFound, textField } from './store.ts'
import type { Context, Outcome } from './store.ts'

const DEFAULT_SESSION_S = 3600
const MAX_SESSION_S = 12 * 3600

export function isRole(text: string): text is Role {
  return (ROLES as readonly string[]).includes(text)
}
/** An access-admin must not be able to make himself an admin. */
export function mayGive(ctx: Context, role: Role): void {
  if (role === 'admin' || role === 'access-admin') allow(ctx.caller, 'admin', `give or take the role ${role}`, [])
}
function needPrincipal(ctx: Context, id: string): Principal {
  const found = ctx.state.tables.principals[id]
  if (!found) throw notFound(`principal ${id}`)
  return found
}

export function whoami({ caller, state }: Context): Outcome {
  const p = state.tables.principals[caller.principal]
  const roles = [...new Set(caller.given.filter((g) => g.scope === '/').map((g) => g.role))]
  const body = { principal: caller.principal, kind: p?.kind ?? null, display_name: p?.display_name ?? null, credential: caller.credential, source_identity: caller.source_identity, roles, scoped_roles: caller.given.filter((g) => g.scope !== '/') }
  return { status: 200, body, action: 'read', resource: { type: 'principal', id: caller.principal, name: p?.display_name ?? null } }
}

export function listPrincipals({ state }: Context): Outcome {
  return { status: 200, body: { items: Object.values(state.tables.principals) }, action: 'read', resource: null }
}
export function getPrincipal(ctx: Context): Outcome {
  const p = needPrincipal(ctx, ctx.call.params['id'] as string)
  return { status: 200, body: p, action: 'read', resource: { type: 'principal', id: p.id, name: p.display_name } }
}
export function createPrincipal(ctx: Context): Outcome {
  const body = bodyObject(ctx.call)
  const id = textField(body, 'id')
  const kind = textField(body, 'kind')
  if (!id || !/^[A-Za-z0-9][A-Za-z0-9._@-]{0,99}$/.test(id)) throw invalid('id must be 1 to 100 letters, digits or . _ @ -')
  if (kind !== 'person' && kind !== 'service') throw invalid('kind must be person or service')
  if (ctx.state.tables.principals[id]) throw conflict(`principal ${id} exists already`)
  const p: Principal = { id, kind, display_name: textField(body, 'display_name') ?? id, created_at: ctx.now.toISOString() }
  return { status: 201, body: p, changes: [['principals', id, p]], action: 'create', resource: { type: 'principal', id, name: p.display_name }, after: p as unknown as Json }
}
/** Removes the principal with its keys, memberships and sessions. */
export function deletePrincipal(ctx: Context): Outcome {
  const p = needPrincipal(ctx, ctx.call.params['id'] as string)
  if (p.id === 'root') throw conflict('root cannot be removed')
  const { keys, memberships, sessions } = ctx.state.tables
  return {
    status: 204,
    changes: [
      ...Object.values(keys).flatMap((k) => (k.principal === p.id ? [['keys', k.key_id, null] as const] : [])),
      ...Object.entries(memberships).flatMap(([id, m]) => (m.principal === p.id ? [['memberships', id, null] as const] : [])),
      ...Object.values(sessions).flatMap((s) => (s.principal === p.id ? [['sessions', s.session_id, null] as const] : [])),
      ['principals', p.id, null],
    ],
    action: 'delete',
    resource: { type: 'principal', id: p.id, name: p.display_name },
    before: p as unknown as Json,
  }
}

export function listKeys(ctx: Context): Outcome {
  const p = needPrincipal(ctx, ctx.call.params['id'] as string)
  const items = Object.values(ctx.state.tables.keys).filter((k) => k.principal === p.id)
  return { status: 200, body: { items: items.map(({ key_id, principal, note, created_at }) => ({ key_id, principal, note, created_at })) }, action: 'read', resource: { type: 'principal', id: p.id, name: p.display_name } }
}
export function createKey(ctx: Context): Outcome {
  const p = needPrincipal(ctx, ctx.call.params['id'] as string)
  const secret = newSecret('sk')
  const key = { key_id: newId('key'), principal: p.id, note: textField(bodyObject(ctx.call), 'note'), created_at: ctx.now.toISOString() }
  return {
    status: 201,
    body: { ...key, secret },
    changes: [['keys', key.key_id, { ...key, hash: hashSecret(secret) }]],
    action: 'create',
    resource: { type: 'principal', id: p.id, name: p.display_name },
    after: { key },
  }
}
export function deleteKey(ctx: Context): Outcome {
  const p = needPrincipal(ctx, ctx.call.params['id'] as string)
  const id = ctx.call.params['key'] as string
  const key = ctx.state.tables.keys[id]
  if (!key || key.principal !== p.id) throw notFound(`key ${id} of ${p.id}`)
  return { status: 204, changes: [['keys', id, null]], action: 'delete', resource: { type: 'principal', id: p.id, name: p.display_name }, before: { key: { key_id: id, principal: p.id, note: key.note, created_at: key.created_at } } }
}

export function listMemberships({ state, call, now }: Context): Outcome {
  const wanted = ['role', 'principal', 'source_identity'] as const
  const items = Object.values(state.tables.memberships).filter((m) => wanted.every((f) => !call.query.has(f) || m[f] === call.query.get(f)))
  return { status: 200, body: { items: items.map((m) => showMembership(m, now)) }, action: 'read', resource: null }
}
function membershipOf(ctx: Context): { id: string; role: Role; principal: string; found: Membership | undefined; resource: { type: string; id: string; name: string } } {
  const role = ctx.call.params['role'] as string
  const principal = ctx.call.params['principal'] as string
  if (!isRole(role)) throw invalid(`"${role}" is not a role; roles are ${ROLES.join(', ')}`)
  const id = `${role}/${principal}`
  return { id, role, principal, found: ctx.state.tables.memberships[id], resource: { type: 'membership', id, name: id } }
}
export function getMembership(ctx: Context): Outcome {
  const { id, found, resource } = membershipOf(ctx)
  if (!found) throw notFound(`membership ${id}`)
  return { status: 200, body: showMembership(found, ctx.now), action: 'read', resource }
}
export function putMembership(ctx: Context): Outcome {
  const { id, role, principal, found, resource } = membershipOf(ctx)
  mayGive(ctx, role)
  needPrincipal(ctx, principal)
  checkLocks(ctx.state, ctx.caller.principal, `memberships/${id}`, false)
  const body = bodyObject(ctx.call)
  const expires_at = textField(body, 'expires_at')
  if (expires_at !== null && !isTime(expires_at)) throw invalid('expires_at must be an RFC 3339 time such as 2030-01-31T12:00:00Z')
  const now = ctx.now.toISOString()
  const m: Membership = { role, principal, expires_at, source_identity: textField(body, 'source_identity'), note: textField(body, 'note'), created_at: found?.created_at ?? now, updated_at: now }
  return {
    status: found ? 200 : 201,
    body: showMembership(m, ctx.now),
    changes: [['memberships', id, m]],
    action: found ? 'update' : 'create',
    resource,
    before: (found ?? null) as Json,
    after: m as unknown as Json,
  }
}
export function deleteMembership(ctx: Context): Outcome {
  const { id, role, found, resource } = membershipOf(ctx)
  mayGive(ctx, role)
  if (!found) throw notFound(`membership ${id}`)
  checkLocks(ctx.state, ctx.caller.principal, `memberships/${id}`, true)
  return { status: 204, changes: [['memberships', id, null]], action: 'delete', resource, before: found as unknown as Json }
}

function showSession(s: Session): Json {
  return {
    session_id: s.session_id,
    principal: s.principal,
    roles: [...new Set(s.given.filter((g) => g.scope === '/').map((g) => g.role))],
    source_identity: s.source_identities[0] ?? null,
    source_identities: [...s.source_identities],
    created_at: s.created_at,
    expires_at: s.expires_at,
  }
}
export function createSession(ctx: Context): Outcome {
  if (!ctx.caller.isKey) throw new ApiError(403, 'Forbidden', 'a session begins with a key, not with another session')
  const ttl = bodyObject(ctx.call)['ttl_seconds'] ?? DEFAULT_SESSION_S
  if (typeof ttl !== 'number' || !(ttl >= 1 && ttl <= MAX_SESSION_S)) throw invalid(`ttl_seconds must be between 1 and ${MAX_SESSION_S}`)
  const held = effective(ctx.state, ctx.caller.principal, ctx.now)
  const end = Math.min(ctx.now.getTime() + ttl * 1000, held.endsAt ? Date.parse(held.endsAt) : Infinity)
  const token = newSecret('st')
  const session: Session = {
    session_id: newId('sess'),
    hash: hashSecret(token),
    principal: ctx.caller.principal,
    given: held.given,
    source_identities: held.source_identities,
    created_at: ctx.now.toISOString(),
    expires_at: new Date(end).toISOString(),
  }
  const shown = showSession(session) as Record<string, Json>
  const over = Object.values(ctx.state.tables.sessions).filter((s) => isExpired(s.expires_at, ctx.now))
  return {
    status: 201,
    body: { ...shown, token },
    // Sessions that are over are swept when the next one begins.
    changes: [...over.map((s) => ['sessions', s.session_id, null] as const), ['sessions', session.session_id, session]],
    action: 'create',
    resource: { type: 'session', id: session.session_id, name: session.principal },
    after: shown,
  }
}
export function listSessions({ state, call, now }: Context): Outcome {
  const principal = call.query.get('principal')
  const mark = call.query.get('source_identity')
  const live = Object.values(state.tables.sessions).filter((s) => !isExpired(s.expires_at, now) && (principal === null || s.principal === principal) && (mark === null || s.source_identities.includes(mark)))
  return { status: 200, body: { items: live.map(showSession) }, action: 'read', resource: null }
}
export function deleteSession(ctx: Context): Outcome {
  const id = ctx.call.params['id'] as string
  const s = ctx.state.tables.sessions[id]
  if (s?.principal !== ctx.caller.principal) allow(ctx.caller, 'access', `end session ${id}`, [])
  if (!s || isExpired(s.expires_at, ctx.now)) throw notFound(`live session ${id}`)
  return { status: 204, changes: [['sessions', id, null]], action: 'delete', resource: { type: 'session', id, name: s.principal }, before: showSession(s) }
}
