// Which manager owns which field (`metadata.managedFields`, FieldsV1), as a Kubernetes API server keeps it for updates:
// who changes or adds a field owns it, who removes a field owns nothing by that.
import type { Value } from './application.ts'

export interface ManagedFields {
  manager: string
  operation: 'Update' | 'Apply'
  apiVersion: string
  time: string
  fieldsType: 'FieldsV1'
  fieldsV1: Value
}

const SEPARATOR = '\u0000'

/** Leaf paths of a value; a list is one leaf (atomic, as in the Application's schema), an empty object too. */
function leaves(value: Value | undefined, path: readonly string[] = [], out = new Map<string, string>()): Map<string, string> {
  if (value === undefined) return out
  if (value === null || typeof value !== 'object' || Array.isArray(value) || Object.keys(value).length === 0) {
    if (path.length > 0) out.set(path.join(SEPARATOR), JSON.stringify(value))
    return out
  }
  for (const [key, child] of Object.entries(value)) leaves(child, [...path, key], out)
  return out
}

function toFields(paths: Iterable<string>): Value {
  const root: { [key: string]: Value } = {}
  for (const path of [...paths].sort()) {
    let at = root
    for (const key of path.split(SEPARATOR)) at = (at[`f:${key}`] ??= {}) as { [key: string]: Value }
  }
  return root
}
function fromFields(fields: Value, path: readonly string[] = [], out = new Set<string>()): Set<string> {
  const entries = Object.entries((fields ?? {}) as Record<string, Value>).filter(([key]) => key.startsWith('f:'))
  if (entries.length === 0 && path.length > 0) out.add(path.join(SEPARATOR))
  for (const [key, child] of entries) fromFields(child, [...path, key.slice(2)], out)
  return out
}

/** The new ownership list after `manager` turned `before` into `after`. */
export function changedOwners(previous: readonly ManagedFields[], before: Value, after: Value, manager: string, apiVersion: string, time: string): ManagedFields[] {
  const old = leaves(before)
  const now = leaves(after)
  const changed = new Set([...now].filter(([path, value]) => old.get(path) !== value).map(([path]) => path))
  const out: ManagedFields[] = []
  let mine: ManagedFields | undefined
  for (const entry of previous) {
    const kept = [...fromFields(entry.fieldsV1)].filter((path) => now.has(path))
    if (entry.manager === manager) {
      mine = { ...entry, time: changed.size > 0 ? time : entry.time, fieldsV1: toFields([...kept, ...changed]) }
      out.push(mine)
      continue
    }
    const rest = kept.filter((path) => !changed.has(path))
    if (rest.length > 0) out.push({ ...entry, fieldsV1: toFields(rest) })
  }
  if (mine === undefined && changed.size > 0) out.push({ manager, operation: 'Update', apiVersion, time, fieldsType: 'FieldsV1', fieldsV1: toFields(changed) })
  return out.filter((entry) => Object.keys(entry.fieldsV1 as object).length > 0)
}
