import { createPublicKey, sign, verify } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import { ReglazeError } from '../core/errors.ts'
import { LEDGER } from './errors.ts'
import { HASH_BYTES, sha256 } from './tree.ts'

/** C2SP signed-note and tlog-checkpoint with Ed25519 (type 1). Pure. */
const ED25519 = 0x01
const MAX_SIGNATURES = 16

export interface Verifier {
  readonly name: string
  readonly keyId: Buffer
  readonly key: KeyObject
  /** `<name>+<key id in hex>+<base64 of type and key>` */
  readonly text: string
}
export interface Checkpoint {
  readonly origin: string
  readonly size: number
  readonly root: Buffer
  /** The whole signed note. */
  readonly note: string
}

function invalid(message: string): ReglazeError {
  return new ReglazeError(LEDGER.LEDGER_NOTE_INVALID, message)
}

/** Canonical base64 only: one text for one value, so that no byte of a proof can change unseen. */
export function decodeBase64(text: string): Buffer | null {
  const bytes = Buffer.from(text, 'base64')
  return bytes.toString('base64') === text ? bytes : null
}

function rawPublicKey(key: KeyObject): Buffer {
  return Buffer.from(String(key.export({ format: 'jwk' }).x), 'base64url')
}

export function validName(name: string): boolean {
  return name !== '' && !/[\s+\p{Cc}]/u.test(name)
}

export function makeVerifier(name: string, publicKey: KeyObject): Verifier {
  if (!validName(name)) throw invalid(`"${name}" is no key name: no white space, no plus sign`)
  const typed = Buffer.concat([Buffer.of(ED25519), rawPublicKey(publicKey)])
  const keyId = sha256(Buffer.concat([Buffer.from(`${name}\n`), typed])).subarray(0, 4)
  return { name, keyId, key: publicKey, text: `${name}+${keyId.toString('hex')}+${typed.toString('base64')}` }
}

/** Reads a verifier key. Throws LEDGER_NOTE_INVALID. */
export function parseVerifier(text: string): Verifier {
  const [, name, id, body] = /^([^+]+)\+([0-9a-f]{8})\+(.+)$/.exec(text.trim()) ?? []
  const typed = body === undefined ? null : decodeBase64(body)
  if (name === undefined || typed === null || typed.length !== 33 || typed[0] !== ED25519) throw invalid('this is no verifier key of the form name+hash+key')
  const key = createPublicKey({ format: 'jwk', key: { kty: 'OKP', crv: 'Ed25519', x: typed.subarray(1).toString('base64url') } })
  const made = makeVerifier(name, key)
  if (made.keyId.toString('hex') !== id) throw invalid('the verifier key does not fit its hash')
  return made
}

/** Signs a text, which must end in a newline. */
export function signNote(text: string, verifier: Verifier, privateKey: KeyObject): string {
  const signature = sign(null, Buffer.from(text), privateKey)
  return `${text}\n\u2014 ${verifier.name} ${Buffer.concat([verifier.keyId, signature]).toString('base64')}\n`
}

/** The text of a note that `verifier` signed, or null when it did not. A bad signature of that key rejects the note. */
export function openNote(note: string, verifier: Verifier): string | null {
  // eslint-disable-next-line no-control-regex
  if (/[\u0000-\u0009\u000b-\u001f\ufffd]/.test(note)) return null
  const end = note.lastIndexOf('\n\n')
  if (end < 0 || !note.endsWith('\n')) return null
  const text = note.slice(0, end + 1)
  const lines = note.slice(end + 2, -1).split('\n')
  if (lines.length > MAX_SIGNATURES) return null
  let signed = false
  for (const line of lines) {
    const [, name, body] = /^\u2014 ([^ ]+) ([^ ]+)$/.exec(line) ?? []
    const bytes = body === undefined ? null : decodeBase64(body)
    if (name === undefined || bytes === null || bytes.length < 5) return null
    if (name !== verifier.name || !bytes.subarray(0, 4).equals(verifier.keyId)) continue
    if (!verify(null, Buffer.from(text), verifier.key, bytes.subarray(4))) return null
    signed = true
  }
  return signed ? text : null
}

export function checkpointText(origin: string, size: number, root: Uint8Array): string {
  return `${origin}\n${size}\n${Buffer.from(root).toString('base64')}\n`
}

/** Reads a checkpoint without looking at its signature. Null when it has not that shape. */
export function parseCheckpoint(note: string): Checkpoint | null {
  const [, origin, size, root] = /^([^\n]+)\n(0|[1-9]\d{0,15})\n([A-Za-z0-9+/=]{44})\n(?:[^\n]+\n)*\n/.exec(note) ?? []
  const bytes = root === undefined ? null : decodeBase64(root)
  if (origin === undefined || bytes === null || bytes.length !== HASH_BYTES || !Number.isSafeInteger(Number(size))) return null
  return { origin, size: Number(size), root: bytes, note }
}

/** Reads a checkpoint that `verifier` signed for the log of its name; null otherwise. */
export function openCheckpoint(note: string, verifier: Verifier): Checkpoint | null {
  if (openNote(note, verifier) === null) return null
  const checkpoint = parseCheckpoint(note)
  return checkpoint?.origin === verifier.name ? checkpoint : null
}
