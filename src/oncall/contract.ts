import { z } from 'zod'
import { EVERYBODY, RESPONDERS, route } from '../core/route.ts'
import { ALERT, PAGE } from './model.ts'

const time = z.iso.datetime({ offset: true })
const labels = z.record(z.string(), z.string())
const byId = z.object({ id: z.string() })

/** A handler that answers with something else than JSON returns this; the server sends it as it is. */
export const rawResponse = z.object({ rawResponse: z.literal(true), status: z.int(), headers: z.record(z.string(), z.string()), body: z.string() })
export type RawResponse = z.infer<typeof rawResponse>
export function isRawResponse(value: unknown): value is RawResponse {
  return typeof value === 'object' && value !== null && (value as { rawResponse?: unknown }).rawResponse === true
}

export const alertShape = z.object({
  id: z.string(), source: z.string(), fingerprint: z.string(), startsAt: time, state: z.enum(Object.keys(ALERT) as ['firing', 'resolved']), endsAt: time.nullable(),
  severity: z.int().nullable(), title: z.string(), labels, annotations: labels, generatorUrl: z.string().nullable(),
  service: z.string(), team: z.string(), routedBy: labels.nullable(), incident: z.string().nullable(),
  firstSeen: time, lastSeen: time, deliveries: z.int(),
})
const deadLetterShape = z.object({ id: z.string(), source: z.string(), received_at: time, reason: z.string(), bytes: z.int(), understood: z.int() })
const whyShape = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('rotation'), layer: z.string(), turn: z.int() }),
  z.object({ kind: z.literal('override'), override: z.string(), instead: z.string(), layer: z.string(), turn: z.int() }),
  z.object({ kind: z.literal('fallback') }),
  z.object({ kind: z.literal('gap') }),
])
export const shiftShape = z.object({ schedule: z.string(), person: z.string().nullable(), from: time, to: time, why: whyShape, gap: z.boolean() })
export const overrideShape = z.object({ id: z.string(), schedule: z.string(), person: z.string(), replaces: z.string().nullable(), from: time, to: time, reason: z.string(), created_by: z.string() })
export const pageShape = z.object({
  id: z.string(), incident: z.string(), person: z.string(), responsible: z.boolean(), state: z.enum(Object.keys(PAGE) as [keyof typeof PAGE]), round: z.int(), step: z.int(), why: z.json(),
  attempts: z.int(), error: z.string().nullable(), receipt: z.string().nullable(), subject: z.string().nullable(),
  created_at: time, sent_at: time.nullable(), acknowledged_at: time.nullable(), acknowledged_by: z.string().nullable(),
})
const acknowledgement = z.object({ incident: z.string(), page: z.string().nullable(), acknowledged_by: z.string(), acknowledged_at: time, already: z.boolean() })
const ackBody = z.strictObject({ person: z.string().optional().describe('for whom; only an admin may name somebody else') }).default({})
const limit = z.coerce.number().int().min(1).max(1000).default(100)
export const oncallRoutes = {
  intake: route({
    id: 'intake.alertmanager', method: 'POST', path: '/api/v1/intake/alertmanager/{source}', roles: ['public'],
    summary: "Alerts in: Alertmanager's webhook (version 4), with the source's token as Bearer token or basic-auth password; stored before the answer",
    params: z.object({ source: z.string() }), response: z.object({ delivery: z.string() }),
  }),
  alerts: route({
    id: 'alert.list', method: 'GET', path: '/api/v1/alerts', summary: 'Alerts, the worst first', roles: EVERYBODY,
    query: z.strictObject({ state: z.enum(['firing', 'resolved']).optional(), incident: z.string().optional(), service: z.string().optional(), limit }),
    response: z.object({ alerts: z.array(alertShape) }),
  }),
  alert: route({ id: 'alert.get', method: 'GET', path: '/api/v1/alerts/{id}', summary: 'One alert', roles: EVERYBODY, params: byId, response: alertShape }),
  deadLetters: route({
    id: 'intake.dead-letters', method: 'GET', path: '/api/v1/intake/dead-letters', summary: 'Deliveries that could not be understood', roles: RESPONDERS,
    query: z.strictObject({ limit }), response: z.object({ dead_letters: z.array(deadLetterShape) }),
  }),
  deadLetter: route({
    id: 'intake.dead-letter', method: 'GET', path: '/api/v1/intake/dead-letters/{id}', summary: 'One of them with its body as text', roles: RESPONDERS,
    params: byId, response: deadLetterShape.extend({ body: z.string() }),
  }),
  replay: route({
    id: 'intake.replay', method: 'POST', path: '/api/v1/intake/dead-letters/{id}/replay', summary: 'Process a dead letter again', roles: RESPONDERS,
    params: byId, response: z.object({ delivery: z.string(), state: z.string() }),
  }),
  now: route({
    id: 'oncall.now', method: 'GET', path: '/api/v1/oncall', summary: 'Who is on call, in every schedule', roles: EVERYBODY,
    query: z.strictObject({ at: time.optional() }), response: z.object({ at: time, shifts: z.array(shiftShape) }),
  }),
  shifts: route({
    id: 'oncall.shifts', method: 'GET', path: '/api/v1/oncall/{schedule}/shifts', summary: 'The shifts of one schedule in a window of at most 400 days, gaps included', roles: EVERYBODY,
    params: z.object({ schedule: z.string() }), query: z.strictObject({ from: time, to: time }), response: z.object({ shifts: z.array(shiftShape) }),
  }),
  overrides: route({
    id: 'oncall.overrides', method: 'GET', path: '/api/v1/oncall/{schedule}/overrides', summary: 'Overrides of one schedule that are not over, in the order in which they apply', roles: EVERYBODY,
    params: z.object({ schedule: z.string() }), response: z.object({ overrides: z.array(overrideShape) }),
  }),
  override: route({
    id: 'oncall.override', method: 'POST', path: '/api/v1/oncall/{schedule}/overrides', roles: RESPONDERS,
    summary: 'Put a person on call in place of another; responders only for shifts that they give or take themselves',
    params: z.object({ schedule: z.string() }),
    body: z.strictObject({ person: z.string(), replaces: z.string().nullable().default(null), from: time, to: time, reason: z.string().min(3).max(500) }),
    response: overrideShape.extend({ changes: z.array(shiftShape) }),
  }),
  deleteOverride: route({
    id: 'oncall.override-delete', method: 'DELETE', path: '/api/v1/oncall/overrides/{id}', summary: 'Take an override back', roles: RESPONDERS,
    params: byId, response: z.object({ id: z.string(), deleted: z.boolean() }),
  }),
  pages: route({
    id: 'page.list', method: 'GET', path: '/api/v1/pages', summary: 'Pages, the newest first', roles: EVERYBODY,
    query: z.strictObject({ incident: z.string().optional(), state: z.enum(Object.keys(PAGE) as [keyof typeof PAGE]).optional(), person: z.string().optional(), limit }),
    response: z.object({ pages: z.array(pageShape) }),
  }),
  ackPage: route({ id: 'page.ack', method: 'POST', path: '/api/v1/pages/{id}/ack', summary: 'Acknowledge a page: you take its incident, everything pending stops', roles: RESPONDERS, params: byId, body: ackBody, response: acknowledgement }),
  ackIncident: route({
    id: 'incident.ack', method: 'POST', path: '/api/v1/incidents/{id}/ack', summary: 'Acknowledge all pages of an incident: you take it', roles: RESPONDERS,
    params: z.object({ id: z.string().describe('`INC-42` or the id') }), body: ackBody, response: acknowledgement,
  }),
  ackForm: route({ id: 'page.ack-form', method: 'GET', path: '/ack/{token}', summary: 'The form behind the link of a page; looking at it acknowledges nothing', roles: ['public'], params: z.object({ token: z.string() }), response: rawResponse }),
  ackLink: route({ id: 'page.ack-link', method: 'POST', path: '/ack/{token}', summary: 'Acknowledge by the link of a page', roles: ['public'], params: z.object({ token: z.string() }), response: rawResponse }),
}
