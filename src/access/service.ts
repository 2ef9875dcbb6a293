import { CORE, parseDuration, ReglazeError, type Caller, type Grantable, type GrantSpec, type Json, type OpenItem, type PersonRef, type PolicyFacts } from '../core/index.ts'
import type { Config, Role } from '../config/index.ts'
import { append } from '../ledger/index.ts'
import { poke, type Db, type Store, type Tx } from '../store/index.ts'
import { decide, type Decision } from './decide.ts'
import { ACCESS } from './errors.ts'
import { CONVERGE, TERMINAL, type EndReason } from './model.ts'
import * as rows from './store.ts'
import { safely } from './targets.ts'

export { CONVERGE }

export interface AccessDeps {
  readonly store: Store
  readonly config: () => Config
  readonly grantable: (connector: string) => Grantable
  /** Resolves `INC-42` to an incident. */
  readonly incident: (idOrLabel: string) => Promise<{ id: string; label: string; open: boolean }>
  /** Whether the incident is open; it stays so until the transaction ends. */
  readonly stillOpen: (tx: Tx, incidentId: string) => Promise<boolean>
  /** Everything that a policy may ask about this person in this incident. */
  readonly facts: (person: string, incidentId: string) => Promise<PolicyFacts>
  /** Tells people loudly: stuck revocations, emergency use. */
  readonly alarm: (incidentId: string | null, subject: string, text: string) => Promise<void>
  readonly observeOnly: () => Promise<boolean>
}

export class Access {
  readonly deps: AccessDeps
  constructor(deps: AccessDeps) {
    this.deps = deps
  }
  get #db() {
    return this.deps.store.db
  }

  role(id: string): Role {
    const role = this.deps.config().roles.find((r) => r.id === id)
    if (!role) throw new ReglazeError(ACCESS.ROLE_UNKNOWN, `there is no role "${id}"`, { hint: `Roles: ${this.deps.config().roles.map((r) => r.id).join(', ') || 'none'}` })
    return role
  }
  person(id: string): PersonRef {
    const p = this.deps.config().people.find((x) => x.id === id)
    if (!p) throw new ReglazeError(CORE.NOT_FOUND, `the configuration has no person "${id}"`)
    return { id: p.id, email: p.email, accounts: p.accounts }
  }
  spec(g: rows.Grant, t: rows.Target): GrantSpec {
    return { grantId: g.id, incident: g.incident_id, principal: t.principal, person: g.person, right: t.right_wanted, expiresAt: (g.expires_at as Date).toISOString(), prior: t.prior }
  }

  async explain(roleId: string, incidentText: string, person: string): Promise<{ decision: Decision; facts: PolicyFacts }> {
    const incident = await this.deps.incident(incidentText)
    const facts = await this.deps.facts(person, incident.id)
    return { decision: decide(this.role(roleId), facts, person), facts }
  }

  /** Breaks glass: decides by the role's policy and, if it says yes, writes the intent with its deadline; the loop does the rest. A repeated request gives the live grant. */
  async request(o: { role: string; incident: string; reason: string; duration?: string | undefined }, caller: Caller) {
    if (!caller.person) throw new ReglazeError(CORE.REFUSED, 'a machine token cannot break glass; access is given to a person', { hint: 'Use a token that belongs to a person: `reglaze token create --person NAME`.' })
    if (await this.deps.observeOnly()) throw new ReglazeError(ACCESS.OBSERVE_ONLY, 'this server only observes')
    const role = this.role(o.role)
    const person = this.person(caller.person)
    const maxMs = parseDuration(role.max_duration)
    const ms = o.duration ? parseDuration(o.duration) : Math.min(maxMs, parseDuration(role.default_duration ?? role.max_duration))
    if (ms > maxMs) throw new ReglazeError(ACCESS.DURATION_TOO_LONG, `${o.duration} is longer than ${role.id} allows (${role.max_duration})`)
    const incident = await this.deps.incident(o.incident)
    if (!incident.open) throw new ReglazeError(CORE.WRONG_STATE, `${incident.label} is closed: no access is given in it`)
    const before = await this.#present(this.#db, incident.id, person.id, role.id)
    if (before) return this.view(before)
    const { decision, facts } = await this.explain(role.id, incident.id, person.id)
    const { id, isNew } = await this.#db.transaction().execute(async (tx) => {
      // The incident cannot be closed between this look and the row that the close gate would have to see.
      if (!(await this.deps.stillOpen(tx, incident.id))) throw new ReglazeError(CORE.WRONG_STATE, `${incident.label} is closed: no access is given in it`)
      await rows.oneAtATime(tx, 'grant', incident.id, person.id, role.id)
      const meanwhile = await this.#present(tx, incident.id, person.id, role.id)
      if (meanwhile) return { id: meanwhile, isNew: false }
      const grantId = await rows.insert(tx, { incident: incident.id, role: role.id, roleText: role as unknown as Json, person: person.id, reason: o.reason, ms, decision })
      await append(tx, { kind: 'grant.requested', incident: incident.id, subject: grantId, actor: person.id, data: { role: role.id, reason: o.reason, ms, decision: decision as unknown as Json, facts: facts as Json } })
      if (decision.outcome === 'denied') {
        await rows.move(tx, grantId, 'requested', 'denied')
        await append(tx, { kind: 'grant.denied', incident: incident.id, subject: grantId, actor: 'policy', data: { because: decision.because } })
      }
      if (decision.outcome === 'approved') await this.#approved(tx, grantId, role, incident.id, 'policy', decision.because)
      return { id: grantId, isNew: true }
    })
    if (!isNew) return this.view(id)
    if (decision.outcome === 'denied') throw new ReglazeError(ACCESS.ACCESS_DENIED, `${role.id} is denied to ${person.id}: ${decision.because}`, { data: { grant: id, decision: decision as unknown as Json } })
    return this.view(id)
  }

  async #present(db: Db | Tx, incident: string, person: string, role: string): Promise<string | null> {
    return (await rows.list(db, { incident, person })).find((g) => g.role === role && !g.end_asked_at && !g.overdue)?.id ?? null
  }

  async #approved(tx: Tx, id: string, role: Role, incidentId: string | null, by: string, because: string): Promise<void> {
    if (!(await rows.approve(tx, id, parseDuration(role.max_duration)))) throw new ReglazeError(CORE.WRONG_STATE, `${id} is not waiting for approval any more`)
    await append(tx, { kind: 'grant.approved', incident: incidentId, subject: id, actor: by, data: { because } })
    await poke(tx, CONVERGE, id)
  }

  async vote(id: string, decision: 'approve' | 'deny', caller: Caller, reason = '') {
    const g = await this.find(id)
    if (!caller.person || caller.person === g.person || !g.approvers.includes(caller.person)) {
      throw new ReglazeError(ACCESS.NOT_AN_APPROVER, `${caller.person ?? caller.name} may not decide on ${id}; approvers: ${g.approvers.filter((p) => p !== g.person).join(', ') || 'nobody'}`)
    }
    const person = caller.person
    await this.#db.transaction().execute(async (tx) => {
      // One vote after the other: two approvals at the same moment must see each other, and none may follow a denial.
      const now = await rows.locked(tx, id)
      if (now?.state !== 'requested') throw new ReglazeError(CORE.WRONG_STATE, `${id} is ${now?.state ?? 'gone'}: it does not wait for a decision any more`, { hint: `reglaze access show ${id}` })
      const votes = await rows.addApproval(tx, id, person, decision)
      await append(tx, { kind: `grant.vote-${decision}`, incident: g.incident_id, subject: id, actor: person, data: { reason } })
      if (decision === 'deny') {
        if (!(await rows.move(tx, id, 'requested', 'denied'))) throw new ReglazeError(CORE.WRONG_STATE, `${id} is ${g.state}`)
        await append(tx, { kind: 'grant.denied', incident: g.incident_id, subject: id, actor: person, data: { because: reason } })
      } else if (votes >= g.approvals_needed) {
        await this.#approved(tx, id, this.role(g.role), g.incident_id, person, `${votes} of ${g.approvals_needed} approvals`)
      }
    })
    return this.view(id)
  }

  /** Ends a grant: the reason and the ask are stored, the loop revokes and proves. Ending twice is fine. */
  async end(id: string, reason: EndReason, by: string): Promise<void> {
    await this.find(id)
    await this.#db.transaction().execute(async (tx) => {
      // Locked, because an approval at the same moment must not slip past the end.
      const g = await rows.locked(tx, id)
      if (!g || TERMINAL.includes(g.state)) return
      if (g.state === 'requested') {
        if (await rows.move(tx, id, 'requested', 'withdrawn')) await append(tx, { kind: 'grant.withdrawn', incident: g.incident_id, subject: id, actor: by, data: { reason } })
        return
      }
      if (await rows.askEnd(tx, id, reason)) await append(tx, { kind: 'grant.end-asked', incident: g.incident_id, subject: id, actor: by, data: { reason } })
      await poke(tx, CONVERGE, id)
    })
  }

  async endByPerson(id: string, caller: Caller) {
    const g = await this.find(id)
    if (caller.person !== g.person && caller.role !== 'admin' && caller.role !== 'approver') throw new ReglazeError(CORE.REFUSED, `${id} belongs to ${g.person}`, { hint: 'Its person, an approver or an admin may end it.' })
    await this.end(id, 'done', caller.name)
    return this.view(id)
  }

  async panic(scope: 'incident' | 'person' | 'all', of: string | undefined, caller: Caller): Promise<string[]> {
    if (scope !== 'all' && !of) throw new ReglazeError(CORE.INVALID_INPUT, `panic for ${scope} needs a name`, { place: 'of' })
    const incident = scope === 'incident' ? (await this.deps.incident(of as string)).id : undefined
    const person = scope === 'person' ? of : undefined
    const live = await rows.liveIds(this.#db, { incident, person })
    // A name with a typing mistake must not look like "everybody is out".
    if (person && live.length === 0) this.person(person)
    const failed: string[] = []
    for (const id of live) await this.end(id, 'panic', caller.name).catch((error: unknown) => failed.push(`${id}: ${(error as Error).message}`))
    await append(this.#db, { kind: 'access.panic', incident: incident ?? null, subject: of ?? 'all', actor: caller.name, data: { scope, ended: live.length - failed.length, failed } })
    if (failed.length > 0) throw new ReglazeError(CORE.INTERNAL, `${failed.length} of ${live.length} grants could not be told to end: ${failed.join('; ')}`)
    return live
  }

  async credentials(id: string, caller: Caller) {
    const g = await this.find(id)
    if (caller.person !== g.person) throw new ReglazeError(ACCESS.NOT_YOUR_GRANT, `${id} belongs to ${g.person}`)
    if (g.state !== 'active' || g.overdue || g.end_asked_at) throw new ReglazeError(CORE.WRONG_STATE, `${id} is ${g.end_asked_at || g.overdue ? 'ending' : g.state}, not active`, { hint: `reglaze access show ${id}` })
    const out: { connector: string; credentials: Record<string, string> }[] = []
    for (const t of await rows.targets(this.#db, id)) {
      const made = await this.deps.grantable(t.connector).credentials?.(this.spec(g, t))
      if (made) out.push({ connector: t.connector, credentials: made })
    }
    await this.#db.transaction().execute((tx) => append(tx, { kind: 'grant.credentials-handed', incident: g.incident_id, subject: id, actor: g.person, data: { targets: out.map((o) => o.connector) } }))
    return { targets: out }
  }

  async find(id: string): Promise<rows.Grant> {
    const g = await rows.find(this.#db, id)
    if (!g) throw new ReglazeError(ACCESS.GRANT_NOT_FOUND, `there is no grant ${id}`)
    return g
  }
  async list(o: { all?: boolean; incident?: string | undefined }) {
    const found = await rows.list(this.#db, o)
    return Promise.all(found.map((g) => this.#shape(g)))
  }
  async view(id: string) {
    return this.#shape(await this.find(id))
  }
  async #shape(g: rows.Grant) {
    const list = await rows.targets(this.#db, g.id)
    const iso = (d: Date | null) => d?.toISOString() ?? null
    return {
      id: g.id, incident_id: g.incident_id, role: g.role, person: g.person, reason: g.reason, state: g.state, decision: g.decision, approvals_needed: g.approvals_needed, approvers: g.approvers,
      requested_at: g.requested_at.toISOString(), expires_at: iso(g.expires_at), active_at: iso(g.active_at), end_asked_at: iso(g.end_asked_at), end_reason: g.end_reason, revoked_at: iso(g.revoked_at), level: g.level,
      error: g.state === 'approved' ? await rows.lastError(this.#db, CONVERGE, g.id) : null,
      targets: list.map((t) => ({ n: t.n, connector: t.connector, right: t.right_wanted, principal: t.principal, state: t.state, observed: t.observed, observed_at: iso(t.observed_at), attempts: t.attempts, error: t.error, manual: t.state === 'stuck' ? this.#manual(g, t) : null })),
    }
  }
  #manual(g: rows.Grant, t: rows.Target): string {
    return safely(() => this.deps.grantable(t.connector).manual(this.spec(g, t)))
  }

  /** What of access still keeps the close gate shut. */
  async openItems(incidentId: string): Promise<OpenItem[]> {
    const items: OpenItem[] = []
    for (const g of await rows.list(this.#db, { incident: incidentId })) {
      if (g.state === 'requested') items.push({ code: 'grant-waiting', what: `${g.person} waits for ${g.role} (${g.id})`, command: `reglaze access end ${g.id}` })
      else items.push({ code: g.state === 'stuck' ? 'grant-stuck' : 'grant-live', what: `${g.person} still has ${g.role} (${g.id}, ${g.state})`, command: `reglaze access end ${g.id} --wait` })
    }
    return items
  }
  windows(since?: string) {
    return rows.windows(this.#db, since)
  }
}
