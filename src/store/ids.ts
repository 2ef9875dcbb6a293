import { randomBytes } from 'node:crypto'
import { ID_PREFIX } from '../core/ids.ts'
import type { IdKind } from '../core/ids.ts'

/** Crockford's base 32, lower case: no i, l, o, u; its order is the order of the numbers. */
const ALPHABET = '0123456789abcdefghjkmnpqrstvwxyz'
const RANDOM_BITS = 50n
let lastMs = 0n
let lastRandom = 0n

function encode(value: bigint, chars: number): string {
  let text = ''
  for (let i = 0; i < chars; i++) {
    text = ALPHABET[Number(value & 31n)] + text
    value >>= 5n
  }
  return text
}

/**
 * A new id: prefix, `_`, 20 characters (10 of time in ms, 10 random). Ids made by one process sort in the order in which
 * they were made. The time in it is only for sorting: no deadline is ever read from it.
 */
export function newId(kind: IdKind): string {
  const ms = BigInt(Date.now())
  if (ms > lastMs) {
    lastMs = ms
    lastRandom = BigInt(`0x${randomBytes(8).toString('hex')}`) >> (64n - RANDOM_BITS + 1n)
  } else {
    lastRandom += 1n
  }
  return `${ID_PREFIX[kind]}_${encode(lastMs, 10)}${encode(lastRandom, 10)}`
}
