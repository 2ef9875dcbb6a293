import { z } from 'zod'
import { EVERYBODY, RESPONDERS, route } from '../core/index.ts'

/** Routes of the server itself: configuration in force, tokens, ledger, health of the parts. */
const role = z.enum(['viewer', 'responder', 'approver', 'admin'])
export const tokenShape = z.object({ id: z.string(), name: z.string(), role, person: z.string().nullable(), scopes: z.array(z.string()), created_at: z.string(), expires_at: z.string().nullable(), revoked_at: z.string().nullable() })
const difference = z.object({ kind: z.enum(['add', 'change', 'remove']), what: z.string(), before: z.json(), after: z.json() })

export const serverRoutes = {
  whoami: route({
    id: 'server.whoami', method: 'GET', path: '/api/v1/whoami', summary: 'Who the token belongs to', roles: EVERYBODY,
    response: z.object({ name: z.string(), role: z.string(), person: z.string().nullable(), scopes: z.array(z.string()) }),
  }),
  tokenCreate: route({
    id: 'token.create', method: 'POST', path: '/api/v1/tokens', summary: 'Make a token; its secret is shown once', roles: ['admin'],
    body: z.strictObject({ name: z.string().min(1), role, person: z.string().optional(), scopes: z.array(z.enum(['api', 'state', 'state-read'])).default(['api']), ttl: z.string().optional() }),
    response: z.object({ token: tokenShape, secret: z.string() }),
  }),
  tokenList: route({ id: 'token.list', method: 'GET', path: '/api/v1/tokens', summary: 'Tokens without their secrets', roles: ['admin'], response: z.object({ tokens: z.array(tokenShape) }) }),
  tokenRevoke: route({ id: 'token.revoke', method: 'DELETE', path: '/api/v1/tokens/{id}', summary: 'End a token now', roles: ['admin'], params: z.object({ id: z.string() }), response: z.object({ ok: z.literal(true) }) }),
  config: route({ id: 'config.get', method: 'GET', path: '/api/v1/config', summary: 'The configuration in force', roles: EVERYBODY, response: z.object({ version: z.int().nullable(), digest: z.string().nullable(), applied_at: z.string().nullable(), applied_by: z.string().nullable(), config: z.json() }) }),
  configPlan: route({
    id: 'config.plan', method: 'POST', path: '/api/v1/config/plan', summary: 'What would change; nothing is changed', roles: RESPONDERS,
    body: z.strictObject({ files: z.array(z.strictObject({ file: z.string(), text: z.string() })) }), response: z.object({ base: z.int().nullable(), digest: z.string(), changes: z.array(difference), refused: z.array(z.string()) }),
  }),
  configApply: route({
    id: 'config.apply', method: 'POST', path: '/api/v1/config/apply', summary: 'Put a configuration in force as a numbered version', roles: ['admin'],
    body: z.strictObject({ files: z.array(z.strictObject({ file: z.string(), text: z.string() })), base: z.int().nullable().optional() }), response: z.object({ version: z.int(), digest: z.string(), changed: z.boolean() }),
  }),
  checkpoint: route({ id: 'ledger.checkpoint', method: 'GET', path: '/api/v1/ledger/checkpoint', summary: 'The latest signed checkpoint and the public key', roles: EVERYBODY, response: z.object({ checkpoint: z.string().nullable(), key: z.string() }) }),
  status: route({
    id: 'server.status', method: 'GET', path: '/api/v1/status', summary: 'What is in force and what is unwell', roles: EVERYBODY,
    response: z.object({ version: z.string(), store: z.string(), config_version: z.int().nullable(), observe_only: z.boolean(), live_grants: z.int(), overdue_grants: z.int(), holds: z.int(), open_incidents: z.int(), unsent_pages: z.int() }),
  }),
  doctor: route({
    id: 'server.doctor', method: 'GET', path: '/api/v1/doctor', summary: 'What the server depends on: database, ledger, secrets, automations, audit logs', roles: EVERYBODY,
    response: z.object({ findings: z.array(z.object({ check: z.string(), ok: z.boolean(), what: z.string(), hint: z.string() })) }),
  }),
  confirmRestore: route({ id: 'server.confirm-restore', method: 'POST', path: '/api/v1/restore/confirm', summary: 'Leave observe-only mode after the targets were compared with the ledger', roles: ['admin'], body: z.strictObject({ reason: z.string().min(3) }), response: z.object({ ok: z.literal(true) }) }),
}
