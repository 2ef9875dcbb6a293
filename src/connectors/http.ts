import { request as httpRequest } from 'node:http'
import { request as httpsRequest } from 'node:https'
import type { z } from 'zod'
import { CORE, outcomeUnknown, ReglazeError } from '../core/errors.ts'
import type { Json } from '../core/json.ts'
import { CONNECTOR } from './errors.ts'

export interface HttpCall {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  readonly url: string
  readonly body?: unknown
  readonly headers?: Readonly<Record<string, string>>
  /** Default 10 s, for the whole call. */
  readonly timeoutMs?: number
  /** Name of the system, for messages: `sandbox-cloud`. */
  readonly system: string
  /** Statuses that are not errors beside 2xx: "already so" answers such as 404 on DELETE. */
  readonly accept?: readonly number[]
  /** A POST that changes nothing (a search, a login): a lost answer is then an ordinary failure. */
  readonly readOnly?: boolean
}
export interface HttpAnswer {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  /** Parsed JSON, or the text when it is no JSON, or null when empty. */
  readonly body: Json
}

/**
 * One HTTP call with a deadline. No retries: repeating is the caller's loop.
 * Throws OUTCOME_UNKNOWN when a write may have had its effect (the connection existed and then no answer came),
 * OUTSIDE_FAILED when it certainly had none or the system answered with an error (`data.status` tells which), and
 * CONNECTOR_NOT_THERE, CONNECTOR_CONFLICT, CONNECTOR_LOCKED for 404, 409 and 423. A gateway's 502 or 504 to a write is
 * an unknown outcome too: the system behind it may have done the work.
 */
export async function callHttp(call: HttpCall): Promise<HttpAnswer> {
  const answer = await send(call)
  if ((answer.status >= 200 && answer.status < 300) || call.accept?.includes(answer.status)) return answer
  throw statusError(call, answer)
}

/** The body of an answer checked against a schema; another shape is CONNECTOR_BAD_ANSWER with the first field that is wrong. */
export function readAnswer<T extends z.ZodType>(schema: T, answer: HttpAnswer, call: { system: string; what: string }): z.output<T> {
  const parsed = schema.safeParse(answer.body)
  if (parsed.success) return parsed.data
  const issue = parsed.error.issues[0]
  throw new ReglazeError(CONNECTOR.CONNECTOR_BAD_ANSWER, `${call.system}: the answer to ${call.what} is not understood: ${issue?.path.join('.') || 'body'}: ${issue?.message}`)
}

function send(call: HttpCall): Promise<HttpAnswer> {
  const url = new URL(call.url)
  const text = call.body === undefined ? undefined : JSON.stringify(call.body)
  const headers: Record<string, string | number> = { accept: 'application/json', ...call.headers }
  if (text !== undefined) {
    headers['content-type'] ??= 'application/json'
    headers['content-length'] = Buffer.byteLength(text)
  }
  const signal = AbortSignal.timeout(call.timeoutMs ?? 10_000)
  return new Promise((resolve, reject) => {
    // A fresh connection per call: with a reused one it could not be told whether a reset came before or after the effect.
    let connected = false
    const fail = (e: Error): void => reject(transportError(call, e, connected, signal.aborted))
    const req = (url.protocol === 'https:' ? httpsRequest : httpRequest)(url, { method: call.method, headers, signal, agent: false }, (res) => {
      const chunks: Buffer[] = []
      res.on('data', (d: Buffer) => chunks.push(d))
      res.on('error', fail)
      res.on('aborted', () => fail(new Error('the connection ended in the middle of the answer')))
      res.on('end', () => resolve({ status: res.statusCode ?? 0, headers: flat(res.headers), body: parse(Buffer.concat(chunks).toString('utf8')) }))
    })
    req.on('socket', (socket) => socket.once('connect', () => (connected = true)))
    req.on('error', fail)
    req.end(text)
  })
}

function transportError(call: HttpCall, e: Error, connected: boolean, timedOut: boolean): ReglazeError {
  const what = `${call.system}: ${call.method} ${withoutSecrets(call.url)}`
  const why = timedOut ? `no answer within ${call.timeoutMs ?? 10_000} ms` : ((e as NodeJS.ErrnoException).code ?? e.message)
  const write = call.method !== 'GET' && !call.readOnly
  // No connection, no effect. Once connected, the request may have been carried out whatever came back.
  if (write && connected) return outcomeUnknown(`${what}: ${why}; whether it took effect is not known`, e)
  return new ReglazeError(CORE.OUTSIDE_FAILED, `${what}: ${why}`, { cause: e, hint: `Check that ${new URL(call.url).origin} is reachable from here.` })
}

function statusError(call: HttpCall, answer: HttpAnswer): ReglazeError {
  const what = `${call.system}: ${call.method} ${withoutSecrets(call.url)} answered ${answer.status}`
  const message = `${what}: ${messageOf(answer.body)}`
  const write = call.method !== 'GET' && !call.readOnly
  if (write && (answer.status === 502 || answer.status === 504)) return outcomeUnknown(`${message}; whether it took effect is not known`)
  const data = { status: answer.status, retryAfter: answer.headers['retry-after'] ?? null }
  const hint = STATUS_HINT[answer.status]
  return new ReglazeError(STATUS_CODE[answer.status] ?? CORE.OUTSIDE_FAILED, message, { data, ...(hint ? { hint } : {}) })
}

const STATUS_CODE: Readonly<Record<number, string>> = {
  404: CONNECTOR.CONNECTOR_NOT_THERE,
  409: CONNECTOR.CONNECTOR_CONFLICT,
  423: CONNECTOR.CONNECTOR_LOCKED,
}
const STATUS_HINT: Readonly<Record<number, string>> = {
  401: 'The credential of this connector is not accepted: renew it and put the new one where the configuration refers to.',
  403: 'The credential lacks a right: compare it with the least permissions in the README of this connector.',
  429: 'The system asks to slow down; the work is repeated later by itself.',
}

/** The readable part of an error body: `{error:{message}}`, `{message}`, `{error}`, JSON:API `{errors:[{title, detail}]}`, or text. */
function messageOf(body: Json): string {
  if (body === null) return 'no details'
  if (typeof body !== 'object') return String(body).slice(0, 300)
  if (Array.isArray(body)) return JSON.stringify(body).slice(0, 300)
  const { error, message, errors } = body
  if (error !== null && typeof error === 'object' && !Array.isArray(error) && typeof error['message'] === 'string') return error['message']
  if (typeof message === 'string') return message
  if (typeof error === 'string') return error
  const first = Array.isArray(errors) ? errors[0] : null
  if (first !== null && typeof first === 'object' && !Array.isArray(first)) return String(first['detail'] ?? first['title'] ?? JSON.stringify(first))
  return JSON.stringify(body).slice(0, 300)
}

function withoutSecrets(url: string): string {
  const u = new URL(url)
  return `${u.origin}${u.pathname}${u.search}`
}
function parse(text: string): Json {
  if (text === '') return null
  try {
    return JSON.parse(text) as Json
  } catch {
    return text
  }
}
function flat(headers: NodeJS.Dict<string | string[]>): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).map(([k, v]) => [k, Array.isArray(v) ? v.join(', ') : (v ?? '')]))
}
