import { createHash, randomBytes } from 'node:crypto'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { ApiError, openJournal } from '../lib/index.ts'
import type { Call, Journal, Json } from '../lib/index.ts'
import { applyEntry, emptyState } from './model.ts'
import type { AuditEvent, Change, CloudState, Entry, Given } from './model.ts'

export type CloudJournal = Journal<CloudState, Entry>

/** Who makes a call, with which credential, and what that credential may do. */
export interface Caller {
  readonly principal: string
  /** Key id or session id. */
  readonly credential: string
  readonly isKey: boolean
  readonly source_identity: string | null
  readonly given: readonly Given[]
}

/** What a handler sees. It changes nothing itself: it returns the changes, which become durable together with the audit event. */
export interface Context {
  readonly state: CloudState
  readonly call: Call
  readonly caller: Caller
  readonly now: Date
}
export interface Outcome {
  readonly status: number
  readonly body?: unknown
  readonly changes?: readonly Change[]
  readonly action: AuditEvent['action']
  readonly resource: AuditEvent['resource']
  readonly before?: Json
  readonly after?: Json
}

/** Opens the cloud's data folder; the first start makes the principal `root` and its key in `root.key`. */
export async function openCloud(dir: string, rootKey?: string): Promise<CloudJournal> {
  mkdirSync(dir, { recursive: true })
  const journal = openJournal<CloudState, Entry>({ dir, name: 'cloud', initial: emptyState, apply: applyEntry, snapshotEvery: 10_000 })
  const present = journal.state.tables.keys['key-root']
  const secret = rootKey ?? (present ? undefined : newSecret('sk'))
  if (secret && present?.hash !== hashSecret(secret)) {
    const created_at = new Date().toISOString()
    writeFileSync(join(dir, 'root.key'), `${secret}\n`, { mode: 0o600 })
    await journal.commit({
      changes: [
        ['principals', 'root', { id: 'root', kind: 'service', display_name: 'The owner of this cloud', created_at }],
        ['keys', 'key-root', { key_id: 'key-root', principal: 'root', hash: hashSecret(secret), note: 'made at first start', created_at }],
      ],
      event: null,
    })
  }
  return journal
}

export function newSecret(prefix: string): string {
  return `${prefix}_${randomBytes(24).toString('base64url')}`
}
/** Only hashes are stored: the data folder holds no usable secret but root.key. */
export function hashSecret(secret: string): string {
  return createHash('sha256').update(secret).digest('hex')
}
export function newId(prefix: string): string {
  return `${prefix}-${randomBytes(5).toString('hex')}`
}

export function notFound(what: string): ApiError {
  return new ApiError(404, 'NotFound', `${what} does not exist`)
}
export function invalid(message: string): ApiError {
  return new ApiError(400, 'Invalid', message)
}
export function conflict(message: string): ApiError {
  return new ApiError(409, 'Conflict', message)
}

/** An optional text field of a body; null and absent are the same. */
export function textField(body: Record<string, Json>, key: string): string | null {
  const value = body[key] ?? null
  if (value !== null && typeof value !== 'string') throw invalid(`${key} must be a string`)
  return value
}
