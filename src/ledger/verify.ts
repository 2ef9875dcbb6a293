import { canonical } from '../core/json.ts'
import type { Json } from '../core/json.ts'
import { ReglazeError } from '../core/errors.ts'
import { hashes, readCertificate } from './certificate-text.ts'
import type { CertifiedEntry, Content } from './certificate-text.ts'
import { parseEntry } from './entry.ts'
import type { Entry } from './entry.ts'
import { LEDGER } from './errors.ts'
import { openCheckpoint, openNote, parseCheckpoint, parseVerifier } from './note.ts'
import type { Checkpoint, Verifier } from './note.ts'
import { leafHash, sha256, verifyConsistency, verifyInclusion } from './tree.ts'

/** Why a certificate is not accepted; each has one sentence in `MEANING`. */
export type Rejection =
  | 'unreadable' | 'changed' | 'other-key' | 'entries-missing' | 'entries-swapped' | 'entry-not-in-log'
  | 'older' | 'other-incident' | 'inconsistent' | 'checkpoint-not-covered'

export const MEANING: Record<Rejection, string> = {
  unreadable: 'This is no certificate, or it was cut or rewritten.',
  changed: 'The text is not what was signed.',
  'other-key': 'It was signed with another key than the one that you trust.',
  'entries-missing': 'Ledger entries of the incident are missing.',
  'entries-swapped': 'Ledger entries are not in the order of the ledger.',
  'entry-not-in-log': 'An entry is not in the ledger that the checkpoint stands for.',
  older: 'The checkpoint that you hold is newer than the certificate: ask for a certificate of the ledger as it is now.',
  'other-incident': 'It is the certificate of another incident.',
  inconsistent: 'The ledger of the certificate does not continue the one of the checkpoint that you hold.',
  'checkpoint-not-covered': 'The certificate has no proof from the checkpoint that you hold: verify with another one or with the public key.',
}

/** What the verifier knows from elsewhere. At least one of the first two: a certificate cannot vouch for itself. */
export interface Anchors {
  /** Verifier key text (`name+hash+key`). */
  readonly publicKey?: string
  /** A signed checkpoint, kept from earlier. */
  readonly checkpoint?: string
  /** The incident that was asked for. */
  readonly incident?: string
}
export type Verdict =
  | { readonly ok: true; readonly incident: string; readonly body: Json; readonly entries: readonly Entry[]; readonly checkpoint: Checkpoint; readonly key: string }
  | { readonly ok: false; readonly reason: Rejection; readonly message: string; readonly detail: string }

class Rejected extends Error {
  readonly reason: Rejection
  constructor(reason: Rejection, detail: string) {
    super(detail)
    this.reason = reason
  }
}

/** The kind of the entry that closes a certificate: written to the ledger itself, with count and digest of what it certifies. */
export const ISSUED = 'certificate.issued'

/** Digest of a list of entries in their order. */
export function entriesDigest(list: readonly { readonly bytes: string }[]): string {
  return sha256(Buffer.concat(list.map((e) => leafHash(Buffer.from(e.bytes))))).toString('hex')
}
export function bodyDigest(body: Json): string {
  return sha256(Buffer.from(canonical(body))).toString('hex')
}

/**
 * Verifies a certificate offline. Trust comes only from the anchors. Every byte of the text counts. Never throws for a bad
 * certificate; throws LEDGER_ANCHOR_MISSING or LEDGER_NOTE_INVALID for a bad anchor.
 */
export function verifyCertificate(text: string, anchors: Anchors): Verdict {
  if (anchors.publicKey === undefined && anchors.checkpoint === undefined) {
    throw new ReglazeError(LEDGER.LEDGER_ANCHOR_MISSING, 'neither a public key nor an earlier checkpoint was given')
  }
  const trusted = anchors.publicKey === undefined ? null : parseVerifier(anchors.publicKey)
  const held = anchors.checkpoint === undefined ? null : parseCheckpoint(anchors.checkpoint)
  if (anchors.checkpoint !== undefined && held === null) throw new ReglazeError(LEDGER.LEDGER_NOTE_INVALID, 'the given checkpoint is no signed checkpoint')
  try {
    const content = readCertificate(text)
    if (content === null) throw new Rejected('unreadable', 'the text does not have the form of a certificate')
    const verifier = keyOf(content, trusted, held)
    refuseDamage(text, content, verifier)
    if (anchors.incident !== undefined && content.incident !== anchors.incident) throw new Rejected('other-incident', `it certifies ${content.incident}, not ${anchors.incident}`)
    const entries = checkEntries(content)
    const checkpoint = checkInclusion(content, verifier)
    if (held !== null) checkHeld(content, checkpoint, held)
    return { ok: true, incident: content.incident, body: content.body, entries, checkpoint, key: verifier.text }
  } catch (error) {
    if (!(error instanceof Rejected)) throw error
    return { ok: false, reason: error.reason, message: MEANING[error.reason], detail: error.message }
  }
}

/** The key named in the certificate, once an anchor says that it is the right one. */
function keyOf(content: Content, trusted: Verifier | null, held: Checkpoint | null): Verifier {
  let own: Verifier
  try {
    own = parseVerifier(content.vkey)
  } catch {
    throw new Rejected('unreadable', 'the verifier key in it is damaged')
  }
  if (own.text !== content.vkey) throw new Rejected('unreadable', 'the verifier key in it is damaged')
  if (trusted !== null && trusted.text !== own.text) throw new Rejected('other-key', `its key is ${own.name} ${own.keyId.toString('hex')}, the given one ${trusted.name} ${trusted.keyId.toString('hex')}`)
  if (held !== null && openCheckpoint(held.note, own) === null) throw new Rejected('other-key', `its key ${own.keyId.toString('hex')} did not sign the given checkpoint of ${held.origin}`)
  return own
}

/** The signature; when it fails, the most telling reason. */
function refuseDamage(text: string, content: Content, verifier: Verifier): void {
  if (openNote(text, verifier) !== null) return
  if (content.entries.length !== content.count) throw new Rejected('entries-missing', `${content.entries.length} of ${content.count} entries are there`)
  if (!ascending(content.entries)) throw new Rejected('entries-swapped', 'the numbers of the entries do not rise')
  throw new Rejected('changed', 'the signature does not fit the text')
}

function ascending(entries: readonly CertifiedEntry[]): boolean {
  return entries.every((e, i) => i === 0 || e.seq > (entries[i - 1] as CertifiedEntry).seq)
}

/** Count, order and digest against the closing entry, which is in the ledger: not even the key's holder can leave one out quietly. */
function checkEntries(content: Content): Entry[] {
  if (!ascending(content.entries)) throw new Rejected('entries-swapped', 'the numbers of the entries do not rise')
  let list: Entry[]
  try {
    list = content.entries.map((e) => parseEntry(e.bytes, e.seq))
  } catch {
    throw new Rejected('changed', 'an entry is not readable')
  }
  const last = list.at(-1)
  const said = last?.data as { entries?: unknown; digest?: unknown; body?: unknown } | null | undefined
  if (last?.kind !== ISSUED || content.entries.length !== content.count) throw new Rejected('entries-missing', 'the closing entry is not there')
  if (list.some((e) => e.incident !== content.incident)) throw new Rejected('other-incident', 'it holds entries of another incident')
  if (said?.entries !== list.length - 1) throw new Rejected('entries-missing', `${list.length - 1} of ${String(said?.entries)} entries are there`)
  if (said.digest !== entriesDigest(content.entries.slice(0, -1))) throw new Rejected('entries-missing', 'the entries are not those that the closing entry counts')
  if (said.body !== bodyDigest(content.body)) throw new Rejected('changed', 'the body is not the one that the closing entry names')
  return list
}

function checkInclusion(content: Content, verifier: Verifier): Checkpoint {
  const checkpoint = openCheckpoint(content.checkpoint, verifier)
  if (checkpoint === null) throw new Rejected('changed', 'the checkpoint in it is not signed by its key')
  for (const e of content.entries) {
    const proof = hashes(e.proof)
    if (proof === null || !verifyInclusion(leafHash(Buffer.from(e.bytes)), e.seq, checkpoint.size, proof, checkpoint.root)) {
      throw new Rejected('entry-not-in-log', `entry ${e.seq} is not in the ledger of ${checkpoint.size} entries`)
    }
  }
  return checkpoint
}

function checkHeld(content: Content, checkpoint: Checkpoint, held: Checkpoint): void {
  if (held.size > checkpoint.size) throw new Rejected('older', `the certificate is of ${checkpoint.size} entries, the given checkpoint of ${held.size}`)
  if (held.size === checkpoint.size) {
    if (!held.root.equals(checkpoint.root)) throw new Rejected('inconsistent', 'two different ledgers of the same size')
    return
  }
  const found = content.consistency.find((c) => parseCheckpoint(c.from)?.size === held.size)
  const proof = held.size === 0 ? [] : found === undefined ? null : hashes(found.proof)
  if (proof === null) throw new Rejected('checkpoint-not-covered', `there is no proof from ${held.size} entries`)
  if (!verifyConsistency(held.size, checkpoint.size, proof, held.root, checkpoint.root)) throw new Rejected('inconsistent', `the ledger of ${held.size} entries is not the beginning of that of ${checkpoint.size}`)
}
