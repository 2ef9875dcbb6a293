import { ReglazeError } from '../core/errors.ts'
import { sql } from '../store/index.ts'
import type { Db, Tx } from '../store/index.ts'
import { LEDGER } from './errors.ts'
import { parseCheckpoint } from './note.ts'
import type { Checkpoint } from './note.ts'
import { appendLeaves, subtreesOf } from './tiles.ts'
import type { LoadTile } from './tiles.ts'
import { consistencyPath, inclusionPath, leafHash, treeRoot } from './tree.ts'
import type { Subtree } from './tree.ts'

/** Reads tiles out of the database. */
export function tileLoader(db: Db | Tx): LoadTile {
  return async (level, n) => {
    const { rows } = await sql<{ hashes: Buffer }>`select hashes from reglaze.ledger_tiles where level = ${level} and n = ${n}`.execute(db)
    return rows[0]?.hashes ?? Buffer.alloc(0)
  }
}

export interface Head {
  readonly size: number
  /** Identity of the log, with its epoch; null before the first sequencer ran. */
  readonly origin: string | null
  readonly vkey: string | null
  readonly signedSize: number
}

export function fullOrigin(origin: string, epoch: string | null): string {
  return epoch === null ? origin : `${origin}/${epoch}`
}

export async function head(db: Db | Tx): Promise<Head> {
  const { rows } = await sql<{ size: string; origin: string | null; epoch: string | null; vkey: string | null; signed_size: string }>`select size, origin, epoch, vkey, signed_size from reglaze.ledger_head`.execute(db)
  const row = rows[0] as (typeof rows)[0]
  return { size: Number(row.size), origin: row.origin === null ? null : fullOrigin(row.origin, row.epoch), vkey: row.vkey, signedSize: Number(row.signed_size) }
}

/** The newest signed checkpoint of the log, or null before the first start of a sequencer. */
export async function latestCheckpoint(db: Db | Tx): Promise<Checkpoint | null> {
  return checkpointWhere(db, sql`order by c.size desc`)
}
/** The checkpoint written at first start: the empty tree, unless the log began before. */
export async function firstCheckpoint(db: Db | Tx): Promise<Checkpoint | null> {
  return checkpointWhere(db, sql`order by c.size`)
}
async function checkpointWhere(db: Db | Tx, rest: ReturnType<typeof sql>): Promise<Checkpoint | null> {
  const { origin } = await head(db)
  if (origin === null) return null
  const { rows } = await sql<{ note: string }>`select c.note from reglaze.ledger_checkpoints c where c.origin = ${origin} ${rest} limit 1`.execute(db)
  return rows[0] === undefined ? null : parseCheckpoint(rows[0].note)
}

/** The verifier key of the log in C2SP form (`name+hash+key`); keep it outside. Null before the first start. */
export async function publicKeyText(db: Db | Tx): Promise<string | null> {
  return (await head(db)).vkey
}

async function within<T>(what: string, make: () => Promise<T>): Promise<T> {
  try {
    return await make()
  } catch (error) {
    if (error instanceof RangeError) throw new ReglazeError(LEDGER.LEDGER_NOT_THERE, `${what}: ${error.message}`, { cause: error })
    throw error
  }
}

/** Hashes from entry number `seq` up to the root of the tree of `size` entries. Throws LEDGER_NOT_THERE. */
export async function inclusionProof(db: Db | Tx, seq: number, size: number): Promise<Buffer[]> {
  return within('inclusion proof', () => inclusionPath(subtreesOf(tileLoader(db)), seq, size))
}

/** Hashes that show that the tree of `first` entries is the beginning of that of `second`. Throws LEDGER_NOT_THERE. */
export async function consistencyProof(db: Db | Tx, first: number, second: number): Promise<Buffer[]> {
  return within('consistency proof', () => consistencyPath(subtreesOf(tileLoader(db)), first, second))
}

export interface LedgerCheck {
  readonly ok: boolean
  readonly size: number
  readonly problems: readonly string[]
}

/**
 * Recomputes everything from the stored bytes: every leaf hash, the tree, every checkpoint's root. Finds what somebody
 * changed in the database; a cut tail shows only against a checkpoint kept elsewhere.
 */
export async function checkLedger(db: Db): Promise<LedgerCheck> {
  const problems: string[] = []
  const { size } = await head(db)
  const leaves: Buffer[] = []
  for (let after = -1; ; ) {
    const { rows } = await sql<{ seq: string; hash: Buffer; bytes: string }>`
      select l.seq, l.hash, e.bytes from reglaze.ledger_leaves l join reglaze.ledger_entries e using (id)
      where l.seq > ${after} order by l.seq limit 5000`.execute(db)
    for (const row of rows) {
      const hash = leafHash(Buffer.from(row.bytes))
      if (Number(row.seq) !== leaves.length && problems.length < 20) problems.push(`entry ${leaves.length} is missing`)
      if (!hash.equals(row.hash) && problems.length < 20) problems.push(`entry ${row.seq} is not what was hashed`)
      leaves.push(hash)
    }
    if (rows.length === 0) break
    after = Number((rows.at(-1) as (typeof rows)[0]).seq)
  }
  if (leaves.length !== size) problems.push(`the log says ${size} entries, ${leaves.length} are there`)
  const sub = memoryTree(leaves)
  const { rows: notes } = await sql<{ size: string; root: Buffer }>`select size, root from reglaze.ledger_checkpoints order by size`.execute(db)
  for (const note of notes) {
    const signed = Number(note.size)
    if (signed > leaves.length) problems.push(`a checkpoint was signed for ${signed} entries, ${leaves.length} are there`)
    else if (!(await treeRoot(sub, signed)).equals(note.root)) problems.push(`the checkpoint of ${signed} entries does not fit the entries`)
  }
  return { ok: problems.length === 0, size, problems }
}

/** A tree held in memory, made of leaf hashes. */
export function memoryTree(leaves: readonly Buffer[]): Subtree {
  const tiles = appendLeaves(async () => Buffer.alloc(0), 0, leaves)
  return subtreesOf(async (level, n) => (await tiles).get(`${level}/${n}`)?.hashes ?? Buffer.alloc(0))
}
