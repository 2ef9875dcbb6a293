import type { Call, Json } from '../lib/index.ts'
import type { AuditEvent } from './model.ts'
import { COLLECTIONS, isCollection } from './schema.ts'
import { invalid } from './store.ts'
import type { Caller, Context, Outcome } from './store.ts'

/** `GET /v1/audit`: events after the cursor, oldest first. `complete: false` when some after it are no longer kept. */
export function readAudit({ state, call }: Context): Outcome {
  const after = numberOf(call, 'after', 0)
  const limit = Math.min(numberOf(call, 'limit', 500), 5000)
  const writesOnly = call.query.get('writes') === '1'
  const type = call.query.get('type')
  const id = call.query.get('id')
  const from = state.events.findIndex((e) => e.seq > after)
  const events: AuditEvent[] = []
  let cursor = state.seq
  for (let i = from < 0 ? state.events.length : from; i < state.events.length; i++) {
    const e = state.events[i] as AuditEvent
    if (writesOnly && e.action === 'read') continue
    if ((type !== null && e.resource?.type !== type) || (id !== null && e.resource?.id !== id)) continue
    if (events.length === limit) {
      cursor = (events.at(-1) as AuditEvent).seq
      break
    }
    events.push(e)
  }
  const complete = after >= state.droppedWrite && (writesOnly || after >= state.droppedRead)
  return { status: 200, body: { events, cursor: String(Math.max(cursor, after)), complete }, action: 'read', resource: null }
}
function numberOf(call: Call, name: string, otherwise: number): number {
  const text = call.query.get(name)
  if (text === null || text === '') return otherwise
  if (!/^\d{1,15}$/.test(text)) throw invalid(`${name} must be a whole number`)
  return Number(text)
}

/** The event of one call; its number is given at the moment of recording. */
export function eventOf(o: { seq: number; now: Date; call: Call; caller: Caller | null; status: number; outcome: Outcome | null }): AuditEvent {
  const query = o.call.query.toString()
  return {
    seq: o.seq,
    id: `evt-${String(o.seq).padStart(9, '0')}`,
    time: o.now.toISOString(),
    actor: o.caller?.principal ?? 'anonymous',
    credential: o.caller?.credential ?? 'none',
    source_identity: o.caller?.source_identity ?? null,
    method: o.call.method,
    path: o.call.path + (query ? `?${query}` : ''),
    action: o.outcome?.action ?? actionOf(o.call),
    resource: o.outcome ? o.outcome.resource : resourceOf(o.call),
    before: o.outcome?.before ?? null,
    after: o.outcome?.after ?? null,
    status: o.status,
    request: withoutSecrets(o.call.body ?? null),
  }
}

function actionOf({ method, segments }: Call): AuditEvent['action'] {
  if (segments[3] === 'actions') return segments[4] === 'snapshot' ? 'create' : 'update'
  return ({ GET: 'read', HEAD: 'read', PUT: 'update', PATCH: 'update', DELETE: 'delete', POST: 'create' } as const)[method as 'GET'] ?? 'other'
}

// For a refused call: what it was aimed at, as far as the path tells.
function resourceOf(call: Call): AuditEvent['resource'] {
  const [, collection, id, more] = call.segments
  if (!collection) return null
  const name = id?.startsWith('name:') ? id.slice(5) : null
  if (isCollection(collection)) return id ? { type: COLLECTIONS[collection].type, id, name } : null
  if (collection === 'memberships' && id && more) return { type: 'membership', id: `${id}/${more}`, name: null }
  const type = ({ sessions: 'session', locks: 'lock', principals: 'principal' } as Record<string, string>)[collection]
  return type && id ? { type, id, name: null } : null
}

function withoutSecrets(body: Json): Json {
  if (Array.isArray(body)) return body.map(withoutSecrets)
  if (body === null || typeof body !== 'object') return body
  return Object.fromEntries(Object.entries(body).map(([k, v]) => [k, /password|secret|token/i.test(k) ? '(secret)' : withoutSecrets(v)]))
}
