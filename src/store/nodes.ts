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

/**
 * Registers this process and keeps its beat, on a connection of its own, so that a busy pool never looks like a death.
 * The database's clock decides who is alive (not reglaze.now(): a lease measures a process, not a deadline of the product).
 */
export async function startNode(o: NodeOptions): Promise<Node> {
  const host = hostKey()
  const newKey = (): string => `${hostname()}:${process.pid}:${Date.now()}.${++incarnations}`
  let key = newKey()
  let lastBeat = 0
  let client: pg.Client | null = null
  let stopped = false
  const listeners = new Set<() => void>()

  const connection = async (): Promise<pg.Client> => {
    if (client !== null) return client
    const made = new pg.Client({ ...clientConfig({ url: o.url, name: o.name, statementTimeoutMs: 2_000, log: o.log }), query_timeout: 2_500 })
    made.on('error', () => {
      if (client === made) client = null
    })
    made.on('end', () => {
      if (client === made) client = null
    })
    await made.connect()
    client = made
    return made
  }
  const register = async (): Promise<void> => {
    const c = await connection()
    await c.query('insert into reglaze.nodes (key, host, pid) values ($1, $2, $3)', [key, host, process.pid])
  }
  const removeDead = async (): Promise<void> => {
    const c = await connection()
    const { rows } = await c.query<{ key: string; pid: number }>('select key, pid from reglaze.nodes where host = $1 and key <> $2', [host, key])
    const dead = rows.filter((r) => !alive(r.pid)).map((r) => r.key)
    await c.query(`delete from reglaze.nodes where key = any($1) or beat_at < pg_catalog.now() - interval '${FORGET_MS} milliseconds'`, [dead])
  }
  const beat = async (): Promise<void> => {
    const sent = performance.now()
    const c = await connection()
    const { rowCount } = await c.query(`update reglaze.nodes set beat_at = pg_catalog.now() where key = $1`, [key])
    if (rowCount === 0) {
      o.log.warn({ node: key }, 'this process was taken for dead; its claims are given up')
      key = newKey()
      await register()
      for (const listener of listeners) listener()
    }
    lastBeat = sent
    await removeDead()
  }

  await register()
  lastBeat = performance.now()
  await removeDead()
  let running: Promise<void> | null = null
  const timer = setInterval(() => {
    running ??= beat()
      .catch(async (error: Error) => {
        o.log.debug({ error: error.message }, 'no heartbeat')
        const broken = client
        client = null
        await broken?.end().catch(() => {})
        if (!stopped) await o.revive?.().catch((e: Error) => o.log.error({ error: e.message }, 'the embedded database could not be started again'))
      })
      .finally(() => (running = null))
  }, BEAT_MS)
  timer.unref()
  return {
    get key() {
      return key
    },
    safe: () => !stopped && performance.now() - lastBeat < SAFE_MS,
    onLost(listener) {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    async stop() {
      if (stopped) return
      stopped = true
      clearInterval(timer)
      await running
      try {
        await removeDead()
        await (await connection()).query('delete from reglaze.nodes where key = $1', [key])
      } catch {
        // The row is removed by whoever finds it silent.
      }
      await client?.end().catch(() => {})
    },
  }
}
