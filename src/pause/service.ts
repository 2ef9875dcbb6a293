import { CORE, formatDuration, parseDuration, ReglazeError, type Caller, type HoldSpec, type Json, type OpenItem, type Pausable } from '../core/index.ts'
import type { Config } from '../config/index.ts'
import { append } from '../ledger/index.ts'
import { poke, type Store, type Tx } from '../store/index.ts'
import { PAUSE } from './errors.ts'
import { holdOrder, withDependencies } from './model.ts'
import * as rows from './store.ts'

export const CONVERGE = 'pause.converge'

export interface PauseDeps {
  readonly store: Store
  readonly config: () => Config
  readonly pausable: (connector: string) => Pausable
  readonly incident: (idOrLabel: string) => Promise<{ id: string; label: string; service: string; dri: string | null; open: boolean }>
  /** Whether the incident is open; it stays so until the transaction ends. */
  readonly stillOpen: (tx: Tx, incidentId: string) => Promise<boolean>
  readonly markPhase: (incidentId: string, phase: 'pausing' | 'resuming', state: 'active' | 'done', evidence: Json, by: string) => Promise<void>
  /** Why automation must not be given back yet: workspaces without a valid no-op proof. Empty = may. */
  readonly notProven: (incidentId: string) => Promise<OpenItem[]>
  readonly alarm: (incidentId: string, subject: string, text: string) => Promise<void>
  readonly observeOnly: () => Promise<boolean>
}

export class Pause {
  readonly deps: PauseDeps
  constructor(deps: PauseDeps) {
    this.deps = deps
  }
  get #db() {
    return this.deps.store.db
  }

  spec(h: rows.Hold, incidentLabel: string): HoldSpec {
    return { holdId: h.lead ?? h.id, incident: incidentLabel, reason: h.reason, passes: h.all_passes ?? h.passes, expiresAt: h.expires_at.toISOString(), target: h.target, prior: h.prior }
  }

  /** Writes the intent to hold, outermost automation first; the loop does it and watches. Repeating it adds what is missing. */
  async pause(idOrLabel: string, o: { automations?: string[] | undefined; for: string }, caller: Caller): Promise<rows.Hold[]> {
    const incident = await this.deps.incident(idOrLabel)
    const config = this.deps.config()
    const services = withDependencies(config.services, incident.service)
    const nobody = (o.automations ?? []).filter((id) => !config.automations.some((a) => a.id === id))
    if (nobody.length > 0) throw new ReglazeError(CORE.INVALID_INPUT, `there is no automation ${nobody.map((n) => `"${n}"`).join(', ')}; nothing is held`, { place: 'automations', hint: `Known: ${config.automations.map((a) => a.id).join(', ') || 'none'}` })
    const order = holdOrder(config.automations, services, o.automations ? new Set(o.automations) : undefined)
    if (order.length === 0) throw new ReglazeError(PAUSE.NOTHING_TO_PAUSE, `no automation acts on ${incident.service}`)
    const dri = incident.dri ?? caller.person ?? caller.name
    const person = config.people.find((p) => p.id === dri)
    const forMs = parseDuration(o.for)
    const until = new Date(Date.now() + forMs).toISOString().slice(0, 16).replace('T', ' ')
    await this.#db.transaction().execute(async (tx) => {
      if (!(await this.deps.stillOpen(tx, incident.id))) throw new ReglazeError(CORE.WRONG_STATE, `${incident.label} is closed: nothing is held for it`)
      const again = await rows.holdAgain(tx, incident.id, order, forMs)
      if (again.length > 0) await append(tx, { kind: 'hold.again', incident: incident.id, subject: incident.id, actor: caller.name, data: { holds: again, expires_in: formatDuration(forMs) } })
      for (const [place, id] of order.entries()) {
        const a = config.automations.find((x) => x.id === id)
        if (!a) continue
        const passes = [...new Set(['reglaze', dri, ...Object.values(person?.accounts ?? {}), ...a.passes])]
        const reason = `${incident.label} frozen: break-glass by ${dri} (DRI), asked about again ${until}Z`
        const hold = await rows.insert(tx, { incident: incident.id, automation: id, connector: a.connector, target: a.target as Json, place, reason, passes, heldFor: dri, periodMs: parseDuration(a.period), forMs })
        if (hold) await append(tx, { kind: 'hold.requested', incident: incident.id, subject: hold, actor: caller.name, data: { automation: id, target: a.target as Json, reason, expires_in: formatDuration(forMs), passes } })
      }
      const leaving = (await rows.ofIncident(tx, incident.id)).filter((h) => order.includes(h.automation) && h.state !== 'resumed' && h.resume_asked_at !== null)
      if (leaving.length > 0) throw new ReglazeError(CORE.WRONG_STATE, `${leaving.map((h) => h.automation).join(', ')}: an earlier hold is being taken off at this moment; nothing is held anew`, { hint: 'Ask again in some seconds.' })
      await poke(tx, CONVERGE, incident.id)
    })
    await this.deps.markPhase(incident.id, 'pausing', 'active', { automations: order }, caller.name)
    return rows.ofIncident(this.#db, incident.id)
  }

  async resume(idOrLabel: string, o: { without_proof?: string | undefined }, caller: Caller): Promise<rows.Hold[]> {
    const incident = await this.deps.incident(idOrLabel)
    const missing = await this.deps.notProven(incident.id)
    if (missing.length > 0 && !o.without_proof) {
      throw new ReglazeError(PAUSE.RESUME_REFUSED, `${incident.label}: automation is not given back yet\n${missing.map((m) => `  ${m.what}  →  ${m.command}`).join('\n')}`, { data: { open: missing } })
    }
    await this.#db.transaction().execute(async (tx) => {
      const asked = await rows.askResume(tx, incident.id)
      if (o.without_proof) await rows.waiveFirstRun(tx, incident.id, { why: o.without_proof, by: caller.name })
      if (asked > 0 || o.without_proof) await append(tx, { kind: 'resume.asked', incident: incident.id, subject: incident.id, actor: caller.name, data: { holds: asked, without_proof: o.without_proof ?? null } })
      await poke(tx, CONVERGE, incident.id)
    })
    await this.deps.markPhase(incident.id, 'resuming', 'active', {}, caller.name)
    return rows.ofIncident(this.#db, incident.id)
  }

  async list(idOrLabel: string): Promise<rows.Hold[]> {
    return rows.ofIncident(this.#db, (await this.deps.incident(idOrLabel)).id)
  }
  all(): Promise<rows.Hold[]> {
    return rows.live(this.#db)
  }

  async openItems(incidentId: string): Promise<OpenItem[]> {
    const holds = await rows.ofIncident(this.#db, incidentId)
    const { label } = await this.deps.incident(incidentId)
    return holds
      .filter((h) => h.state !== 'resumed')
      .map((h) => ({ code: h.state === 'stuck' ? 'hold-stuck' : 'hold', what: `${h.automation} is not resumed (${h.state}${h.error ? `: ${h.error}` : ''})`, command: h.state === 'stuck' ? `reglaze resume ${label} --without-proof "why"` : `reglaze resume ${label} --wait` }))
  }
}

export function view(h: rows.Hold) {
  const iso = (d: Date | null) => d?.toISOString() ?? null
  return {
    id: h.id, incident_id: h.incident_id, automation: h.automation, connector: h.connector, target: h.target, place: h.place, state: h.state, reason: h.reason, held_for: h.held_for,
    expires_at: h.expires_at.toISOString(), prior: h.prior, prior_paused: h.prior_paused, observed: h.observed, observed_at: iso(h.observed_at), error: h.error, held_at: iso(h.held_at), verified_at: iso(h.verified_at),
    reverts: h.reverts, resume_asked_at: iso(h.resume_asked_at), resumed_at: iso(h.resumed_at), first_run: h.first_run,
  }
}
