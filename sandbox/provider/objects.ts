import { CloudError } from './cloud.ts'
import type { Cloud, JsonObject } from './cloud.ts'
import { Diagnostic, pathIn } from './diagnostics.ts'
import { UNKNOWN } from './msgpack.ts'
import type { Obj, Value } from './msgpack.ts'
import type { ResourceSpec, Spec } from './schema.ts'
import { toCreate, toPatch, toState } from './values.ts'

const UPGRADE_POLL_MS = 50
const UPGRADE_LIMIT_MS = 120_000

/** The object as it is in the cloud, or null when it is gone. */
export async function readObject(cloud: Cloud, type: string, spec: ResourceSpec, prior: Obj): Promise<Obj | null> {
  const id = prior['id']
  if (typeof id !== 'string') return null
  try {
    return toState(spec, (await cloud.call('GET', pathOf(spec, id))) ?? {}, prior)
  } catch (e) {
    if (e instanceof CloudError && e.status === 404) return null
    throw explain(e, `Cannot read ${type} ${id}`, spec)
  }
}

/** Creates, changes or deletes; returns the new state (null after a deletion). */
export async function applyObject(cloud: Cloud, type: string, spec: ResourceSpec, prior: Obj | null, planned: Obj | null): Promise<Obj | null> {
  if (!planned) return deleteObject(cloud, type, spec, prior as Obj)
  const name = String((planned['name'] ?? prior?.['id'] ?? '') as string)
  try {
    let seen: JsonObject
    if (!prior) seen = (await cloud.call('POST', `/v1/${spec.collection}`, toCreate(spec, planned))) ?? {}
    else {
      const id = prior['id'] as string
      const patch = toPatch(spec, prior, planned)
      seen = (Object.keys(patch).length > 0 ? await cloud.call('PATCH', pathOf(spec, id), patch) : await cloud.call('GET', pathOf(spec, id))) ?? {}
    }
    return agreed(spec, planned, toState(spec, await whenReady(cloud, spec, seen), planned))
  } catch (e) {
    throw explain(e, `Cannot ${prior ? 'change' : 'create'} ${type} ${name}`, spec)
  }
}

async function deleteObject(cloud: Cloud, type: string, spec: ResourceSpec, prior: Obj): Promise<null> {
  const id = prior['id'] as string
  try {
    await cloud.call('DELETE', pathOf(spec, id))
  } catch (e) {
    if (!(e instanceof CloudError) || e.status !== 404) throw explain(e, `Cannot delete ${type} ${String(prior['name'] ?? id)} (${id})`, spec)
  }
  return null
}

// A version change goes on after the answer; Terraform expects to be told when it is done.
async function whenReady(cloud: Cloud, spec: ResourceSpec, seen: JsonObject): Promise<JsonObject> {
  let now = seen
  for (let waited = 0; now['status'] === 'upgrading'; waited += UPGRADE_POLL_MS) {
    if (waited > UPGRADE_LIMIT_MS) throw new CloudError(0, `still upgrading after ${UPGRADE_LIMIT_MS / 1000} s`)
    await new Promise((resolve) => setTimeout(resolve, UPGRADE_POLL_MS))
    now = (await cloud.call('GET', pathOf(spec, String(seen['id'])))) ?? {}
  }
  return now
}

// A computed value that was planned as known and is different by now was changed by somebody at the same moment. Terraform
// would call that a defect of the provider; the next refresh shows it as drift, which it is.
function agreed(spec: Spec, planned: Obj, state: Obj): Obj {
  const out = { ...state }
  for (const [key, a] of Object.entries(spec.attributes)) {
    const value = planned[key] as Value
    if (a.computed && value !== UNKNOWN && value !== undefined && value !== null) out[key] = value
  }
  return out
}

function pathOf(spec: ResourceSpec, id: string): string {
  return `/v1/${spec.collection}/${encodeURIComponent(id)}`
}

const HINTS: Readonly<Record<number, string>> = {
  0: 'Check SANDBOX_URL and that the cloud is running. Whether the change took effect is not known: run plan again.',
  401: 'Check SANDBOX_TOKEN: it may have ended or been withdrawn.',
  403: 'The credential in SANDBOX_TOKEN lacks the role for this.',
  423: 'Nothing was changed. Talk to the owner of the lock, or wait until it is removed.',
}
const TITLES: Readonly<Record<number, string>> = { 423: 'locked', 403: 'forbidden', 401: 'not authenticated', 429: 'throttled', 409: 'conflict' }

/** An error of the cloud as a diagnostic that a person understands. */
export function explain(e: unknown, what: string, spec: Spec): Error {
  if (!(e instanceof CloudError)) return e as Error
  const title = TITLES[e.status]
  const hint = HINTS[e.status]
  return new Diagnostic(title ? `${what}: ${title}` : what, hint ? `${e.message}\n\n${hint}` : e.message, pathIn(e.message, spec))
}

/** `data "sandbox_database"`: a missing one is `exists = false`, no error. `data "sandbox_snapshot"`: the latest of a database. */
export async function readData(cloud: Cloud, type: string, spec: Spec, config: Obj): Promise<Obj> {
  try {
    if (type === 'sandbox_database') {
      const [found] = await listOf(cloud, `/v1/databases?name=${encodeURIComponent(String(config['name']))}`)
      return { ...toState(spec, found ?? {}, null), name: config['name'] as Value, exists: found !== undefined }
    }
    const database = String(config['database'])
    const mine = (await listOf(cloud, '/v1/snapshots')).filter((s) => s['database'] === database || s['database_id'] === database)
    const latest = mine.sort((a, b) => String(a['created_at']).localeCompare(String(b['created_at']))).at(-1)
    if (!latest) throw new Diagnostic('No snapshot', `The database "${database}" has no snapshot. Take one first: sandbox database snapshot ${database} --name NAME`, ['database'])
    return { ...toState(spec, latest, null), database }
  } catch (e) {
    throw explain(e, `Cannot read data ${type}`, spec)
  }
}

async function listOf(cloud: Cloud, path: string): Promise<JsonObject[]> {
  return ((await cloud.call('GET', path))?.['items'] ?? []) as JsonObject[]
}

/** Checks what can be checked before there is a cloud to ask. */
export function checkConfig(config: Obj): void {
  const policy = config['policy']
  if (typeof policy === 'string') {
    try {
      JSON.parse(policy)
    } catch (e) {
      throw new Diagnostic('Invalid policy', `policy must be JSON text: ${(e as Error).message}`, ['policy'])
    }
  }
  const end = config['expires_at']
  if (typeof end === 'string' && Number.isNaN(Date.parse(end))) throw new Diagnostic('Invalid expires_at', `"${end}" is not an RFC 3339 time such as 2030-01-31T12:00:00Z`, ['expires_at'])
}
