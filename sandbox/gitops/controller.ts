// The application controller: compare with git, report, and act when the sync policy says so.
import { CloudError, type GitClone } from '../lib/index.ts'
import { equal, isAutomated, kubeTime, type Application, type Operation, type OperationState, type ResourceStatus, type ResultResource, type Status, type Value } from './application.ts'
import { idOf, readManifests, sameId, type Manifest, type ResourceId } from './manifests.ts'
import type { ApplicationStore } from './store.ts'
import type { Target } from './targets.ts'

const MANAGER = 'argocd-application-controller'
const HISTORY_LIMIT = 10
/** A failed automatic sync is tried again after 1, 2, 4, 4 … periods. */
const MAX_BACKOFF = 4

interface Compared { manifest: Manifest | null; id: ResourceId; status: ResourceStatus; why: string }
interface Comparison { revision: string; resources: Compared[]; error: string | null }

export class Controller {
  #store: ApplicationStore
  #git: GitClone
  #targets: Record<string, Target>
  #periodMs: number
  #retry = new Map<string, { failures: number; notBefore: number }>()
  #manifests = new Map<string, Manifest[]>()
  constructor(o: { store: ApplicationStore; git: GitClone; cloud: Target; applications: Target; periodMs: number }) {
    this.#store = o.store
    this.#git = o.git
    this.#targets = { Application: o.applications, Route: o.cloud, Firewall: o.cloud }
    this.#periodMs = o.periodMs
  }

  /** One look at everything, parents before children. Never throws for an application's own trouble. */
  async round(): Promise<void> {
    const revision = await this.#git.update().catch((e: Error) => e)
    const apps = this.#store.list()
    const children = new Set(apps.flatMap((a) => (a.status?.resources ?? []).filter((r) => r.kind === 'Application').map((r) => r.name)))
    for (const app of [...apps].sort((a, b) => Number(children.has(a.metadata.name)) - Number(children.has(b.metadata.name)))) {
      if (app.metadata.annotations?.['argocd.argoproj.io/skip-reconcile'] === 'true') continue
      await this.#reconcile(app.metadata.namespace, app.metadata.name, revision)
    }
  }

  async #reconcile(namespace: string, name: string, revision: string | Error): Promise<void> {
    const startedAt = new Date()
    const app = this.#store.find(namespace, name)
    if (app === undefined) return
    await this.#interrupted(app)
    const found = await this.#compare(app, revision)
    await this.#report(app, found, startedAt)
    const now = this.#store.find(namespace, name)
    if (now === undefined) return
    const operation = this.#nextOperation(now, found)
    if (operation === null || found.error !== null) return
    await this.#sync(now, operation, found)
    const after = this.#store.find(namespace, name)
    if (after !== undefined) await this.#report(after, await this.#compare(after, revision), new Date())
  }

  async #compare(app: Application, revision: string | Error): Promise<Comparison> {
    try {
      if (revision instanceof Error) throw revision
      const manifests = await this.#read(revision, app.spec.source.path ?? '.')
      const resources: Compared[] = []
      for (const manifest of manifests) {
        const id = idOf(manifest, app)
        const live = await this.#target(id).look(app, manifest)
        resources.push({ manifest, id, why: live.why, status: { ...id, status: live.inSync ? 'Synced' : 'OutOfSync', health: { status: live.health } } })
      }
      for (const old of app.status?.resources ?? []) {
        if (manifests.some((m) => sameId(idOf(m, app), old)) || !(await this.#target(old).exists(old))) continue
        const id = { group: old.group, version: old.version, kind: old.kind, namespace: old.namespace, name: old.name }
        resources.push({ manifest: null, id, why: 'no longer in git', status: { ...id, status: 'OutOfSync', requiresPruning: true } })
      }
      return { revision, resources, error: null }
    } catch (e) {
      return { revision: '', resources: [], error: (e as Error).message }
    }
  }

  async #read(revision: string, path: string): Promise<Manifest[]> {
    const key = `${revision}:${path}`
    const known = this.#manifests.get(key)
    if (known) return known
    const read = await readManifests(this.#git, revision, path)
    if (this.#manifests.size > 50) this.#manifests.clear()
    this.#manifests.set(key, read)
    return read
  }
  #target(id: { kind: string }): Target {
    const target = this.#targets[id.kind]
    if (target === undefined) throw new Error(`no resource ${id.kind}`)
    return target
  }

  async #report(app: Application, found: Comparison, at: Date): Promise<void> {
    const { namespace, name } = app.metadata
    await this.#store.update(namespace, name, MANAGER, (now) => {
      const status: Status = { ...now.status, sync: now.status?.sync ?? { status: 'Unknown' }, health: now.status?.health ?? { status: 'Unknown' } }
      status.reconciledAt ??= kubeTime(at)
      status.sourceType = 'Directory'
      const comparedTo = { source: now.spec.source, destination: now.spec.destination } as unknown as Value
      if (found.error === null) {
        delete status.conditions
        const outOfSync = found.resources.some((r) => r.status.status === 'OutOfSync')
        status.sync = { status: outOfSync ? 'OutOfSync' : 'Synced', revision: found.revision, comparedTo }
        status.resources = found.resources.map((r) => r.status)
        status.health = healthOf(status, found.resources.map((r) => r.status.health?.status ?? 'Healthy'))
      } else {
        status.sync = { status: 'Unknown', comparedTo }
        const old = status.conditions?.find((c) => c.message === found.error)
        status.conditions = [{ type: 'ComparisonError', message: found.error, lastTransitionTime: old?.lastTransitionTime ?? kubeTime(at) }]
      }
      const annotations = { ...now.metadata.annotations }
      delete annotations['argocd.argoproj.io/refresh']
      return { ...now, metadata: { ...now.metadata, annotations }, status }
    })
    this.#store.reconciled(namespace, name, at)
  }

  /** What to do now: what somebody asked for, else what the sync policy makes of the difference. */
  #nextOperation(app: Application, found: Comparison): Operation | null {
    if (app.operation !== undefined) return app.operation
    if (!isAutomated(app) || app.status?.sync.status !== 'OutOfSync') return null
    const retry = this.#retry.get(app.metadata.uid)
    if (retry !== undefined && Date.now() < retry.notBefore) return null
    const automated = app.spec.syncPolicy?.automated ?? {}
    const last = app.status.operationState
    const done = last?.syncResult?.revision === found.revision && last.phase === 'Succeeded'
    const actionable = found.resources.filter((r) => r.status.status === 'OutOfSync' && (r.manifest !== null || automated.prune === true))
    if (actionable.length === 0) return null
    const base: Operation = { initiatedBy: { automated: true }, retry: { limit: 5 }, sync: { revision: found.revision, ...(automated.prune ? { prune: true } : {}), ...(app.spec.syncPolicy?.syncOptions ? { syncOptions: app.spec.syncPolicy.syncOptions } : {}) } }
    if (!done) return base
    if (automated.selfHeal !== true) return null
    const resources = actionable.map((r) => ({ group: r.id.group, kind: r.id.kind, namespace: r.id.namespace, name: r.id.name }))
    return { ...base, sync: { ...base.sync, resources, selfHealAttemptsCount: (last.operation.sync?.selfHealAttemptsCount ?? 0) + 1 } }
  }

  async #sync(app: Application, operation: Operation, found: Comparison): Promise<void> {
    const { namespace, name, uid } = app.metadata
    const state: OperationState = { operation, phase: 'Running', message: 'waiting for completion of the sync', startedAt: kubeTime(), retryCount: 0 }
    await this.#setOperation(namespace, name, state, true)
    const only = operation.sync?.resources as ResourceId[] | undefined
    const resources: ResultResource[] = []
    for (const r of found.resources) {
      if (only !== undefined && !only.some((o) => o.kind === r.id.kind && o.name === r.id.name)) continue
      resources.push(await this.#syncOne(app, r, operation.sync?.prune === true))
    }
    const failed = resources.filter((r) => r.status === 'SyncFailed')
    state.phase = failed.length > 0 ? 'Failed' : 'Succeeded'
    state.message = failed.length > 0 ? `one or more objects failed to apply, reason: ${failed[0]?.message}` : 'successfully synced (all tasks run)'
    state.finishedAt = kubeTime()
    state.syncResult = { revision: found.revision, source: app.spec.source, resources }
    await this.#setOperation(namespace, name, state, false)
    if (state.phase === 'Succeeded') this.#retry.delete(uid)
    else {
      const failures = (this.#retry.get(uid)?.failures ?? 0) + 1
      this.#retry.set(uid, { failures, notBefore: Date.now() + this.#periodMs * Math.min(2 ** (failures - 1), MAX_BACKOFF) })
    }
  }

  async #syncOne(app: Application, r: Compared, prune: boolean): Promise<ResultResource> {
    const base = { ...r.id, hookPhase: 'Running', syncPhase: 'Sync' as const }
    const label = `${r.id.kind.toLowerCase()}.${r.id.group}/${r.id.name}`
    try {
      if (r.manifest !== null) return { ...base, status: 'Synced', message: `${label} ${await this.#target(r.id).apply(app, r.manifest)}` }
      if (!prune) return { ...base, status: 'PruneSkipped', message: 'ignored (requires pruning)' }
      await this.#target(r.id).remove(r.id)
      return { ...base, status: 'Pruned', message: 'pruned' }
    } catch (e) {
      const why = e instanceof CloudError ? `${e.code}: ${e.message}` : (e as Error).message
      return { ...base, status: 'SyncFailed', message: `${label}: ${why}` }
    }
  }

  async #setOperation(namespace: string, name: string, state: OperationState, start: boolean): Promise<void> {
    if (this.#store.find(namespace, name) === undefined) return
    await this.#store.update(namespace, name, MANAGER, (now) => {
      const status: Status = { ...(now.status ?? { sync: { status: 'Unknown' }, health: { status: 'Unknown' } }), operationState: structuredClone(state) }
      // As the real controller: a self-heal of single resources is no new deployment in the history.
      if (state.phase === 'Succeeded' && state.operation.sync?.resources === undefined) status.history = withHistory(now, state)
      const next = { ...now, status }
      if (start) delete next.operation
      return next
    })
  }

  /** An operation that a killed agent left running is over; the next look decides anew. */
  async #interrupted(app: Application): Promise<void> {
    const state = app.status?.operationState
    if (state?.phase !== 'Running') return
    await this.#setOperation(app.metadata.namespace, app.metadata.name, { ...state, phase: 'Error', message: 'the controller was restarted during the operation', finishedAt: kubeTime() }, false)
  }
}

function withHistory(app: Application, state: OperationState): Value[] {
  const old = (app.status?.history ?? []) as { id: number }[]
  const entry = { id: (old.at(-1)?.id ?? -1) + 1, revision: state.syncResult?.revision, deployStartedAt: state.startedAt, deployedAt: state.finishedAt, source: app.spec.source, initiatedBy: state.operation.initiatedBy ?? {} }
  return [...old, entry].slice(-HISTORY_LIMIT) as unknown as Value[]
}

const WORST = ['Healthy', 'Suspended', 'Progressing', 'Unknown', 'Missing', 'Degraded']
function healthOf(before: Status, all: readonly string[]): Status['health'] {
  const status = all.reduce((worst, h) => (WORST.indexOf(h) > WORST.indexOf(worst) ? h : worst), 'Healthy')
  return equal(before.health.status, status) && before.health.lastTransitionTime ? before.health : { status, lastTransitionTime: kubeTime() }
}
