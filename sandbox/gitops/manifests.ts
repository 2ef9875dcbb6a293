// What git wants: the documents of an application's folder.
import { parseAllDocuments } from 'yaml'
import type { GitClone } from '../lib/index.ts'
import type { Application, ResourceStatus, Spec, Value } from './application.ts'

export interface Manifest {
  readonly apiVersion: string
  readonly kind: 'Application' | 'Route' | 'Firewall'
  readonly metadata: { readonly name: string; readonly namespace?: string; readonly annotations?: Record<string, string>; readonly labels?: Record<string, string>; readonly finalizers?: string[] }
  readonly spec: { readonly [key: string]: Value }
}
const KINDS: Record<string, readonly string[]> = { 'argoproj.io/v1alpha1': ['Application'], 'sandbox.test/v1': ['Route', 'Firewall'] }

/** Reads all `*.yaml`/`*.yml` documents of the application's path at a commit. Throws with the file's name when one is wrong. */
export async function readManifests(git: GitClone, commit: string, path: string): Promise<Manifest[]> {
  const out: Manifest[] = []
  for (const file of await git.files(commit, path)) {
    if (!/\.ya?ml$/.test(file.path)) continue
    for (const doc of parseAllDocuments(file.text)) {
      if ('errors' in doc && doc.errors.length > 0) throw new Error(`${file.path}: ${doc.errors[0]?.message}`)
      const value = doc.toJS() as Manifest | null
      if (value === null) continue
      check(file.path, value)
      out.push(value)
    }
  }
  return out
}

function check(file: string, m: Manifest): void {
  if (!KINDS[m.apiVersion]?.includes(m.kind)) throw new Error(`${file}: no resource ${m.kind} in ${m.apiVersion}`)
  if (typeof m.metadata?.name !== 'string' || m.metadata.name === '') throw new Error(`${file}: metadata.name is missing`)
  if (m.spec === null || typeof m.spec !== 'object') throw new Error(`${file}: spec is missing`)
  if (m.kind === 'Route' && typeof m.spec['target'] !== 'string') throw new Error(`${file}: spec.target must name an instance`)
  if (m.kind === 'Firewall' && !Array.isArray(m.spec['rules'])) throw new Error(`${file}: spec.rules must be a list`)
}

export interface ResourceId { group: string; version: string; kind: string; namespace: string; name: string }

export function idOf(m: Manifest, app: Application): ResourceId {
  const [group = '', version = ''] = m.apiVersion.split('/')
  const namespace = m.kind === 'Application' ? (m.metadata.namespace ?? app.metadata.namespace) : (app.spec.destination.namespace ?? '')
  return { group, version, kind: m.kind, namespace, name: m.metadata.name }
}
export function sameId(a: ResourceId, b: ResourceId | ResourceStatus): boolean {
  return a.group === b.group && a.kind === b.kind && a.namespace === b.namespace && a.name === b.name
}
/** `<app>:<group>/<Kind>:<namespace>/<name>`: how a managed object tells who manages it. */
export function trackingId(app: string, id: ResourceId): string {
  return `${app}:${id.group}/${id.kind}:${id.namespace}/${id.name}`
}
export function applicationSpec(m: Manifest): Spec {
  return m.spec as unknown as Spec
}
