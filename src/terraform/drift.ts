/** What differs between two values of one resource, and what kind of difference it is (§5.3). */
import { canonical, sameJson, type Json } from '../core/json.ts'
import { isObject } from './plan.ts'
import { isComputedOnly, isSetType, type BlockSchema } from './schema.ts'

export type DriftClass = 'real' | 'computed-only' | 'equal-json' | 'equal-set' | 'noise'
export type Path = readonly (string | number)[]

export interface Difference {
  readonly path: Path
  readonly from: Json
  readonly to: Json
  readonly class: DriftClass
}
/** Hides drift that a provider makes by itself. Type `*` = every type. What a rule hid is still shown. */
export interface NoiseRule {
  readonly type: string
  readonly attribute: string
  readonly why?: string
}
export const NOISE: readonly NoiseRule[] = [
  { type: '*', attribute: 'etag', why: 'changes with every write' },
  { type: '*', attribute: 'latest_restorable_time', why: 'moves with the clock' },
  { type: '*', attribute: 'resource_version', why: 'changes with every write' },
]

/**
 * The differences between two attribute objects of a resource, as small as they can be decided on: keys of maps and
 * attributes of nested blocks one by one, lists of scalars and sets as a whole.
 */
export function differences(type: string, from: Json, to: Json, schema: BlockSchema | null, noise: readonly NoiseRule[] = NOISE): Difference[] {
  const a = isObject(from) ? from : {}
  const b = isObject(to) ? to : {}
  const out: Difference[] = []
  for (const name of [...new Set([...Object.keys(a), ...Object.keys(b)])].sort()) {
    const x = a[name] ?? null
    const y = b[name] ?? null
    if (sameJson(x, y)) continue
    const attribute = schema?.attributes?.[name]
    const block = schema?.block_types?.[name]
    const whole = (cls: DriftClass): Difference[] => [{ path: [name], from: x, to: y, class: cls }]
    if (noise.some((n) => (n.type === '*' || n.type === type) && n.attribute === name)) out.push(...whole('noise'))
    else if (isComputedOnly(attribute)) out.push(...whole('computed-only'))
    else if (equalAsJson(x, y)) out.push(...whole('equal-json'))
    else if ((isSetType(attribute) || block?.nesting_mode === 'set') && equalAsSet(x, y)) out.push(...whole('equal-set'))
    else if (isSetType(attribute) || block?.nesting_mode === 'set' || (x === null && !isObject(y)) || (y === null && !isObject(x))) out.push(...whole('real'))
    else out.push(...leaves([name], x, y).map((d) => ({ ...d, class: 'real' as const })))
  }
  return out
}

/** Descends into objects, and into lists of equal length whose elements are objects. */
function leaves(path: Path, x: Json, y: Json): { path: Path; from: Json; to: Json }[] {
  if (sameJson(x, y)) return []
  if (isObject(x) || isObject(y)) {
    if ((x !== null && !isObject(x)) || (y !== null && !isObject(y))) return [{ path, from: x, to: y }]
    const a = (x ?? {}) as Record<string, Json>
    const b = (y ?? {}) as Record<string, Json>
    return [...new Set([...Object.keys(a), ...Object.keys(b)])].sort().flatMap((k) => leaves([...path, k], a[k] ?? null, b[k] ?? null))
  }
  if (Array.isArray(x) && Array.isArray(y) && x.length === y.length && x.every(isObject) && y.every(isObject)) {
    return x.flatMap((v, i) => leaves([...path, i], v, y[i] as Json))
  }
  return [{ path, from: x, to: y }]
}

/** Two texts that hold the same JSON value (object key order and white space aside). */
export function equalAsJson(x: Json, y: Json): boolean {
  if (typeof x !== 'string' || typeof y !== 'string' || !/^\s*[[{]/.test(x) || !/^\s*[[{]/.test(y)) return false
  try {
    return sameJson(JSON.parse(x), JSON.parse(y))
  } catch {
    return false
  }
}
export function equalAsSet(x: Json, y: Json): boolean {
  if (!Array.isArray(x) || !Array.isArray(y) || x.length !== y.length) return false
  const sort = (v: readonly Json[]): string[] => v.map((e) => canonical(e)).sort()
  return sameJson(sort(x), sort(y))
}

/** `tags.env`, `disk[0].size_gb`: a path as people write it. */
export function formatPath(path: Path): string {
  return path.map((p, i) => (typeof p === 'number' ? `[${p}]` : /^[\w-]+$/.test(p) ? `${i > 0 ? '.' : ''}${p}` : `[${JSON.stringify(p)}]`)).join('')
}
export function at(value: Json | undefined, path: Path): Json | undefined {
  let v: Json | undefined = value
  for (const p of path) {
    if (Array.isArray(v) && typeof p === 'number') v = v[p]
    else if (isObject(v)) v = v[String(p)]
    else return undefined
  }
  return v
}
