import { createPrivateKey, createPublicKey, generateKeyPairSync, randomBytes } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import { closeSync, fstatSync, fsyncSync, linkSync, mkdirSync, openSync, readFileSync, unlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { ReglazeError } from '../core/errors.ts'
import { LEDGER } from './errors.ts'
import { makeVerifier } from './note.ts'
import type { Verifier } from './note.ts'

export const KEY_FILE = 'ledger-key.pem'

export interface SigningKey {
  readonly privateKey: KeyObject
  readonly publicKey: KeyObject
  verifier(name: string): Verifier
}

function read(path: string): KeyObject | null {
  let file: number
  try {
    file = openSync(path, 'r')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw error
  }
  try {
    if ((fstatSync(file).mode & 0o077) !== 0) throw new ReglazeError(LEDGER.LEDGER_KEY_UNSAFE, `${path} can be read by others`, { place: path })
    const key = createPrivateKey(readFileSync(file))
    if (key.asymmetricKeyType !== 'ed25519') throw new ReglazeError(LEDGER.LEDGER_KEY_UNSAFE, `${path} holds no Ed25519 key`, { place: path })
    return key
  } catch (error) {
    if (error instanceof ReglazeError) throw error
    throw new ReglazeError(LEDGER.LEDGER_KEY_UNSAFE, `${path} holds no readable key`, { place: path, cause: error })
  } finally {
    closeSync(file)
  }
}

/** Written whole and synced beside, then linked into place: of two first starts one key wins, and a kill leaves none half. */
function create(dir: string, path: string): void {
  mkdirSync(dir, { recursive: true, mode: 0o700 })
  const draft = `${path}.${process.pid}.${randomBytes(4).toString('hex')}`
  const pem = generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' })
  const file = openSync(draft, 'wx', 0o600)
  try {
    writeFileSync(file, pem)
    fsyncSync(file)
  } finally {
    closeSync(file)
  }
  try {
    linkSync(draft, path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
  } finally {
    unlinkSync(draft)
  }
}

/** The key in `dir/ledger-key.pem`; null when there is none and `make` is false. Throws LEDGER_KEY_UNSAFE. */
export function signingKey(dir: string, make: boolean): SigningKey | null {
  const path = join(dir, KEY_FILE)
  let privateKey = read(path)
  if (privateKey === null && make) {
    create(dir, path)
    privateKey = read(path)
  }
  if (privateKey === null) return null
  const publicKey = createPublicKey(privateKey)
  return { privateKey, publicKey, verifier: (name) => makeVerifier(name, publicKey) }
}
