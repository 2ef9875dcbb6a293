import type { Handler, OpenItem, PolicyFacts } from '../core/index.ts'
import type { Db, Tx } from '../store/index.ts'
import { dbNow } from '../store/index.ts'
import { responder, type Responder } from './decide.ts'
import { Intake } from './intake.ts'
import { startLoops } from './loop.ts'
import { findPaging } from './page-store.ts'
import { Pagings } from './paging.ts'
import type { IncidentRef, OncallDeps } from './ports.ts'
import { oncallHandlers } from './routes.ts'

/** The door of on-call for the server. */
export interface OncallPart {
  readonly routes: Handler[]
  start(): { stop(): Promise<void> }
  /** Facts for policies, as `oncall.*`; of an incident (null: of none, then nobody is primary). */
  facts(person: string, incident: Pick<IncidentRef, 'id' | 'service' | 'team'> | null): Promise<PolicyFacts>
  /** Who is responsible for a service; default now. Always somebody. */
  dri(service: string, at?: Date): Promise<Responder>
  /** Pages the responsible person for an incident that was opened by hand; in the caller's transaction. Returns the DRI. */
  page(tx: Tx, incident: IncidentRef): Promise<string>
  /** Ends the paging of an incident, e.g. because it was closed; in the caller's transaction. */
  stopPaging(tx: Tx, incidentId: string, reason: string): Promise<void>
  openItems(incidentId: string): Promise<OpenItem[]>
}

export function oncallPart(deps: OncallDeps): OncallPart {
  const pagings = new Pagings(deps)
  const intake = new Intake(deps, pagings)
  return {
    routes: oncallHandlers(deps, intake, pagings),
    start: () => startLoops(deps, intake, pagings),
    facts: (person, incident) => facts(deps, pagings, person, incident),
    dri: (service, at) => pagings.dri(deps.store.db, { service }, at),
    page: (tx, incident) => pagings.page(tx, incident),
    stopPaging: (tx, incident, reason) => pagings.stop(tx, incident, reason),
    openItems: (incident) => pagings.openItems(incident),
  }
}

/**
 * `primary`: the person is the one who is on call now for the incident's service (the override or the fallback person counts,
 * the team's first member who only stands in does not). `dri`: paged for it and responsible, or has acknowledged it.
 */
async function facts(deps: OncallDeps, pagings: Pagings, person: string, incident: Pick<IncidentRef, 'id' | 'service' | 'team'> | null): Promise<PolicyFacts> {
  const db: Db = deps.store.db
  const config = deps.config()
  const at = (await dbNow(db)).getTime()
  const overrides = await pagings.overrides(db)
  const onCallIn = config.teams.filter((t) => {
    const now = responder(config, t.id, at, overrides)
    return now?.person === person && now.why.kind !== 'member'
  })
  const team = incident && (config.services.find((s) => s.id === incident.service)?.team ?? incident.team)
  const now = team ? responder(config, team, at, overrides) : null
  const paging = incident && (await findPaging(db, incident.id))
  return {
    primary: now !== null && now.person === person && now.why.kind !== 'member',
    schedule: now?.schedule ?? null,
    until: now?.until ?? null,
    dri: paging?.dri === person,
    acknowledged: paging?.acknowledged_by === person,
    schedules: onCallIn.map((t) => t.schedule),
  }
}
