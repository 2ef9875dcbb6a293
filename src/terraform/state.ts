/** State v4 (`terraform state pull`): who is who, and what depends on what. */
import { ReglazeError } from '../core/errors.ts'
import type { Json } from '../core/json.ts'
import { formatAddress, parseAddress, type InstanceKey } from './address.ts'
import { TERRAFORM } from './errors.ts'

export interface StateInstance {
  readonly index_key?: InstanceKey
  readonly schema_version?: number
  readonly attributes?: Record<string, Json>
  readonly sensitive_attributes?: Json[]
  readonly dependencies?: readonly string[]
  readonly status?: string
  readonly deposed?: string
  readonly private?: string
}
export interface StateResource {
  readonly module?: string
  readonly mode: 'managed' | 'data'
  readonly type: string
  readonly name: string
  readonly provider: string
  readonly instances: readonly StateInstance[]
}
export interface StateDocument {
  readonly version: number
  readonly terraform_version: string
  readonly serial: number
  readonly lineage: string
  readonly outputs?: Record<string, Json>
  readonly resources: readonly StateResource[]
}
export interface StateEntry {
  readonly address: string
  /** Address without instance keys, as `dependencies` name it. */
  readonly config: string
  readonly mode: 'managed' | 'data'
  readonly type: string
  readonly id: string | null
  readonly tainted: boolean
  /** `provider["registry/ns/type"]` as written in the state. */
  readonly provider: string
  readonly attributes: Record<string, Json>
  readonly dependencies: readonly string[]
}

/** Reads a pulled state; the empty answer of a workspace without state gives an empty one. Throws TERRAFORM_DOCUMENT. */
export function parseState(text: string): StateDocument {
  if (text.trim() === '') return { version: 4, terraform_version: '', serial: 0, lineage: '', resources: [] }
  let doc: StateDocument
  try {
    doc = JSON.parse(text) as StateDocument
  } catch (cause) {
    throw new ReglazeError(TERRAFORM.TERRAFORM_DOCUMENT, 'the state is not JSON', { cause })
  }
  if (doc?.version !== 4 || !Array.isArray(doc.resources)) {
    throw new ReglazeError(TERRAFORM.TERRAFORM_DOCUMENT, `a state of version ${String(doc?.version)}; only version 4 is read`)
  }
  return doc
}

/** Every object of a state, deposed ones left out. */
export function stateEntries(state: StateDocument): StateEntry[] {
  return state.resources.flatMap((r) => {
    const prefix = `${r.module ? `${r.module}.` : ''}${r.mode === 'data' ? 'data.' : ''}${r.type}.${r.name}`
    return r.instances.filter((i) => i.deposed === undefined).map((i) => {
      const parsed = parseAddress(prefix)
      const address = formatAddress({ ...parsed, key: i.index_key ?? null })
      const config = formatAddress({ ...parsed, modules: parsed.modules.map((m) => ({ name: m.name, key: null })) })
      const id = i.attributes?.['id']
      return {
        address, config, mode: r.mode, type: r.type, tainted: i.status === 'tainted', provider: r.provider,
        id: typeof id === 'string' || typeof id === 'number' ? String(id) : null,
        attributes: i.attributes ?? {}, dependencies: i.dependencies ?? [],
      }
    })
  })
}

export interface StateIndex {
  readonly byAddress: ReadonlyMap<string, StateEntry>
  /** `type/id` → addresses; more than one means two addresses claim one object. */
  readonly byId: ReadonlyMap<string, readonly string[]>
  /** Objects that depend on the resource at this address (without keys), directly or over others. */
  dependents(address: string): StateEntry[]
}

export function indexState(state: StateDocument): StateIndex {
  const entries = stateEntries(state)
  const byAddress = new Map(entries.map((e) => [e.address, e]))
  const byId = new Map<string, string[]>()
  for (const e of entries) {
    if (e.mode !== 'managed' || e.id === null) continue
    const key = `${e.type}/${e.id}`
    byId.set(key, [...(byId.get(key) ?? []), e.address])
  }
  return {
    byAddress,
    byId,
    // State v4 lists dependencies transitively already.
    dependents: (address) => {
      const parsed = parseAddress(address)
      const config = formatAddress({ ...parsed, key: null, modules: parsed.modules.map((m) => ({ name: m.name, key: null })) })
      return entries.filter((e) => e.mode === 'managed' && e.address !== address && e.dependencies.includes(config))
    },
  }
}
