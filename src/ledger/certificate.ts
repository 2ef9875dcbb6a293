import type { Json } from '../core/json.ts'
import { ReglazeError } from '../core/errors.ts'
import { sql } from '../store/index.ts'
import type { Db, Store } from '../store/index.ts'
import { writeCertificate } from './certificate-text.ts'
import { append, entries } from './entries.ts'
import type { Entry } from './entry.ts'
import { LEDGER } from './errors.ts'
import { signingKey } from './keys.ts'
import { firstCheckpoint, head, tileLoader } from './log.ts'
import { parseCheckpoint } from './note.ts'
import type { Checkpoint } from './note.ts'
import type { Sequencer } from './sequencer.ts'
import { subtreesOf } from './tiles.ts'
import { consistencyPath, inclusionPath } from './tree.ts'
import { ISSUED, bodyDigest, entriesDigest } from './verify.ts'

/** Besides the first one: proofs from so many of the latest checkpoints, for verifiers who kept one of those. */
const RECENT = 32

export interface CertificateOptions {
  /** The incident's id, as its ledger entries have it. */
  readonly incident: string
  /** What was open, by whom, for how long, the digest of every proof. */
  readonly body: Json
  readonly actor: string
  readonly sequencer: Sequencer
  readonly keyDir: string
  /** Also prove consistency from this earlier checkpoint note. */
  readonly since?: string
}

async function allEntries(db: Db, incident: string, size: number): Promise<Entry[]> {
  const all: Entry[] = []
  for (let after = -1; ; ) {
    const some = await entries(db, { incident, after, limit: 1_000 })
    all.push(...some.filter((e) => (e.seq as number) < size))
    if (some.length < 1_000) return all
    after = (some.at(-1) as Entry).seq as number
  }
}

/** Notes to prove consistency from, one for each size, ascending. */
async function earlierNotes(db: Db, origin: string, size: number, since: string | undefined): Promise<Checkpoint[]> {
  const { rows } = await sql<{ note: string }>`
    select note from reglaze.ledger_checkpoints where origin = ${origin} and size < ${size} order by size desc limit ${RECENT}`.execute(db)
  const first = await firstCheckpoint(db)
  const notes = [...(since === undefined ? [] : [since]), ...(first === null ? [] : [first.note]), ...rows.map((r) => r.note)]
  const bySize = new Map<number, Checkpoint>()
  for (const note of notes) {
    const checkpoint = parseCheckpoint(note)
    if (checkpoint === null) throw new ReglazeError(LEDGER.LEDGER_NOTE_INVALID, 'the given earlier checkpoint is no signed checkpoint')
    if (checkpoint.size < size && !bySize.has(checkpoint.size)) bySize.set(checkpoint.size, checkpoint)
  }
  return [...bySize.values()].sort((a, b) => a.size - b.size)
}

/**
 * The certificate of an incident: its body, every ledger entry of it with its proof, the checkpoint. The issue itself becomes
 * the last entry (count and digest of the others, digest of the body). Throws LEDGER_KEY_MISSING, LEDGER_INCONSISTENT.
 */
export async function buildCertificate(store: Store, o: CertificateOptions): Promise<string> {
  const before = await o.sequencer.flush()
  const listed = await allEntries(store.db, o.incident, before.size)
  const data = { entries: listed.length, digest: entriesDigest(listed), body: bodyDigest(o.body), size: before.size }
  const id = await append(store.db, { kind: ISSUED, incident: o.incident, subject: o.incident, actor: o.actor, data })
  const checkpoint = await o.sequencer.flush()
  const issued = (await entries(store.db, { incident: o.incident, after: before.size - 1 })).find((e) => e.id === id)
  if (issued === undefined) throw new ReglazeError(LEDGER.LEDGER_NOT_THERE, 'the closing entry got no number')
  const { vkey } = await head(store.db)
  const key = signingKey(o.keyDir, false)
  const verifier = key?.verifier(checkpoint.origin)
  if (key === null || verifier === undefined || verifier.text !== vkey) throw new ReglazeError(LEDGER.LEDGER_KEY_MISSING, `the key of the ledger is not in ${o.keyDir}`, { place: o.keyDir })
  const sub = subtreesOf(tileLoader(store.db))
  const base64 = (list: readonly Buffer[]): string[] => list.map((h) => h.toString('base64'))
  const certified = []
  for (const e of [...listed, issued]) certified.push({ seq: e.seq as number, bytes: e.bytes, proof: base64(await inclusionPath(sub, e.seq as number, checkpoint.size)) })
  const consistency = []
  for (const from of await earlierNotes(store.db, checkpoint.origin, checkpoint.size, o.since)) {
    consistency.push({ from: from.note, proof: base64(await consistencyPath(sub, from.size, checkpoint.size)) })
  }
  return writeCertificate({
    body: o.body, checkpoint: checkpoint.note, consistency, count: certified.length, entries: certified, incident: o.incident, vkey: verifier.text,
  }, verifier, key)
}
