import type { Handler } from '../core/index.ts'
import { reconcileRoutes as r } from './contract.ts'
import type { Reconcile } from './service.ts'

export function reconcileHandlers(reconcile: Reconcile): Handler[] {
  return [
    { route: r.baseline, handle: ({ params, body, caller }) => reconcile.baseline(params.id, params.workspace, body.drift, body.evidence, caller) },
    { route: r.getBaseline, handle: ({ params }) => reconcile.getBaseline(params.id, params.workspace) },
    { route: r.endState, handle: async ({ params, body, caller }) => ({ items: await reconcile.putEndState(params.id, params.workspace, body.items, body.evidence, caller) }) },
    { route: r.list, handle: async ({ params }) => ({ items: await reconcile.items((await reconcile.deps.incident(params.id)).id) }) },
    { route: r.decide, handle: ({ params, body, caller }) => reconcile.decide(params.id, params.workspace, body, caller) },
    { route: r.proof, handle: ({ params, body, caller }) => reconcile.proof(params.id, params.workspace, body.proof, caller) },
    {
      route: r.quarantine,
      handle: async ({ params, body, caller }) => {
        await reconcile.setQuarantine(params.id, params.workspace, body, caller)
        return { ok: true as const }
      },
    },
  ]
}
