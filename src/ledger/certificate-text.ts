import { canonical } from '../core/json.ts'
import type { Json } from '../core/json.ts'
import { decodeBase64, signNote } from './note.ts'
import type { Verifier } from './note.ts'
import type { SigningKey } from './keys.ts'

/** First line of a certificate. A checkpoint's second line is a number, this text's is `{`: neither passes for the other. */
export const HEADER = 'reglaze-certificate/v1'

export interface CertifiedEntry {
  readonly seq: number
  /** The stored bytes of the entry, as text. */
  readonly bytes: string
  readonly proof: readonly string[]
}
export interface Content {
  /** What the parts say: what was open, by whom, for how long, digests of every proof. */
  readonly body: Json
  /** The signed checkpoint that the proofs lead to. */
  readonly checkpoint: string
  /** From earlier signed checkpoints to that one. */
  readonly consistency: readonly { readonly from: string; readonly proof: readonly string[] }[]
  /** How many entries there are, the last one (`certificate.issued`) included. */
  readonly count: number
  readonly entries: readonly CertifiedEntry[]
  readonly incident: string
  readonly vkey: string
}

function pretty(content: unknown): string {
  return JSON.stringify(JSON.parse(canonical(content)), null, 2)
}

/** The certificate's text: the content as JSON that a person can read, signed as a C2SP note. */
export function writeCertificate(content: Content, verifier: Verifier, key: SigningKey): string {
  return signNote(`${HEADER}\n${pretty(content)}\n`, verifier, key.privateKey)
}

const strings = (v: unknown): v is string[] => Array.isArray(v) && v.every((s) => typeof s === 'string')
const isObject = (v: unknown): v is Record<string, unknown> => typeof v === 'object' && v !== null && !Array.isArray(v)
const natural = (v: unknown): v is number => Number.isSafeInteger(v) && (v as number) >= 0

function isContent(v: unknown): v is Content {
  if (!isObject(v) || Object.keys(v).sort().join() !== 'body,checkpoint,consistency,count,entries,incident,vkey') return false
  const { checkpoint, consistency, count, entries, incident, vkey } = v
  return [checkpoint, incident, vkey].every((s) => typeof s === 'string') && natural(count)
    && Array.isArray(consistency) && consistency.every((c) => isObject(c) && typeof c['from'] === 'string' && strings(c['proof']))
    && Array.isArray(entries) && entries.every((e) => isObject(e) && natural(e['seq']) && typeof e['bytes'] === 'string' && strings(e['proof']))
}

/** The content as written, before anything is verified. Null when the text has not exactly the form that we write. */
export function readCertificate(text: string): Content | null {
  const end = text.lastIndexOf('\n\n')
  if (!text.startsWith(`${HEADER}\n{`) || end < 0 || !/^\u2014 [^ \n]+ [^ \n]+\n$/.test(text.slice(end + 2))) return null
  try {
    const json = text.slice(HEADER.length + 1, end)
    const content = JSON.parse(json) as unknown
    return isContent(content) && pretty(content) === json ? content : null
  } catch {
    return null
  }
}

export function hashes(proof: readonly string[]): Buffer[] | null {
  const list = proof.map(decodeBase64)
  return list.every((h) => h !== null) ? list : null
}
