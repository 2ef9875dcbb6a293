/**
 * Takes secrets out of Terraform's documents, which hold them in clear text (§4.2). A keyed digest stands in their place,
 * so that "changed or not" can still be said. The digest function is handed in: this part is pure.
 */
import { canonical, type Json } from '../core/json.ts'
import { isObject, type Change, type PlanDocument, type ResourceChange, type ValuesDocument } from './plan.ts'
import { resourceSchema, sensitivePaths, type ProviderSchemas } from './schema.ts'
import type { StateDocument } from './state.ts'

/** Keyed digest of a text, e.g. HMAC-SHA-256 in hex. Without a key a short secret could be guessed. */
export type Digest = (text: string) => string

export function secret(value: Json, digest: Digest): Json {
  return value === null ? null : { $secret: digest(canonical(value)) }
}

/** Replaces what a mark document (`true` in the place of each sensitive value) marks. */
export function redactByMarks(value: Json, marks: Json | undefined, digest: Digest): Json {
  if (marks === true) return secret(value, digest)
  if (Array.isArray(marks) && Array.isArray(value)) return value.map((v, i) => redactByMarks(v, marks[i], digest))
  if (isObject(marks) && isObject(value)) return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, redactByMarks(v, marks[k], digest)]))
  return value
}

/** Replaces what the schema calls sensitive, whatever the marks say. Lists and sets of blocks are entered. */
export function redactByPaths(value: Json, paths: readonly (readonly string[])[], digest: Digest): Json {
  if (paths.length === 0) return value
  if (Array.isArray(value)) return value.map((v) => redactByPaths(v, paths, digest))
  if (!isObject(value) || '$secret' in value) return value
  return Object.fromEntries(Object.entries(value).map(([k, v]) => {
    const below = paths.filter((p) => p[0] === k)
    if (below.some((p) => p.length === 1)) return [k, isObject(v) && '$secret' in v ? v : secret(v, digest)]
    return [k, redactByPaths(v, below.map((p) => p.slice(1)), digest)]
  }))
}

function redactChange(c: Change, paths: string[][], digest: Digest): Change {
  const out: Record<string, unknown> = {
    ...c,
    before: redactByPaths(redactByMarks(c.before, c.before_sensitive, digest), paths, digest),
    after: redactByPaths(redactByMarks(c.after, c.after_sensitive, digest), paths, digest),
  }
  delete out['generated_config']
  return out as unknown as Change
}

function redactValues(doc: ValuesDocument | undefined, schemas: ProviderSchemas | null, digest: Digest): ValuesDocument | undefined {
  if (!doc) return undefined
  const walk = (m: ValuesDocument['root_module']): ValuesDocument['root_module'] => m && {
    ...m,
    ...(m.resources && { resources: m.resources.map((r) => ({ ...r, values: redactByPaths(redactByMarks(r.values, r.sensitive_values, digest), sensitivePaths(resourceSchema(schemas, r.type, r.provider_name)), digest) as Record<string, Json> })) }),
    ...(m.child_modules && { child_modules: m.child_modules.map((c) => walk(c) as NonNullable<typeof m>) }),
  }
  const outputs = doc.outputs && Object.fromEntries(Object.entries(doc.outputs).map(([n, o]) => [n, o.sensitive ? { ...o, value: secret(o.value ?? null, digest) } : o]))
  const root = walk(doc.root_module)
  return { ...(root && { root_module: root }), ...(outputs && { outputs }) }
}

/**
 * A plan without secrets. `configuration` and `variables` go as a whole but for a digest: a literal password stands in
 * `constant_value` without any mark, and sensitive variables appear as plain values.
 */
export function redactPlan(plan: PlanDocument, schemas: ProviderSchemas | null, digest: Digest): PlanDocument {
  const one = (r: ResourceChange): ResourceChange => ({ ...r, change: redactChange(r.change, sensitivePaths(resourceSchema(schemas, r.type, r.provider_name)), digest) })
  const out: Record<string, unknown> = { ...plan }
  if (plan.resource_changes) out['resource_changes'] = plan.resource_changes.map(one)
  if (plan.resource_drift) out['resource_drift'] = plan.resource_drift.map(one)
  if (plan.output_changes) out['output_changes'] = Object.fromEntries(Object.entries(plan.output_changes).map(([n, c]) => [n, redactChange(c, [], digest)]))
  if (plan.prior_state) out['prior_state'] = { values: redactValues(plan.prior_state.values, schemas, digest) }
  if (plan.planned_values) out['planned_values'] = redactValues(plan.planned_values, schemas, digest)
  for (const key of ['configuration', 'variables'] as const) if (plan[key]) out[key] = { $secret: digest(canonical(plan[key])) }
  return out as unknown as PlanDocument
}

interface StatePath {
  readonly type: string
  readonly value: Json
}

/** A pulled state without secrets: `sensitive_attributes` and the schema decide; `private` goes; sensitive outputs too. */
export function redactState(state: StateDocument, schemas: ProviderSchemas | null, digest: Digest): StateDocument {
  const resources = state.resources.map((r) => {
    const paths = sensitivePaths(resourceSchema(schemas, r.type))
    return {
      ...r,
      instances: r.instances.map((i) => {
        const marks = (i.sensitive_attributes ?? []) as unknown as StatePath[][]
        let attributes: Json = redactByPaths(i.attributes ?? {}, paths, digest)
        for (const path of marks) attributes = redactAt(attributes, path.map((p) => (isObject(p.value) ? (p.value['value'] as Json) : p.value)), digest)
        const { private: _private, ...rest } = i
        return { ...rest, attributes: attributes as Record<string, Json> }
      }),
    }
  })
  const outputs = state.outputs && Object.fromEntries(Object.entries(state.outputs).map(([n, o]) => [n, isObject(o) && o['sensitive'] === true ? { ...o, value: secret(o['value'] ?? null, digest) } : o]))
  return { ...state, resources, ...(outputs && { outputs: outputs as Record<string, Json> }) }
}

function redactAt(value: Json, path: readonly Json[], digest: Digest): Json {
  const [head, ...rest] = path
  if (path.length === 0) return isObject(value) && '$secret' in value ? value : secret(value, digest)
  if (Array.isArray(value)) return value.map((v, i) => (i === head ? redactAt(v, rest, digest) : v))
  if (!isObject(value) || typeof head !== 'string' || !(head in value)) return value
  return { ...value, [head]: redactAt(value[head] as Json, rest, digest) }
}
