// The Kubernetes API paths of Application objects.
import { ApiError, type Faults, asAnswer, readFault, type Answer, type Call, type Handler, type Tokens, type User } from '../lib/index.ts'
import { checkSpec, mergePatch, sorted, type Application, type Metadata, type Spec, type Value } from './application.ts'
import { KubeError, badRequest, conflict, forbidden, noSuchPath, unauthorized, unsupportedMedia } from './status.ts'
import type { ApplicationStore } from './store.ts'

const ROOT = ['apis', 'argoproj.io', 'v1alpha1']
const VERB: Record<string, string> = { GET: 'get', POST: 'create', PATCH: 'patch', PUT: 'update', DELETE: 'delete' }

export interface ApiOptions {
  readonly store: ApplicationStore
  readonly tokens: Tokens
  readonly faults: Faults
  readonly version: string
  /** Told after every write, so that the controller looks at once. */
  changed(): void
}

export function applicationApi(o: ApiOptions): Handler {
  return async (call) => {
    try {
      if (call.path === '/healthz' || call.path === '/readyz' || call.path === '/livez') return { status: 200, body: { status: 'ok' } }
      const user = o.tokens.find(call.bearer)
      if (call.path === '/_sandbox/faults') return faults(o.faults, user, call)
      return await o.faults.around(call, (c) => serve(o, user, c), refuse)
    } catch (e) {
      return kubeAnswer(e)
    }
  }
}

function refuse(status: number): Answer {
  const made: Record<number, KubeError> = {
    401: unauthorized(),
    429: new KubeError(429, 'TooManyRequests', 'the server has received too many requests and has asked us to try again later', { retryAfterSeconds: 1 }),
  }
  return kubeAnswer(made[status] ?? new KubeError(status, 'InternalError', 'Internal error occurred: planned fault'))
}
function kubeAnswer(e: unknown): Answer {
  if (e instanceof KubeError) return { status: e.code, body: e.body() }
  if (e instanceof ApiError) return { status: e.status, body: new KubeError(e.status, e.code, e.message).body(), headers: e.headers }
  return asAnswer(e)
}
function faults(planned: Faults, user: User | null, call: Call): Answer {
  if (user === null) throw unauthorized()
  if (!user.groups.includes('admins')) throw new KubeError(403, 'Forbidden', `User "${user.name}" may not plan faults`)
  if (call.method === 'POST') planned.add(readFault(call.body))
  if (call.method === 'DELETE') planned.clear()
  return { status: 200, body: { faults: planned.list() } }
}

async function serve(o: ApiOptions, user: User | null, call: Call): Promise<Answer> {
  if (user === null) throw unauthorized()
  if (call.path === '/version') return { status: 200, body: { major: '1', minor: '31', gitVersion: o.version } }
  const at = parsePath(call.segments)
  const verb = call.method === 'GET' && at.name === undefined ? 'list' : (VERB[call.method] ?? call.method.toLowerCase())
  if (call.method !== 'GET' && user.groups.includes('readers')) throw forbidden(user.name, verb, at.namespace ?? '', at.name)
  if (at.name === undefined) {
    if (call.method === 'GET') return list(o, at.namespace)
    if (call.method === 'POST' && at.namespace !== undefined) return create(o, at.namespace, call, user)
  } else if (at.namespace !== undefined) {
    if (call.method === 'GET') return { status: 200, body: view(o.store.get(at.namespace, at.name)) }
    if (call.method === 'PATCH') return patch(o, at.namespace, at.name, call, user)
    if (call.method === 'PUT') return put(o, at.namespace, at.name, call, user)
    if (call.method === 'DELETE') return remove(o, at.namespace, at.name)
  }
  throw new KubeError(405, 'MethodNotAllowed', 'the server does not allow this method on the requested resource')
}

/** `/apis/argoproj.io/v1alpha1[/namespaces/NS]/applications[/NAME]` */
function parsePath(segments: readonly string[]): { namespace: string | undefined; name: string | undefined } {
  if (!ROOT.every((part, i) => segments[i] === part)) throw noSuchPath()
  const rest = segments.slice(ROOT.length)
  const namespace = rest[0] === 'namespaces' ? rest[1] : undefined
  const [plural, name, ...more] = rest[0] === 'namespaces' ? rest.slice(2) : rest
  if (plural !== 'applications' || more.length > 0 || (name !== undefined && namespace === undefined)) throw noSuchPath()
  return { namespace, name }
}

function list(o: ApiOptions, namespace: string | undefined): Answer {
  return { status: 200, body: { apiVersion: 'argoproj.io/v1alpha1', items: o.store.list(namespace).map(view), kind: 'ApplicationList', metadata: { continue: '', resourceVersion: o.store.version } } }
}

async function create(o: ApiOptions, namespace: string, call: Call, user: User): Promise<Answer> {
  const body = objectOf(call)
  const metadata = (body['metadata'] ?? {}) as Partial<Metadata>
  if (typeof metadata.name !== 'string') throw badRequest('metadata.name is required')
  checkSpec(metadata.name, body['spec'])
  const { annotations, labels, finalizers, ownerReferences } = metadata
  const kept = Object.fromEntries(Object.entries({ annotations, labels, finalizers, ownerReferences }).filter(([, v]) => v !== undefined))
  const app = await o.store.create({ namespace, name: metadata.name, spec: body['spec'] as Spec, metadata: kept, manager: manager(call, user) })
  o.changed()
  return { status: 201, body: view(app) }
}

async function patch(o: ApiOptions, namespace: string, name: string, call: Call, user: User): Promise<Answer> {
  const type = (call.headers['content-type'] ?? '').split(';')[0]?.trim() ?? ''
  if (type !== 'application/merge-patch+json') throw unsupportedMedia(type)
  const body = objectOf(call) as Value
  const app = await o.store.update(namespace, name, manager(call, user), (now) => admitted(name, mergePatch(now as unknown as Value, body), call))
  o.changed()
  return { status: 200, body: view(app) }
}

async function put(o: ApiOptions, namespace: string, name: string, call: Call, user: User): Promise<Answer> {
  const body = objectOf(call)
  const given = (body['metadata'] as Partial<Metadata> | undefined)?.resourceVersion
  if (given === undefined) throw new KubeError(422, 'Invalid', `applications.argoproj.io "${name}" is invalid: metadata.resourceVersion: Invalid value: 0x0: must be specified for an update`)
  if (given !== o.store.get(namespace, name).metadata.resourceVersion) throw conflict(name)
  const app = await o.store.update(namespace, name, manager(call, user), () => admitted(name, body as Value, call))
  o.changed()
  return { status: 200, body: view(app) }
}

async function remove(o: ApiOptions, namespace: string, name: string): Promise<Answer> {
  const app = await o.store.remove(namespace, name)
  o.changed()
  return { status: 200, body: { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Success', details: { name, group: 'argoproj.io', kind: 'applications', uid: app.metadata.uid } } }
}

/** What admission makes of a wanted object: checked, who asked for an operation written into it, nothing forged. */
function admitted(name: string, wanted: Value, _call: Call): Application {
  const app = wanted as unknown as Application
  checkSpec(name, app.spec)
  if (app.operation === null || app.operation === undefined) delete app.operation
  return app
}

/** `?fieldManager=`, else the first part of the user agent, as the API server does. */
function manager(call: Call, user: User): string {
  const given = call.query.get('fieldManager')
  if (given !== null && given.length > 128) throw badRequest('fieldManager: Too long: may not be longer than 128')
  return given ?? call.headers['user-agent']?.split('/')[0] ?? user.name
}
function objectOf(call: Call): Record<string, Value> {
  if (call.body === null || typeof call.body !== 'object' || Array.isArray(call.body)) throw badRequest('the body of the request must be an object')
  return call.body as Record<string, Value>
}
function view(app: Application): unknown {
  return sorted(app as unknown as Value)
}
