// The objects that this agent serves: Argo CD `Application` as the Kubernetes API shows it, and what an API server does to them.
import { randomUUID } from 'node:crypto'
import { changedOwners, type ManagedFields } from './managed-fields.ts'
import { conflict, invalid } from './status.ts'

export type Value = null | boolean | number | string | Value[] | { [key: string]: Value | undefined }
export type Fields = { [key: string]: Value | undefined }

export interface Metadata {
  name: string
  namespace: string
  uid: string
  resourceVersion: string
  generation: number
  creationTimestamp: string
  annotations?: Record<string, string>
  labels?: Record<string, string>
  finalizers?: string[]
  ownerReferences?: Value[]
  managedFields?: ManagedFields[]
}
export interface Automated { prune?: boolean; selfHeal?: boolean; enabled?: boolean; allowEmpty?: boolean }
export interface Spec {
  project: string
  source: { repoURL: string; path?: string; targetRevision?: string }
  destination: { server?: string; name?: string; namespace?: string }
  syncPolicy?: { automated?: Automated | null; syncOptions?: string[]; retry?: Value } | null
}
export interface Operation {
  initiatedBy?: { username?: string; automated?: boolean }
  sync?: { revision?: string; prune?: boolean; resources?: Value[]; syncOptions?: string[]; selfHealAttemptsCount?: number }
  info?: Value[]
  retry?: Value
}
export interface ResultResource {
  group: string; version: string; kind: string; namespace: string; name: string
  status: 'Synced' | 'SyncFailed' | 'Pruned' | 'PruneSkipped'
  message: string; hookPhase: string; syncPhase: 'Sync'
}
export interface OperationState {
  operation: Operation
  phase: 'Running' | 'Succeeded' | 'Failed' | 'Error'
  message?: string
  startedAt: string
  finishedAt?: string
  retryCount?: number
  syncResult?: { revision: string; source: Spec['source']; resources: ResultResource[] }
}
export interface ResourceStatus {
  group: string; version: string; kind: string; namespace: string; name: string
  status: 'Synced' | 'OutOfSync'; requiresPruning?: boolean; health?: { status: string }
}
export interface Status {
  sync: { status: 'Synced' | 'OutOfSync' | 'Unknown'; revision?: string; comparedTo?: Value }
  health: { status: string; lastTransitionTime?: string; message?: string }
  operationState?: OperationState
  history?: Value[]
  reconciledAt?: string
  observedAt?: string
  sourceType?: string
  resources?: ResourceStatus[]
  conditions?: { type: string; message: string; lastTransitionTime: string }[]
  summary?: Value
}
export interface Application {
  apiVersion: 'argoproj.io/v1alpha1'
  kind: 'Application'
  metadata: Metadata
  spec: Spec
  operation?: Operation
  status?: Status
}

/** Kubernetes writes times with whole seconds. */
export function kubeTime(at: Date = new Date()): string {
  return `${at.toISOString().slice(0, 19)}Z`
}

/** Does the controller act on its own? `enabled` absent or null counts as on. */
export function isAutomated(app: Application): boolean {
  const automated = app.spec.syncPolicy?.automated
  return automated !== undefined && automated !== null && automated.enabled !== false
}

/** RFC 7386: null removes, objects merge, everything else (lists too) is replaced as a whole. */
export function mergePatch(target: Value | undefined, patch: Value): Value {
  if (patch === null || typeof patch !== 'object' || Array.isArray(patch)) return patch
  const base: Fields = target !== null && typeof target === 'object' && !Array.isArray(target) ? { ...target } : {}
  for (const [key, value] of Object.entries(patch)) {
    if (value === undefined) continue
    if (value === null) delete base[key]
    else base[key] = mergePatch(base[key], value)
  }
  return base
}

/** Keys sorted at every level, undefined left out: an API server gives custom objects back like this. */
export function sorted(value: Value | undefined): Value {
  if (value === undefined || value === null || typeof value !== 'object') return value ?? null
  if (Array.isArray(value)) return value.map(sorted)
  const out: Fields = {}
  for (const key of Object.keys(value).sort()) if (value[key] !== undefined) out[key] = sorted(value[key])
  return out
}
export function equal(a: unknown, b: unknown): boolean {
  return JSON.stringify(sorted(a as Value)) === JSON.stringify(sorted(b as Value))
}

export function newApplication(o: { name: string; namespace: string; spec: Spec; metadata?: Partial<Metadata>; resourceVersion: string; manager: string }): Application {
  const bare: Application = {
    apiVersion: 'argoproj.io/v1alpha1',
    kind: 'Application',
    metadata: {
      ...o.metadata,
      name: o.name,
      namespace: o.namespace,
      uid: randomUUID(),
      resourceVersion: o.resourceVersion,
      generation: 1,
      creationTimestamp: kubeTime(),
    },
    spec: o.spec,
  }
  delete bare.metadata.managedFields
  return owned({}, sorted(bare as unknown as Value) as unknown as Application, o.manager)
}

/** The stored object after a write by one manager: server-side fields kept, versions moved, ownership of fields recorded. */
export function written(before: Application, wanted: Application, o: { manager: string; resourceVersion: string }): Application {
  if (wanted.metadata.resourceVersion !== undefined && wanted.metadata.resourceVersion !== before.metadata.resourceVersion) throw conflict(before.metadata.name)
  const metadata: Metadata = {
    ...wanted.metadata,
    name: before.metadata.name,
    namespace: before.metadata.namespace,
    uid: before.metadata.uid,
    creationTimestamp: before.metadata.creationTimestamp,
    resourceVersion: before.metadata.resourceVersion,
    generation: before.metadata.generation,
    managedFields: before.metadata.managedFields ?? [],
  }
  // Empty maps are left out, as Go's encoder does for object metadata.
  for (const map of ['annotations', 'labels'] as const) if (metadata[map] !== undefined && Object.keys(metadata[map]).length === 0) delete metadata[map]
  const next = sorted({ ...wanted, metadata } as unknown as Value) as unknown as Application
  if (equal(next, before)) return before
  next.metadata.resourceVersion = o.resourceVersion
  // The Application resource has no status subresource: every change outside metadata moves the generation.
  if (!equal({ ...next, metadata: {} }, { ...before, metadata: {} })) next.metadata.generation += 1
  return owned(before, next, o.manager)
}

function owned(before: Application | Record<string, never>, next: Application, manager: string): Application {
  const strip = (app: Application | Record<string, never>): Value => {
    if (app.metadata === undefined) return {}
    const { annotations, labels, finalizers, ownerReferences } = app.metadata as Metadata
    return sorted({ metadata: { annotations, labels, finalizers, ownerReferences }, spec: app.spec, operation: app.operation, status: app.status } as unknown as Value)
  }
  const previous = (before.metadata as Metadata | undefined)?.managedFields ?? []
  next.metadata.managedFields = changedOwners(previous, strip(before), strip(next), manager, 'argoproj.io/v1alpha1', kubeTime())
  return next
}

/** The checks that the resource's schema makes at admission; unknown fields are pruned by real servers, here they are kept. */
export function checkSpec(name: string, spec: unknown): asserts spec is Spec {
  const problems: string[] = []
  const s = spec as Partial<Spec> | null
  if (s === null || typeof s !== 'object') problems.push('spec: Required value')
  else {
    if (typeof s.project !== 'string') problems.push('spec.project: Required value')
    if (s.destination === null || typeof s.destination !== 'object') problems.push('spec.destination: Required value')
    if (s.source !== undefined && (s.source === null || typeof s.source.repoURL !== 'string')) problems.push('spec.source.repoURL: Required value')
    const automated = s.syncPolicy?.automated
    if (automated !== undefined && automated !== null) {
      if (typeof automated !== 'object' || Array.isArray(automated)) problems.push('spec.syncPolicy.automated: Invalid value: must be of type object')
      else for (const key of ['prune', 'selfHeal', 'enabled', 'allowEmpty'] as const) {
        if (automated[key] !== undefined && typeof automated[key] !== 'boolean') problems.push(`spec.syncPolicy.automated.${key}: Invalid value: must be of type boolean`)
      }
    }
  }
  if (problems.length > 0) throw invalid(name, problems)
}
