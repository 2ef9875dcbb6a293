import { nodeHash, HASH_BYTES } from './tree.ts'
import type { Subtree } from './tree.ts'

/** Packed hashes as in C2SP tlog-tiles: 256 a tile, level L+1 holds the roots of the full tiles of level L. Pure but for `load`. */
export const TILE_WIDTH = 256
const TILE_HEIGHT = 8

/** Reads the hashes of a tile; an empty buffer when there is none. */
export type LoadTile = (level: number, n: number) => Promise<Buffer>

/** How many hashes a level holds when the tree has `size` leaves. */
export function hashesAt(level: number, size: number): number {
  return Math.floor(size / TILE_WIDTH ** level)
}

function fold(hashes: Buffer): Buffer {
  let row = Array.from({ length: hashes.length / HASH_BYTES }, (_, i) => hashes.subarray(i * HASH_BYTES, (i + 1) * HASH_BYTES))
  while (row.length > 1) row = Array.from({ length: row.length / 2 }, (_, i) => nodeHash(row[2 * i] as Buffer, row[2 * i + 1] as Buffer))
  return Buffer.from(row[0] as Buffer)
}

/** Subtree roots out of tiles; every tile is loaded once. */
export function subtreesOf(load: LoadTile): Subtree {
  const cache = new Map<string, Promise<Buffer>>()
  return async (level, index) => {
    const tileLevel = Math.floor(level / TILE_HEIGHT)
    const width = 2 ** (level % TILE_HEIGHT)
    const first = index * width
    const n = Math.floor(first / TILE_WIDTH)
    const key = `${tileLevel}/${n}`
    const loading = cache.get(key) ?? load(tileLevel, n)
    cache.set(key, loading)
    const at = (first % TILE_WIDTH) * HASH_BYTES
    const part = (await loading).subarray(at, at + width * HASH_BYTES)
    if (part.length !== width * HASH_BYTES) throw new RangeError(`tile ${key} is too short`)
    return fold(part)
  }
}

/** Adds leaves to a tree of `size`; returns the tiles that changed. Full tiles never change again. */
export async function appendLeaves(load: LoadTile, size: number, leaves: readonly Buffer[]): Promise<Map<string, { level: number; n: number; hashes: Buffer }>> {
  const changed = new Map<string, { level: number; n: number; hashes: Buffer }>()
  let incoming: readonly Buffer[] = leaves
  for (let level = 0; incoming.length > 0; level++) {
    const before = hashesAt(level, size)
    const start = before % TILE_WIDTH
    let n = Math.floor(before / TILE_WIDTH)
    const partial = start === 0 ? Buffer.alloc(0) : (await load(level, n)).subarray(0, start * HASH_BYTES)
    if (partial.length !== start * HASH_BYTES) throw new RangeError(`tile ${level}/${n} is too short`)
    const all = Buffer.concat([partial, ...incoming])
    const up: Buffer[] = []
    for (let at = 0; at < all.length; at += TILE_WIDTH * HASH_BYTES, n++) {
      const hashes = all.subarray(at, at + TILE_WIDTH * HASH_BYTES)
      changed.set(`${level}/${n}`, { level, n, hashes })
      if (hashes.length === TILE_WIDTH * HASH_BYTES) up.push(fold(hashes))
    }
    incoming = up
  }
  return changed
}
