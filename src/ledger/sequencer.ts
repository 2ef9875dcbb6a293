import { readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { ReglazeError } from '../core/errors.ts'
import { silent, sql, transaction } from '../store/index.ts'
import type { Log, Store, Tx } from '../store/index.ts'
import { LEDGER } from './errors.ts'
import { KEY_FILE, signingKey } from './keys.ts'
import type { SigningKey } from './keys.ts'
import { fullOrigin, latestCheckpoint, tileLoader } from './log.ts'
import { checkpointText, openCheckpoint, parseCheckpoint, parseVerifier, signNote } from './note.ts'
import type { Checkpoint } from './note.ts'
import { appendLeaves, subtreesOf } from './tiles.ts'
import { leafHash, treeRoot } from './tree.ts'

const BATCH = 1_000
const LOOK_MS = 250
/** While entries come in, a checkpoint is signed at least this often. */
const SIGN_MS = 10_000
/** Kept beside the key, outside the database: a database taken back to an earlier time cannot hide it. */
const LAST_FILE = 'ledger-checkpoint'

export interface SequencerOptions {
  /** Folder of the signing key; a key is made at the first start of a new ledger. */
  readonly keyDir: string
  /** Name of the log: like a URL without its scheme, no white space, no plus sign. Fixed at the first start. */
  readonly origin: string
  /** Brings each new checkpoint to a place outside; failures are logged and repeated with the next look. */
  exportCheckpoint?(note: string): Promise<void>
  readonly log?: Log
}
export interface Sequencer {
  /** Numbers all that was committed before the call, signs a checkpoint of it and exports that. */
  flush(): Promise<Checkpoint>
  stop(): Promise<void>
}

interface HeadRow {
  readonly size: string
  readonly origin: string | null
  readonly epoch: string | null
  readonly vkey: string | null
  readonly signed_size: string
  readonly exported_size: string
  readonly sign_due: boolean
}

/** Locks the head row: whoever holds it is the only sequencer, until the transaction ends or its connection dies. */
async function lockHead(tx: Tx, wait: boolean): Promise<HeadRow | null> {
  const { rows } = await sql<HeadRow>`
    select size, origin, epoch, vkey, signed_size, exported_size,
      coalesce(signed_at <= pg_catalog.now() - interval '${sql.raw(String(SIGN_MS))} milliseconds', true) as sign_due
    from reglaze.ledger_head for update ${wait ? sql`` : sql`skip locked`}`.execute(tx)
  return rows[0] ?? null
}

/** Numbers up to BATCH committed entries; returns how many. The caller holds the head row. */
async function numberSome(tx: Tx, size: number): Promise<number> {
  const { rows } = await sql<{ n: string; id: string; bytes: string }>`
    with taken as (
      delete from reglaze.ledger_pending where n = any(array(select n from reglaze.ledger_pending order by n limit ${BATCH})) returning n, id)
    select taken.n, e.id, e.bytes from taken join reglaze.ledger_entries e using (id)`.execute(tx)
  if (rows.length === 0) return 0
  rows.sort((a, b) => (BigInt(a.n) < BigInt(b.n) ? -1 : 1))
  const hashes = rows.map((r) => leafHash(Buffer.from(r.bytes)))
  await sql`insert into reglaze.ledger_leaves (seq, id, hash)
    select ${size} + i - 1, id, hash from unnest(${rows.map((r) => r.id)}::text[], ${hashes}::bytea[]) with ordinality as t(id, hash, i)`.execute(tx)
  for (const tile of (await appendLeaves(tileLoader(tx), size, hashes)).values()) {
    await sql`insert into reglaze.ledger_tiles (level, n, hashes) values (${tile.level}, ${tile.n}, ${tile.hashes})
      on conflict (level, n) do update set hashes = excluded.hashes`.execute(tx)
  }
  await sql`update reglaze.ledger_head set size = ${size + rows.length}`.execute(tx)
  return rows.length
}

/** Signs the tree as it stands. Refuses when the tree does not continue the last checkpoint, here or beside the key. */
async function signHead(tx: Tx, row: HeadRow, key: SigningKey, keyDir: string): Promise<Checkpoint> {
  const origin = fullOrigin(row.origin as string, row.epoch)
  const verifier = key.verifier(origin)
  const size = Number(row.size)
  const sub = subtreesOf(tileLoader(tx))
  for (const [where, earlier] of [['the database', await latestCheckpoint(tx)], ['the key folder', lastKept(keyDir, key, origin)]] as const) {
    if (earlier === null) continue
    const fits = earlier.size <= size && (await treeRoot(sub, earlier.size)).equals(earlier.root)
    if (!fits) {
      throw new ReglazeError(LEDGER.LEDGER_INCONSISTENT, `the ledger of ${size} entries does not continue the checkpoint of ${earlier.size} entries in ${where}`, { data: { size, earlier: earlier.size } })
    }
  }
  const root = await treeRoot(sub, size)
  const note = signNote(checkpointText(origin, size, root), verifier, key.privateKey)
  await sql`insert into reglaze.ledger_checkpoints (origin, size, root, note) values (${origin}, ${size}, ${root}, ${note}) on conflict (origin, size) do nothing`.execute(tx)
  await sql`update reglaze.ledger_head set signed_size = ${size}, signed_at = pg_catalog.now()`.execute(tx)
  return { origin, size, root, note }
}

function lastKept(keyDir: string, key: SigningKey, origin: string): Checkpoint | null {
  try {
    return openCheckpoint(readFileSync(join(keyDir, LAST_FILE), 'utf8'), key.verifier(origin))
  } catch {
    return null
  }
}

function keep(keyDir: string, checkpoint: Checkpoint, log: Log): void {
  const path = join(keyDir, LAST_FILE)
  try {
    const old = parseCheckpoint(readFileSync(path, { encoding: 'utf8', flag: 'a+' }))
    if (old !== null && old.origin === checkpoint.origin && old.size >= checkpoint.size) return
    const draft = `${path}.${process.pid}`
    writeFileSync(draft, checkpoint.note, { mode: 0o600 })
    renameSync(draft, path)
  } catch (error) {
    log.warn({ error: String(error) }, 'the last checkpoint could not be kept beside the key')
  }
}

/** Fixes the log's identity at the first start; later starts must bring the same key. */
async function adopt(tx: Tx, row: HeadRow, o: SequencerOptions): Promise<{ row: HeadRow; key: SigningKey }> {
  const key = signingKey(o.keyDir, row.vkey === null)
  const origin = row.origin ?? o.origin
  const name = fullOrigin(origin, row.epoch)
  const vkey = key?.verifier(name).text ?? null
  if (key === null || (row.vkey !== null && row.vkey !== vkey)) {
    throw new ReglazeError(LEDGER.LEDGER_KEY_MISSING, `the ledger ${name} is signed with another key than ${key === null ? 'is' : 'the one'} in ${o.keyDir}`, {
      place: join(o.keyDir, KEY_FILE),
      data: { wanted: row.vkey === null ? null : parseVerifier(row.vkey).keyId.toString('hex') },
    })
  }
  if (row.vkey === null) await sql`update reglaze.ledger_head set origin = ${origin}, vkey = ${vkey}`.execute(tx)
  return { row: { ...row, origin, vkey }, key }
}

/**
 * Numbers committed entries, keeps the tree, signs checkpoints (at least every 10 s while entries come in; the first one at
 * the first start). Any number of processes may run it: a row lock lets one work at a time, and a kill frees it at once.
 */
export function startSequencer(store: Store, o: SequencerOptions): Sequencer {
  return new LedgerSequencer(store, o)
}

class LedgerSequencer implements Sequencer {
  readonly #store: Store
  readonly #o: SequencerOptions
  readonly #log: Log
  #stopped = false
  #timer: NodeJS.Timeout | undefined
  #chain: Promise<unknown> = Promise.resolve()
  #lastError = ''
  #exportFailures = 0
  #exportAfter = 0

  constructor(store: Store, o: SequencerOptions) {
    this.#store = store
    this.#o = o
    this.#log = o.log ?? silent
    void this.#look(() => this.#work('when due', true))
  }

  flush(): Promise<Checkpoint> {
    return this.#serial(async () => {
      this.#exportAfter = 0
      await this.#work('now', true)
      const latest = await latestCheckpoint(this.#store.db)
      if (latest === null) throw new ReglazeError(LEDGER.LEDGER_NOT_THERE, 'no checkpoint was signed')
      return latest
    })
  }

  async stop(): Promise<void> {
    this.#stopped = true
    clearTimeout(this.#timer)
    await this.#chain
  }

  /** One job of this process after the other. */
  #serial<T>(job: () => Promise<T>): Promise<T> {
    const result = this.#chain.then(job)
    this.#chain = result.catch(() => {})
    return result
  }

  async #look(job: () => Promise<void>): Promise<void> {
    try {
      await this.#serial(job)
      this.#lastError = ''
    } catch (error) {
      // An inconsistent ledger stays so: said once, not four times a second.
      if (!this.#stopped && String(error) !== this.#lastError) this.#log.error({ error: String(error) }, 'the ledger could not be continued')
      this.#lastError = String(error)
    }
    if (this.#stopped) return
    this.#timer = setTimeout(() => {
      void this.#look(async () => {
        if (!this.#stopped && (await this.#busy())) await this.#work('when due', false)
      })
    }, LOOK_MS)
  }

  async #busy(): Promise<boolean> {
    const { rows } = await sql<{ busy: boolean }>`
      select exists (select from reglaze.ledger_pending) or size > signed_size or (${this.#o.exportCheckpoint !== undefined} and exported_size < signed_size) as busy
      from reglaze.ledger_head`.execute(this.#store.db)
    return rows[0]?.busy === true
  }

  async #work(sign: 'when due' | 'now', wait: boolean): Promise<void> {
    for (;;) {
      const done = await this.#turn(sign, wait)
      if (done?.checkpoint) keep(this.#o.keyDir, done.checkpoint, this.#log)
      if (done === null || !done.more || (this.#stopped && !wait)) break
    }
    await this.#exportLatest()
  }

  /** One transaction: number a batch, sign if wanted. Null when another process is at it. */
  #turn(sign: 'when due' | 'now', wait: boolean): Promise<{ more: boolean; checkpoint: Checkpoint | null } | null> {
    return transaction(this.#store.db, async (tx) => {
      const locked = await lockHead(tx, wait)
      if (locked === null) return null
      const { row, key } = await adopt(tx, locked, this.#o)
      const numbered = await numberSome(tx, Number(row.size))
      const now: HeadRow = { ...row, size: String(Number(row.size) + numbered) }
      const more = numbered === BATCH
      const unsigned = Number(now.size) > Number(now.signed_size)
      const checkpoint = !more && unsigned && (sign === 'now' || now.sign_due) ? await signHead(tx, now, key, this.#o.keyDir) : null
      return { more, checkpoint }
    })
  }

  async #exportLatest(): Promise<void> {
    const { exportCheckpoint } = this.#o
    if (exportCheckpoint === undefined || Date.now() < this.#exportAfter) return
    const { rows } = await sql<{ exported_size: string }>`select exported_size from reglaze.ledger_head`.execute(this.#store.db)
    const latest = await latestCheckpoint(this.#store.db)
    if (latest === null || latest.size <= Number(rows[0]?.exported_size ?? -1)) return
    try {
      await exportCheckpoint(latest.note)
      await sql`update reglaze.ledger_head set exported_size = greatest(exported_size, ${latest.size})`.execute(this.#store.db)
      this.#exportFailures = 0
    } catch (error) {
      this.#exportAfter = Date.now() + Math.min(60_000, 1_000 * 2 ** this.#exportFailures++)
      this.#log.warn({ error: String(error), size: latest.size }, 'a checkpoint could not be brought outside; it will be tried again')
    }
  }
}
