import { CORE, ReglazeError, type GrantState as Seen, type Grantable, type GrantSpec, type Json, type Observation } from '../core/index.ts'
import { append } from '../ledger/index.ts'
import { poke } from '../store/index.ts'
import { CONVERGE, grantRetryMs, pagesAgain, retryMs, STUCK_AFTER } from './model.ts'
import type { Access } from './service.ts'
import * as rows from './store.ts'

/** How often a grant in force is read back. */
export const OBSERVE_MS = 15_000
/** How long one look at a grant waits for one target: a target that hangs delays neither the others nor the deadline. */
const PATIENCE_MS = 3_000
/** How soon a look is repeated while a call is still on its way. */
const PENDING_MS = 1_000
/** A call that has not come back by then is given up: its outcome is unknown. What it still does later is undone when it comes back. */
const GIVE_UP_MS = 180_000
const MISSING = 'was there and is not there any more'

/** The calls of this process to targets. Each goes on by itself, writes its own row, and wakes the grant when nobody waited for it to its end. */
export class TargetWork {
  readonly #access: Access
  readonly #jobs = new Map<string, { done: Promise<number>; left: boolean }>()
  /** Calls that give a right and have not come back, with the time (monotonic, ms) when they went out. */
  readonly #giving = new Map<string, number>()
  readonly #patienceMs: number
  constructor(access: Access, patienceMs = PATIENCE_MS) {
    this.#access = access
    this.#patienceMs = patienceMs
  }

  /** One step of one target towards "granted" or, when the grant is ending, towards "gone". Returns in how many ms to look again. */
  async step(g: rows.Grant, t: rows.Target, ending: boolean): Promise<number> {
    if (ending && t.state === 'revoked') return OBSERVE_MS
    const key = `${ending ? 'revoke' : 'grant'} ${t.grant_id}/${t.n}`
    const job = this.#jobs.get(key) ?? this.#begin(key, t, ending ? this.#revoke(g, t) : this.#grant(g, t), ending ? () => this.#hangs(g, t) : null)
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<number>((done) => {
      timer = setTimeout(() => {
        job.left = true
        done(PENDING_MS)
      }, this.#patienceMs)
    })
    return Promise.race([job.done, late]).finally(() => clearTimeout(timer))
  }

  #begin(key: string, t: rows.Target, work: Promise<number>, givenUp: (() => Promise<number>) | null) {
    const job = { done: Promise.resolve(0), left: false }
    job.done = inTime(work, GIVE_UP_MS)
      .catch((error: unknown) => (error instanceof GivenUp && givenUp ? givenUp() : PENDING_MS))
      // Only when our database fails: the worker's next look tries again.
      .catch(() => PENDING_MS)
      .finally(() => {
        this.#jobs.delete(key)
        if (job.left) void poke(this.#access.deps.store.db, CONVERGE, t.grant_id).catch(() => undefined)
      })
    this.#jobs.set(key, job)
    return job
  }

  async #grant(g: rows.Grant, t: rows.Target): Promise<number> {
    const { db } = this.#access.deps.store
    const failed = async (error: unknown, state: 'granting' | 'unknown'): Promise<number> => {
      await rows.setTarget(db, t, { state, error: (error as Error).message, attempts: t.attempts + 1 }, rows.GRANT_SIDE)
      return grantRetryMs(t.attempts)
    }
    let connector: Grantable
    const spec = this.#access.spec(g, t)
    try {
      connector = this.#access.deps.grantable(t.connector)
    } catch (error) {
      return failed(error, t.state === 'intended' ? 'granting' : 'unknown')
    }
    let seen = t.state === 'intended' ? null : await look(connector, spec)
    if (seen?.status === 'known' && !seen.value.member && t.state === 'active') {
      const wait = await this.#missing(g, t, seen)
      if (wait !== null) return wait
    }
    if (seen === null || (seen.status === 'known' && !seen.value.member)) {
      if (!(await rows.beginGranting(db, t))) return 0
      try {
        await this.#give(g, t, connector, spec)
      } catch (error) {
        return failed(error, error instanceof ReglazeError && error.code === CORE.OUTCOME_UNKNOWN ? 'unknown' : 'granting')
      }
      seen = await look(connector, spec)
    }
    if (seen.status === 'unknown') return failed(new Error(seen.reason), 'unknown')
    const state = seen.value.member ? ('active' as const) : ('granting' as const)
    const read = seen as unknown as Json
    await db.transaction().execute(async (tx) => {
      const set = await rows.setTarget(tx, t, { state, observed: read, attempts: state === 'active' ? 0 : t.attempts + 1 }, rows.GRANT_SIDE)
      if (set && state === 'active' && t.state !== 'active') await append(tx, { kind: 'grant.target-active', incident: g.incident_id, subject: g.id, actor: 'observer', data: { connector: t.connector, read_back: read } })
    })
    return state === 'active' ? OBSERVE_MS : grantRetryMs(t.attempts)
  }

  /** The call that gives the right. If the grant ended while it was on its way, what it did is undone at once: revoking wins. */
  async #give(g: rows.Grant, t: rows.Target, connector: Grantable, spec: GrantSpec): Promise<void> {
    const key = `${t.grant_id}/${t.n}`
    this.#giving.set(key, performance.now())
    try {
      await connector.grant(spec)
    } finally {
      this.#giving.delete(key)
      await this.#undoLate(g, t, connector, spec)
    }
  }
  async #undoLate(g: rows.Grant, t: rows.Target, connector: Grantable, spec: GrantSpec): Promise<void> {
    const { db } = this.#access.deps.store
    if (await rows.inForce(db, t)) return
    await connector.revoke(spec).catch(() => undefined)
    await connector.endSessions(spec).catch(() => undefined)
    const seen = await look(connector, spec)
    await append(db, { kind: 'grant.late-undone', incident: g.incident_id, subject: g.id, actor: 'loop', data: { connector: t.connector, read_back: seen as unknown as Json } })
    await poke(db, CONVERGE, g.id)
  }

  /**
   * A right in force that is not there: read twice, then it counts as taken away by somebody, and the whole grant ends:
   * whoever threw a person out must not be overruled. Unless another grant of ours that ends took the same right with it.
   */
  async #missing(g: rows.Grant, t: rows.Target, seen: Observation<Seen>): Promise<number | null> {
    const { store, alarm } = this.#access.deps
    if (await rows.endingBeside(store.db, t)) return null
    if (t.error !== MISSING) {
      await rows.setTarget(store.db, t, { state: 'active', error: MISSING }, rows.GRANT_SIDE)
      return PENDING_MS
    }
    await append(store.db, { kind: 'grant.missing-outside', incident: g.incident_id, subject: g.id, actor: 'observer', data: { connector: t.connector, observed: seen as unknown as Json } })
    await this.#access.end(g.id, 'removed-outside', 'observer')
    await alarm(g.incident_id, `Access of ${g.person} was taken away at ${t.connector} by somebody else`, `${g.id} (${g.role}) is ended everywhere. If it was a mistake: reglaze access request ${g.role}`).catch(() => undefined)
    return 0
  }

  /** No new use, sessions ended, read back. Tried for ever. */
  async #revoke(g: rows.Grant, t: rows.Target): Promise<number> {
    const { db } = this.#access.deps.store
    const failures = await rows.beginRevoking(db, t)
    if (failures === null) return OBSERVE_MS
    const since = this.#giving.get(`${t.grant_id}/${t.n}`)
    const onItsWay = since !== undefined && performance.now() - since < GIVE_UP_MS
    let seen: Observation<Seen>
    let keeper: string | null
    try {
      const connector = this.#access.deps.grantable(t.connector)
      seen = await takeAway(connector, this.#access.spec(g, t), t.connector)
      // Only asked when the right is still there; if the look fails it does not count as kept.
      keeper = seen.status === 'known' && seen.value.member ? await rows.keptBy(db, t).catch(() => null) : null
      const value = seen.status === 'known' ? seen.value : null
      if (!value || (value.member && !keeper) || value.sessions > 0) throw new ReglazeError(CORE.OUTSIDE_FAILED, `${t.connector} still shows ${value?.member && !keeper ? 'the right' : `${value?.sessions} live sessions`}`)
    } catch (error) {
      return this.#notGone(g, t, failures + 1, (error as Error).message)
    }
    if (onItsWay) {
      await rows.setTarget(db, t, { state: 'revoking', error: 'gone, but an earlier call that gives the right has not come back yet', attempts: failures }, rows.REVOKE_SIDE)
      return PENDING_MS
    }
    const read = seen as unknown as Record<string, Json>
    await db.transaction().execute(async (tx) => {
      if (!(await rows.setTarget(tx, t, { state: 'revoked', observed: { ...read, ...(keeper ? { kept_for: keeper } : {}) } }, rows.REVOKE_SIDE))) return
      await append(tx, { kind: 'grant.target-revoked', incident: g.incident_id, subject: g.id, actor: 'observer', data: { connector: t.connector, read_back: read, kept_for: keeper } })
      if (!keeper) for (const other of await rows.regrantBeside(tx, t)) await poke(tx, CONVERGE, other)
    })
    return OBSERVE_MS
  }

  /** A revocation without any answer counts as stuck at once: people have to know. */
  async #hangs(g: rows.Grant, t: rows.Target): Promise<number> {
    const failures = await rows.beginRevoking(this.#access.deps.store.db, t)
    return failures === null ? OBSERVE_MS : this.#notGone(g, t, Math.max(STUCK_AFTER, failures + 1), `${t.connector} did not answer in ${GIVE_UP_MS / 1000} s`)
  }

  async #notGone(g: rows.Grant, t: rows.Target, attempts: number, why: string): Promise<number> {
    const { store, alarm, grantable } = this.#access.deps
    const state = attempts >= STUCK_AFTER ? ('stuck' as const) : ('revoking' as const)
    const page = pagesAgain(attempts)
    const manual = page ? safely(() => grantable(t.connector).manual(this.#access.spec(g, t))) : ''
    await store.db.transaction().execute(async (tx) => {
      await rows.setTarget(tx, t, { state, error: why, attempts }, rows.REVOKE_SIDE)
      if (page) await append(tx, { kind: 'grant.stuck', incident: g.incident_id, subject: g.id, actor: 'loop', data: { connector: t.connector, error: why, manual, attempts } })
    })
    if (page) await alarm(g.incident_id, `Access of ${g.person} could not be revoked at ${t.connector}`, `${why}\nRevocation goes on trying. By hand: ${manual}`).catch(() => undefined)
    return retryMs(attempts)
  }
}

/** Both levels are tried whatever happens to the first: sessions end also where the right itself cannot be taken yet. */
export async function takeAway(connector: Grantable, spec: GrantSpec, name: string): Promise<Observation<Seen>> {
  const failures: Error[] = []
  const note = (error: unknown) => void failures.push(error as Error)
  await connector.revoke(spec).catch(note)
  await connector.endSessions(spec).catch(note)
  if (failures[0]) throw failures.length === 1 ? failures[0] : new ReglazeError(CORE.OUTSIDE_FAILED, failures.map((f) => f.message).join('; '), { cause: failures[0] })
  const seen = await connector.observe(spec)
  if (seen.status === 'unknown') throw new ReglazeError(CORE.OUTCOME_UNKNOWN, `${name} does not tell: ${seen.reason}`)
  return seen
}

async function look(connector: Grantable, spec: GrantSpec): Promise<Observation<Seen>> {
  try {
    return await connector.observe(spec)
  } catch (error) {
    return { status: 'unknown', at: '', reason: (error as Error).message }
  }
}

/** The manual command as text, also when the connector cannot be made any more. */
export function safely(manual: () => string): string {
  try {
    return manual()
  } catch (error) {
    return `(no command can be given: ${(error as Error).message})`
  }
}

class GivenUp extends Error {}

async function inTime<T>(work: Promise<T>, ms: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const limit = new Promise<never>((_, fail) => (timer = setTimeout(() => fail(new GivenUp()), ms)))
  work.catch(() => undefined)
  return Promise.race([work, limit]).finally(() => clearTimeout(timer))
}
