import type { Json, JsonObject } from './cloud.ts'
import { UNKNOWN } from './msgpack.ts'
import type { Obj, Value } from './msgpack.ts'
import type { Attribute, Spec } from './schema.ts'

/** Same value; objects whatever the order of their keys, numbers also when one came as text. */
export function equal(a: Value, b: Value): boolean {
  if (a === b) return true
  if (a === null || b === null || typeof a === 'symbol' || typeof b === 'symbol') return false
  if (typeof a !== 'object' || typeof b !== 'object') return typeof a !== typeof b && String(a) === String(b) && typeof a !== 'object' && typeof b !== 'object' && (typeof a === 'number' || typeof b === 'number')
  if (Array.isArray(a) || Array.isArray(b)) return Array.isArray(a) && Array.isArray(b) && a.length === b.length && a.every((v, i) => equal(v, b[i] as Value))
  const keys = Object.keys(a)
  return keys.length === Object.keys(b).length && keys.every((k) => Object.hasOwn(b, k) && equal(a[k] as Value, b[k] as Value))
}

/** Same value for this attribute: sets without order, JSON text as JSON, times as moments. */
export function same(attribute: Attribute, a: Value, b: Value): boolean {
  if (equal(a, b)) return true
  if (typeof a === 'string' && typeof b === 'string') {
    if (attribute.json) return sameJsonText(a, b)
    if (attribute.time) return Date.parse(a) === Date.parse(b)
  }
  if (Array.isArray(attribute.type) && attribute.type[0] === 'set' && Array.isArray(a) && Array.isArray(b)) return equal([...a].sort(byText), [...b].sort(byText))
  return false
}
const byText = (a: Value, b: Value): number => (String(a) === String(b) ? 0 : String(a) < String(b) ? -1 : 1)
function sameJsonText(a: string, b: string): boolean {
  try {
    return equal(JSON.parse(a) as Value, JSON.parse(b) as Value)
  } catch {
    return false
  }
}

/**
 * The Terraform object for what the cloud shows. `prior` decides how equal things are written (the text of JSON, null
 * or empty for nothing) and gives what the cloud never tells (sensitive values).
 */
export function toState(spec: Spec, seen: JsonObject, prior: Obj | null): Obj {
  const out: Obj = {}
  for (const [key, a] of Object.entries(spec.attributes)) {
    const before = prior?.[key] ?? null
    const known = before === UNKNOWN ? null : before
    if (a.sensitive) {
      out[key] = known
      continue
    }
    const value = (seen[key] ?? null) as Value
    out[key] = known !== null && same(a, known, value) ? known : emptyAs(known, value)
  }
  for (const [key, attributes] of Object.entries(spec.blocks)) {
    const list = (seen[key] ?? []) as JsonObject[]
    out[key] = list.map((item) => Object.fromEntries(Object.keys(attributes).map((k) => [k, (item[k] ?? null) as Value])))
  }
  return out
}
// The cloud does not tell "nothing written" from "written as empty".
function emptyAs(known: Value, value: Value): Value {
  const empty = (v: Value): boolean => v === null || (typeof v === 'object' && Object.keys(v).length === 0)
  return empty(known) && empty(value) ? known : value
}

/** What a create sends: everything that is known. */
export function toCreate(spec: Spec, planned: Obj): JsonObject {
  const out: JsonObject = {}
  for (const key of keysOf(spec)) {
    const value = planned[key] ?? null
    if (value !== null && value !== UNKNOWN && !isReadOnly(spec, key)) out[key] = value as Json
  }
  return out
}

/** What an update sends: only what differs, so that an attribute changed by somebody else meanwhile is not put back by accident. */
export function toPatch(spec: Spec, prior: Obj, planned: Obj): JsonObject {
  const out: JsonObject = {}
  for (const key of keysOf(spec)) {
    const value = planned[key] ?? null
    if (value === UNKNOWN || isReadOnly(spec, key)) continue
    const a = spec.attributes[key]
    if (a ? !same(a, prior[key] ?? null, value) : !equal(prior[key] ?? [], value)) out[key] = value as Json
  }
  return out
}
function keysOf(spec: Spec): string[] {
  return [...Object.keys(spec.attributes), ...Object.keys(spec.blocks)]
}
function isReadOnly(spec: Spec, key: string): boolean {
  const a = spec.attributes[key]
  return a !== undefined && a.computed === true && !a.optional
}

/** A stored object in the shape of the present schema: missing keys added, unknown ones dropped. */
export function upgrade(spec: Spec, stored: JsonObject): Obj {
  const out: Obj = {}
  for (const key of Object.keys(spec.attributes)) out[key] = (stored[key] ?? null) as Value
  for (const [key, attributes] of Object.entries(spec.blocks)) {
    out[key] = ((stored[key] ?? []) as JsonObject[]).map((item) => Object.fromEntries(Object.keys(attributes).map((k) => [k, (item[k] ?? null) as Value])))
  }
  return out
}

export function emptyObject(spec: Spec): Obj {
  return upgrade(spec, {})
}

/** The planned object, and the attributes whose change needs a new object. */
export function plan(spec: Spec, prior: Obj | null, proposed: Obj, config: Obj): { planned: Obj; replace: string[] } {
  const planned: Obj = { ...proposed }
  const replace: string[] = []
  for (const [key, a] of Object.entries(spec.attributes)) {
    const before = prior?.[key] ?? null
    if (a.computed && (config[key] ?? null) === null) planned[key] = prior ? (a.optional && a.default !== undefined ? a.default : before) : (a.default ?? UNKNOWN)
    const value = planned[key] ?? null
    if (prior && before !== null && value !== UNKNOWN && same(a, before, value)) planned[key] = before
    if (prior && a.forceNew && !same(a, before, value)) replace.push(key)
  }
  return { planned, replace }
}
