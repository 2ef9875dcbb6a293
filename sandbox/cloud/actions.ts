import { bodyObject } from '../lib/index.ts'
import type { Json } from '../lib/index.ts'
import { isRole } from './access.ts'
import { checkLocks } from './authorize.ts'
import type { Resource } from './model.ts'
import { changed, checkName, describe, findResource, show, snapshotOf } from './resources.ts'
import { readAttributes } from './schema.ts'
import type { Collection } from './schema.ts'
import { conflict, invalid, newId, notFound } from './store.ts'
import type { Context, Outcome } from './store.ts'
import { beginUpgrade, checkVersion } from './versions.ts'

type Action = (ctx: Context, r: Resource) => Resource

const INSTANCE: Readonly<Record<string, Action>> = {
  stop: (_, r) => ({ ...r, status: 'stopped' }),
  start: (_, r) => ({ ...r, status: 'running' }),
  fail: (_, r) => ({ ...r, health: 'failing' }),
  mend: (_, r) => {
    if (r['status'] !== 'stopped') throw conflict(`${r.name} is ${r['status']}: stop it before it is mended`)
    return { ...r, health: 'ok' }
  },
}
const DATABASE: Readonly<Record<string, Action>> = {
  fail: (_, r) => ({ ...r, status: 'degraded' }),
  mend: (_, r) => ({ ...r, status: 'available' }),
  upgrade: (ctx, r) => {
    const body = bodyObject(ctx.call)
    const wanted = readAttributes('databases', { engine_version: body['engine_version'] ?? null, ...(body['parameter_group'] == null ? {} : { parameter_group: body['parameter_group'] as Json }) }, r, { isRole })
    checkVersion(r, wanted, true, ctx.now)
    return beginUpgrade(r, { ...r, ...wanted } as Resource, ctx.now)
  },
}

/** `POST /v1/<collection>/:id/actions/:action`; for instances and databases. */
export function runAction(ctx: Context, collection: Collection): Outcome {
  const name = ctx.call.params['action'] as string
  const r = findResource(ctx.state, collection, ctx.call.params['id'] as string)
  checkLocks(ctx.state, ctx.caller.principal, `${collection}/${r.id}`, false)
  if (collection === 'databases' && name === 'snapshot') return takeSnapshot(ctx, r)
  const table = collection === 'instances' ? INSTANCE : collection === 'databases' ? DATABASE : {}
  const action = Object.hasOwn(table, name) ? table[name] : undefined
  if (!action) throw notFound(`action ${name} of ${collection} (there is ${[...Object.keys(table), ...(collection === 'databases' ? ['snapshot'] : [])].join(', ') || 'none'})`)
  return changed(ctx, collection, r, action(ctx, r))
}

function takeSnapshot(ctx: Context, db: Resource): Outcome {
  const name = bodyObject(ctx.call)['name']
  if (typeof name !== 'string' || name === '') throw invalid('name is required')
  checkName(ctx, 'snapshots', name)
  const snapshot: Resource = { id: newId('snap'), name, ...snapshotOf(db), created_at: ctx.now.toISOString() } as Resource
  const shown = show('snapshots', snapshot, ctx.now)
  return { status: 201, body: shown, changes: [['snapshots', snapshot.id, snapshot]], action: 'create', resource: describe('snapshots', snapshot), after: shown }
}
