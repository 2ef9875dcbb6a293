import { randomBytes } from 'node:crypto'
import type { Config, Escalation } from '../config/schema.ts'
import { ReglazeError, type Json, type OpenItem } from '../core/index.ts'
import { append } from '../ledger/index.ts'
import { dbNow, poke, transaction, unpoke, type Db, type Tx } from '../store/index.ts'
import { firstStep, following, responder, targets, waitAfter, type Responder } from './decide.ts'
import type { Overrides } from './engine.ts'
import { ONCALL } from './errors.ts'
import * as pages from './page-store.ts'
import type { IncidentRef, OncallDeps } from './ports.ts'
import { overrides as readOverrides } from './store.ts'

export const SEND = 'page.send'
export const ESCALATE = 'page.escalate'
const WE = 'reglaze'

export interface Acknowledgement {
  readonly incident: string
  readonly page: string | null
  readonly acknowledged_by: string
  readonly acknowledged_at: string
  /** Somebody had acknowledged before; this call changed nothing. */
  readonly already: boolean
}

/** Pages: who gets one, the steps of the escalation, the acknowledgement. Every change and its ledger entry are one transaction. */
export class Pagings {
  readonly #deps: OncallDeps
  constructor(deps: OncallDeps) {
    this.#deps = deps
  }

  /** The overrides in force, by schedule, read once for one decision. */
  async overrides(db: Db | Tx): Promise<Overrides> {
    const all = await readOverrides(db)
    return (schedule) => all.filter((o) => o.schedule === schedule)
  }

  /** The responsible person for a service (or, for an unknown one, for `team`) at an instant; default now. */
  async dri(db: Db | Tx, of: { service: string; team?: string | null }, at?: Date): Promise<Responder> {
    const config = this.#deps.config()
    const team = config.services.find((s) => s.id === of.service)?.team ?? of.team ?? config.organization.catch_all_team ?? (config.teams[0] as { id: string }).id
    const found = responder(config, team, (at ?? (await dbNow(db))).getTime(), await this.overrides(db))
    if (!found) throw new ReglazeError(ONCALL.SERVICE_NOT_FOUND, `nobody can be found for service "${of.service}": there is no team "${team}" with a schedule`)
    return found
  }

  /**
   * Pages the responsible person for an incident, and starts its escalation; in the caller's transaction. An incident that
   * is being paged or was acknowledged is left alone. Returns the DRI.
   */
  async page(tx: Tx, incident: IncidentRef): Promise<string> {
    const present = await pages.lockPaging(tx, { incident: incident.id })
    if (present && (present.state === 'running' || present.state === 'acknowledged')) return present.dri
    const config = this.#deps.config()
    const dri = await this.dri(tx, incident)
    const escalation = escalationOf(config, dri.escalation)
    const step = firstStep(escalation)
    if (dri.gap) {
      await append(tx, { kind: 'oncall.gap', incident: incident.id, subject: dri.schedule, actor: WE, data: { schedule: dri.schedule, stands_in: dri.person, as: dri.why.kind, until: dri.until } })
      this.#deps.log.warn({ schedule: dri.schedule, incident: incident.id, person: dri.person }, 'nobody is on call; somebody stands in')
    }
    const first = await this.#queue(tx, incident.id, { person: dri.person, responsible: true, round: 0, step, why: { ...dri.why, schedule: dri.schedule } as Json })
    await pages.startPaging(tx, { incident_id: incident.id, first_page: first, service: incident.service, team: dri.team, schedule: dri.schedule, escalation: dri.escalation, dri: dri.person, step }, waitAfter(escalation, step))
    if (step === 0) await this.#pageStep(tx, config, incident.id, escalation, { round: 0, step }, [dri.person])
    await poke(tx, ESCALATE, first, { inMs: waitAfter(escalation, step) }, { replace: true })
    await this.#deps.incidents.onDri(tx, incident.id, dri.person)
    return dri.person
  }

  async #queue(tx: Tx, incident: string, p: { person: string; responsible: boolean; round: number; step: number; why: Json }): Promise<string> {
    const id = await pages.insertPage(tx, { incident, ...p, token: randomBytes(24).toString('base64url') })
    await append(tx, { kind: 'page.queued', incident, subject: id, actor: WE, data: { person: p.person, responsible: p.responsible, round: p.round, step: p.step, why: p.why } })
    await poke(tx, SEND, id)
    return id
  }

  /** Pages the people of one step; returns how many. */
  async #pageStep(tx: Tx, config: Config, incident: string, escalation: Escalation, at: { round: number; step: number }, except: readonly string[] = []): Promise<number> {
    const now = (await dbNow(tx)).getTime()
    const found = targets(config, escalation, at.step, now, await this.overrides(tx)).filter((t) => !except.includes(t.person))
    for (const t of found) await this.#queue(tx, incident, { person: t.person, responsible: false, ...at, why: t.why as unknown as Json })
    return found.length
  }

  /** One run of the timer `page.escalate`: the next step, if it is due. Repeatable: what is due is read from the row, not from the timer. */
  escalate(firstPage: string): Promise<{ again: number } | 'done'> {
    return transaction(this.#deps.store.db, async (tx) => {
      const paging = await pages.lockPaging(tx, { firstPage })
      if (!paging || paging.state !== 'running' || !paging.next_at) return 'done' as const
      const early = paging.next_at.getTime() - (await dbNow(tx)).getTime()
      if (early > 0) return { again: early }
      const config = this.#deps.config()
      const escalation = escalationOf(config, paging.escalation)
      let at = { round: paging.round, step: paging.step }
      // A step that reaches nobody is no step: go on at once. Bounded by steps × rounds.
      for (;;) {
        const next = following(escalation, at)
        if (next === 'exhausted') return this.#exhausted(tx, paging)
        at = next
        const dri = at.step === 0 ? [paging.dri] : []
        for (const person of dri) await this.#queue(tx, paging.incident_id, { person, responsible: true, ...at, why: { kind: 'again' } })
        if ((await this.#pageStep(tx, config, paging.incident_id, escalation, at, dri)) + dri.length > 0) break
      }
      const wait = waitAfter(escalation, at.step)
      await pages.movePaging(tx, paging.incident_id, { ...at, nextInMs: wait })
      await append(tx, { kind: 'page.escalated', incident: paging.incident_id, subject: firstPage, actor: WE, data: { ...at, late_ms: -early, next_in_ms: wait } })
      return { again: wait }
    })
  }

  async #exhausted(tx: Tx, paging: pages.Paging): Promise<'done'> {
    await pages.endPaging(tx, paging.incident_id, 'exhausted', 'every step of every round has passed')
    await append(tx, { kind: 'page.exhausted', incident: paging.incident_id, subject: paging.first_page, actor: WE, data: { rounds: paging.round + 1, escalation: paging.escalation } })
    this.#deps.log.error({ incident: paging.incident_id }, 'nobody acknowledged; every step of the escalation has passed')
    return 'done'
  }

  /** `person` takes the incident; everything pending of it stops. In the caller's transaction; repeated calls change nothing. */
  async acknowledge(tx: Tx, o: { incident: string; person: string; page: string | null; via: 'api' | 'link' }): Promise<Acknowledgement> {
    const paging = await pages.lockPaging(tx, { incident: o.incident })
    if (!paging) throw new ReglazeError(ONCALL.PAGE_NOBODY, `nobody was paged for ${o.incident}`)
    if (paging.state === 'acknowledged') {
      return { incident: o.incident, page: paging.acknowledged_page, acknowledged_by: paging.acknowledged_by as string, acknowledged_at: (paging.acknowledged_at as Date).toISOString(), already: true }
    }
    const own = (await pages.listPages(tx, { incident: o.incident, person: o.person, limit: 100 })).find((p) => p.state === 'sent' || p.state === 'queued')
    const named = o.page ? await pages.findPage(tx, { id: o.page }) : null
    const page = named?.person === o.person ? named.id : (own?.id ?? null)
    if (page) await pages.markAcknowledged(tx, page, o.person)
    const ended = await pages.supersede(tx, o.incident)
    await pages.acknowledgePaging(tx, o.incident, o.person, page)
    for (const id of ended) await unpoke(tx, SEND, id)
    if (page) await unpoke(tx, SEND, page)
    await unpoke(tx, ESCALATE, paging.first_page)
    await append(tx, { kind: 'page.acknowledged', incident: o.incident, subject: page ?? paging.first_page, actor: o.person, data: { via: o.via, superseded: ended, paged: paging.dri } })
    await this.#deps.incidents.onAcknowledged(tx, o.incident, o.person, page ?? paging.first_page)
    return { incident: o.incident, page, acknowledged_by: o.person, acknowledged_at: (await dbNow(tx)).toISOString(), already: false }
  }

  /** Ends the paging without an acknowledgement: every alert resolved, or the incident was closed. */
  async stop(tx: Tx, incident: string, reason: string): Promise<void> {
    const paging = await pages.lockPaging(tx, { incident })
    if (!paging || (paging.state !== 'running' && paging.state !== 'exhausted')) return
    const ended = await pages.supersede(tx, incident)
    await pages.endPaging(tx, incident, 'stopped', reason)
    for (const id of ended) await unpoke(tx, SEND, id)
    await unpoke(tx, ESCALATE, paging.first_page)
    await append(tx, { kind: 'page.stopped', incident, subject: paging.first_page, actor: WE, data: { reason, superseded: ended } })
  }

  /** What stands open of the paging of an incident, for the close gate. */
  async openItems(incident: string): Promise<OpenItem[]> {
    const paging = await pages.findPaging(this.#deps.store.db, incident)
    if (!paging || (paging.state !== 'running' && paging.state !== 'exhausted')) return []
    const known = await this.#deps.incidents.find(this.#deps.store.db, incident)
    return [{ code: 'PAGE_UNACKNOWLEDGED', what: `${paging.dri} was paged and nobody has acknowledged (${paging.state})`, command: `reglaze incident ack ${known ? `INC-${known.number}` : incident}` }]
  }
}

/** A policy that is no longer in the configuration becomes the plainest one, so that a page under way never stops. */
function escalationOf(config: Config, id: string): Escalation {
  return config.escalations.find((e) => e.id === id) ?? { id, steps: [{ after: '0s', notify: [] }], repeat: 2 }
}
