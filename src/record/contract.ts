import { z } from 'zod'
import { type ApiRole, EVERYBODY, RESPONDERS, route } from '../core/route.ts'

/** What was typed and shown may hold secrets: viewers see that a recording exists, not what is in it. */
const READERS: readonly ApiRole[] = ['responder', 'approver', 'admin']
export const MAX_PART = 512 * 1024
const time = z.string()
const which = z.object({ id: z.string() })
const sha = z.string().regex(/^[0-9a-f]{64}$/)

export const RECORDING_STATES = ['open', 'complete', 'partial'] as const
export const recordingShape = z.object({
  id: z.string(), incident_id: z.string().nullable(), grant_id: z.string().nullable(), person: z.string().nullable(), title: z.string(), state: z.enum(RECORDING_STATES),
  reason: z.string().nullable(), size: z.int(), head: z.string().nullable(), frames: z.int().nullable(), created_at: time, created_by: z.string(), completed_at: time.nullable(),
})
const command = z.object({ command: z.string(), cwd: z.string().nullable(), start: z.number(), end: z.number().nullable(), exitCode: z.int().nullable() })
export const modificationShape = z.object({
  id: z.string(), source: z.string(), event: z.string(), incident_id: z.string().nullable(), at: time, actor: z.string(), credential: z.string(), action: z.string(), request: z.string(),
  resource: z.object({ type: z.string(), id: z.string(), name: z.string().nullable() }), address: z.string().nullable(), attributes: z.record(z.string(), z.object({ before: z.json(), after: z.json() })),
  verdict: z.enum(['attributed', 'automation', 'unexplained']), why: z.string(), grant: z.string().nullable(), person: z.string().nullable(), hcl: z.string().nullable(),
  explained: z.object({ by: z.string(), at: time, reason: z.string() }).nullable(),
  undone: z.object({ by: z.string(), at: time, event: z.string(), how: z.enum(['reverted', 'overwritten', 'deleted', 'made-again']), attributes: z.array(z.string()) }).nullable(),
})

export const recordRoutes = {
  open: route({
    id: 'record.open', method: 'POST', path: '/api/v1/recordings', summary: 'Announce a recording; repeated with the same id it gives the same', roles: [...RESPONDERS, 'approver'],
    body: z.strictObject({ id: z.string().regex(/^rec_[0-9a-zA-Z]{8,40}$/), incident: z.string().nullable().default(null), grant: z.string().nullable().default(null), person: z.string().nullable().default(null), title: z.string().max(200).default('') }),
    response: recordingShape,
  }),
  part: route({
    id: 'record.part', method: 'PUT', path: '/api/v1/recordings/{id}/parts', summary: 'Upload the next bytes: durable when answered; a repeated part is no error', roles: [...RESPONDERS, 'approver'], params: which,
    body: z.strictObject({ offset: z.int().min(0), sha256: sha, data: z.base64().max(Math.ceil(MAX_PART / 3) * 4) }), response: z.object({ size: z.int() }),
  }),
  complete: route({
    id: 'record.complete', method: 'POST', path: '/api/v1/recordings/{id}/complete', summary: 'All is uploaded: the chain is verified and the recording closed', roles: [...RESPONDERS, 'approver'], params: which,
    body: z.strictObject({ size: z.int().min(0), head: sha, reason: z.string().max(500).optional() }), response: recordingShape,
  }),
  abandon: route({
    id: 'record.abandon', method: 'POST', path: '/api/v1/recordings/{id}/abandon', summary: 'The rest never comes: close the recording as partial, with the reason', roles: ['approver', 'admin'], params: which,
    body: z.strictObject({ reason: z.string().min(3).max(500) }), response: recordingShape,
  }),
  list: route({
    id: 'record.list', method: 'GET', path: '/api/v1/recordings', summary: 'Recordings, newest first', roles: EVERYBODY,
    query: z.strictObject({ incident: z.string().optional() }), response: z.object({ recordings: z.array(recordingShape) }),
  }),
  get: route({ id: 'record.get', method: 'GET', path: '/api/v1/recordings/{id}', summary: 'One recording; its size says where an upload goes on', roles: EVERYBODY, params: which, response: recordingShape }),
  data: route({
    id: 'record.data', method: 'GET', path: '/api/v1/recordings/{id}/data', summary: 'Raw bytes of the recording file from an offset', roles: READERS, params: which,
    query: z.strictObject({ offset: z.coerce.number().int().min(0).default(0), length: z.coerce.number().int().min(1).max(MAX_PART).default(MAX_PART) }), response: z.object({ offset: z.int(), data: z.string(), size: z.int() }),
  }),
  verify: route({
    id: 'record.verify', method: 'GET', path: '/api/v1/recordings/{id}/verify', summary: 'Recompute the hash chain from the stored bytes', roles: EVERYBODY, params: which,
    response: z.object({ ok: z.boolean(), state: z.string(), frames: z.int(), head: z.string(), bad: z.object({ offset: z.int(), frame: z.int(), why: z.string() }).nullable() }),
  }),
  commands: route({ id: 'record.commands', method: 'GET', path: '/api/v1/recordings/{id}/commands', summary: 'Commands with folder, exit code and times, from the shell marks', roles: READERS, params: which, response: z.object({ commands: z.array(command) }) }),
  runbook: route({ id: 'record.runbook', method: 'GET', path: '/api/v1/recordings/{id}/runbook', summary: 'A runbook draft of the commands, secrets masked', roles: READERS, params: which, response: z.object({ markdown: z.string() }) }),
  modifications: route({
    id: 'record.modifications', method: 'GET', path: '/api/v1/modifications', summary: 'Manual changes with grant, person and HCL', roles: EVERYBODY,
    query: z.strictObject({ incident: z.string().optional(), verdict: z.enum(['attributed', 'automation', 'unexplained']).optional() }), response: z.object({ modifications: z.array(modificationShape) }),
  }),
  explain: route({
    id: 'record.explain', method: 'POST', path: '/api/v1/modifications/{id}/explain', summary: 'Say whose an unexplained change was; it stops blocking the close', roles: ['approver', 'admin'], params: which,
    body: z.strictObject({ reason: z.string().min(3).max(1000) }), response: modificationShape,
  }),
  sources: route({
    id: 'record.sources', method: 'GET', path: '/api/v1/modifications/sources', summary: 'Audit logs that are read, when last, and what is wrong', roles: EVERYBODY,
    response: z.object({ sources: z.array(z.object({ source: z.string(), read_at: time.nullable(), error: z.string().nullable() })) }),
  }),
}
