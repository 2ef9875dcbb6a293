import { numberOf, Incidents, incidentHandlers, label, view as incidentView, type Incident } from '../incident/index.ts'
import type { Handler, Json, PolicyFacts } from '../core/index.ts'
import { Access, accessHandlers, startAccessLoop } from '../access/index.ts'
import { assessPart } from '../assess/index.ts'
import { readSecret, type Config } from '../config/index.ts'
import { append } from '../ledger/index.ts'
import { oncallPart } from '../oncall/index.ts'
import { Pause, pauseHandlers, startPauseLoop, StateBackend, withDependencies } from '../pause/index.ts'
import { Reconcile, reconcileHandlers, type Changed } from '../reconcile/index.ts'
import { COLLECT, recordPart } from '../record/index.ts'
import { observeOnly, poke, sql, type Db, type Store, type Tx } from '../store/index.ts'
import { Alarms } from './alarms.ts'
import { stateIndex } from './addresses.ts'
import { tipOf } from './repositories.ts'
import type { Connectors } from './connectors.ts'
import type { Log } from './log.ts'
import { markDecided, withMarks } from './marks.ts'

export interface Composition {
  readonly handlers: Handler[]
  readonly states: StateBackend
  /** A configuration came into force: its audit logs are read from now on. */
  configured(): Promise<void>
  start(): Promise<{ stop(): Promise<void> }>
}
export interface ComposeDeps {
  readonly store: Store
  readonly dataDir: string
  readonly config: () => Config
  readonly connectors: Connectors
  readonly publicUrl: () => string
  readonly certify: (incident: Incident) => Promise<{ name: string; text: string }>
  readonly log: Log
}

/** Joins the parts: each gets the others only as the small functions that it asks for. */
// oxlint-disable-next-line max-lines-per-function -- every joint of the house, read in one place
export function compose(d: ComposeDeps): Composition {
  const { store, config, connectors } = d
  const only = async () => (await observeOnly(store.db)) !== null
  const find = async (idOrLabel: string) => {
    const i = await incidents.get(idOrLabel)
    return { id: i.id, label: label(i), open: i.state === 'open', service: i.service, dri: i.dri }
  }
  const alarm = async (incidentId: string | null, subject: string, text: string): Promise<void> => {
    d.log.warn({ incident: incidentId, subject }, text)
    await store.db.transaction().execute((tx) => alarms.raise(tx, incidentId, subject, text))
  }
  const services = (service: string) => withDependencies(config().services, service)

  const states = new StateBackend(store, `${d.dataDir}/terraform`, async (incidentId) => (await access.list({ incident: incidentId })).filter((g) => g.state === 'active' && g.end_asked_at === null).map((g) => g.person))
  const oncall = oncallPart({
    store, config, log: d.log, publicUrl: d.publicUrl, notifier: () => connectors.notifier(), secret: readSecret,
    incidents: {
      onAlert: async (tx, alert, more) => {
        const { incident, isNew } = await incidents.openIn(tx, { service: alert.service, title: alert.title, severity: alert.severity ?? 3, by: `alert ${alert.source}`, source: { alert: alert.id, fingerprint: alert.fingerprint, more: more.map((m) => m.id) } })
        if (!isNew && incident.alerts_resolved_at !== null) await incidents.alertsResolved(tx, incident.id, false, { alert: alert.id })
        return incident.id
      },
      onResolved: async (tx, alert, left) => (alert.incident && left.firing === 0 ? incidents.alertsResolved(tx, alert.incident, true, { alert: alert.id, left: left.firing }) : undefined),
      onDri: (tx, id, person) => incidents.setDri(tx, id, person, 'oncall'),
      onAcknowledged: (tx, id, person, page) => incidents.acknowledged(tx, id, person, page),
      find: (db, idOrLabel) => findIncident(db, idOrLabel),
    },
  })
  const alarms = new Alarms({ store, config, notifier: () => connectors.notifier(), dri: (service) => oncall.dri(service) })
  const incidents: Incidents = new Incidents({
    store, config, certify: d.certify, page: (tx, i) => oncall.page(tx, i),
    openItems: async (id) => {
      // The audit logs first: what they bring decides about end state and proof.
      const recorded = await record.openItems(id)
      return [...(await Promise.all([access.openItems(id), pause.openItems(id), reconcile.openItems(id)])).flat(), ...recorded, ...(await oncall.openItems(id))]
    },
  })
  const facts = async (person: string, incidentId: string): Promise<PolicyFacts> => {
    const i = await incidents.get(incidentId)
    const p = config().people.find((x) => x.id === person)
    const teams = config().teams.filter((t) => t.members.includes(person)).map((t) => t.id)
    return { person: { id: person, email: p?.email ?? '', teams }, incident: { ...incidentView(i) } as unknown as Json, oncall: (await oncall.facts(person, i)) as Json }
  }
  const access: Access = new Access({ store, config, grantable: (c) => connectors.grantable(c), incident: find, stillOpen: (tx, id) => incidents.stillOpen(tx, id), facts, alarm, observeOnly: only })
  const reconcile: Reconcile = new Reconcile({
    changed: (id) => changed(id), tipOf: (w) => tipOf(w),
    decided: (id, list, by) => markDecided(incidents, id, list, by), store, config, incident: find, services, stateOf: (name) => states.latest(name), touched: (id) => wasTouched(store, id) })
  const pause: Pause = new Pause({
    store, config, pausable: (c) => connectors.pausable(c), incident: find, stillOpen: (tx, id) => incidents.stillOpen(tx, id), alarm, observeOnly: only, notProven: (id) => reconcile.notProven(id),
    markPhase: (id, phase, state, evidence, by) => incidents.mark(id, phase, state, evidence, by),
  })
  const changed = async (incidentId: string): Promise<Changed[]> => {
    await record.collectNow()
    await index.refresh()
    const { rows } = await sql<ChangedRow>`select resource_type, resource_id, resource_name, address, at, undone ->> 'by' as undone_by from modifications where incident_id = ${incidentId} and verdict <> 'automation' and explained_by is null order by at`.execute(store.db)
    return rows.map((m) => ({ thing: index.addressOf({ type: m.resource_type, id: m.resource_id, name: m.resource_name }) ?? m.address ?? `${m.resource_type}/${m.resource_name ?? m.resource_id}`, at: m.at, undoneBy: m.undone_by }))
  }
  const index = stateIndex(states)
  const record = recordPart({
    store, dataDir: d.dataDir, sources: () => connectors.auditSources(), incidentId: async (id) => (await incidents.get(id)).id,
    // A change after the end of a grant has to find that grant: a day back is enough to say so, and bounds the work.
    grantsFor: async ({ from }) => (await access.windows(from)).map((w) => ({ grantId: w.grantId, person: w.person, principal: w.principals[0] ?? w.person, principals: w.principals, activeFrom: w.from.toISOString(), endedAt: w.until?.toISOString() ?? null, incident: w.incident })),
    openIncidents: async () => (await incidents.list(false)).map((i) => ({ id: i.id, number: i.number, openedAt: i.opened_at })),
    automation: () => config().automations.flatMap((a) => a.identities),
    ours: () => config().automations.flatMap((a) => a.passes),
    addressOf: (_source, resource) => index.addressOf(resource),
    isBusy: async () => (await incidents.list(false)).length > 0,
    onUndone: async (tx, f) => {
      await append(tx, { kind: 'repair.undone', incident: f.incident, subject: f.modification, actor: 'observer', data: f as unknown as Json })
      const thing = f.address ?? `${f.resource.type} ${f.resource.name ?? f.resource.id}`
      await alarms.raise(tx, f.incident, `${f.undone.by} has undone a repair of ${thing}`, `${thing} was ${f.undone.how} by ${f.undone.by} at ${f.undone.at} (${f.undone.event}).\nHold the automation before you repair it again: reglaze pause INCIDENT --wait`)
      d.log.warn({ finding: f }, 'automation undid a repair')
    },
  })
  const assess = assessPart({
    store, config, incident: find,
    automations: () => observeAutomations(config(), connectors),
    stateOf: async (name) => (await states.latest(name))?.body ?? null,
    directory: () => connectors.directory(),
  })

  const configured = async () => {
    for (const source of Object.keys(connectors.auditSources())) await poke(store.db, COLLECT, source)
  }
  return {
    states, configured,
    handlers: withMarks([...incidentHandlers(incidents, store), ...accessHandlers(access), ...pauseHandlers(pause, states), ...reconcileHandlers(reconcile), ...record.routes, ...oncall.routes, ...assess.routes], incidents),
    async start() {
      await states.writeAllFiles()
      await index.refresh()
      await configured()
      const running = [alarms.start(), startAccessLoop(access), startPauseLoop(pause), oncall.start(), ...(await Promise.all(record.loops.map((l) => l.start()))), index.start()]
      return { stop: async () => void (await Promise.all(running.map((r) => r.stop()))) }
    },
  }
}

async function findIncident(db: Db | Tx, idOrLabel: string): Promise<{ id: string; number: number; title: string; service: string; team: string | null; severity: number | null } | null> {
  const number = numberOf(idOrLabel)
  const { rows } = await sql<{ id: string; number: number; title: string; service: string; team: string | null; severity: number }>`select id, number, title, service, team, severity from incidents where ${number === null ? sql`id = ${idOrLabel}` : sql`number = ${number}`}`.execute(db)
  return rows[0] ?? null
}

interface ChangedRow {
  resource_type: string
  resource_id: string
  resource_name: string | null
  address: string | null
  at: Date
  undone_by: string | null
}

async function wasTouched(store: Store, incidentId: string): Promise<boolean> {
  const { rows } = await sql<{ yes: boolean }>`select exists (select 1 from grants g join grant_targets t on t.grant_id = g.id where g.incident_id = ${incidentId} and t.granted_at is not null) or exists (select 1 from holds where incident_id = ${incidentId} and prior is not null) as yes`.execute(store.db)
  return rows[0]?.yes ?? true
}

async function observeAutomations(config: Config, connectors: Connectors) {
  return Promise.all(
    config.automations.map(async (a) => {
      const spec = { holdId: '', incident: '', reason: '', passes: [], expiresAt: '', target: a.target as Record<string, Json> }
      const seen = await Promise.resolve().then(() => connectors.pausable(a.connector).observe(spec)).catch((e: unknown) => ({ status: 'unknown' as const, at: '', reason: (e as Error).message }))
      return { id: a.id, observed: seen }
    }),
  )
}

