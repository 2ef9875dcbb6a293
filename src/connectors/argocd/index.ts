import { CORE, ReglazeError } from '../../core/errors.ts'
import type { Json } from '../../core/json.ts'
import type { HoldSpec, Observation, Pausable, PauseState } from '../../core/ports.ts'
import { CONNECTOR } from '../errors.ts'
import { callHttp, readAnswer } from '../http.ts'
import { bearer, observed, type FirstRun, type Secret } from '../observed.ts'
import { readTarget } from '../target.ts'
import { application, owner, setting, target, type Application } from './schema.ts'
import { FIELD_MANAGER, HOLD_ANNOTATION, changedBy, firstRunOf, isPaused, parentsOf, patchTo, policyOf, type ParentRef } from './sync-policy.ts'

export interface ArgoCdOptions {
  /** The Kubernetes API server (not Argo CD's own API). */
  readonly url: string
  readonly token: Secret
  /** Where Applications live unless a target says otherwise; default `argocd`. */
  readonly namespace?: string
  readonly timeoutMs?: number
}

const SYSTEM = 'argocd'
const GROUP = '/apis/argoproj.io/v1alpha1'
/** A controller that refreshes often moves the resourceVersion under us; each try is a new read and a new conditional write. */
const TRIES = 8
/** Deeper nesting of applications than this is a circle. */
const MAX_PARENTS = 16

/** Holds Argo CD Applications by removing `spec.syncPolicy.automated` (README: why not `enabled: false`). */
export class ArgoCd implements Pausable {
  #o: ArgoCdOptions
  constructor(o: ArgoCdOptions) {
    this.#o = o
  }

  async observe(spec: Omit<HoldSpec, 'prior'>): Promise<Observation<PauseState>> {
    const at = this.#target(spec)
    return observed(async () => {
      const app = await this.#get(at)
      const value: PauseState = { paused: isPaused(policyOf(app)), setting: { syncPolicy: policyOf(app) }, changedBy: changedBy(app), running: runningOf(app), parents: await this.#parents(app, at.namespace) }
      return { value, evidence: { source: `argocd ${this.#o.url}`, request: `GET ${path(at)}`, answer: { resourceVersion: app.metadata.resourceVersion, syncPolicy: policyOf(app), hold: app.metadata.annotations?.[HOLD_ANNOTATION] ?? null } } }
    })
  }

  async pause(spec: HoldSpec): Promise<void> {
    const at = this.#target(spec)
    await this.#change(at, (app) => {
      // Paused already, by us or by somebody before us: nothing of theirs is touched.
      if (isPaused(policyOf(app))) return null
      return { metadata: { annotations: { [HOLD_ANNOTATION]: `${spec.holdId} ${spec.incident}: ${spec.reason}` } }, spec: { syncPolicy: { automated: null } } }
    })
  }

  async resume(spec: HoldSpec): Promise<void> {
    const at = this.#target(spec)
    const prior = readSetting(spec.prior)
    await this.#change(at, (app) => {
      const ours = app.metadata.annotations?.[HOLD_ANNOTATION]?.startsWith(`${spec.holdId} `) === true
      const policy = patchTo(app.spec.syncPolicy ?? null, prior)
      if (policy === undefined && !ours) return null
      const metadata: Record<string, Json> = ours ? { annotations: { [HOLD_ANNOTATION]: null } } : {}
      return policy === undefined ? { metadata } : { metadata, spec: { syncPolicy: policy } }
    })
  }

  async firstRun(spec: HoldSpec, since: string): Promise<FirstRun> {
    const at = this.#target(spec)
    return observed(async () => {
      const run = firstRunOf(await this.#get(at), since)
      return { value: run, evidence: { source: `argocd ${this.#o.url}`, request: `GET ${path(at)}`, answer: run.detail } }
    })
  }

  manual(spec: HoldSpec): string {
    const at = this.#target(spec)
    const patch = { metadata: { annotations: { [HOLD_ANNOTATION]: null } }, spec: { syncPolicy: readSetting(spec.prior) } }
    return `kubectl -n ${at.namespace} patch application ${at.application} --type merge -p '${JSON.stringify(patch).replaceAll("'", String.raw`'\''`)}'`
  }

  #target(spec: Pick<HoldSpec, 'target'>): { application: string; namespace: string } {
    const t = readTarget(target, spec.target, SYSTEM)
    return { application: t.application, namespace: t.namespace ?? this.#o.namespace ?? 'argocd' }
  }

  async #get(at: { application: string; namespace: string }): Promise<Application> {
    const answer = await callHttp({ system: SYSTEM, method: 'GET', url: `${this.#base()}${path(at)}`, headers: await bearer(this.#o.token), ...this.#deadline() })
    return readAnswer(application, answer, { system: SYSTEM, what: `GET ${path(at)}` })
  }

  /** Reads, asks `wanted` for a merge patch, writes it on the condition that nobody wrote in between; again when somebody did. */
  async #change(at: { application: string; namespace: string }, wanted: (app: Application) => { metadata: Record<string, Json>; spec?: Json } | null): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      const app = await this.#get(at)
      const patch = wanted(app)
      if (patch === null) return
      try {
        await callHttp({
          system: SYSTEM,
          method: 'PATCH',
          url: `${this.#base()}${path(at)}?fieldManager=${FIELD_MANAGER}`,
          headers: { ...(await bearer(this.#o.token)), 'content-type': 'application/merge-patch+json' },
          body: { ...patch, metadata: { ...patch.metadata, resourceVersion: app.metadata.resourceVersion } },
          ...this.#deadline(),
        })
        return
      } catch (e) {
        if (!(e instanceof ReglazeError && e.code === CONNECTOR.CONNECTOR_CONFLICT) || attempt >= TRIES) throw e
      }
    }
  }

  /** Everything that writes this Application, nearest first, up to the top. An owner that cannot be read is named and not walked further. */
  async #parents(app: Application, namespace: string): Promise<string[]> {
    const found: string[] = []
    let level = parentsOf(app, namespace)
    for (let depth = 0; level.length > 0 && depth < MAX_PARENTS; depth++) {
      const next: ParentRef[] = []
      for (const ref of level) {
        const name = nameOf(ref, namespace)
        if (found.includes(name)) continue
        found.push(name)
        next.push(...(await this.#parentsOf(ref, namespace)))
      }
      level = next
    }
    return found
  }
  async #parentsOf(ref: ParentRef, namespace: string): Promise<ParentRef[]> {
    const plural = PLURAL[ref.kind]
    if (plural === undefined) return []
    const where = `${GROUP}/namespaces/${ref.namespace}/${plural}/${encodeURIComponent(ref.name)}`
    try {
      const answer = await callHttp({ system: SYSTEM, method: 'GET', url: `${this.#base()}${where}`, headers: await bearer(this.#o.token), ...this.#deadline() })
      return parentsOf(readAnswer(owner, answer, { system: SYSTEM, what: `GET ${where}` }), namespace)
    } catch (e) {
      // Not there any more, or not ours to read: the name is reported all the same.
      if (e instanceof ReglazeError && (e.code === CONNECTOR.CONNECTOR_NOT_THERE || e.data?.['status'] === 403)) return []
      throw e
    }
  }

  #base(): string {
    return this.#o.url.replace(/\/$/, '')
  }
  #deadline(): { timeoutMs?: number } {
    return this.#o.timeoutMs === undefined ? {} : { timeoutMs: this.#o.timeoutMs }
  }
}

const PLURAL: Readonly<Record<string, string>> = { Application: 'applications', ApplicationSet: 'applicationsets' }

function path(at: { application: string; namespace: string }): string {
  return `${GROUP}/namespaces/${encodeURIComponent(at.namespace)}/applications/${encodeURIComponent(at.application)}`
}
/** `root`, `other-namespace/root`, `ApplicationSet/fleet`. */
function nameOf(ref: ParentRef, namespace: string): string {
  const name = ref.namespace === namespace ? ref.name : `${ref.namespace}/${ref.name}`
  return ref.kind === 'Application' ? name : `${ref.kind}/${name}`
}
function runningOf(app: Application): string[] {
  const out: string[] = []
  if (app.operation !== undefined && app.operation !== null) out.push('an operation waits to start')
  const state = app.status?.operationState
  if (state?.phase === 'Running' || state?.phase === 'Terminating') out.push(`operation ${state.phase.toLowerCase()} since ${state.startedAt}`)
  return out
}
function readSetting(prior: Json): Json {
  const parsed = setting.safeParse(prior)
  if (!parsed.success) throw new ReglazeError(CORE.INVALID_INPUT, `argocd: the stored earlier setting is not one of this connector: ${parsed.error.issues[0]?.message}`)
  return parsed.data.syncPolicy as Json
}
