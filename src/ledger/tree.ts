import { hash } from 'node:crypto'

/** RFC 6962 §2.1 / RFC 9162 §2.1: SHA-256 Merkle tree with separate domains for leaves and nodes. Pure. */
const LEAF = Buffer.of(0)
const NODE = Buffer.of(1)
export const HASH_BYTES = 32

export function sha256(data: Uint8Array): Buffer {
  return hash('sha256', data, 'buffer') as Buffer
}
export const EMPTY_ROOT: Buffer = sha256(new Uint8Array())

export function leafHash(entry: Uint8Array): Buffer {
  return sha256(Buffer.concat([LEAF, entry]))
}
export function nodeHash(left: Uint8Array, right: Uint8Array): Buffer {
  return sha256(Buffer.concat([NODE, left, right]))
}

/** The largest power of two smaller than n (n >= 2). */
function split(n: number): number {
  let k = 1
  while (k * 2 < n) k *= 2
  return k
}

/** Gives the root of the complete subtree of 2^level leaves that begins at leaf index * 2^level. */
export type Subtree = (level: number, index: number) => Promise<Buffer> | Buffer

async function range(sub: Subtree, lo: number, hi: number): Promise<Buffer> {
  const n = hi - lo
  const level = Math.log2(n)
  if (Number.isInteger(level) && lo % n === 0) return sub(level, lo / n)
  const k = split(n)
  return nodeHash(await range(sub, lo, lo + k), await range(sub, lo + k, hi))
}

/** The root of the first `size` leaves. */
export async function treeRoot(sub: Subtree, size: number): Promise<Buffer> {
  return size === 0 ? EMPTY_ROOT : range(sub, 0, size)
}

/** PATH(m, D[n]), from the leaf to the root. */
export async function inclusionPath(sub: Subtree, index: number, size: number): Promise<Buffer[]> {
  if (!(index >= 0 && index < size)) throw new RangeError(`no leaf ${index} in a tree of ${size}`)
  const path = async (lo: number, hi: number): Promise<Buffer[]> => {
    if (hi - lo === 1) return []
    const middle = lo + split(hi - lo)
    return index < middle
      ? [...(await path(lo, middle)), await range(sub, middle, hi)]
      : [...(await path(middle, hi)), await range(sub, lo, middle)]
  }
  return path(0, size)
}

/** PROOF(m, D[n]): that the tree of `first` leaves is the beginning of the tree of `second`. */
export async function consistencyPath(sub: Subtree, first: number, second: number): Promise<Buffer[]> {
  if (!(first >= 0 && first <= second)) throw new RangeError(`no consistency proof from ${first} to ${second}`)
  if (first === 0 || first === second) return []
  const proof = async (lo: number, hi: number, whole: boolean): Promise<Buffer[]> => {
    if (first === hi) return whole ? [] : [await range(sub, lo, hi)]
    const middle = lo + split(hi - lo)
    return first <= middle
      ? [...(await proof(lo, middle, whole)), await range(sub, middle, hi)]
      : [...(await proof(middle, hi, false)), await range(sub, lo, middle)]
  }
  return proof(0, second, true)
}

const odd = (n: number): boolean => n % 2 === 1
const half = (n: number): number => Math.floor(n / 2)
const safe = (...numbers: number[]): boolean => numbers.every((n) => Number.isSafeInteger(n) && n >= 0)

/** RFC 9162 §2.1.3.2. False for every input that does not prove it; never throws. */
export function verifyInclusion(leaf: Uint8Array, index: number, size: number, path: readonly Uint8Array[], root: Uint8Array): boolean {
  if (!safe(index, size) || index >= size || path.some((p) => p.length !== HASH_BYTES)) return false
  let fn = index
  let sn = size - 1
  let r: Buffer = Buffer.from(leaf)
  for (const p of path) {
    if (sn === 0) return false
    if (odd(fn) || fn === sn) {
      r = nodeHash(p, r)
      while (!odd(fn) && fn !== 0) {
        fn = half(fn)
        sn = half(sn)
      }
    } else {
      r = nodeHash(r, p)
    }
    fn = half(fn)
    sn = half(sn)
  }
  return sn === 0 && r.equals(root)
}

/** RFC 9162 §2.1.4.2; the empty tree is the beginning of every tree. False for every input that does not prove it. */
export function verifyConsistency(first: number, second: number, path: readonly Uint8Array[], firstRoot: Uint8Array, secondRoot: Uint8Array): boolean {
  if (!safe(first, second) || first > second || path.some((p) => p.length !== HASH_BYTES)) return false
  if (first === second) return path.length === 0 && Buffer.from(firstRoot).equals(secondRoot)
  if (first === 0) return path.length === 0 && EMPTY_ROOT.equals(firstRoot)
  if (path.length === 0) return false
  const steps = Number.isInteger(Math.log2(first)) ? [firstRoot, ...path] : [...path]
  let fn = first - 1
  let sn = second - 1
  while (odd(fn)) {
    fn = half(fn)
    sn = half(sn)
  }
  let fr: Buffer = Buffer.from(steps[0] as Uint8Array)
  let sr: Buffer = fr
  for (const c of steps.slice(1)) {
    if (sn === 0) return false
    if (odd(fn) || fn === sn) {
      fr = nodeHash(c, fr)
      sr = nodeHash(c, sr)
      while (!odd(fn) && fn !== 0) {
        fn = half(fn)
        sn = half(sn)
      }
    } else {
      sr = nodeHash(sr, c)
    }
    fn = half(fn)
    sn = half(sn)
  }
  return sn === 0 && fr.equals(firstRoot) && sr.equals(secondRoot)
}
