import { sql } from 'kysely'
import { FREE } from './poller.ts'
import { internals } from './store.ts'
import type { Db } from './connect.ts'
import type { Log } from './log.ts'
import type { Store } from './store.ts'

export interface TimerContext {
  /** 1 on the first try; counts failures and kills since the last success. */
  readonly attempts: number
  /** Aborted when this process lost its lease (another one may run the subject now) or is stopping. */
  readonly signal: AbortSignal
}
export type TimerHandler = (subject: string, ctx: TimerContext) => Promise<{ again: number } | 'done'>

export interface WorkerOptions {
  readonly kind: string
  readonly handle: TimerHandler
  /** Handlers at the same time in this process; default 4. */
  readonly concurrency?: number
  /** How often to look for due work; default 50 ms, one small query for all kinds of a process. */
  readonly pollMs?: number
  /** A handler that takes longer is given up (its signal aborted) and the work tried again; default 2 min. One hung call must not hold a deadline for ever. */
  readonly timeLimitMs?: number
  readonly log?: Log
  onError?(error: unknown, subject: string, attempts: number): void
}
export interface Worker {
  /** No new work; handlers in hand get the abort signal and are waited for (at most 10 s); what they leave is free at once. */
  stop(): Promise<void>
  /** Look for due work now. */
  poke(): void
}

interface Claimed {
  readonly id: string
  readonly subject: string
  readonly attempts: number
  readonly owner: string
}
type Outcome = 'done' | { readonly again: number; readonly attempts: number; readonly error: string | null }

const STOP_WAIT_MS = 10_000
const TIME_LIMIT_MS = 120_000

class TimeUp extends Error {}

async function inTime<T>(work: Promise<T>, ms: number, abort: AbortController): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const limit = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      const error = new TimeUp(`not done within ${ms} ms`)
      reject(error)
      abort.abort(error)
    }, ms)
  })
  // Given up, it may still fail later: nobody listens then.
  work.catch(() => {})
  return Promise.race([work, limit]).finally(() => clearTimeout(timer))
}

/** 250 ms, doubled by each failure, at most 30 s, with jitter down to a half so that failed work does not come back in step. */
export function backoffMs(attempts: number, random: () => number = Math.random): number {
  return Math.round(Math.min(30_000, 250 * 2 ** Math.min(20, Math.max(0, attempts - 1))) * (0.5 + random() / 2))
}

/** Leases up to `limit` due timers to `owner`. `except` are in hand here: never run one subject twice at once in a process. */
async function claim(db: Db, kind: string, owner: string, limit: number, except: readonly string[]): Promise<Claimed[]> {
  // "= any(array(select … for update skip locked))": a CTE join here makes PostgreSQL 18 scan the whole table.
  const { rows } = await sql<{ id: string; subject: string; attempts: number }>`
    update reglaze.timers set owner = ${owner}, attempts = attempts + 1 where id = any(array(
      select t.id from reglaze.timers t
      where t.kind = ${kind} and t.due_at <= reglaze.now() and ${FREE} and t.id <> all(${except}::bigint[])
      order by t.due_at limit ${limit} for update skip locked))
    returning id, subject, attempts`.execute(db)
  return rows.map((r) => ({ ...r, owner }))
}

/** Records how a run ended, fenced by owner: a process that lost its lease changes nothing. */
async function complete(db: Db, item: Claimed, outcome: Outcome): Promise<void> {
  const mine = sql`id = ${item.id} and owner = ${item.owner}`
  const changed = async (statement: ReturnType<typeof sql>): Promise<boolean> => ((await statement.execute(db)).numAffectedRows ?? 0n) > 0n
  // A poke or unpoke may come between two statements; the second look then sees it.
  for (let look = 0; look < 3; look++) {
    if (outcome === 'done') {
      if (await changed(sql`delete from reglaze.timers where ${mine} and (cancelled or next_at is null)`)) return
      if (await changed(sql`update reglaze.timers set owner = null, attempts = 0, last_error = null, due_at = next_at, next_at = null where ${mine} and not cancelled and next_at is not null`)) return
    } else {
      const { again, attempts, error } = outcome
      if (await changed(sql`update reglaze.timers set owner = null, attempts = ${attempts}, last_error = ${error},
        due_at = least(next_at, reglaze.now() + make_interval(secs => ${again / 1000}::float8)), next_at = null where ${mine} and not cancelled`)) return
      if (await changed(sql`delete from reglaze.timers where ${mine} and cancelled`)) return
    }
  }
}

/**
 * Works on due timers of one kind, until stopped. Each is leased to this process while it lives (3 s heartbeat) and fenced
 * by owner at completion: one run at a time (but for one given up at its time limit); outside at least once, so handlers
 * must be repeatable. A throw is retried for ever.
 */
export function startWorker(store: Store, o: WorkerOptions): Worker {
  return new TimerWorker(store, o)
}

class TimerWorker implements Worker {
  readonly #store: Store
  readonly #o: WorkerOptions
  readonly #log: Log
  readonly #inHand = new Map<string, { item: Claimed; abort: AbortController; done: Promise<void> }>()
  readonly #leave: () => void
  readonly #forget: () => void
  #stopping = false
  #claiming: Promise<void> | null = null
  #wanted = false

  constructor(store: Store, o: WorkerOptions) {
    this.#store = store
    this.#o = o
    this.#log = o.log ?? internals(store).log
    const { node, poller } = internals(store)
    this.#leave = poller.join(o.kind, o.pollMs ?? 50, () => this.poke())
    this.#forget = node.onLost(() => this.#abortAll('the lease of this process was lost'))
  }

  poke(): void {
    if (this.#stopping) return
    this.#wanted = true
    this.#claiming ??= this.#claimSome()
      .catch((error: unknown) => this.#log.debug({ kind: this.#o.kind, error: String(error) }, 'could not look for due timers'))
      .finally(() => (this.#claiming = null))
  }

  async stop(): Promise<void> {
    this.#stopping = true
    this.#leave()
    this.#forget()
    await this.#claiming
    this.#abortAll('the worker is stopping')
    let limit: NodeJS.Timeout | undefined
    const waited = new Promise<void>((resolve) => (limit = setTimeout(resolve, STOP_WAIT_MS)))
    await Promise.race([Promise.all([...this.#inHand.values()].map((h) => h.done)), waited])
    clearTimeout(limit)
    for (const { item } of this.#inHand.values()) await this.#record(item, { again: 0, attempts: item.attempts, error: 'stopped in the middle' })
  }

  #abortAll(why: string): void {
    for (const { abort } of this.#inHand.values()) abort.abort(new Error(why))
  }

  async #claimSome(): Promise<void> {
    const { node } = internals(this.#store)
    do {
      this.#wanted = false
      const room = (this.#o.concurrency ?? 4) - this.#inHand.size
      if (this.#stopping || room <= 0 || !node.safe()) return
      const items = await claim(this.#store.db, this.#o.kind, node.key, room, [...this.#inHand.keys()])
      for (const item of items) {
        // The claim itself may have taken so long that the lease ran out.
        if (this.#stopping || !node.safe() || item.owner !== node.key) await this.#record(item, { again: 0, attempts: item.attempts - 1, error: null })
        else this.#begin(item)
      }
      if (items.length === room) this.#wanted = true
    } while (this.#wanted)
  }

  #begin(item: Claimed): void {
    const abort = new AbortController()
    const done = this.#run(item, abort).finally(() => {
      this.#inHand.delete(item.id)
      this.poke()
    })
    this.#inHand.set(item.id, { item, abort, done })
  }

  async #run(item: Claimed, abort: AbortController): Promise<void> {
    const { kind, handle, onError, timeLimitMs } = this.#o
    let outcome: Outcome
    try {
      const result = await inTime(handle(item.subject, { attempts: item.attempts, signal: abort.signal }), timeLimitMs ?? TIME_LIMIT_MS, abort)
      outcome = result === 'done' ? 'done' : { again: Math.max(0, result.again), attempts: 0, error: null }
    } catch (error) {
      // Stopping or a lost lease is nobody's failure: the work is free at once.
      const interrupted = abort.signal.aborted && !(error instanceof TimeUp)
      if (!interrupted) {
        this.#log.warn({ kind, subject: item.subject, attempts: item.attempts, error: String(error) }, 'a timer failed; it will be tried again')
        onError?.(error, item.subject, item.attempts)
      }
      outcome = { again: interrupted ? 0 : backoffMs(item.attempts), attempts: item.attempts, error: String(error).slice(0, 2_000) }
    }
    await this.#record(item, outcome)
  }

  /** Tried for some seconds, because the effect has happened; after that the work runs again when the lease ends. */
  async #record(item: Claimed, outcome: Outcome): Promise<void> {
    const { kind } = this.#o
    for (let attempt = 1; attempt <= 8; attempt++) {
      try {
        return await complete(this.#store.db, item, outcome)
      } catch (error) {
        this.#log.debug({ kind, subject: item.subject, error: String(error) }, 'could not record the end of a timer')
        await new Promise((resolve) => setTimeout(resolve, 50 * 2 ** attempt))
      }
    }
    this.#log.warn({ kind, subject: item.subject }, 'the end of a timer could not be recorded; it runs again')
  }
}
