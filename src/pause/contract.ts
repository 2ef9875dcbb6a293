import { z } from 'zod'
import { EVERYBODY, RESPONDERS, route } from '../core/index.ts'
import { HOLD_STATES } from './model.ts'

const time = z.string()
export const holdShape = z.object({
  id: z.string(), incident_id: z.string(), automation: z.string(), connector: z.string(), target: z.json(), place: z.int(), state: z.enum(HOLD_STATES), reason: z.string(), held_for: z.string(),
  expires_at: time, prior: z.json(), prior_paused: z.boolean().nullable(), observed: z.json(), observed_at: time.nullable(), error: z.string().nullable(), held_at: time.nullable(), verified_at: time.nullable(),
  reverts: z.int(), resume_asked_at: time.nullable(), resumed_at: time.nullable(), first_run: z.json(),
})
const which = z.object({ id: z.string().describe('`INC-42` or the id') })
const holds = z.object({ holds: z.array(holdShape) })

export const pauseRoutes = {
  pause: route({
    id: 'pause.start', method: 'POST', path: '/api/v1/incidents/{id}/pause', summary: 'Hold the automation that would fight the repair, outermost first', roles: RESPONDERS, params: which,
    body: z.strictObject({ automations: z.array(z.string()).optional(), for: z.string().default('8h').describe('when the hold is asked about; it never resumes by itself') }), response: holds,
  }),
  list: route({ id: 'pause.list', method: 'GET', path: '/api/v1/incidents/{id}/holds', summary: 'The holds of an incident as last read back', roles: EVERYBODY, params: which, response: holds }),
  all: route({ id: 'pause.all', method: 'GET', path: '/api/v1/holds', summary: 'Every automation that is held now', roles: EVERYBODY, response: holds }),
  resume: route({
    id: 'pause.resume', method: 'POST', path: '/api/v1/incidents/{id}/resume', summary: 'Give automation back exactly as it was, in reverse order, watching each first run', roles: RESPONDERS, params: which,
    body: z.strictObject({ without_proof: z.string().min(3).optional().describe('why it is given back although no proof is on file; goes into the ledger') }), response: holds,
  }),
  state: route({
    id: 'pause.state', method: 'GET', path: '/api/v1/terraform-states/{name}', summary: 'The latest Terraform state that Reglaze serves, as text (leaving our backend needs only this)', roles: RESPONDERS,
    params: z.object({ name: z.string() }), response: z.object({ name: z.string(), serial: z.number().nullable(), lineage: z.string().nullable(), body: z.string() }),
  }),
}
