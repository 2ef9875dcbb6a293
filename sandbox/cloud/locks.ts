import { bodyObject } from '../lib/index.ts'
import type { Json } from '../lib/index.ts'
import type { Lock } from './model.ts'
import { findResource } from './resources.ts'
import { COLLECTIONS, isCollection } from './schema.ts'
import { invalid, notFound, textField } from './store.ts'
import type { Context, Outcome } from './store.ts'

function lockOf(ctx: Context): { name: string; found: Lock | undefined; resource: { type: string; id: string; name: string } } {
  const name = ctx.call.params['name'] as string
  return { name, found: ctx.state.tables.locks[name], resource: { type: 'lock', id: name, name } }
}

export function listLocks({ state }: Context): Outcome {
  return { status: 200, body: { items: Object.values(state.tables.locks) }, action: 'read', resource: null }
}
export function getLock(ctx: Context): Outcome {
  const { name, found, resource } = lockOf(ctx)
  if (!found) throw notFound(`lock ${name}`)
  return { status: 200, body: found, action: 'read', resource }
}
export function putLock(ctx: Context): Outcome {
  const { name, found, resource } = lockOf(ctx)
  const body = bodyObject(ctx.call)
  const level = textField(body, 'level')
  if (level !== 'read-only' && level !== 'no-delete') throw invalid('level must be read-only or no-delete')
  const except = body['except'] ?? []
  if (!Array.isArray(except) || except.some((e) => typeof e !== 'string')) throw invalid('except must be a list of principal ids')
  const lock: Lock = {
    name,
    level,
    scope: readScope(ctx, textField(body, 'scope') ?? '/'),
    except: except as string[],
    reason: textField(body, 'reason') ?? 'no reason given',
    owner: textField(body, 'owner') ?? ctx.caller.principal,
    created_at: found?.created_at ?? ctx.now.toISOString(),
    created_by: found?.created_by ?? ctx.caller.principal,
    updated_at: ctx.now.toISOString(),
    updated_by: ctx.caller.principal,
  }
  return {
    status: found ? 200 : 201,
    body: lock,
    changes: [['locks', name, lock]],
    action: found ? 'update' : 'create',
    resource,
    before: (found ?? null) as Json,
    after: lock as unknown as Json,
  }
}
export function deleteLock(ctx: Context): Outcome {
  const { name, found, resource } = lockOf(ctx)
  if (!found) throw notFound(`lock ${name}`)
  return { status: 204, changes: [['locks', name, null]], action: 'delete', resource, before: found as unknown as Json }
}

/** `/` or `<collection>/<id>`; a name is turned into the id, so that a rename does not slip out of the lock. */
function readScope(ctx: Context, scope: string): string {
  if (scope === '/') return scope
  const [collection, id, ...more] = scope.split('/')
  if (!isCollection(collection) || !id || more.length > 0) throw invalid(`scope must be / or <collection>/<id>, with a collection of ${Object.keys(COLLECTIONS).join(', ')}`)
  return `${collection}/${findResource(ctx.state, collection, id).id}`
}
