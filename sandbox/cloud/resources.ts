import { bodyObject } from '../lib/index.ts'
import type { Json } from '../lib/index.ts'
import { isRole, mayGive } from './access.ts'
import { checkLocks } from './authorize.ts'
import { isExpired } from './model.ts'
import type { CloudState, Resource, Role } from './model.ts'
import { COLLECTIONS, readAttributes } from './schema.ts'
import type { Collection } from './schema.ts'
import { conflict, invalid, newId, notFound } from './store.ts'
import type { Context, Outcome } from './store.ts'
import { beginUpgrade, checkVersion, settled } from './versions.ts'

/** The resource with this id (or `name:<name>`), or 404. */
export function findResource(state: CloudState, collection: Collection, id: string): Resource {
  const rows = state.tables[collection]
  const found = id.startsWith('name:') ? Object.values(rows).find((r) => r.name === id.slice(5)) : rows[id]
  if (!found) throw notFound(`${collection}/${id}`)
  return found
}

/** A resource as the API shows it: without hidden fields, with what changes by time alone computed for this moment. */
export function show(collection: Collection, r: Resource, now: Date): Record<string, Json> {
  const shown = collection === 'databases' ? settled(r, now) : r
  const out = Object.fromEntries(Object.entries(shown).filter(([key]) => !key.startsWith('_')))
  if (collection === 'role-assignments') out['expired'] = isExpired(r['expires_at'], now)
  return out
}

export function describe(collection: Collection, r: Resource): NonNullable<Outcome['resource']> {
  return { type: COLLECTIONS[collection].type, id: r.id, name: r.name }
}

export function listResources(ctx: Context, collection: Collection): Outcome {
  const name = ctx.call.query.get('name')
  const items = Object.values(ctx.state.tables[collection]).filter((r) => name === null || r.name === name)
  return { status: 200, body: { items: items.map((r) => show(collection, r, ctx.now)) }, action: 'read', resource: null }
}

export function getResource(ctx: Context, collection: Collection): Outcome {
  const r = findResource(ctx.state, collection, ctx.call.params['id'] as string)
  return { status: 200, body: show(collection, r, ctx.now), action: 'read', resource: describe(collection, r) }
}

export function createResource(ctx: Context, collection: Collection): Outcome {
  const attributes = readAttributes(collection, bodyObject(ctx.call), undefined, { isRole })
  checkLocks(ctx.state, ctx.caller.principal, collection, false)
  const id = newId(COLLECTIONS[collection].idPrefix)
  const name = (attributes['name'] as string | null) ?? id
  checkName(ctx, collection, name)
  const r: Resource = { ...attributes, id, name, ...computed(ctx, collection, attributes), created_at: ctx.now.toISOString() }
  return {
    status: 201,
    body: show(collection, r, ctx.now),
    changes: [[collection, id, r]],
    action: 'create',
    resource: describe(collection, r),
    after: show(collection, r, ctx.now),
  }
}

function computed(ctx: Context, collection: Collection, a: Record<string, Json>): Record<string, Json> {
  if (collection === 'instances') return { ip: freeIp(ctx.state), status: 'running', health: 'ok' }
  if (collection === 'databases') {
    const snapshot = a['snapshot_identifier'] as string | null
    if (snapshot !== null && !Object.values(ctx.state.tables.snapshots).some((s) => s.id === snapshot || s.name === snapshot)) throw invalid(`snapshot_identifier "${snapshot}" is not a snapshot here`)
    const group = a['parameter_group'] ?? `default.${a['engine']}${String(a['engine_version']).split('.')[0]}`
    return { parameter_group: group, endpoint: `${a['name']}.db.sandbox.test:5432`, status: 'available' }
  }
  if (collection === 'role-assignments') {
    mayGive(ctx, a['role'] as Role)
    if (!ctx.state.tables.principals[a['principal'] as string]) throw invalid(`principal "${a['principal']}" does not exist`)
  }
  if (collection === 'snapshots') return snapshotOf(findDatabase(ctx.state, a['database'] as string))
  return {}
}

function findDatabase(state: CloudState, text: string): Resource {
  const found = Object.values(state.tables.databases).find((d) => d.id === text || d.name === text)
  if (!found) throw invalid(`database "${text}" does not exist`)
  return found
}
/** What a snapshot remembers of its database. */
export function snapshotOf(db: Resource): Record<string, Json> {
  return { database: db.name, database_id: db.id, engine: db['engine'] ?? null, engine_version: db['engine_version'] ?? null, status: 'available' }
}

function freeIp(state: CloudState): string {
  const taken = new Set(Object.values(state.tables.instances).map((i) => i['ip']))
  for (let n = 10; ; n++) {
    const ip = `10.0.${Math.floor(n / 250)}.${(n % 250) + 1}`
    if (!taken.has(ip)) return ip
  }
}

export function checkName(ctx: Context, collection: Collection, name: string, self?: string): void {
  const other = Object.values(ctx.state.tables[collection]).find((r) => r.name === name && r.id !== self)
  if (other) throw conflict(`${collection} has "${name}" already (${other.id}); names are unique`)
}

export function patchResource(ctx: Context, collection: Collection): Outcome {
  const r = findResource(ctx.state, collection, ctx.call.params['id'] as string)
  if (collection === 'role-assignments') mayGive(ctx, r['role'] as Role)
  const { allow_major_version_upgrade: allowMajor, ...body } = bodyObject(ctx.call)
  const wanted = readAttributes(collection, body, r, { isRole })
  checkLocks(ctx.state, ctx.caller.principal, `${collection}/${r.id}`, false)
  if (typeof wanted['name'] === 'string') checkName(ctx, collection, wanted['name'], r.id)
  let next: Resource = { ...r, ...wanted } as Resource
  if (collection === 'databases') {
    if (allowMajor !== undefined && typeof allowMajor !== 'boolean') throw invalid('allow_major_version_upgrade must be true or false')
    checkVersion(r, wanted, allowMajor === true, ctx.now)
    if (wanted['engine_version'] !== undefined && wanted['engine_version'] !== r['engine_version']) next = beginUpgrade(r, next, ctx.now)
    if (wanted['parameter_group'] === null) next = { ...next, parameter_group: r['parameter_group'] ?? null }
  } else if (allowMajor !== undefined) throw invalid('allow_major_version_upgrade is for databases')
  return changed(ctx, collection, r, next)
}

/** The outcome of a change of one resource. */
export function changed(ctx: Context, collection: Collection, before: Resource, after: Resource): Outcome {
  return {
    status: 200,
    body: show(collection, after, ctx.now),
    changes: [[collection, after.id, after]],
    action: 'update',
    resource: describe(collection, after),
    before: show(collection, before, ctx.now),
    after: asked(collection, after, ctx.now),
  }
}

// The log says what was asked for, also while an upgrade to it still runs.
function asked(collection: Collection, r: Resource, now: Date): Record<string, Json> {
  const shown = show(collection, r, now)
  if (shown['status'] !== 'upgrading') return shown
  return { ...shown, engine_version: r['engine_version'] ?? null, parameter_group: r['parameter_group'] ?? null }
}

export function deleteResource(ctx: Context, collection: Collection): Outcome {
  const r = findResource(ctx.state, collection, ctx.call.params['id'] as string)
  if (collection === 'role-assignments') mayGive(ctx, r['role'] as Role)
  checkLocks(ctx.state, ctx.caller.principal, `${collection}/${r.id}`, true)
  if (collection === 'databases' && r['deletion_protection'] === true) throw conflict(`${r.name} has deletion_protection: switch it off first`)
  return { status: 204, changes: [[collection, r.id, null]], action: 'delete', resource: describe(collection, r), before: show(collection, r, ctx.now) }
}
