import { randomUUID } from 'node:crypto'
import { Hono, type Context } from 'hono'
import { CORE, HTTP_STATUS, ReglazeError, type Caller, type Handler, type Route } from '../core/index.ts'
import { isRawResponse } from '../oncall/index.ts'
import type { StateBackend } from '../pause/index.ts'
import type { Store } from '../store/index.ts'
import { SERVER } from './errors.ts'
import type { Metrics } from './metrics.ts'
import { openApi } from './openapi.ts'
import { docsPage } from './docs-page.ts'
import { callerOf } from './tokens.ts'
import type { Log } from './log.ts'

export interface HttpDeps {
  readonly store: Store
  readonly handlers: readonly Handler[]
  readonly states: StateBackend
  readonly metrics: Metrics
  readonly log: Log
  /** Null when the server may serve; else why not. */
  readonly ready: () => Promise<string | null>
}
const SMALL_LIMIT = 64 * 1024
const API_LIMIT = 1024 * 1024
const BULK_LIMIT = 32 * 1024 * 1024
const PUBLIC: Caller = { name: 'public', role: 'public', person: null, tokenId: null, scopes: [] }

/** The HTTP side: every route of the table, checked and authorised in one place; errors as RFC 9457 problem+json. */
export function createApp(deps: HttpDeps): Hono {
  const app = new Hono()
  app.get('/healthz', (c) => c.text('ok\n'))
  app.get('/readyz', async (c) => {
    const why = await deps.ready().catch((error: unknown) => (deps.log.warn({ err: error }, 'not ready'), 'the database does not answer'))
    return why === null ? c.text('ready\n') : c.text(`${why}\n`, 503)
  })
  app.get('/metrics', async (c) => c.text(await deps.metrics.text(), 200, { 'content-type': deps.metrics.contentType }))
  // Made when first asked for: schemas of all routes cost a start a noticeable time.
  let document: object | null = null
  let page: string | null = null
  app.get('/openapi.json', (c) => c.json((document ??= openApi(deps.handlers.map((h) => h.route)))))
  app.get('/', (c) => c.html((page ??= docsPage(deps.handlers.map((h) => h.route)))))
  for (const handler of deps.handlers) {
    app.on(handler.route.method, handler.route.path.replace(/\{(\w+)\}/g, ':$1'), (c) => counted(c, handler, deps))
  }
  app.on(['GET', 'POST', 'LOCK', 'UNLOCK', 'DELETE', 'PUT'], '/terraform/state/:name', (c) => terraformState(c, deps))
  app.notFound((c) => problem(c, new ReglazeError(CORE.NOT_FOUND, `there is no ${c.req.method} ${c.req.path}`, { hint: 'The routes are listed at / and in /openapi.json.' }), deps.log))
  app.onError((error, c) => problem(c, error, deps.log))
  return app
}

/** Every call is counted with its status, also the refused and the failed. */
async function counted(c: Context, handler: Handler, deps: HttpDeps): Promise<Response> {
  const started = performance.now()
  let status = 500
  try {
    const answer = await run(c, handler, deps)
    status = answer.status
    return answer
  } catch (error) {
    const refused = problem(c, error, deps.log)
    status = refused.status
    return refused
  } finally {
    deps.metrics.called(handler.route.id, status, performance.now() - started)
  }
}

async function run(c: Context, handler: Handler, deps: HttpDeps): Promise<Response> {
  const { route } = handler
  const caller = await authorize(c, route, deps.store)
  if (c.req.url.includes('%00')) throw new ReglazeError(CORE.INVALID_INPUT, 'the address has a NUL character', { place: 'address' })
  const rawBody = await readBody(c, bodyLimit(c, route))
  const params = check(route, 'params', route.params ? route.params.safeParse(c.req.param()) : null) ?? c.req.param()
  const query = check(route, 'query', route.query ? route.query.safeParse(c.req.query()) : null) ?? c.req.query()
  const body = route.body && !(route.roles.includes('public') && !isJson(c)) ? check(route, 'body', route.body.safeParse(parseJson(rawBody))) : undefined
  const answer = await handler.handle({ params, query, body, caller, request: { headers: c.req.header(), rawBody } })
  // Credentials and tokens are among the answers.
  c.header('cache-control', 'no-store')
  if (isRawResponse(answer)) return new Response(answer.body, { status: answer.status, headers: answer.headers })
  return c.json(answer as never)
}

/** Bulk only for senders that at least claim to be somebody: the rest is not read at all. */
const bodyLimit = (c: Context, route: Route): number => (route.roles.includes('public') ? (c.req.header('authorization') ? BULK_LIMIT : SMALL_LIMIT) : API_LIMIT)
const isJson = (c: Context) => (c.req.header('content-type') ?? '').includes('json')

async function authorize(c: Context, route: Route, store: Store): Promise<Caller> {
  if (route.roles.includes('public')) return PUBLIC
  const header = c.req.header('authorization') ?? ''
  const caller = header.startsWith('Bearer ') ? await callerOf(store, header.slice(7)) : null
  if (!caller) throw new ReglazeError(CORE.UNAUTHENTICATED, 'the call needs a valid token')
  if (!caller.scopes?.includes('api')) throw new ReglazeError(CORE.REFUSED, 'this token has no api scope')
  if (!route.roles.includes(caller.role)) throw new ReglazeError(CORE.REFUSED, `${route.id} needs one of the roles ${route.roles.join(', ')}; this token has ${caller.role}`)
  return caller
}

/** Reads the body up to a limit, whatever the sender claims about its length. */
async function readBody(c: Context, limit: number): Promise<Uint8Array> {
  const stream = c.req.raw.body
  if (!stream) return new Uint8Array()
  const chunks: Uint8Array[] = []
  let size = 0
  for await (const chunk of stream as unknown as AsyncIterable<Uint8Array>) {
    size += chunk.byteLength
    if (size > limit) throw new ReglazeError(SERVER.BODY_TOO_LARGE, `the body is larger than ${limit} bytes`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

function parseJson(raw: Uint8Array): unknown {
  if (raw.byteLength === 0) return undefined
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(raw)
    if (deep(text)) throw new Error(`nested deeper than ${DEEPEST}`)
    // PostgreSQL stores neither NUL nor half characters; found here, they are the sender's mistake and not our defect.
    return JSON.parse(text, (key, value: unknown) => {
      for (const t of [key, value]) if (typeof t === 'string' && (t.includes('\0') || HALF.test(t))) throw new Error('a text with a NUL or half a character')
      return value
    })
  } catch (error) {
    throw new ReglazeError(CORE.INVALID_INPUT, `the body is not JSON: ${(error as Error).message}`, { place: 'body' })
  }
}

const DEEPEST = 100
const HALF = /[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/
/** Whether brackets outside of texts go deeper than anything of ours does. */
function deep(text: string): boolean {
  let depth = 0
  for (const [token] of text.matchAll(/"(?:[^"\\]|\\.)*"|[[\]{}]/gs)) {
    if (token === '[' || token === '{') depth++
    else if (token === ']' || token === '}') depth--
    if (depth > DEEPEST) return true
  }
  return false
}

interface Parsed {
  success: boolean
  data?: unknown
  error?: { issues: { path: PropertyKey[]; message: string }[] }
}
function check(route: Route, where: string, parsed: Parsed | null): unknown {
  if (parsed === null) return undefined
  if (parsed.success) return parsed.data
  const issues = parsed.error?.issues ?? []
  const lines = issues.map((i) => `${[where, ...i.path].join('.')}: ${i.message}`)
  throw new ReglazeError(CORE.INVALID_INPUT, lines.join('; '), { place: [where, ...(issues[0]?.path ?? [])].join('.'), hint: `See ${route.id} in /openapi.json.` })
}

/** RFC 9457. What is not a ReglazeError is our defect: its text stays in the log, the answer has the occurrence id only. */
function problem(c: Context, error: unknown, log: Log): Response {
  const instance = `urn:uuid:${randomUUID()}`
  const known = error instanceof ReglazeError
  const kind = known ? error.kind : 'bug'
  const status = known && error.code === SERVER.BODY_TOO_LARGE ? 413 : HTTP_STATUS[kind]
  if (!known || kind === 'bug') log.error({ err: error, instance, path: c.req.path }, 'a call failed by a defect')
  const body = {
    type: `https://reglaze.dev/errors/${known ? error.code : CORE.INTERNAL}`, title: known ? error.code : CORE.INTERNAL, status, code: known ? error.code : CORE.INTERNAL, kind,
    detail: known ? error.message : 'a defect in Reglaze; the log has it under the occurrence id', ...(known && error.hint ? { hint: error.hint } : {}), ...(known && error.place ? { place: error.place } : {}), instance,
    ...(known && error.data ? { data: error.data } : {}),
  }
  const headers: Record<string, string> = { 'content-type': 'application/problem+json' }
  if (status === 401) headers['www-authenticate'] = 'Bearer realm="reglaze"'
  return new Response(JSON.stringify(body), { status, headers })
}

/** Terraform's http backend: basic auth whose password is a token with a state scope. */
async function terraformState(c: Context, deps: HttpDeps): Promise<Response> {
  const header = c.req.header('authorization') ?? ''
  const secret = header.startsWith('Basic ') ? Buffer.from(header.slice(6), 'base64').toString('utf8').split(':').slice(1).join(':') : header.startsWith('Bearer ') ? header.slice(7) : ''
  const caller = secret ? await callerOf(deps.store, secret) : null
  if (!caller) return new Response('a token with a state scope is needed as password', { status: 401, headers: { 'www-authenticate': 'Basic realm="terraform state"' } })
  const raw = await readBody(c, BULK_LIMIT)
  let body: string
  try {
    body = new TextDecoder('utf-8', { fatal: true }).decode(raw)
  } catch {
    return new Response('the body is not UTF-8', { status: 400 })
  }
  const answer = await deps.states.answer({ method: c.req.method, name: c.req.param('name') ?? '', lockId: c.req.query('ID') ?? null, body, caller })
  return new Response(answer.status === 204 ? null : (answer.body ?? ''), { status: answer.status, headers: { 'content-type': /^\s*[[{]/.test(answer.body ?? '') ? 'application/json' : 'text/plain; charset=utf-8' } })
}
