import { readFileSync, readlinkSync } from 'node:fs'
import { hostname } from 'node:os'
import pg from 'pg'
import { clientConfig } from './connect.ts'
import type { Log } from './log.ts'
import { alive } from './postmaster.ts'

export const LEASE_MS = 3_000
const BEAT_MS = 1_000
/** Half a second before others may take our work, we start no effect any more. */
const SAFE_MS = LEASE_MS - 500
const FORGET_MS = 60_000

/** Processes with the same text can see each other's process ids: host, boot and pid name space are the same. */
function hostKey(): string {
  const read = (get: () => string): string => {
    try {
      return get().trim()
    } catch {
      return ''
    }
  }
  return [hostname(), read(() => readFileSync('/proc/sys/kernel/random/boot_id', 'utf8')), read(() => readlinkSync('/proc/self/ns/pid'))].join('/')
}

/** This process's lease: a row with a beat. The work it has claimed is its own while the beat is fresh. */
export interface Node {
  /** Owner of claims made now; it changes when the lease was lost. */
  readonly key: string
  /** Whether an effect may be started now. */
  safe(): boolean
  /** Called when the lease is lost: everything in hand may be taken over by another process. */
  onLost(listener: () => void): () => void
  stop(): Promise<void>
}

export interface NodeOptions {
  readonly url: string
  /** application_name of its connection. */
  readonly name: string
  readonly log: Log
  /** Called when the database does not answer; an embedded one is started again here. */
  revive?(): Promise<void>
}

let incarnations = 0
function newKey(): string {
  return `${hostname()}:${process.pid}:${Date.now()}.${++incarnations}`
}

/**
 * Registers this process and keeps its beat, on a connection of its own, so that a busy pool never looks like a death.
 * The database's clock decides who is alive (not reglaze.now(): a lease measures a process, not a deadline of the product).
 */
export async function startNode(o: NodeOptions): Promise<Node> {
  const node = new ProcessNode(o)
  await node.begin()
  return node
}

class ProcessNode implements Node {
  readonly #o: NodeOptions
  readonly #host = hostKey()
  readonly #listeners = new Set<() => void>()
  #key = newKey()
  #lastBeat = 0
  #client: pg.Client | null = null
  #timer: NodeJS.Timeout | undefined
  #running: Promise<unknown> | null = null
  #stopped = false

  constructor(o: NodeOptions) {
    this.#o = o
  }

  get key(): string {
    return this.#key
  }

  safe(): boolean {
    return !this.#stopped && performance.now() - this.#lastBeat < SAFE_MS
  }

  onLost(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  async begin(): Promise<void> {
    const sent = performance.now()
    try {
      await this.#register()
      await this.#removeDead()
    } catch (error) {
      await this.#client?.end().catch(() => {})
      throw error
    }
    this.#lastBeat = sent
    this.#timer = setInterval(() => {
      this.#running ??= this.#beat().catch((error: Error) => this.#recover(error)).finally(() => (this.#running = null))
    }, BEAT_MS)
    this.#timer.unref()
  }

  async stop(): Promise<void> {
    if (this.#stopped) return
    this.#stopped = true
    clearInterval(this.#timer)
    await this.#running
    try {
      await this.#removeDead()
      await (await this.#connection()).query('delete from reglaze.nodes where key = $1', [this.#key])
    } catch {
      // The row is removed by whoever finds it silent.
    }
    await this.#client?.end().catch(() => {})
  }

  async #connection(): Promise<pg.Client> {
    if (this.#client !== null) return this.#client
    const made = new pg.Client({ ...clientConfig({ url: this.#o.url, name: this.#o.name, statementTimeoutMs: 2_000, log: this.#o.log }), query_timeout: 2_500 })
    const lost = (): void => {
      if (this.#client === made) this.#client = null
    }
    made.on('error', lost)
    made.on('end', lost)
    await made.connect()
    this.#client = made
    return made
  }

  async #register(): Promise<void> {
    const c = await this.#connection()
    await c.query('insert into reglaze.nodes (key, host, pid) values ($1, $2, $3)', [this.#key, this.#host, process.pid])
  }

  async #beat(): Promise<void> {
    // Counted from before the call: the lease may have begun to run when the answer was still on its way.
    const sent = performance.now()
    const c = await this.#connection()
    const { rowCount } = await c.query('update reglaze.nodes set beat_at = pg_catalog.now() where key = $1', [this.#key])
    if (rowCount === 0) {
      this.#o.log.warn({ node: this.#key }, 'this process was taken for dead; its claims are given up')
      this.#key = newKey()
      await this.#register()
      for (const listener of this.#listeners) listener()
    }
    this.#lastBeat = sent
    await this.#removeDead()
  }

  async #recover(error: Error): Promise<void> {
    const { log, revive } = this.#o
    log.debug({ error: error.message }, 'no heartbeat')
    const broken = this.#client
    this.#client = null
    await broken?.end().catch(() => {})
    if (!this.#stopped) await revive?.().catch((e: Error) => log.error({ error: e.message }, 'the embedded database could not be started again'))
  }

  /** Processes of this host that are gone free their work at once; silent ones of other hosts are forgotten later. */
  async #removeDead(): Promise<void> {
    const c = await this.#connection()
    const { rows } = await c.query<{ key: string; pid: number }>('select key, pid from reglaze.nodes where host = $1 and key <> $2', [this.#host, this.#key])
    const dead = rows.filter((r) => !alive(r.pid)).map((r) => r.key)
    await c.query(`delete from reglaze.nodes where key = any($1) or beat_at < pg_catalog.now() - interval '${FORGET_MS} milliseconds'`, [dead])
  }
}
