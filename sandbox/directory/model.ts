import { ApiError } from '../lib/index.ts'
import type { Json } from '../lib/index.ts'

export const COLLECTIONS = ['people', 'groups', 'service-principals', 'jobs'] as const
export type Collection = (typeof COLLECTIONS)[number]
export type Row = { id: string } & Record<string, Json>

export interface Key {
  readonly key_id: string
  readonly name: string
  readonly role: 'reader' | 'admin'
  readonly hash: string
}
export interface DirectoryEvent {
  readonly seq: number
  readonly time: string
  readonly actor: string
  readonly action: 'create' | 'update' | 'delete'
  readonly collection: string
  readonly id: string
  readonly before: Json
  readonly after: Json
}
export interface DirectoryState {
  rows: Record<Collection, Record<string, Row>>
  keys: Record<string, Key>
  events: DirectoryEvent[]
  seq: number
}
export type Entry = { readonly event: DirectoryEvent; readonly collection: Collection; readonly id: string; readonly row: Row | null } | { readonly event: DirectoryEvent; readonly key: string; readonly value: Key | null }

export function emptyState(): DirectoryState {
  return { rows: { people: {}, groups: {}, 'service-principals': {}, jobs: {} }, keys: {}, events: [], seq: 0 }
}
export function applyEntry(state: DirectoryState, entry: Entry): void {
  if ('key' in entry) {
    if (entry.value) state.keys[entry.key] = entry.value
    else delete state.keys[entry.key]
  } else if (entry.row) state.rows[entry.collection][entry.id] = entry.row
  else delete state.rows[entry.collection][entry.id]
  state.events.push(entry.event)
  state.seq = entry.event.seq
}

type Check = (value: Json, place: string) => Json
const text: Check = (v, place) => {
  if (typeof v !== 'string' || v === '') throw invalid(`${place} must be a text`)
  return v
}
const flag: Check = (v, place) => {
  if (typeof v !== 'boolean') throw invalid(`${place} must be true or false`)
  return v
}
const texts: Check = (v, place) => {
  if (!Array.isArray(v)) throw invalid(`${place} must be a list`)
  return v.map((item, i) => text(item, `${place}[${i}]`))
}
const accounts: Check = (v, place) => {
  if (v === null || typeof v !== 'object' || Array.isArray(v)) throw invalid(`${place} must be an object`)
  return Object.fromEntries(Object.entries(v).map(([k, a]) => [k, text(a, `${place}.${k}`)]))
}
const credentials: Check = (v, place) => {
  if (!Array.isArray(v)) throw invalid(`${place} must be a list`)
  return v.map((item, i) => {
    if (item === null || typeof item !== 'object' || Array.isArray(item)) throw invalid(`${place}[${i}] must be an object`)
    const expires = item['expires_at'] ?? null
    if (expires !== null && (typeof expires !== 'string' || Number.isNaN(Date.parse(expires)))) throw invalid(`${place}[${i}].expires_at must be an RFC 3339 time or null`)
    return { id: text(item['id'] ?? null, `${place}[${i}].id`), kind: text(item['kind'] ?? null, `${place}[${i}].kind`), expires_at: expires, note: item['note'] ?? null }
  })
}

const FIELDS: Readonly<Record<Collection, Readonly<Record<string, { check: Check; otherwise?: Json }>>>> = {
  people: { name: { check: text }, email: { check: text }, active: { check: flag, otherwise: true }, accounts: { check: accounts, otherwise: {} } },
  groups: { name: { check: text, otherwise: null }, members: { check: texts, otherwise: [] } },
  'service-principals': { name: { check: text, otherwise: null }, owners: { check: texts, otherwise: [] }, credentials: { check: credentials, otherwise: [] } },
  jobs: { name: { check: text, otherwise: null }, runs_as: { check: text }, schedule: { check: text }, acts_on: { check: texts, otherwise: [] }, enabled: { check: flag, otherwise: true } },
}

export function invalid(message: string): ApiError {
  return new ApiError(400, 'Invalid', message)
}
export function isCollection(name: string): name is Collection {
  return (COLLECTIONS as readonly string[]).includes(name)
}

/** The row that a body describes: a whole one, or `present` with the fields of the body changed. Throws 400 with the field. */
export function readRow(collection: Collection, id: string, body: Record<string, Json>, present: Row | null): Row {
  if (!/^[A-Za-z0-9][A-Za-z0-9._@-]{0,99}$/.test(id)) throw invalid('id must be 1 to 100 letters, digits or . _ @ -')
  const fields = FIELDS[collection]
  for (const key of Object.keys(body)) if (key !== 'id' && !Object.hasOwn(fields, key)) throw invalid(`${key} is not known in ${collection}; fields are ${Object.keys(fields).join(', ')}`)
  const row: Row = { id }
  for (const [key, field] of Object.entries(fields)) {
    const value = body[key]
    if (value !== undefined && !(value === null && field.otherwise === null)) row[key] = field.check(value, key)
    else if (present) row[key] = present[key] ?? null
    else if (field.otherwise !== undefined) row[key] = field.otherwise
    else throw invalid(`${key} is required`)
  }
  return row
}
