import { z } from 'zod'
import { EVERYBODY, RESPONDERS, route } from '../core/index.ts'
import { PHASES } from './model.ts'

const time = z.string()
export const incidentShape = z.object({
  id: z.string(), label: z.string(), number: z.int(), title: z.string(), service: z.string(), team: z.string().nullable(), severity: z.int(),
  state: z.enum(['open', 'closed']), dri: z.string().nullable(), opened_at: time, opened_by: z.string(),
  acknowledged_at: time.nullable(), acknowledged_by: z.string().nullable(), alerts_resolved_at: time.nullable(), closed_at: time.nullable(), closed_by: z.string().nullable(),
})
export const phaseShape = z.object({ phase: z.enum(PHASES), state: z.enum(['pending', 'active', 'done']), evidence: z.json(), at: time.nullable(), by: z.string().nullable() })
export const openItemShape = z.object({ code: z.string(), what: z.string(), command: z.string() })
const which = z.object({ id: z.string().describe('`INC-42` or the id') })

export const incidentRoutes = {
  open: route({
    id: 'incident.open', method: 'POST', path: '/api/v1/incidents', summary: 'Open an incident by hand', roles: RESPONDERS,
    body: z.strictObject({ service: z.string(), title: z.string().min(3).max(300), severity: z.int().min(1).max(5).default(2) }), response: incidentShape,
  }),
  list: route({
    id: 'incident.list', method: 'GET', path: '/api/v1/incidents', summary: 'Open incidents, or all', roles: EVERYBODY,
    query: z.strictObject({ all: z.enum(['true', 'false']).default('false') }), response: z.object({ incidents: z.array(incidentShape) }),
  }),
  get: route({
    id: 'incident.get', method: 'GET', path: '/api/v1/incidents/{id}', summary: 'One incident with its phases and what stands open', roles: EVERYBODY,
    params: which, response: z.object({ incident: incidentShape, phases: z.array(phaseShape), open: z.array(openItemShape) }),
  }),
  timeline: route({
    id: 'incident.timeline', method: 'GET', path: '/api/v1/incidents/{id}/timeline', summary: 'Everything that the ledger has about it, in order', roles: EVERYBODY,
    params: which, response: z.object({ entries: z.array(z.object({ id: z.string(), seq: z.int().nullable(), at: time, kind: z.string(), subject: z.string(), actor: z.string(), data: z.json() })) }),
  }),
  phase: route({
    id: 'incident.phase', method: 'POST', path: '/api/v1/incidents/{id}/phases/{phase}', summary: 'Mark a phase active or done, with its evidence', roles: RESPONDERS,
    params: which.extend({ phase: z.enum(PHASES) }), body: z.strictObject({ state: z.enum(['active', 'done']), evidence: z.json().default({}) }), response: phaseShape,
  }),
  close: route({
    id: 'incident.close', method: 'POST', path: '/api/v1/incidents/{id}/close', summary: 'Pass the close gate; refused with the list of what stands open', roles: RESPONDERS,
    params: which, body: z.strictObject({}).default({}), response: z.object({ incident: incidentShape, certificate: z.string().describe('file name') }),
  }),
  certificate: route({
    id: 'incident.certificate', method: 'GET', path: '/api/v1/incidents/{id}/certificate', summary: 'The signed certificate of a closed incident', roles: EVERYBODY,
    params: which, response: z.object({ name: z.string(), text: z.string() }),
  }),
}
