import { readFileSync } from 'node:fs'
import { CORE, ReglazeError } from '../core/errors.ts'
import { verifyCertificate } from './verify.ts'
import type { Rejection } from './verify.ts'

export interface VerifyOptions {
  /** The certificate's file. */
  readonly file: string
  /** A verifier key (`name+hash+key`) or a file that holds one. */
  readonly key?: string | undefined
  /** A file with a signed checkpoint from outside the certificate. */
  readonly checkpoint?: string | undefined
  readonly incident?: string | undefined
}
export interface VerifyReport {
  readonly ok: boolean
  readonly file: string
  readonly reason: Rejection | null
  readonly message: string
  readonly incident: string | null
  readonly entries: number | null
  /** Name, key and size of the ledger that the certificate stands on. */
  readonly ledger: { readonly origin: string; readonly key: string; readonly size: number } | null
  readonly anchors: readonly string[]
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    throw new ReglazeError(CORE.INVALID_INPUT, `${path} cannot be read: ${(error as Error).message}`, { place: path })
  }
}

const KEY_TEXT = /^[^+\s]+\+[0-9a-f]{8}\+[A-Za-z0-9+/=]+$/

/** `reglaze ledger verify FILE --key K | --checkpoint C`: offline, without a server or a store. */
export function verifyFile(o: VerifyOptions): VerifyReport {
  const publicKey = o.key === undefined ? undefined : KEY_TEXT.test(o.key.trim()) ? o.key : read(o.key)
  const checkpoint = o.checkpoint === undefined ? undefined : read(o.checkpoint)
  const verdict = verifyCertificate(read(o.file), {
    ...(publicKey === undefined ? {} : { publicKey }), ...(checkpoint === undefined ? {} : { checkpoint }), ...(o.incident === undefined ? {} : { incident: o.incident }),
  })
  const anchors = [...(publicKey === undefined ? [] : ['public key']), ...(checkpoint === undefined ? [] : ['earlier checkpoint'])]
  if (!verdict.ok) return { ok: false, file: o.file, reason: verdict.reason, message: `${verdict.message} (${verdict.detail})`, incident: null, entries: null, ledger: null, anchors }
  return {
    ok: true, file: o.file, reason: null, message: `All ${verdict.entries.length} ledger entries of ${verdict.incident} are there, unchanged and in order.`,
    incident: verdict.incident, entries: verdict.entries.length, anchors,
    ledger: { origin: verdict.checkpoint.origin, key: verdict.key, size: verdict.checkpoint.size },
  }
}
