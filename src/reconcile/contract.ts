import { z } from 'zod'
import { EVERYBODY, RESPONDERS, route } from '../core/index.ts'

const which = z.object({ id: z.string().describe('`INC-42` or the id'), workspace: z.string() })
export const DECISIONS = ['codify', 'revert', 'import', 'forget', 'none'] as const
export const itemShape = z.object({
  workspace: z.string(), address: z.string(), class: z.string(), difference: z.json(), suggested: z.string().nullable(),
  decision: z.enum(DECISIONS).nullable(), reason: z.string().nullable(), decided_by: z.string().nullable(), decided_at: z.string().nullable(),
})
const done = z.object({ ok: z.literal(true) })

/** What the file-based engines report into an incident. The server checks a proof against the state that it serves. */
export const reconcileRoutes = {
  baseline: route({
    id: 'reconcile.baseline', method: 'PUT', path: '/api/v1/incidents/{id}/baseline/{workspace}', summary: 'Drift that was there before the incident; stored once, never blamed on it', roles: RESPONDERS, params: which,
    body: z.strictObject({ drift: z.array(z.json()), evidence: z.json() }), response: z.object({ stored: z.boolean(), drift: z.array(z.json()) }),
  }),
  getBaseline: route({
    id: 'reconcile.baseline.get', method: 'GET', path: '/api/v1/incidents/{id}/baseline/{workspace}', summary: 'The baseline of an incident; null when none was taken', roles: EVERYBODY, params: which,
    response: z.object({ drift: z.array(z.json()).nullable() }),
  }),
  endState: route({
    id: 'reconcile.end-state.put', method: 'PUT', path: '/api/v1/incidents/{id}/end-state/{workspace}', summary: 'Expected against actual for every touched resource; earlier decisions stay', roles: RESPONDERS, params: which,
    body: z.strictObject({ items: z.array(z.strictObject({ address: z.string(), class: z.string(), difference: z.json(), suggested: z.string().nullable() })), evidence: z.json() }),
    response: z.object({ items: z.array(itemShape) }),
  }),
  list: route({ id: 'reconcile.end-state.list', method: 'GET', path: '/api/v1/incidents/{id}/end-state', summary: 'The end state with its decisions', roles: EVERYBODY, params: z.object({ id: z.string() }), response: z.object({ items: z.array(itemShape) }) }),
  decide: route({
    id: 'reconcile.decide', method: 'POST', path: '/api/v1/incidents/{id}/end-state/{workspace}/decide', summary: 'Decide what becomes of one resource', roles: RESPONDERS, params: which,
    body: z.strictObject({ address: z.string(), decision: z.enum(DECISIONS), reason: z.string().default('') }), response: itemShape,
  }),
  proof: route({
    id: 'reconcile.proof', method: 'POST', path: '/api/v1/incidents/{id}/proofs/{workspace}', summary: 'Put a no-op proof on file', roles: RESPONDERS, params: which,
    body: z.strictObject({ proof: z.record(z.string(), z.json()) }), response: z.object({ id: z.string(), clean: z.boolean(), valid: z.boolean(), why: z.string() }),
  }),
  quarantine: route({
    id: 'repair.quarantine', method: 'PUT', path: '/api/v1/incidents/{id}/quarantines/{workspace}', summary: 'Report a quarantine or its release', roles: RESPONDERS, params: which,
    body: z.strictObject({ address: z.string(), kind: z.enum(['soft', 'hard']), state: z.enum(['quarantined', 'released']), data: z.json() }), response: done,
  }),
}
