// Pure rules about a sync policy and about who wrote it.
import { sameJson, type Json } from '../../core/json.ts'
import type { Application } from './schema.ts'

export const HOLD_ANNOTATION = 'reglaze.dev/hold'
export const FIELD_MANAGER = 'reglaze'

type Policy = Record<string, Json> | null

export function policyOf(app: Application): Policy {
  return (app.spec.syncPolicy ?? null) as Policy
}

/** Nothing is synced automatically: `automated` is absent or null, or says `enabled: false` (null or absent means on). */
export function isPaused(policy: Policy): boolean {
  const automated = policy?.['automated']
  if (automated === undefined || automated === null) return true
  return typeof automated === 'object' && !Array.isArray(automated) && automated['enabled'] === false
}

/** The merge patch (RFC 7386) that turns `from` into exactly `to`; undefined when they are equal. */
export function patchTo(from: Json | undefined, to: Json): Json | undefined {
  if (from !== undefined && sameJson(from, to)) return undefined
  const isObject = (v: Json | undefined): v is Record<string, Json> => v !== null && typeof v === 'object' && !Array.isArray(v)
  if (!isObject(to)) return to
  const base = isObject(from) ? from : {}
  const patch: Record<string, Json> = {}
  for (const key of Object.keys(base)) if (!(key in to)) patch[key] = null
  for (const [key, value] of Object.entries(to)) {
    const part = patchTo(base[key], value)
    if (part !== undefined) patch[key] = part
  }
  return patch
}

/**
 * The field manager that wrote the present sync policy, from managedFields. Who removes a field owns nothing by that,
 * therefore our hold also writes an annotation: its owner is who paused.
 */
export function changedBy(app: Application): string | null {
  const owners = app.metadata.managedFields ?? []
  const byTime = [...owners].sort((a, b) => ((a.time ?? '') < (b.time ?? '') ? 1 : -1))
  const owning = (...path: string[]) => byTime.find((entry) => owns(entry.fieldsV1, path))?.manager ?? null
  const annotation = isPaused(policyOf(app)) ? owning('f:metadata', 'f:annotations', `f:${HOLD_ANNOTATION}`) : null
  return annotation ?? owning('f:spec', 'f:syncPolicy', 'f:automated') ?? owning('f:spec', 'f:syncPolicy')
}
function owns(fields: Json | undefined, path: readonly string[]): boolean {
  let at: Json | undefined = fields
  for (const key of path) {
    if (at === null || typeof at !== 'object' || Array.isArray(at)) return false
    at = at[key]
  }
  return at !== undefined
}

export interface ParentRef { readonly kind: string; readonly namespace: string; readonly name: string }

/** Who writes this object: its owners, and the application of its tracking id (`<app>:<group>/<Kind>:<namespace>/<name>`) or tracking label. */
export function parentsOf(object: { metadata: Application['metadata'] }, fallbackNamespace: string): ParentRef[] {
  const { metadata } = object
  const namespace = metadata.namespace ?? fallbackNamespace
  const refs: ParentRef[] = (metadata.ownerReferences ?? []).map((o) => ({ kind: o.kind, namespace, name: o.name }))
  const tracked = metadata.annotations?.['argocd.argoproj.io/tracking-id']?.split(':')[0] ?? metadata.labels?.['app.kubernetes.io/instance']
  if (tracked) {
    // Applications outside Argo CD's own namespace are tracked as `<namespace>_<name>`.
    const [head = '', tail] = tracked.split('_')
    refs.push(tail === undefined ? { kind: 'Application', namespace: fallbackNamespace, name: head } : { kind: 'Application', namespace: head, name: tail })
  }
  return refs.filter((r, i) => !(r.kind === 'Application' && r.name === metadata.name && r.namespace === namespace) && refs.findIndex((x) => x.kind === r.kind && x.name === r.name && x.namespace === r.namespace) === i)
}

/** What a finished operation changed, as `Kind/name`; a message that ends in "unchanged" is a resource that was already so. */
export function changedResources(app: Application): string[] {
  const resources = app.status?.operationState?.syncResult?.resources ?? []
  return resources.filter((r) => r.status !== 'PruneSkipped' && !/\bunchanged$/.test(r.message ?? '')).map((r) => `${r.kind}/${r.name}`)
}

export interface ControllerRun { readonly ran: boolean; readonly changed: readonly string[]; readonly detail: Json }

/**
 * Whether the controller looked after `since` and what it did. Kubernetes times are whole seconds, rounded down: a look
 * counts only when its second began after `since`; an operation of the same second counts as one that came after.
 */
export function firstRunOf(app: Application, since: string): ControllerRun {
  const from = Date.parse(since)
  const state = app.status?.operationState ?? null
  const reconciledAt = app.status?.reconciledAt ?? null
  const detail: Json = { reconciledAt, sync: app.status?.sync?.status ?? null, revision: app.status?.sync?.revision ?? null, operation: state && { phase: state.phase, startedAt: state.startedAt, message: state.message ?? null, automated: state.operation?.initiatedBy?.automated ?? false } }
  const looked = reconciledAt !== null && Date.parse(reconciledAt) >= from
  const operated = state !== null && Date.parse(state.startedAt) >= Math.floor(from / 1000) * 1000
  if (operated) return state.phase === 'Succeeded' && looked ? { ran: true, changed: changedResources(app), detail } : { ran: false, changed: [], detail }
  return { ran: looked && app.status?.sync?.status === 'Synced', changed: [], detail }
}
