import { z } from 'zod'
import { EVERYBODY, RESPONDERS, route } from '../core/index.ts'
import { GRANT_STATES } from './model.ts'

const time = z.string()
export const targetShape = z.object({
  n: z.int(), connector: z.string(), right: z.json(), principal: z.string(), state: z.string(), observed: z.json(), observed_at: time.nullable(),
  attempts: z.int(), error: z.string().nullable(), manual: z.string().nullable(),
})
export const grantShape = z.object({
  id: z.string(), incident_id: z.string().nullable(), role: z.string(), person: z.string(), reason: z.string(), state: z.enum(GRANT_STATES),
  decision: z.json(), approvals_needed: z.int(), approvers: z.array(z.string()), requested_at: time, expires_at: time.nullable(), active_at: time.nullable(),
  end_asked_at: time.nullable(), end_reason: z.string().nullable(), revoked_at: time.nullable(), level: z.string().nullable(),
  error: z.string().nullable().describe('why an approved grant does not begin'), targets: z.array(targetShape),
})
const which = z.object({ id: z.string() })
const ask = z.strictObject({
  role: z.string(), incident: z.string().describe('`INC-42` or the id'), reason: z.string().min(3).max(1000),
  duration: z.string().optional().describe('like 2h; default and maximum come from the role'),
})

export const accessRoutes = {
  roles: route({
    id: 'access.roles', method: 'GET', path: '/api/v1/access/roles', summary: 'Break-glass roles and what they give', roles: EVERYBODY,
    response: z.object({ roles: z.array(z.object({ id: z.string(), about: z.string(), max_duration: z.string(), targets: z.array(z.object({ connector: z.string(), right: z.json() })) })) }),
  }),
  request: route({ id: 'access.request', method: 'POST', path: '/api/v1/access/grants', summary: 'Break glass: ask for a role in an incident', roles: [...RESPONDERS, 'approver'], body: ask, response: grantShape }),
  explain: route({
    id: 'access.explain', method: 'POST', path: '/api/v1/access/explain', summary: 'Which rule would decide, and why; nothing is requested', roles: EVERYBODY,
    body: z.strictObject({ role: z.string(), incident: z.string(), person: z.string().optional() }), response: z.object({ decision: z.json(), facts: z.json() }),
  }),
  list: route({
    id: 'access.list', method: 'GET', path: '/api/v1/access/grants', summary: 'Who is inside production, or every grant', roles: EVERYBODY,
    query: z.strictObject({ all: z.enum(['true', 'false']).default('false'), incident: z.string().optional() }), response: z.object({ grants: z.array(grantShape) }),
  }),
  get: route({ id: 'access.get', method: 'GET', path: '/api/v1/access/grants/{id}', summary: 'One grant with its targets as last read back', roles: EVERYBODY, params: which, response: grantShape }),
  approve: route({ id: 'access.approve', method: 'POST', path: '/api/v1/access/grants/{id}/approve', summary: 'Approve a request', roles: [...RESPONDERS, 'approver'], params: which, body: z.strictObject({}).default({}), response: grantShape }),
  deny: route({ id: 'access.deny', method: 'POST', path: '/api/v1/access/grants/{id}/deny', summary: 'Deny a request', roles: [...RESPONDERS, 'approver'], params: which, body: z.strictObject({ reason: z.string().default('') }).default({ reason: '' }), response: grantShape }),
  end: route({ id: 'access.end', method: 'POST', path: '/api/v1/access/grants/{id}/end', summary: '"I am done": end it now; revocation is proven by read-back', roles: [...RESPONDERS, 'approver'], params: which, body: z.strictObject({}).default({}), response: grantShape }),
  credentials: route({
    id: 'access.credentials', method: 'GET', path: '/api/v1/access/grants/{id}/credentials', summary: 'What the person of the grant needs to use it; never stored', roles: [...RESPONDERS, 'approver'], params: which,
    response: z.object({ targets: z.array(z.object({ connector: z.string(), credentials: z.record(z.string(), z.string()) })) }),
  }),
  panic: route({
    id: 'access.panic', method: 'POST', path: '/api/v1/access/panic', summary: 'End every grant of an incident, of a person, or all', roles: [...RESPONDERS, 'approver'],
    body: z.strictObject({ scope: z.enum(['incident', 'person', 'all']), of: z.string().optional() }), response: z.object({ ended: z.array(z.string()) }),
  }),
}
