import { ApiError } from '../lib/index.ts'
import type { Json } from '../lib/index.ts'
import type { Resource } from './model.ts'

export type Collection = 'instances' | 'databases' | 'routes' | 'firewalls' | 'role-assignments' | 'snapshots'
type Kind = 'string' | 'number' | 'bool' | 'map' | 'set' | 'json' | 'secret' | 'time' | 'role' | 'disks' | 'rules'

interface Attribute {
  readonly kind: Kind
  readonly required?: true
  /** Given at creation only. */
  readonly fixed?: true
  readonly default?: Json
}
export interface CollectionSpec {
  /** The Terraform type; also `resource.type` in the audit log. */
  readonly type: string
  readonly idPrefix: string
  readonly attributes: Readonly<Record<string, Attribute>>
}

const name: Attribute = { kind: 'string', required: true }

export const COLLECTIONS: Readonly<Record<Collection, CollectionSpec>> = {
  instances: {
    type: 'sandbox_instance',
    idPrefix: 'i',
    attributes: {
      name,
      image: { kind: 'string', required: true, fixed: true },
      size: { kind: 'string', default: 'small' },
      subnet: { kind: 'string', default: 'subnet-default' },
      user_data: { kind: 'string' },
      tags: { kind: 'map' },
      labels: { kind: 'set' },
      policy: { kind: 'json' },
      disk: { kind: 'disks' },
      password: { kind: 'secret' },
    },
  },
  databases: {
    type: 'sandbox_database',
    idPrefix: 'db',
    attributes: {
      name,
      engine: { kind: 'string', required: true, fixed: true },
      engine_version: { kind: 'string', required: true },
      parameter_group: { kind: 'string' },
      instance_class: { kind: 'string', default: 'small' },
      storage_gb: { kind: 'number', default: 20 },
      snapshot_identifier: { kind: 'string', fixed: true },
      deletion_protection: { kind: 'bool', default: false },
      tags: { kind: 'map' },
      password: { kind: 'secret' },
    },
  },
  routes: { type: 'sandbox_route', idPrefix: 'rt', attributes: { name, target_id: { kind: 'string', required: true } } },
  firewalls: { type: 'sandbox_firewall', idPrefix: 'fw', attributes: { name, rule: { kind: 'rules' } } },
  'role-assignments': {
    type: 'sandbox_role_assignment',
    idPrefix: 'ra',
    attributes: {
      name: { kind: 'string' },
      principal: { kind: 'string', required: true, fixed: true },
      role: { kind: 'role', required: true, fixed: true },
      scope: { kind: 'string', required: true, fixed: true },
      expires_at: { kind: 'time' },
      source_identity: { kind: 'string' },
    },
  },
  snapshots: { type: 'sandbox_snapshot', idPrefix: 'snap', attributes: { name, database: { kind: 'string', required: true, fixed: true } } },
}

export function isCollection(text: string | undefined): text is Collection {
  return text !== undefined && Object.hasOwn(COLLECTIONS, text)
}

/**
 * Checks the attributes of a create (`present` undefined) or a patch and returns them as the cloud stores them.
 * null removes an optional attribute. Throws 400 with the name of the attribute.
 */
export function readAttributes(collection: Collection, body: Record<string, Json>, present: Resource | undefined, known: { isRole(text: string): boolean }): Record<string, Json> {
  const { attributes } = COLLECTIONS[collection]
  const out: Record<string, Json> = {}
  for (const [key, value] of Object.entries(body)) {
    const a = Object.hasOwn(attributes, key) ? attributes[key] : undefined
    if (!a) throw invalid(`${key} cannot be set on ${collection}; attributes are ${Object.keys(attributes).join(', ')}`)
    if (present && a.fixed && !same(present[key] ?? null, value)) throw invalid(`${key} cannot be changed after creation: create a new one instead`)
    if (value === null) {
      if (a.required) throw invalid(`${key} is required`)
      out[key] = a.default ?? null
      continue
    }
    out[key] = read(key, a.kind, value, known)
  }
  if (!present) {
    for (const [key, a] of Object.entries(attributes)) {
      if (a.required && (out[key] ?? null) === null) throw invalid(`${key} is required`)
      if (!(key in out)) out[key] = a.default ?? null
    }
  }
  // Passwords are taken and forgotten: nothing here can ever give one back.
  for (const [key, a] of Object.entries(attributes)) if (a.kind === 'secret') delete out[key]
  return out
}

function same(a: Json, b: Json): boolean {
  return JSON.stringify(a) === JSON.stringify(b)
}
function invalid(message: string): ApiError {
  return new ApiError(400, 'Invalid', message)
}

function read(key: string, kind: Kind, value: Json, known: { isRole(text: string): boolean }): Json {
  switch (kind) {
    case 'number':
      if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0) throw invalid(`${key} must be a whole number`)
      return value
    case 'bool':
      if (typeof value !== 'boolean') throw invalid(`${key} must be true or false`)
      return value
    case 'map':
      if (typeof value !== 'object' || value === null || Array.isArray(value) || Object.values(value).some((v) => typeof v !== 'string')) throw invalid(`${key} must be an object of strings`)
      return value
    case 'set':
      if (!Array.isArray(value) || value.some((v) => typeof v !== 'string')) throw invalid(`${key} must be a list of strings`)
      return [...new Set(value as string[])].sort().reverse()
    case 'disks':
      return blocks(key, value, { device: 'string', size_gb: 'number' })
    case 'rules':
      return blocks(key, value, { port: 'number', protocol: 'string', source: 'string' })
    default:
      return readText(key, kind, value, known)
  }
}

function readText(key: string, kind: Kind, value: Json, known: { isRole(text: string): boolean }): Json {
  if (typeof value !== 'string') throw invalid(`${key} must be a string`)
  if (key === 'name' && !/^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/.test(value)) throw invalid('name must be 1 to 100 letters, digits, dots, dashes or underscores')
  if (kind === 'json') return ownKeyOrder(key, value)
  if (kind === 'role' && !known.isRole(value)) throw invalid(`${key} "${value}" is not a role`)
  if (kind === 'time' && !isTime(value)) throw invalid(`${key} must be an RFC 3339 time such as 2030-01-31T12:00:00Z`)
  return value
}

function blocks(key: string, value: Json, fields: Record<string, 'string' | 'number'>): Json {
  if (!Array.isArray(value)) throw invalid(`${key} must be a list`)
  return value.map((item, i) => {
    if (item === null || typeof item !== 'object' || Array.isArray(item)) throw invalid(`${key}[${i}] must be an object`)
    for (const [field, type] of Object.entries(fields)) if (typeof item[field] !== type) throw invalid(`${key}[${i}].${field} must be a ${type}`)
    for (const field of Object.keys(item)) if (!(field in fields)) throw invalid(`${key}[${i}].${field} is not known`)
    return Object.fromEntries(Object.keys(fields).map((f) => [f, item[f] as Json]))
  })
}

// Real clouds parse a policy and print it again in their own way; tools that compare text see a change where there is none.
function ownKeyOrder(key: string, text: string): string {
  const order = (v: Json): Json => {
    if (Array.isArray(v)) return v.map(order)
    if (v === null || typeof v !== 'object') return v
    return Object.fromEntries(
      Object.keys(v)
        .sort()
        .reverse()
        .map((k) => [k, order(v[k] as Json)]),
    )
  }
  try {
    return JSON.stringify(order(JSON.parse(text) as Json))
  } catch {
    throw invalid(`${key} must be JSON text`)
  }
}

export function isTime(text: string): boolean {
  return /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/.test(text) && !Number.isNaN(Date.parse(text))
}
