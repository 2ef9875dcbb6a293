import { CORE, ReglazeError, type Caller, type Json, type OpenItem } from '../core/index.ts'
import type { Config } from '../config/index.ts'
import { append } from '../ledger/index.ts'
import type { Store, Tx } from '../store/index.ts'
import { INCIDENT } from './errors.ts'
import { label, PHASES, type Incident, type Phase } from './model.ts'
import * as rows from './store.ts'

export interface IncidentDeps {
  readonly store: Store
  readonly config: () => Config
  /** Everything that still stands open, asked of every part (DESIGN §2, CloseCheck). */
  readonly openItems: (incidentId: string) => Promise<OpenItem[]>
  /** Pages the person who is on call for the service and makes this person the DRI, in the same transaction. Returns the DRI. */
  readonly page: (tx: Tx, incident: Incident) => Promise<string | null>
  /** Writes and signs the certificate of a closed incident; may be repeated. Returns its file name and text. */
  readonly certify: (incident: Incident) => Promise<{ name: string; text: string }>
}

export class Incidents {
  readonly #deps: IncidentDeps
  #turn: Promise<void> = Promise.resolve()
  constructor(deps: IncidentDeps) {
    this.#deps = deps
  }

  async get(idOrLabel: string): Promise<Incident> {
    const found = await rows.find(this.#deps.store.db, idOrLabel)
    if (!found) throw new ReglazeError(INCIDENT.INCIDENT_NOT_FOUND, `there is no incident ${idOrLabel}`)
    return found
  }
  /** The incident, if it is open; INCIDENT_CLOSED otherwise. */
  async getOpen(idOrLabel: string): Promise<Incident> {
    const found = await this.get(idOrLabel)
    if (found.state !== 'open') throw new ReglazeError(INCIDENT.INCIDENT_CLOSED, `${label(found)} is closed`)
    return found
  }
  list(all: boolean): Promise<Incident[]> {
    return rows.list(this.#deps.store.db, all)
  }
  phases(id: string): Promise<rows.PhaseRow[]> {
    return rows.phases(this.#deps.store.db, id)
  }

  /** Opens an incident in the caller's transaction, unless one is open for the service: then it is returned. */
  async openIn(tx: Tx, o: { service: string; title: string; severity: number; by: string; source: Json }): Promise<{ incident: Incident; isNew: boolean }> {
    const service = this.#deps.config().services.find((s) => s.id === o.service)
    await rows.oneForService(tx, o.service)
    const present = await rows.openFor(tx, o.service)
    if (present) return { incident: present, isNew: false }
    const incident = await rows.insert(tx, { title: o.title, service: o.service, team: service?.team ?? null, severity: o.severity, openedBy: o.by, dri: null })
    if (!incident) return { incident: (await rows.openFor(tx, o.service)) as Incident, isNew: false }
    await append(tx, { kind: 'incident.opened', incident: incident.id, subject: incident.id, actor: o.by, data: { label: label(incident), title: o.title, service: o.service, severity: o.severity, source: o.source } })
    return { incident, isNew: true }
  }

  async openByHand(o: { service: string; title: string; severity: number }, caller: Caller): Promise<Incident> {
    if (!this.#deps.config().services.some((s) => s.id === o.service)) {
      throw new ReglazeError(INCIDENT.UNKNOWN_SERVICE, `there is no service "${o.service}"`, { hint: `Known services: ${this.#deps.config().services.map((s) => s.id).join(', ')}` })
    }
    return this.#deps.store.db.transaction().execute(async (tx) => {
      const { incident, isNew } = await this.openIn(tx, { ...o, by: caller.name, source: { by: 'hand' } })
      if (!isNew) return incident
      return { ...incident, dri: await this.#deps.page(tx, incident) }
    })
  }

  async setDri(tx: Tx, id: string, person: string, by: string): Promise<void> {
    await rows.setDri(tx, id, person)
    await append(tx, { kind: 'incident.dri', incident: id, subject: id, actor: by, data: { dri: person } })
  }

  async acknowledged(tx: Tx, id: string, person: string, pageId: string): Promise<void> {
    if (await rows.acknowledge(tx, id, person)) await append(tx, { kind: 'incident.acknowledged', incident: id, subject: id, actor: person, data: { page: pageId } })
  }

  async alertsResolved(tx: Tx, id: string, resolved: boolean, source: Json): Promise<void> {
    await rows.setAlertsResolved(tx, id, resolved)
    await append(tx, { kind: resolved ? 'incident.alerts-resolved' : 'incident.alert-again', incident: id, subject: id, actor: 'alerts', data: source })
  }

  /** Marks a phase; evidence of a repeated call is merged with the earlier one. */
  async mark(id: string, phase: Phase, state: 'active' | 'done', evidence: Json, by: string): Promise<void> {
    await this.#deps.store.db.transaction().execute(async (tx) => {
      await rows.setPhase(tx, id, phase, state, evidence, by)
      await append(tx, { kind: `phase.${state}`, incident: id, subject: phase, actor: by, data: { phase, evidence } })
    })
  }

  async overview(incident: Incident) {
    const have = new Map((await this.phases(incident.id)).map((p) => [p.phase, p]))
    const phases = PHASES.map((phase) => {
      const row = have.get(phase)
      return row ? { phase, state: row.state, evidence: row.evidence, at: row.at.toISOString(), by: row.by_whom } : { phase, state: 'pending' as const, evidence: {}, at: null, by: null }
    })
    return { incident: view(incident), phases, open: incident.state === 'open' ? await this.#deps.openItems(incident.id) : [] }
  }

  /** Whether the incident is open; it stays so until the transaction ends. For parts that add something the close gate has to see. */
  stillOpen(tx: Tx, id: string): Promise<boolean> {
    return rows.stillOpen(tx, id)
  }

  /**
   * The close gate: asks every part what still stands open. The answer that counts is taken while the incident is locked
   * against new grants and holds. A call on a closed incident gives the certificate again.
   */
  async close(idOrLabel: string, caller: Caller) {
    const incident = await this.get(idOrLabel)
    if (incident.state === 'open') {
      // First without the lock: this look may take seconds, because it reads audit logs to their end.
      await this.#refuseIfOpen(incident, await this.#deps.openItems(incident.id), caller)
      const open = await this.#inTurn(() => this.#closeLocked(incident, caller))
      await this.#refuseIfOpen(incident, open, caller)
    }
    const closed = await this.get(incident.id)
    const certificate = await this.#deps.certify(closed)
    return { incident: view(closed), certificate: certificate.name }
  }
  async #refuseIfOpen(incident: Incident, open: OpenItem[], caller: Caller): Promise<void> {
    if (open.length === 0) return
    await append(this.#deps.store.db, { kind: 'incident.close-refused', incident: incident.id, subject: incident.id, actor: caller.name, data: { count: open.length, open: open.slice(0, 50) as unknown as Json } })
    throw new ReglazeError(INCIDENT.CLOSE_REFUSED, `${label(incident)} cannot be closed: ${open.length} ${open.length === 1 ? 'thing stands' : 'things stand'} open\n${open.map((o) => `  ${o.what}  →  ${o.command}`).join('\n')}`, { data: { open } })
  }
  /** Returns what stands open; nothing = closed. Closed by somebody else meanwhile is closed. */
  #closeLocked(incident: Incident, caller: Caller): Promise<OpenItem[]> {
    return this.#deps.store.db.transaction().execute(async (tx) => {
      if (!(await rows.closing(tx, incident.id))) return []
      const open = await this.#deps.openItems(incident.id)
      if (open.length > 0) return open
      if (await rows.close(tx, incident.id, caller.name)) await append(tx, { kind: 'incident.closed', incident: incident.id, subject: incident.id, actor: caller.name, data: { label: label(incident), service: incident.service, opened_at: incident.opened_at } })
      return []
    })
  }
  /** One close at a time in a process: each holds a connection while its look needs others. */
  async #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const mine = this.#turn.then(work)
    this.#turn = mine.then(() => undefined, () => undefined)
    return mine
  }

  async certificate(idOrLabel: string): Promise<{ name: string; text: string }> {
    const incident = await this.get(idOrLabel)
    if (incident.state !== 'closed') throw new ReglazeError(CORE.WRONG_STATE, `${label(incident)} is still open`, { hint: `reglaze incident close ${label(incident)}` })
    return this.#deps.certify(incident)
  }
}

export function view(incident: Incident) {
  return { ...incident, label: label(incident) }
}
