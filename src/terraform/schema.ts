/** `terraform providers schema -json`: which attributes are computed, sensitive, sets, nested blocks. */
import type { Json } from '../core/json.ts'

export interface AttributeSchema {
  readonly type?: Json
  readonly required?: boolean
  readonly optional?: boolean
  readonly computed?: boolean
  readonly sensitive?: boolean
  readonly write_only?: boolean
  readonly nested_type?: { readonly nesting_mode: string; readonly attributes: Record<string, AttributeSchema> }
}
export interface BlockSchema {
  readonly attributes?: Record<string, AttributeSchema>
  readonly block_types?: Record<string, { readonly nesting_mode: string; readonly block: BlockSchema; readonly min_items?: number; readonly max_items?: number }>
}
export interface ProviderSchemas {
  readonly provider_schemas?: Record<string, { readonly resource_schemas?: Record<string, { readonly block: BlockSchema }>; readonly data_source_schemas?: Record<string, { readonly block: BlockSchema }>; readonly provider?: { readonly block: BlockSchema } }>
}

/** The schema of a resource type, whichever provider has it. */
export function resourceSchema(schemas: ProviderSchemas | null, type: string, provider?: string): BlockSchema | null {
  const all = schemas?.provider_schemas ?? {}
  if (provider && all[provider]?.resource_schemas?.[type]) return all[provider].resource_schemas[type].block
  for (const p of Object.values(all)) if (p.resource_schemas?.[type]) return p.resource_schemas[type].block
  return null
}

/** Computed by the provider alone: no code can set it. */
export function isComputedOnly(a: AttributeSchema | undefined): boolean {
  return a?.computed === true && a.optional !== true && a.required !== true
}
export function isSetType(a: AttributeSchema | undefined): boolean {
  if (a?.nested_type) return a.nested_type.nesting_mode === 'set'
  return Array.isArray(a?.type) && a.type[0] === 'set'
}
/** Paths (dotted, of attribute and block names) that a schema marks sensitive or write-only. */
export function sensitivePaths(block: BlockSchema | null, prefix: readonly string[] = []): string[][] {
  const own = Object.entries(block?.attributes ?? {}).flatMap(([name, a]) => {
    if (a.sensitive || a.write_only) return [[...prefix, name]]
    return Object.entries(a.nested_type?.attributes ?? {}).filter(([, n]) => n.sensitive || n.write_only).map(([n]) => [...prefix, name, n])
  })
  const nested = Object.entries(block?.block_types ?? {}).flatMap(([name, b]) => sensitivePaths(b.block, [...prefix, name]))
  return [...own, ...nested]
}
