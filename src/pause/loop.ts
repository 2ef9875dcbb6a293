import type { Json, Observation, PauseState } from '../core/index.ts'
import { append } from '../ledger/index.ts'
import { poke, startWorker, type TimerHandler } from '../store/index.ts'
import { asked, observe } from './calls.ts'
import { resumeOne } from './resume.ts'
import { CONVERGE, type Pause } from './service.ts'
import * as rows from './store.ts'

/** One automation that does not answer keeps the next one from being held for no longer than this. */
const PATIENCE_MS = 3_000

/** The loop that holds automation, watches that it stays held, and gives it back. One incident at a time, outermost first; back in reverse. */
export function startPauseLoop(pause: Pause): { stop(): Promise<void>; poke(): void } {
  const { store } = pause.deps
  void rows.unattended(store.db, CONVERGE).then((ids) => Promise.all(ids.map((id) => poke(store.db, CONVERGE, id)))).catch(() => undefined)
  return startWorker(store, { kind: CONVERGE, handle: converge(pause), concurrency: 4, pollMs: 100 })
}

export function converge(pause: Pause, patienceMs = PATIENCE_MS): TimerHandler {
  const told = new Set<string>()
  return async (incidentId) => {
    if (await pause.deps.observeOnly()) return { again: 5000 }
    const { store } = pause.deps
    const { label } = await pause.deps.incident(incidentId)
    const before = await rows.ofIncident(store.db, incidentId)
    for (const h of before.filter((x) => x.state !== 'resumed' && x.overdue && !x.expiry_asked)) await askAbout(pause, h, label)
    const slow: Promise<void>[] = []
    for (const h of before.filter((x) => x.resume_asked_at === null)) {
      const holding = holdOne(pause, h, label)
      slow.push(holding)
      await atMost(holding, patienceMs)
    }
    await Promise.all(slow)
    const leaf = [...before].reverse().find((x) => x.resume_asked_at !== null && x.state !== 'resumed')
    if (leaf) await resumeOne(pause, leaf, label)
    const after = await rows.ofIncident(store.db, incidentId)
    await marks(pause, incidentId, before, after, told)
    return next(after.filter((h) => h.state !== 'resumed'))
  }
}

/** Quick while something moves, slower while a target refuses or does not answer, and by the automation's own period while all is held. */
function next(live: rows.Hold[]): { again: number } | 'done' {
  if (live.length === 0) return 'done'
  const wait = (h: rows.Hold): number => {
    if (h.state === 'stuck') return 10_000
    if (h.state !== 'held' && h.error) return 500
    if (h.resume_asked_at !== null || h.state !== 'held') return 200
    return Math.min(30_000, Math.max(1000, Number(h.period_ms) / 4))
  }
  return { again: Math.min(...live.map(wait)) }
}

async function atMost(work: Promise<unknown>, ms: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<void>((done) => (timer = setTimeout(done, ms)))
  await Promise.race([work.catch(() => undefined), late]).finally(() => clearTimeout(timer))
}

/** The evidence of the phases. A kill may have come between the last hold and its mark: what this process has not told yet, it tells. */
async function marks(pause: Pause, incidentId: string, before: rows.Hold[], after: rows.Hold[], told: Set<string>): Promise<void> {
  const live = (list: rows.Hold[]) => list.filter((h) => h.state !== 'resumed')
  const held = (list: rows.Hold[]) => list.length > 0 && list.every((h) => h.state === 'held')
  const resumed = (list: rows.Hold[]) => list.length > 0 && live(list).length === 0
  const isNew = !told.has(incidentId)
  if (held(live(after)) && (isNew || !held(live(before)))) await pause.deps.markPhase(incidentId, 'pausing', 'done', { held: live(after).map((h) => ({ automation: h.automation, prior: h.prior, read_back: h.observed })) }, 'observer')
  if (resumed(after)) await pause.deps.markPhase(incidentId, 'resuming', 'done', { resumed: after.map((h) => ({ automation: h.automation, as_before: h.prior, first_run: h.first_run })) }, 'observer')
  if (held(live(after))) told.add(incidentId)
  else told.delete(incidentId)
}

/** The time of a hold is over: people are asked, also when the target does not tell; it never resumes by itself. */
async function askAbout(pause: Pause, h: rows.Hold, label: string): Promise<void> {
  await pause.deps.alarm(h.incident_id, `${h.automation} is still held for ${label} (${h.state})`, 'The time of the hold is over. It stays held: resume it, or pause again for longer.').catch(() => undefined)
  await rows.expiryAsked(pause.deps.store.db, h.id)
}

async function holdOne(pause: Pause, first: rows.Hold, label: string): Promise<void> {
  const { db } = pause.deps.store
  let h = first
  let seen = await observe(pause, h, label)
  if (seen.status === 'unknown') return unknown(pause, h, seen.reason)
  // The earlier setting itself may be JSON null (no lock was there): prior_paused tells whether it was captured.
  if (h.prior_paused === null) {
    h = await captured(pause, h, seen.value)
    if (h.lead) seen = await observe(pause, h, label)
    if (seen.status === 'unknown') return unknown(pause, h, seen.reason)
  }
  // A setting that was paused before us still needs our own hold where the target knows owners: pause() is "already so" otherwise.
  const mine = h.state === 'held' && h.error !== rows.AGAIN
  if (mine && !seen.value.paused) h = await reverted(pause, h, seen)
  if (!mine || !seen.value.paused) {
    try {
      await asked(() => pause.deps.pausable(h.connector).pause(pause.spec(h, label)))
    } catch (error) {
      return unknown(pause, h, (error as Error).message)
    }
    seen = await observe(pause, h, label)
    if (seen.status === 'unknown') return unknown(pause, h, seen.reason)
  }
  if (!seen.value.paused) {
    await rows.change(db, h, { state: h.state === 'requested' ? 'requested' : 'reverted', observed: seen as unknown as Json, error: 'it was told to pause and does not show it' })
    return
  }
  const steady = h.state === 'held' && (h.steady_ms ?? 0) >= 2 * Number(h.period_ms)
  const read = seen as unknown as Json
  await db.transaction().execute(async (tx) => {
    if (!(await rows.change(tx, h, { state: 'held', observed: read, verified: steady }))) return
    if (h.state !== 'held' || h.error === rows.AGAIN) await append(tx, { kind: 'hold.held', incident: h.incident_id, subject: h.id, actor: 'observer', data: { automation: h.automation, read_back: read } })
    if (steady && !h.verified_at) await append(tx, { kind: 'hold.verified', incident: h.incident_id, subject: h.id, actor: 'observer', data: { automation: h.automation, over_ms: Math.round(h.steady_ms ?? 0) } })
  })
}

/** Stores the earlier setting before the first change. What another incident holds already is shared with it: its earlier setting is the one that comes back. */
async function captured(pause: Pause, h: rows.Hold, state: PauseState): Promise<rows.Hold> {
  const { db } = pause.deps.store
  await db.transaction().execute(async (tx) => {
    const { captured: done, sharedWith } = await rows.capture(tx, h, state.setting, state.paused)
    if (done) await append(tx, { kind: 'hold.intended', incident: h.incident_id, subject: h.id, actor: 'loop', data: { automation: h.automation, ...(sharedWith ? { shared_with: sharedWith } : { prior: state.setting, was_paused: state.paused }), parents: [...state.parents], changed_by: state.changedBy } })
  })
  return (await rows.one(db, h.id)) ?? h
}

async function reverted(pause: Pause, h: rows.Hold, seen: Observation<PauseState>): Promise<rows.Hold> {
  const { db } = pause.deps.store
  const who = (seen.status === 'known' ? seen.value.changedBy : null) ?? 'unknown'
  await db.transaction().execute(async (tx) => {
    if (await rows.change(tx, h, { state: 'reverted', observed: seen as unknown as Json, reverted: true })) await append(tx, { kind: 'hold.reverted', incident: h.incident_id, subject: h.id, actor: 'observer', data: { automation: h.automation, by: who, read_back: seen as unknown as Json } })
  })
  await pause.deps.alarm(h.incident_id, `${h.automation} was switched on again by ${who}`, `It was held; it is being held again. If this repeats, hold what controls it as well.`).catch(() => undefined)
  return (await rows.one(db, h.id)) ?? h
}

async function unknown(pause: Pause, h: rows.Hold, reason: string): Promise<void> {
  await pause.deps.store.db.transaction().execute(async (tx) => {
    const state = h.state === 'held' || h.state === 'requested' || h.state === 'reverted' ? 'unknown' : h.state
    if ((await rows.change(tx, h, { state, error: reason })) && state !== h.state) await append(tx, { kind: 'hold.unknown', incident: h.incident_id, subject: h.id, actor: 'observer', data: { automation: h.automation, reason } })
  })
}

