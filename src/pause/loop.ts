import { CORE, ReglazeError, sameJson, type Json, type Observation, type PauseState } from '../core/index.ts'
import { append } from '../ledger/index.ts'
import { startWorker, type TimerHandler } from '../store/index.ts'
import { CONVERGE, type Pause } from './service.ts'
import * as rows from './store.ts'

/** The loop that holds automation, watches that it stays held, and gives it back. One incident at a time, outermost first; back in reverse. */
export function startPauseLoop(pause: Pause): { stop(): Promise<void>; poke(): void } {
  return startWorker(pause.deps.store, { kind: CONVERGE, handle: converge(pause), concurrency: 4, pollMs: 100 })
}

export function converge(pause: Pause): TimerHandler {
  return async (incidentId) => {
    if (await pause.deps.observeOnly()) return { again: 5000 }
    const { store } = pause.deps
    const { label } = await pause.deps.incident(incidentId)
    const before = await rows.ofIncident(store.db, incidentId)
    for (const h of before.filter((x) => x.resume_asked_at === null)) await holdOne(pause, h, label)
    const leaf = [...before].reverse().find((x) => x.resume_asked_at !== null && x.state !== 'resumed')
    if (leaf) await resumeOne(pause, leaf, label)
    const after = await rows.ofIncident(store.db, incidentId)
    await marks(pause, incidentId, before, after)
    const live = after.filter((h) => h.state !== 'resumed')
    if (live.length === 0) return 'done'
    const quick = live.some((h) => h.resume_asked_at !== null || h.state !== 'held')
    return { again: quick ? 200 : Math.min(...live.map((h) => Math.min(30_000, Math.max(1000, Number(h.period_ms) / 4)))) }
  }
}

async function marks(pause: Pause, incidentId: string, before: rows.Hold[], after: rows.Hold[]): Promise<void> {
  const all = (list: rows.Hold[], state: string) => list.length > 0 && list.every((h) => h.state === state)
  if (all(after, 'held') && !all(before, 'held')) await pause.deps.markPhase(incidentId, 'pausing', 'done', { held: after.map((h) => ({ automation: h.automation, prior: h.prior, read_back: h.observed })) }, 'observer')
  if (all(after, 'resumed') && !all(before, 'resumed')) await pause.deps.markPhase(incidentId, 'resuming', 'done', { resumed: after.map((h) => ({ automation: h.automation, as_before: h.prior, first_run: h.first_run })) }, 'observer')
}

const observe = (pause: Pause, h: rows.Hold, label: string): Promise<Observation<PauseState>> =>
  pause.deps.pausable(h.connector).observe(pause.spec(h, label)).catch((error: unknown) => ({ status: 'unknown' as const, at: '', reason: (error as Error).message }))

async function holdOne(pause: Pause, h: rows.Hold, label: string): Promise<void> {
  const { db } = pause.deps.store
  let seen = await observe(pause, h, label)
  if (seen.status === 'unknown') return unknown(pause, h, seen.reason)
  // The earlier setting itself may be JSON null (no lock was there): prior_paused tells whether it was captured.
  if (h.prior_paused === null) {
    const state = seen.value
    await db.transaction().execute(async (tx) => {
      if (await rows.capture(tx, h.id, state.setting, state.paused)) await append(tx, { kind: 'hold.intended', incident: h.incident_id, subject: h.id, actor: 'loop', data: { automation: h.automation, prior: state.setting, was_paused: state.paused, parents: [...state.parents], changed_by: state.changedBy } })
    })
    h = (await rows.ofIncident(db, h.incident_id)).find((x) => x.id === h.id) ?? h
  }
  // A setting that was paused before us still needs our own hold where the target knows owners: pause() is "already so" otherwise.
  const mine = h.state === 'held'
  if (mine && !seen.value.paused) await reverted(pause, h, seen)
  if (!mine || !seen.value.paused) {
    try {
      await pause.deps.pausable(h.connector).pause(pause.spec(h, label))
    } catch (error) {
      return unknown(pause, (await rows.ofIncident(db, h.incident_id)).find((x) => x.id === h.id) ?? h, (error as Error).message)
    }
    seen = await observe(pause, h, label)
    if (seen.status === 'unknown') return unknown(pause, h, seen.reason)
  }
  const now = (await rows.ofIncident(db, h.incident_id)).find((x) => x.id === h.id) ?? h
  if (!seen.value.paused) return
  const steady = now.state === 'held' && (now.steady_ms ?? 0) >= 2 * Number(now.period_ms)
  await db.transaction().execute(async (tx) => {
    await rows.change(tx, now, { state: 'held', observed: seen as unknown as Json, verified: steady })
    if (now.state !== 'held') await append(tx, { kind: 'hold.held', incident: h.incident_id, subject: h.id, actor: 'observer', data: { automation: h.automation, read_back: seen as unknown as Json } })
    if (steady && !now.verified_at) await append(tx, { kind: 'hold.verified', incident: h.incident_id, subject: h.id, actor: 'observer', data: { automation: h.automation, over_ms: Math.round(now.steady_ms ?? 0) } })
  })
  if (now.overdue && !now.expiry_asked) {
    await rows.expiryAsked(db, h.id)
    await pause.deps.alarm(h.incident_id, `${h.automation} is still held for ${label}`, 'The time of the hold is over. It stays held: resume it, or pause again for longer.')
  }
}

async function reverted(pause: Pause, h: rows.Hold, seen: Observation<PauseState>): Promise<void> {
  const who = (seen.status === 'known' ? seen.value.changedBy : null) ?? 'unknown'
  await pause.deps.store.db.transaction().execute(async (tx) => {
    await rows.change(tx, h, { state: 'reverted', observed: seen as unknown as Json, reverted: true })
    await append(tx, { kind: 'hold.reverted', incident: h.incident_id, subject: h.id, actor: 'observer', data: { automation: h.automation, by: who, read_back: seen as unknown as Json } })
  })
  await pause.deps.alarm(h.incident_id, `${h.automation} was switched on again by ${who}`, `It was held; it is being held again. If this repeats, hold what controls it as well.`)
}

async function unknown(pause: Pause, h: rows.Hold, reason: string): Promise<void> {
  await pause.deps.store.db.transaction().execute(async (tx) => {
    const state = h.state === 'held' || h.state === 'requested' || h.state === 'reverted' ? 'unknown' : h.state
    await rows.change(tx, h, { state, error: reason })
    if (state !== h.state) await append(tx, { kind: 'hold.unknown', incident: h.incident_id, subject: h.id, actor: 'observer', data: { automation: h.automation, reason } })
  })
}

async function resumeOne(pause: Pause, h: rows.Hold, label: string): Promise<void> {
  const { db } = pause.deps.store
  if (h.state !== 'resuming') {
    await rows.change(db, h, { state: 'resuming' })
    return
  }
  const connector = pause.deps.pausable(h.connector)
  try {
    if (h.prior_paused === null) return await finished(pause, h, { nothing_was_changed: true })
    await connector.resume(pause.spec(h, label))
    await rows.resumeSent(db, h.id)
    const seen = await observe(pause, h, label)
    if (seen.status === 'unknown') throw new ReglazeError(CORE.OUTCOME_UNKNOWN, seen.reason)
    if (!sameJson(seen.value.setting, h.prior)) throw new ReglazeError(CORE.OUTSIDE_FAILED, `${h.automation} does not show its earlier setting yet`)
    if (!connector.firstRun || h.prior_paused) return await finished(pause, h, { read_back: seen as unknown as Json })
    await watchFirstRun(pause, h, label, seen as unknown as Json)
  } catch (error) {
    await rows.change(db, h, { state: 'resuming', error: (error as Error).message })
  }
}

/** The first automatic run after the resume is watched to its end; if it changed something, the automation is held again. */
async function watchFirstRun(pause: Pause, h: rows.Hold, label: string, seen: Json): Promise<void> {
  const connector = pause.deps.pausable(h.connector)
  const sent = (await rows.ofIncident(pause.deps.store.db, h.incident_id)).find((x) => x.id === h.id)?.resume_sent_at
  const run = await connector.firstRun?.(pause.spec(h, label), (sent ?? new Date()).toISOString())
  if (!run || run.status === 'unknown' || !run.value.ran) {
    const waited = h.resuming_ms ?? 0
    const patience = Math.max(60_000, 5 * Number(h.period_ms))
    if (waited > patience) await rows.change(pause.deps.store.db, h, { state: 'stuck', error: `no first run was seen in ${Math.round(waited / 1000)} s` })
    else await rows.change(pause.deps.store.db, h, { state: 'resuming', error: 'waiting for its first run' })
    return
  }
  if (run.value.changed.length === 0) return finished(pause, h, { read_back: seen, first_run: run as unknown as Json })
  await connector.pause(pause.spec(h, label))
  await pause.deps.store.db.transaction().execute(async (tx) => {
    await rows.change(tx, h, { state: 'held', firstRun: run as unknown as Json })
    await rows.stopResume(tx, h.incident_id)
    await append(tx, { kind: 'resume.stopped', incident: h.incident_id, subject: h.id, actor: 'observer', data: { automation: h.automation, first_run_changed: [...run.value.changed] } })
  })
  await pause.deps.alarm(h.incident_id, `${h.automation} changed something in its first run`, `It is held again. Changed: ${run.value.changed.join(', ')}`)
}

async function finished(pause: Pause, h: rows.Hold, evidence: Record<string, Json>): Promise<void> {
  await pause.deps.store.db.transaction().execute(async (tx) => {
    await rows.change(tx, h, { state: 'resumed', firstRun: (evidence['first_run'] ?? null) as Json })
    await append(tx, { kind: 'hold.resumed', incident: h.incident_id, subject: h.id, actor: 'observer', data: { automation: h.automation, as_before: h.prior, ...evidence } })
  })
}
