import { CORE, ReglazeError, sameJson, type Json } from '../core/index.ts'
import { append } from '../ledger/index.ts'
import { poke } from '../store/index.ts'
import { asked, observe } from './calls.ts'
import { CONVERGE, type Pause } from './service.ts'
import * as rows from './store.ts'

/** How long a resume may take before people are told: a minute, or five periods of the automation. */
const patience = (h: rows.Hold) => Math.max(60_000, 5 * Number(h.period_ms))

/** One step of giving one automation back. `stuck` is told once, and goes on being tried. */
export async function resumeOne(pause: Pause, h: rows.Hold, label: string): Promise<void> {
  const { db } = pause.deps.store
  if (h.state !== 'resuming' && h.state !== 'stuck') return void (await rows.change(db, h, { state: 'resuming' }))
  try {
    if (h.prior_paused === null) return await finished(pause, h, { nothing_was_changed: true })
    if (await handedOver(pause, h)) return
    const connector = pause.deps.pausable(h.connector)
    const spec = pause.spec(h, label)
    await asked(() => connector.resume(spec))
    await rows.resumeSent(db, h.id)
    const seen = await observe(pause, h, label)
    if (seen.status === 'unknown') throw new ReglazeError(CORE.OUTCOME_UNKNOWN, seen.reason)
    const read = seen as unknown as Json
    if (!sameJson(seen.value.setting, h.prior)) {
      const why = connector.givenUp?.(spec, seen.value.setting) ?? null
      if (why === null) throw new ReglazeError(CORE.OUTSIDE_FAILED, `${h.automation} does not show its earlier setting yet`)
      return await finished(pause, h, { read_back: read, given_up: why })
    }
    if (!connector.firstRun || h.prior_paused) return await finished(pause, h, { read_back: read })
    await watchFirstRun(pause, h, label, read)
  } catch (error) {
    await waiting(pause, h, label, (error as Error).message)
  }
}

/** Another incident still holds it: it stays held for that one, and who resumes last gives back what the first one found. */
async function handedOver(pause: Pause, h: rows.Hold): Promise<boolean> {
  return pause.deps.store.db.transaction().execute(async (tx) => {
    const other = await rows.stillHeldFor(tx, h)
    if (!other || !(await rows.change(tx, h, { state: 'resumed' }))) return false
    await append(tx, { kind: 'hold.handed-over', incident: h.incident_id, subject: h.id, actor: 'loop', data: { automation: h.automation, still_held_for: other } })
    await poke(tx, CONVERGE, other)
    return true
  })
}

async function waiting(pause: Pause, h: rows.Hold, label: string, why: string): Promise<void> {
  const late = h.state === 'resuming' && (h.resuming_ms ?? 0) > patience(h)
  if (!late) return void (await rows.change(pause.deps.store.db, h, { state: h.state as 'resuming' | 'stuck', error: why }))
  const manual = command(pause, h, label)
  await pause.deps.store.db.transaction().execute(async (tx) => {
    if (await rows.change(tx, h, { state: 'stuck', error: why })) await append(tx, { kind: 'resume.stuck', incident: h.incident_id, subject: h.id, actor: 'loop', data: { automation: h.automation, error: why, manual } })
  })
  await pause.deps.alarm(h.incident_id, `${h.automation} could not be given back for ${label}`, `${why}\nIt goes on being tried. By hand: ${manual}`).catch(() => undefined)
}
function command(pause: Pause, h: rows.Hold, label: string): string {
  try {
    return pause.deps.pausable(h.connector).manual(pause.spec(h, label))
  } catch (error) {
    return `(no command can be given: ${(error as Error).message})`
  }
}

/** The first automatic run after the resume is watched to its end; if it changed something, the automation is held again. */
async function watchFirstRun(pause: Pause, h: rows.Hold, label: string, seen: Json): Promise<void> {
  const { db } = pause.deps.store
  const connector = pause.deps.pausable(h.connector)
  const spec = pause.spec(h, label)
  const sent = (await rows.one(db, h.id))?.resume_sent_at ?? new Date()
  const run = await asked(async () => connector.firstRun?.(spec, sent.toISOString()))
  if (!run || run.status === 'unknown' || !run.value.ran) {
    const waived = (h.first_run as { waived?: Json } | null)?.waived
    if (h.state === 'stuck' && waived !== undefined) return finished(pause, h, { read_back: seen, first_run: { waived } })
    return waiting(pause, h, label, run?.status === 'unknown' ? `its first run is not known: ${run.reason}` : 'no first run was seen yet')
  }
  const { changed } = run.value
  if (changed.length === 0) return finished(pause, h, { read_back: seen, first_run: run as unknown as Json })
  await asked(() => connector.pause(spec))
  await db.transaction().execute(async (tx) => {
    if (!(await rows.change(tx, h, { state: 'held', firstRun: run as unknown as Json }))) return
    await rows.stopResume(tx, h.incident_id)
    await append(tx, { kind: 'resume.stopped', incident: h.incident_id, subject: h.id, actor: 'observer', data: { automation: h.automation, first_run_changed: [...changed] } })
  })
  await pause.deps.alarm(h.incident_id, `${h.automation} changed something in its first run`, `It is held again. Changed: ${changed.join(', ')}`).catch(() => undefined)
}

async function finished(pause: Pause, h: rows.Hold, evidence: Record<string, Json>): Promise<void> {
  await pause.deps.store.db.transaction().execute(async (tx) => {
    if (await rows.change(tx, h, { state: 'resumed', firstRun: (evidence['first_run'] ?? null) as Json })) await append(tx, { kind: 'hold.resumed', incident: h.incident_id, subject: h.id, actor: 'observer', data: { automation: h.automation, as_before: h.prior, ...evidence } })
  })
}
