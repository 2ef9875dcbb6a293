// Where an application's resources live: routes and firewalls in the cloud, child applications in this agent's own API.
import type { CloudClient, CloudObject } from '../lib/index.ts'
import { checkSpec, equal, type Application, type Value } from './application.ts'
import { applicationSpec, idOf, trackingId, type Manifest, type ResourceId } from './manifests.ts'
import type { ApplicationStore } from './store.ts'

export interface Live {
  /** What exists; null = nothing. */
  readonly object: unknown
  readonly inSync: boolean
  readonly health: string
  readonly why: string
}
export interface Target {
  look(app: Application, m: Manifest): Promise<Live>
  /** Brings the object to what git wants; returns the verb for the sync result (`created`, `configured`, `unchanged`). */
  apply(app: Application, m: Manifest): Promise<'created' | 'configured' | 'unchanged'>
  exists(id: ResourceId): Promise<boolean>
  remove(id: ResourceId): Promise<void>
}

const TRACKING = 'argocd.argoproj.io/tracking-id'
/** Field manager of the agent's own writes to what it manages. */
export const SYNC_MANAGER = 'argocd-controller'

/** The kinds Route and Firewall of `sandbox.test/v1`. */
export class CloudTarget implements Target {
  #cloud: CloudClient
  constructor(cloud: CloudClient) {
    this.#cloud = cloud
  }
  async look(_app: Application, m: Manifest): Promise<Live> {
    const [live, wanted] = [await this.#find(m.kind, m.metadata.name), await this.#wanted(m)]
    if (wanted === null) return { object: live, inSync: false, health: 'Missing', why: `there is no instance "${String(m.spec['target'])}"` }
    if (live === null) return { object: null, inSync: false, health: 'Missing', why: 'missing' }
    const inSync = Object.entries(wanted).every(([k, v]) => equal(live[k], v))
    return { object: live, inSync, health: await this.#health(m, live), why: inSync ? '' : 'differs from git' }
  }
  async apply(app: Application, m: Manifest): Promise<'created' | 'configured' | 'unchanged'> {
    const wanted = await this.#wanted(m)
    if (wanted === null) throw new Error(`there is no instance "${String(m.spec['target'])}"`)
    const live = await this.#find(m.kind, m.metadata.name)
    const collection = COLLECTION[m.kind] as string
    if (live === null) {
      await this.#cloud.call('POST', `/v1/${collection}`, wanted)
      return 'created'
    }
    if ((await this.look(app, m)).inSync) return 'unchanged'
    await this.#cloud.call('PATCH', `/v1/${collection}/${live.id}`, wanted)
    return 'configured'
  }
  async exists(id: ResourceId): Promise<boolean> {
    return (await this.#find(id.kind, id.name)) !== null
  }
  async remove(id: ResourceId): Promise<void> {
    const live = await this.#find(id.kind, id.name)
    if (live !== null) await this.#cloud.call('DELETE', `/v1/${COLLECTION[id.kind] as string}/${live.id}`)
  }

  async #find(kind: string, name: string): Promise<CloudObject | null> {
    return (await this.#cloud.list(COLLECTION[kind] as string, name)).find((o) => o.name === name) ?? null
  }
  async #wanted(m: Manifest): Promise<Record<string, Value> | null> {
    if (m.kind === 'Firewall') return { name: m.metadata.name, rule: m.spec['rules'] as Value }
    const target = String(m.spec['target'])
    const instance = (await this.#cloud.list('instances', target)).find((o) => o.name === target)
    return instance === undefined ? null : { name: m.metadata.name, target_id: instance.id }
  }
  async #health(m: Manifest, live: CloudObject): Promise<string> {
    if (m.kind !== 'Route') return 'Healthy'
    const instances = await this.#cloud.list('instances')
    const at = instances.find((i) => i.id === live['target_id'])
    if (at === undefined) return 'Missing'
    return at['status'] === 'running' && at['health'] !== 'failing' ? 'Healthy' : 'Degraded'
  }
}
const COLLECTION: Record<string, string> = { Route: 'routes', Firewall: 'firewalls' }

/** Child applications: the app-of-apps pattern. The whole spec comes from git, sync policy included. */
export class ApplicationTarget implements Target {
  #store: ApplicationStore
  constructor(store: ApplicationStore) {
    this.#store = store
  }
  async look(app: Application, m: Manifest): Promise<Live> {
    const live = this.#store.find(idOf(m, app).namespace, m.metadata.name)
    if (live === undefined) return { object: null, inSync: false, health: 'Missing', why: 'missing' }
    const inSync = equal(live.spec, m.spec) && this.#meta(app, m, live)
    return { object: live, inSync, health: live.status?.health.status ?? 'Progressing', why: inSync ? '' : 'spec differs from git' }
  }
  async apply(app: Application, m: Manifest): Promise<'created' | 'configured' | 'unchanged'> {
    const id = idOf(m, app)
    checkSpec(id.name, m.spec)
    const live = this.#store.find(id.namespace, id.name)
    const annotations = { ...live?.metadata.annotations, ...m.metadata.annotations, [TRACKING]: trackingId(app.metadata.name, id) }
    if (live === undefined) {
      await this.#store.create({ ...id, spec: applicationSpec(m), manager: SYNC_MANAGER, metadata: { annotations, ...(m.metadata.labels ? { labels: m.metadata.labels } : {}), ...(m.metadata.finalizers ? { finalizers: m.metadata.finalizers } : {}) } })
      return 'created'
    }
    if ((await this.look(app, m)).inSync) return 'unchanged'
    await this.#store.update(id.namespace, id.name, SYNC_MANAGER, (now) => ({ ...now, spec: structuredClone(applicationSpec(m)), metadata: { ...now.metadata, annotations, labels: { ...now.metadata.labels, ...m.metadata.labels } } }))
    return 'configured'
  }
  async exists(id: ResourceId): Promise<boolean> {
    return this.#store.find(id.namespace, id.name) !== undefined
  }
  async remove(id: ResourceId): Promise<void> {
    if (this.#store.find(id.namespace, id.name)) await this.#store.remove(id.namespace, id.name)
  }
  // As a three-way merge does: annotations and labels that git does not name are left alone.
  #meta(app: Application, m: Manifest, live: Application): boolean {
    const wanted = { ...m.metadata.annotations, [TRACKING]: trackingId(app.metadata.name, idOf(m, app)) }
    const labels = Object.entries(m.metadata.labels ?? {})
    return Object.entries(wanted).every(([k, v]) => live.metadata.annotations?.[k] === v) && labels.every(([k, v]) => live.metadata.labels?.[k] === v)
  }
}
