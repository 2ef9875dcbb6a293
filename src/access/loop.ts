import { CORE, ReglazeError, type GrantState as TargetObservation, type Json, type Observation } from '../core/index.ts'
import { append } from '../ledger/index.ts'
import { sql, startWorker, type TimerHandler, type Tx } from '../store/index.ts'
import { overall, retryMs, STUCK_AFTER, type GrantState } from './model.ts'
import { CONVERGE, type Access } from './service.ts'
import * as rows from './store.ts'

/** How often a grant in force is read back. */
const OBSERVE_MS = 15_000

/** The loop that carries every grant to what it should be: granted while in force, revoked and proven gone after. It never gives up on a revocation. */
export function startAccessLoop(access: Access): { stop(): Promise<void>; poke(): void } {
  return startWorker(access.deps.store, { kind: CONVERGE, handle: converge(access), concurrency: 8, pollMs: 100 })
}

export function converge(access: Access): TimerHandler {
  return async (id) => {
    const g = await rows.find(access.deps.store.db, id)
    if (!g || ['revoked', 'denied', 'withdrawn', 'requested'].includes(g.state)) return 'done'
    if (await access.deps.observeOnly()) return { again: 5000 }
    if (g.overdue && !g.end_asked_at) await access.end(id, 'deadline', 'clock')
    const ending = g.overdue || g.end_asked_at !== null
    if (g.state === 'approved') return ending ? withdraw(access, g) : prepare(access, g)
    const targets = await rows.targets(access.deps.store.db, id)
    const waits = await Promise.all(targets.map((t) => (ending ? revokeTarget(access, g, t) : grantTarget(access, g, t))))
    return settle(access, id, ending, Math.min(...waits))
  }
}

async function withdraw(access: Access, g: rows.Grant): Promise<'done'> {
  await access.deps.store.db.transaction().execute(async (tx) => {
    if (await rows.move(tx, g.id, 'approved', 'withdrawn')) await append(tx, { kind: 'grant.withdrawn', incident: g.incident_id, subject: g.id, actor: 'loop', data: { reason: g.end_reason ?? 'deadline' } })
  })
  return 'done'
}

/** Looks up what an undo will need and stores it as the intent, before the first change outside. */
async function prepare(access: Access, g: rows.Grant): Promise<{ again: number }> {
  const person = access.person(g.person)
  const wanted = g.role_text.targets
  const prepared = await Promise.all(wanted.map((t) => access.deps.grantable(t.connector).prepare(person, t.right)))
  await access.deps.store.db.transaction().execute(async (tx) => {
    for (const [n, t] of wanted.entries()) {
      const p = prepared[n] as (typeof prepared)[number]
      await rows.addTarget(tx, { grant: g.id, n, connector: t.connector, right: t.right, principal: p.principal, prior: p.prior })
    }
    if (!(await rows.move(tx, g.id, 'approved', 'intended'))) return
    await append(tx, { kind: 'grant.intended', incident: g.incident_id, subject: g.id, actor: 'loop', data: { expires_at: g.expires_at?.toISOString() ?? null, targets: wanted.map((t, n) => ({ connector: t.connector, right: t.right, principal: prepared[n]?.principal ?? '', prior: prepared[n]?.prior ?? {} })) } })
  })
  return { again: 0 }
}

/** One step of one target towards "granted". Returns in how many ms to look again. */
async function grantTarget(access: Access, g: rows.Grant, t: rows.Target): Promise<number> {
  const connector = access.deps.grantable(t.connector)
  const spec = access.spec(g, t)
  const db = access.deps.store.db
  let seen: Observation<TargetObservation> | null = t.state === 'intended' ? null : await connector.observe(spec).catch(unknown)
  if (seen?.status === 'known' && !seen.value.member && t.state === 'active') {
    await db.transaction().execute((tx) => append(tx, { kind: 'grant.missing-outside', incident: g.incident_id, subject: g.id, actor: 'observer', data: { connector: t.connector, observed: seen as unknown as Json } }))
  }
  if (seen === null || (seen.status === 'known' && !seen.value.member)) {
    await rows.setTarget(db, t, { state: 'granting' })
    try {
      await connector.grant(spec)
    } catch (error) {
      const outcomeUnknown = error instanceof ReglazeError && error.code === CORE.OUTCOME_UNKNOWN
      await rows.setTarget(db, t, { state: outcomeUnknown ? 'unknown' : 'granting', error: (error as Error).message, attempts: t.attempts + 1 })
      return retryMs(t.attempts)
    }
    seen = await connector.observe(spec).catch(unknown)
  }
  if (seen.status === 'unknown') {
    await rows.setTarget(db, t, { state: 'unknown', error: seen.reason, attempts: t.attempts + 1 })
    return retryMs(t.attempts)
  }
  const state = seen.value.member ? 'active' : 'granting'
  await db.transaction().execute(async (tx) => {
    await rows.setTarget(tx, t, { state, observed: seen as unknown as Json })
    if (state === 'active' && t.state !== 'active') await append(tx, { kind: 'grant.target-active', incident: g.incident_id, subject: g.id, actor: 'observer', data: { connector: t.connector, read_back: seen as unknown as Json } })
  })
  return state === 'active' ? OBSERVE_MS : retryMs(t.attempts)
}

/** One step of one target towards "gone": no new use, sessions ended, read back. */
async function revokeTarget(access: Access, g: rows.Grant, t: rows.Target): Promise<number> {
  if (t.state === 'revoked') return OBSERVE_MS
  const connector = access.deps.grantable(t.connector)
  const spec = access.spec(g, t)
  const db = access.deps.store.db
  try {
    // If the look for another grant fails, the right is removed: the safe side.
    const keeper = await rows.keptBy(db, t).catch(() => null)
    if (!keeper) await connector.revoke(spec)
    await connector.endSessions(spec)
    const seen = await connector.observe(spec)
    if (seen.status === 'unknown') throw new ReglazeError(CORE.OUTCOME_UNKNOWN, `${t.connector} does not tell: ${seen.reason}`)
    const gone = (keeper !== null || !seen.value.member) && seen.value.sessions === 0
    if (!gone) throw new ReglazeError(CORE.OUTSIDE_FAILED, `${t.connector} still shows ${seen.value.member ? 'the right' : `${seen.value.sessions} live sessions`}`)
    await db.transaction().execute(async (tx) => {
      await rows.setTarget(tx, t, { state: 'revoked', observed: { ...(seen as unknown as Record<string, Json>), ...(keeper ? { kept_for: keeper } : {}) } })
      await append(tx, { kind: 'grant.target-revoked', incident: g.incident_id, subject: g.id, actor: 'observer', data: { connector: t.connector, read_back: seen as unknown as Json, kept_for: keeper } })
    })
    return 0
  } catch (error) {
    const attempts = t.attempts + 1
    const state = attempts >= STUCK_AFTER ? 'stuck' : 'revoking'
    await rows.setTarget(db, t, { state, error: (error as Error).message, attempts })
    if (attempts === STUCK_AFTER) await stuck(access, g, t, (error as Error).message)
    return retryMs(attempts)
  }
}

async function stuck(access: Access, g: rows.Grant, t: rows.Target, why: string): Promise<void> {
  const manual = access.deps.grantable(t.connector).manual(access.spec(g, t))
  await access.deps.store.db.transaction().execute((tx) => append(tx, { kind: 'grant.stuck', incident: g.incident_id, subject: g.id, actor: 'loop', data: { connector: t.connector, error: why, manual } }))
  await access.deps.alarm(g.incident_id, `Access of ${g.person} could not be revoked at ${t.connector}`, `${why}\nRevocation goes on trying. By hand: ${manual}`)
}

/** Moves the grant itself as far as its targets are. */
async function settle(access: Access, id: string, ending: boolean, wait: number): Promise<{ again: number } | 'done'> {
  return access.deps.store.db.transaction().execute(async (tx) => {
    const g = await rows.find(tx, id)
    if (!g) return 'done'
    const targets = await rows.targets(tx, id)
    const want = overall(targets.map((t) => t.state), ending)
    if (want === 'revoked') {
      await walk(tx, g, 'revoking')
      if (await rows.revoked(tx, id, (await rows.find(tx, id))?.state ?? 'revoking', 'proven')) {
        await append(tx, { kind: 'grant.revoked', incident: g.incident_id, subject: id, actor: 'observer', data: { level: 'proven', reason: g.end_reason ?? 'deadline', person: g.person, role: g.role, active_at: g.active_at?.toISOString() ?? null, targets: targets.map((t) => ({ connector: t.connector, read_back: t.observed })) } })
      }
      return 'done'
    }
    if (want !== g.state) {
      await walk(tx, g, want)
      if (want === 'active') await rows.activated(tx, id)
      await append(tx, { kind: `grant.${want}`, incident: g.incident_id, subject: id, actor: 'loop', data: { targets: targets.map((t) => ({ connector: t.connector, state: t.state, error: t.error })) } })
    }
    const left = g.ms_left === null || ending ? wait : Math.min(wait, Math.max(0, g.ms_left))
    return { again: left }
  })
}

/** Reaches a state over allowed transitions: intended → active goes over granting. */
async function walk(tx: Tx, g: rows.Grant, to: GrantState): Promise<void> {
  const { rows: direct } = await sql`select 1 from grant_transitions where from_state = ${g.state} and to_state = ${to}`.execute(tx)
  if (g.state === to) return
  if (direct.length === 0) {
    const via: GrantState = to === 'stuck' ? 'revoking' : 'granting'
    await rows.move(tx, g.id, g.state, via)
    await rows.move(tx, g.id, via, to)
  } else {
    await rows.move(tx, g.id, g.state, to)
  }
}

function unknown(error: unknown): Observation<never> {
  return { status: 'unknown', at: '', reason: (error as Error).message }
}
