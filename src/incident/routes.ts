import type { Handler } from '../core/index.ts'
import { entries } from '../ledger/index.ts'
import type { Store } from '../store/index.ts'
import { incidentRoutes as r } from './contract.ts'
import { view, type Incidents } from './service.ts'

export function incidentHandlers(incidents: Incidents, store: Store): Handler[] {
  return [
    { route: r.open, handle: async ({ body, caller }) => view(await incidents.openByHand(body, caller)) },
    { route: r.list, handle: async ({ query }) => ({ incidents: (await incidents.list(query.all === 'true')).map(view) }) },
    { route: r.get, handle: async ({ params }) => incidents.overview(await incidents.get(params.id)) },
    {
      route: r.timeline,
      handle: async ({ params }) => {
        const incident = await incidents.get(params.id)
        return { entries: await entries(store.db, { incident: incident.id, limit: 5000, pending: true }) }
      },
    },
    {
      route: r.phase,
      handle: async ({ params, body, caller }) => {
        const incident = await incidents.getOpen(params.id)
        await incidents.mark(incident.id, params.phase, body.state, body.evidence, caller.name)
        const done = (await incidents.overview(incident)).phases.find((p) => p.phase === params.phase)
        return done
      },
    },
    { route: r.close, handle: ({ params, caller }) => incidents.close(params.id, caller) },
    { route: r.certificate, handle: ({ params }) => incidents.certificate(params.id) },
  ]
}
