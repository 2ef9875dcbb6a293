import { createHash, randomBytes } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { ApiError, bodyObject, openJournal, routeTable, serveJson } from '../lib/index.ts'
import type { Answer, Call, Journal, Json, Listening } from '../lib/index.ts'
import { COLLECTIONS, applyEntry, emptyState, invalid, isCollection, readRow } from './model.ts'
import type { Collection, DirectoryEvent, DirectoryState, Entry, Key, Row } from './model.ts'

export type DirectoryJournal = Journal<DirectoryState, Entry>

/** Opens the directory's data folder; the first start writes `root.key`. */
export async function openDirectory(dir: string, rootKey?: string): Promise<DirectoryJournal> {
  const journal = openJournal<DirectoryState, Entry>({ dir, name: 'directory', initial: emptyState, apply: applyEntry })
  const present = journal.state.keys['key-root']
  const secret = rootKey ?? (present ? undefined : `dk_${randomBytes(24).toString('base64url')}`)
  if (secret && present?.hash !== hash(secret)) {
    writeFileSync(join(dir, 'root.key'), `${secret}\n`, { mode: 0o600 })
    const value: Key = { key_id: 'key-root', name: 'root', role: 'admin', hash: hash(secret) }
    await journal.commit({ key: value.key_id, value, event: event(journal, 'root', 'create', 'keys', value.key_id, null, { name: 'root' }) })
  }
  return journal
}

export async function serveDirectory(journal: DirectoryJournal, o: { host?: string; port?: number } = {}): Promise<Listening> {
  const match = routeTable(routes(journal))
  return serveJson(async (call) => {
    if (call.path === '/healthz') return { status: 200, body: { ok: true } }
    const key = call.bearer ? Object.values(journal.state.keys).find((k) => k.hash === hash(call.bearer as string)) : undefined
    if (!key) throw new ApiError(401, 'Unauthenticated', 'send Authorization: Bearer with a key of this directory')
    if (call.method !== 'GET' && key.role !== 'admin') throw new ApiError(403, 'Forbidden', `${key.name} may only read`)
    const { value: run, params } = match(call)
    const answer = await run({ ...call, params }, key)
    await journal.settled()
    return answer
  }, o)
}

type Run = (call: Call, key: Key) => Answer | Promise<Answer>

function routes(journal: DirectoryJournal): Record<string, Run> {
  return {
    'GET /v1/audit': (call) => audit(journal, call),
    'GET /v1/keys': () => ({ status: 200, body: { items: Object.values(journal.state.keys).map(({ key_id, name, role }) => ({ key_id, name, role })) } }),
    'POST /v1/keys': (call, key) => createKey(journal, call, key),
    'DELETE /v1/keys/:id': (call, key) => deleteKey(journal, call, key),
    'GET /v1/:collection': (call) => ({ status: 200, body: { items: Object.values(rowsOf(journal, call)) } }),
    'POST /v1/:collection': (call, key) => {
      const id = bodyObject(call)['id']
      if (typeof id !== 'string') throw invalid('id is required')
      if (rowsOf(journal, call)[id]) throw new ApiError(409, 'Conflict', `${call.params['collection']}/${id} exists already`)
      return save(journal, call, key, id, null)
    },
    'GET /v1/:collection/:id': (call) => ({ status: 200, body: found(journal, call) }),
    'PUT /v1/:collection/:id': (call, key) => save(journal, call, key, call.params['id'] as string, null),
    'PATCH /v1/:collection/:id': (call, key) => save(journal, call, key, call.params['id'] as string, found(journal, call)),
    'DELETE /v1/:collection/:id': async (call, key) => {
      const before = found(journal, call)
      const collection = collectionOf(call)
      await journal.commit({ collection, id: before.id, row: null, event: event(journal, key.name, 'delete', collection, before.id, before, null) })
      return { status: 204 }
    },
  }
}

function collectionOf(call: Call): Collection {
  const name = call.params['collection'] as string
  if (!isCollection(name)) throw new ApiError(404, 'NotFound', `there is no ${name}; there are ${COLLECTIONS.join(', ')}`)
  return name
}
function rowsOf(journal: DirectoryJournal, call: Call): Record<string, Row> {
  return journal.state.rows[collectionOf(call)]
}
function found(journal: DirectoryJournal, call: Call): Row {
  const row = rowsOf(journal, call)[call.params['id'] as string]
  if (!row) throw new ApiError(404, 'NotFound', `${call.params['collection']}/${call.params['id']} does not exist`)
  return row
}

async function save(journal: DirectoryJournal, call: Call, key: Key, id: string, patched: Row | null): Promise<Answer> {
  const collection = collectionOf(call)
  const before = journal.state.rows[collection][id] ?? null
  const row = readRow(collection, id, bodyObject(call), patched)
  await journal.commit({ collection, id, row, event: event(journal, key.name, before ? 'update' : 'create', collection, id, before, row) })
  return { status: before ? 200 : 201, body: row }
}

async function createKey(journal: DirectoryJournal, call: Call, key: Key): Promise<Answer> {
  const { name, role } = bodyObject(call)
  if (typeof name !== 'string' || name === '') throw invalid('name is required')
  if (role !== 'reader' && role !== 'admin') throw invalid('role must be reader or admin')
  const secret = `dk_${randomBytes(24).toString('base64url')}`
  const value: Key = { key_id: `key-${randomBytes(5).toString('hex')}`, name, role, hash: hash(secret) }
  await journal.commit({ key: value.key_id, value, event: event(journal, key.name, 'create', 'keys', value.key_id, null, { name, role }) })
  return { status: 201, body: { key_id: value.key_id, name, role, secret } }
}
async function deleteKey(journal: DirectoryJournal, call: Call, key: Key): Promise<Answer> {
  const id = call.params['id'] as string
  const present = journal.state.keys[id]
  if (!present) throw new ApiError(404, 'NotFound', `key ${id} does not exist`)
  await journal.commit({ key: id, value: null, event: event(journal, key.name, 'delete', 'keys', id, { name: present.name, role: present.role }, null) })
  return { status: 204 }
}

function audit(journal: DirectoryJournal, call: Call): Answer {
  const after = Number(call.query.get('after') ?? 0)
  if (!Number.isSafeInteger(after)) throw invalid('after must be a whole number')
  return { status: 200, body: { events: journal.state.events.filter((e) => e.seq > after), cursor: String(journal.state.seq), complete: true } }
}

function event(journal: DirectoryJournal, actor: string, action: DirectoryEvent['action'], collection: string, id: string, before: Json, after: Json): DirectoryEvent {
  return { seq: journal.state.seq + 1, time: new Date().toISOString(), actor, action, collection, id, before, after }
}
function hash(secret: string): string {
  return createHash('sha256').update(secret).digest('hex')
}
