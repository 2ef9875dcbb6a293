import type { Json } from '../core/json.ts'

export interface Entry {
  /** Number in the log; null = committed, not numbered yet. */
  readonly seq: number | null
  readonly id: string
  readonly at: string
  readonly kind: string
  readonly incident: string | null
  readonly subject: string
  readonly actor: string
  readonly data: Json
  /** Exactly what is hashed: canonical JSON of all of the above but `seq`. */
  readonly bytes: string
}

/** What `bytes` say. */
export function parseEntry(bytes: string, seq: number | null): Entry {
  const { id, at, kind, incident, subject, actor, data } = JSON.parse(bytes) as Omit<Entry, 'seq' | 'bytes'>
  return { seq, id, at, kind, incident, subject, actor, data, bytes }
}
