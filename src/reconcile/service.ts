import { createHash } from 'node:crypto'
import { canonical, CORE, ReglazeError, type Caller, type Json, type OpenItem } from '../core/index.ts'
import type { Config } from '../config/index.ts'
import { append } from '../ledger/index.ts'
import { newId, sql, type Store } from '../store/index.ts'

export interface ReconcileDeps {
  readonly store: Store
  readonly config: () => Config
  readonly incident: (idOrLabel: string) => Promise<{ id: string; label: string; open: boolean; service: string }>
  /** Services of the incident with all that they depend on. */
  readonly services: (service: string) => ReadonlySet<string>
  /** The Terraform state as we serve it now. */
  readonly stateOf: (name: string) => Promise<{ serial: number | null; lineage: string | null } | null>
  /** What people changed by hand under a grant, read from the audit logs now; `address` as the latest state tells. */
  readonly changed: (incidentId: string) => Promise<readonly Changed[]>
  /** The commit that the automation of a workspace follows; null when no repository is known. */
  readonly tipOf: (workspace: Config['workspaces'][number]) => Promise<{ commit: string } | { unknown: string } | null>
  /** After each decision, with the whole end state. */
  readonly decided: (incidentId: string, items: readonly { decision: string | null }[], by: string) => Promise<void>
  /** Whether anybody had access or anything was held: only then a proof is asked for. */
  readonly touched: (incidentId: string) => Promise<boolean>
}
export interface Changed {
  /** Its Terraform address, else `type/name`. */
  readonly thing: string
  readonly at: Date
  readonly undoneBy: string | null
}
interface Item {
  workspace: string
  address: string
  class: string
  difference: Json
  suggested: string | null
  decision: string | null
  reason: string | null
  decided_by: string | null
  decided_at: Date | null
}
interface ProofRow {
  id: string
  clean: boolean
  serial: string | null
  lineage: string | null
  data: Json
  /** When its plan began, by our clock. */
  began: Date
}

/** A ledger entry holds at most 64 KiB: of a longer list it keeps the digest and the number, the table keeps the rest. */
function brief(list: readonly Json[]): Json {
  const text = canonical(list)
  return text.length <= 30_000 ? [...list] : { sha256: createHash('sha256').update(text).digest('hex'), count: list.length }
}

export class Reconcile {
  readonly deps: ReconcileDeps
  constructor(deps: ReconcileDeps) {
    this.deps = deps
  }
  get #db() {
    return this.deps.store.db
  }
  async #incident(id: string) {
    const incident = await this.deps.incident(id)
    if (!incident.open) throw new ReglazeError(CORE.WRONG_STATE, `${incident.label} is closed`)
    return incident
  }
  #workspace(name: string) {
    const found = this.deps.config().workspaces.find((w) => w.id === name)
    if (!found) throw new ReglazeError(CORE.NOT_FOUND, `the configuration has no workspace "${name}"`, { hint: `Workspaces: ${this.deps.config().workspaces.map((w) => w.id).join(', ') || 'none'}` })
    return found
  }

  async baseline(id: string, workspace: string, drift: Json[], evidence: Json, caller: Caller) {
    const incident = await this.#incident(id)
    this.#workspace(workspace)
    return this.#db.transaction().execute(async (tx) => {
      const { rows } = await sql`insert into baselines (incident_id, workspace, data, by_whom) values (${incident.id}, ${workspace}, ${JSON.stringify({ drift, evidence })}::jsonb, ${caller.name}) on conflict do nothing returning workspace`.execute(tx)
      if (rows.length > 0) await append(tx, { kind: 'baseline.stored', incident: incident.id, subject: workspace, actor: caller.name, data: { drift: brief(drift), evidence } })
      const kept = await sql<{ data: { drift: Json[] } }>`select data from baselines where incident_id = ${incident.id} and workspace = ${workspace}`.execute(tx)
      return { stored: rows.length > 0, drift: kept.rows[0]?.data.drift ?? [] }
    })
  }

  async getBaseline(id: string, workspace: string): Promise<{ drift: Json[] | null }> {
    const incident = await this.deps.incident(id)
    const { rows } = await sql<{ data: { drift: Json[] } }>`select data from baselines where incident_id = ${incident.id} and workspace = ${workspace}`.execute(this.#db)
    return { drift: rows[0]?.data.drift ?? null }
  }

  async putEndState(id: string, workspace: string, items: { address: string; class: string; difference: Json; suggested: string | null }[], evidence: Json, caller: Caller) {
    const incident = await this.#incident(id)
    this.#workspace(workspace)
    await this.#db.transaction().execute(async (tx) => {
      for (const i of items) {
        await sql`insert into end_state (incident_id, workspace, address, class, difference, suggested) values (${incident.id}, ${workspace}, ${i.address}, ${i.class}, ${JSON.stringify(i.difference)}::jsonb, ${i.suggested})
          on conflict (incident_id, workspace, address) do update set class = excluded.class, difference = excluded.difference, suggested = excluded.suggested, at = reglaze.now() where end_state.decision is null`.execute(tx)
      }
      await append(tx, { kind: 'end-state.compared', incident: incident.id, subject: workspace, actor: caller.name, data: { items: brief(items as unknown as Json[]), evidence } })
    })
    return this.items(incident.id)
  }

  async decide(id: string, workspace: string, o: { address: string; decision: string; reason: string }, caller: Caller) {
    const incident = await this.#incident(id)
    await this.#db.transaction().execute(async (tx) => {
      const { rows } = await sql`update end_state set decision = ${o.decision}, reason = ${o.reason}, decided_by = ${caller.name}, decided_at = reglaze.now()
        where incident_id = ${incident.id} and workspace = ${workspace} and address = ${o.address} returning address`.execute(tx)
      if (rows.length === 0) throw new ReglazeError(CORE.NOT_FOUND, `${o.address} is not in the end state of ${incident.label}`, { hint: `reglaze reconcile check DIR --incident ${incident.label}` })
      await append(tx, { kind: 'end-state.decided', incident: incident.id, subject: o.address, actor: caller.name, data: { workspace, decision: o.decision, reason: o.reason } })
    })
    const items = await this.items(incident.id)
    await this.deps.decided(incident.id, items, caller.name)
    return items.find((i) => i.workspace === workspace && i.address === o.address)
  }

  async items(incidentId: string) {
    const { rows } = await sql<Item>`select workspace, address, class, difference, suggested, decision, reason, decided_by, decided_at from end_state where incident_id = ${incidentId} order by workspace, address`.execute(this.#db)
    return rows.map((r) => ({ ...r, decided_at: r.decided_at?.toISOString() ?? null }))
  }

  async proof(id: string, workspace: string, proof: Record<string, Json>, caller: Caller) {
    const incident = await this.#incident(id)
    this.#workspace(workspace)
    const proofId = newId('proof')
    const clean = proof['verdict'] === 'clean'
    const serial = typeof proof['serial'] === 'number' ? proof['serial'] : null
    const lineage = typeof proof['lineage'] === 'string' ? proof['lineage'] : null
    await this.#db.transaction().execute(async (tx) => {
      await sql`insert into proofs (id, incident_id, workspace, clean, serial, lineage, data, by_whom) values (${proofId}, ${incident.id}, ${workspace}, ${clean}, ${serial}, ${lineage}, ${JSON.stringify(proof)}::jsonb, ${caller.name})`.execute(tx)
      await append(tx, { kind: clean ? 'proof.clean' : 'proof.not-clean', incident: incident.id, subject: proofId, actor: caller.name, data: { workspace, proof: brief([proof]) } })
    })
    const why = await this.#whyInvalid(incident.id, workspace)
    return { id: proofId, clean, valid: why === null, why: why ?? 'complete, every action no-op, serial and lineage are those of the state that is served' }
  }

  /** Why the latest proof of a workspace does not hold now; null when it does. "Merged but never applied" shows as a serial that moved on. */
  async #whyInvalid(incidentId: string, workspace: string): Promise<string | null> {
    const { rows } = await sql<ProofRow>`select id, clean, serial, lineage, data, at - coalesce((data -> 'effort' ->> 'wallMs')::float8, 0) * interval '1 millisecond' as began from proofs where incident_id = ${incidentId} and workspace = ${workspace} order by at desc limit 1`.execute(this.#db)
    const last = rows[0]
    if (!last) return 'no proof is on file'
    if (!last.clean) return `the last proof (${last.id}) is not clean`
    const later = (await this.deps.changed(incidentId)).find((c) => c.at > last.began)
    if (later) return `${later.thing} was changed at ${later.at.toISOString()}, after the proof began`
    return (await this.#codeMoved(workspace, last)) ?? (await this.#stateMoved(workspace, last))
  }

  /** The code that was proven has to be the code that the automation will run: merged is not enough, and neither is a commit on a laptop. */
  async #codeMoved(workspace: string, proof: ProofRow): Promise<string | null> {
    const tip = await this.deps.tipOf(this.#workspace(workspace))
    if (tip === null) return null
    if ('unknown' in tip) return `it is not known which code the automation follows: ${tip.unknown}`
    const commit = (proof.data as { commit?: string | null }).commit ?? null
    return commit === tip.commit ? null : `the automation follows commit ${tip.commit.slice(0, 10)}, the proof is of ${commit?.slice(0, 10) ?? 'no commit'}`
  }

  async #stateMoved(workspace: string, last: ProofRow): Promise<string | null> {
    const name = this.#workspace(workspace).state
    if (!name) return null
    const now = await this.deps.stateOf(name)
    if (!now) return 'the state is not there any more'
    if (String(now.serial) !== String(last.serial) || now.lineage !== last.lineage) return `the proof is stale: it saw serial ${last.serial}, the state is at ${now.serial}`
    return null
  }

  async notProven(incidentId: string): Promise<OpenItem[]> {
    if (!(await this.deps.touched(incidentId))) return []
    const incident = await this.deps.incident(incidentId)
    const services = this.deps.services(incident.service)
    const items: OpenItem[] = []
    for (const w of this.deps.config().workspaces.filter((x) => x.services.some((s) => services.has(s)))) {
      const why = await this.#whyInvalid(incidentId, w.id)
      if (why) items.push({ code: 'not-proven', what: `workspace ${w.id} is not proven equal to its code: ${why}`, command: `reglaze reconcile prove DIR --incident ${incident.label}` })
    }
    return items
  }

  async setQuarantine(id: string, workspace: string, q: { address: string; kind: string; state: string; data: Json }, caller: Caller): Promise<void> {
    const incident = await this.#incident(id)
    this.#workspace(workspace)
    await this.#db.transaction().execute(async (tx) => {
      await sql`insert into quarantines (incident_id, workspace, address, kind, state, data, by_whom) values (${incident.id}, ${workspace}, ${q.address}, ${q.kind}, ${q.state}, ${JSON.stringify(q.data)}::jsonb, ${caller.name})
        on conflict (incident_id, workspace, address) do update set state = excluded.state, data = quarantines.data || excluded.data, at = reglaze.now(), by_whom = excluded.by_whom`.execute(tx)
      await append(tx, { kind: `quarantine.${q.state}`, incident: incident.id, subject: q.address, actor: caller.name, data: { workspace, kind: q.kind, evidence: q.data } })
    })
  }

  async openItems(incidentId: string): Promise<OpenItem[]> {
    const incident = await this.deps.incident(incidentId)
    const open = await this.notProven(incidentId)
    const items = await this.items(incidentId)
    const known = new Set(items.map((i) => i.address))
    for (const c of new Map((await this.deps.changed(incidentId)).map((x) => [x.thing, x])).values()) {
      if (!known.has(c.thing)) open.push({ code: 'no-decision', what: `${c.thing} was changed by hand${c.undoneBy ? ` (and undone by ${c.undoneBy})` : ''} and nobody has said what becomes of it`, command: `reglaze reconcile check DIR --incident ${incident.label}` })
    }
    for (const i of items) {
      if (!i.decision) open.push({ code: 'no-decision', what: `no decision for ${i.address} (${i.class})`, command: `reglaze reconcile decide ${i.address} codify|revert|import|forget --incident ${incident.label}` })
    }
    const { rows } = await sql<{ address: string }>`select address from quarantines where incident_id = ${incidentId} and state = 'quarantined'`.execute(this.#db)
    for (const q of rows) open.push({ code: 'quarantine', what: `${q.address} is still quarantined`, command: `reglaze repair release DIR ${q.address} --incident ${incident.label}` })
    return open
  }
}
