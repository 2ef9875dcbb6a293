import { message } from './proto.ts'

export type Type = 'string' | 'number' | 'bool' | readonly ['map', 'string'] | readonly ['set', 'string']

export interface Attribute {
  readonly type: Type
  readonly required?: true
  readonly optional?: true
  readonly computed?: true
  readonly sensitive?: true
  /** A change needs a new object. */
  readonly forceNew?: true
  /** JSON text: equal as JSON is no change. */
  readonly json?: true
  /** An RFC 3339 time: the same moment is no change. */
  readonly time?: true
  /** What the cloud takes when nothing is written. */
  readonly default?: string | number | boolean
}
export interface Spec {
  readonly attributes: Readonly<Record<string, Attribute>>
  readonly blocks: Readonly<Record<string, Readonly<Record<string, Attribute>>>>
}
export interface ResourceSpec extends Spec {
  readonly collection: string
}

const STRING = { type: 'string' } as const
const id: Attribute = { ...STRING, computed: true }
const name: Attribute = { ...STRING, required: true }
const tags: Attribute = { type: ['map', 'string'], optional: true }
const password: Attribute = { ...STRING, optional: true, sensitive: true }

export const RESOURCES: Readonly<Record<string, ResourceSpec>> = {
  sandbox_instance: {
    collection: 'instances',
    attributes: {
      id,
      name,
      image: { ...STRING, required: true, forceNew: true },
      size: { ...STRING, optional: true, computed: true, default: 'small' },
      subnet: { ...STRING, optional: true, computed: true, default: 'subnet-default' },
      user_data: { ...STRING, optional: true },
      tags,
      labels: { type: ['set', 'string'], optional: true },
      policy: { ...STRING, optional: true, json: true },
      password,
      ip: { ...STRING, computed: true },
      status: { ...STRING, computed: true },
    },
    blocks: { disk: { device: { ...STRING, required: true }, size_gb: { type: 'number', required: true } } },
  },
  sandbox_database: {
    collection: 'databases',
    attributes: {
      id,
      name,
      engine: { ...STRING, required: true, forceNew: true },
      engine_version: { ...STRING, required: true },
      parameter_group: { ...STRING, optional: true, computed: true },
      instance_class: { ...STRING, optional: true, computed: true, default: 'small' },
      storage_gb: { type: 'number', optional: true, computed: true, default: 20 },
      snapshot_identifier: { ...STRING, optional: true, forceNew: true },
      deletion_protection: { type: 'bool', optional: true, computed: true, default: false },
      tags,
      password,
      endpoint: { ...STRING, computed: true },
      status: { ...STRING, computed: true },
    },
    blocks: {},
  },
  sandbox_route: { collection: 'routes', attributes: { id, name, target_id: { ...STRING, required: true } }, blocks: {} },
  sandbox_firewall: {
    collection: 'firewalls',
    attributes: { id, name },
    blocks: { rule: { port: { type: 'number', required: true }, protocol: { ...STRING, required: true }, source: { ...STRING, required: true } } },
  },
  sandbox_role_assignment: {
    collection: 'role-assignments',
    attributes: {
      id,
      principal: { ...STRING, required: true, forceNew: true },
      role: { ...STRING, required: true, forceNew: true },
      scope: { ...STRING, required: true, forceNew: true },
      expires_at: { ...STRING, optional: true, time: true },
      source_identity: { ...STRING, optional: true },
    },
    blocks: {},
  },
}

export const DATA_SOURCES: Readonly<Record<string, Spec>> = {
  sandbox_database: {
    attributes: {
      name,
      exists: { type: 'bool', computed: true },
      id,
      engine: { ...STRING, computed: true },
      engine_version: { ...STRING, computed: true },
      parameter_group: { ...STRING, computed: true },
      status: { ...STRING, computed: true },
      endpoint: { ...STRING, computed: true },
    },
    blocks: {},
  },
  sandbox_snapshot: {
    attributes: { database: { ...STRING, required: true }, id, name: { ...STRING, computed: true }, created_at: { ...STRING, computed: true } },
    blocks: {},
  },
}

export const PROVIDER: Spec = {
  attributes: { url: { ...STRING, optional: true }, token: { ...STRING, optional: true, sensitive: true } },
  blocks: {},
}

/** The answer to GetProviderSchema (field numbers of protocol 6.8). */
export function providerSchema(): Buffer {
  const entries = (specs: Readonly<Record<string, Spec>>, field: number): [number, Buffer][] => Object.entries(specs).map(([key, spec]) => [field, message([1, key], [2, schemaOf(spec)])])
  return message(
    [1, schemaOf(PROVIDER)],
    ...entries(RESOURCES, 2),
    ...entries(DATA_SOURCES, 3),
    // get_provider_schema_optional: Terraform keeps this answer for the further processes that it starts in one run.
    [6, message([2, true])],
  )
}
function schemaOf(spec: Spec): Buffer {
  const blocks = Object.entries(spec.blocks).map(([key, attributes]): [number, Buffer] => [3, message([1, key], [2, blockOf(attributes, [])], [3, 2])])
  return message([1, 0], [2, blockOf(spec.attributes, blocks)])
}
function blockOf(attributes: Readonly<Record<string, Attribute>>, blocks: [number, Buffer][]): Buffer {
  const list = Object.entries(attributes).map(([key, a]): [number, Buffer] => [
    2,
    message([1, key], [2, JSON.stringify(a.type)], [4, a.required], [5, a.optional], [6, a.computed], [7, a.sensitive]),
  ])
  return message(...list, ...blocks)
}
