import { createServer } from 'node:http'
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

export type Json = null | boolean | number | string | Json[] | { [key: string]: Json }

/** One call, already read and parsed. `body` is undefined when none came. */
export interface Call {
  readonly method: string
  /** Without the query; never decoded. */
  readonly path: string
  /** Path segments, percent-decoded. */
  readonly segments: readonly string[]
  readonly query: URLSearchParams
  readonly headers: IncomingMessage['headers']
  readonly body: Json | undefined
  /** The secret of `Authorization: Bearer …`, or null. */
  readonly bearer: string | null
  /** Values of `:name` parts of the route that matched (set by {@link router}). */
  readonly params: Readonly<Record<string, string>>
}

export interface Answer {
  readonly status: number
  readonly body?: unknown
  readonly headers?: Readonly<Record<string, string>>
  /** `hang`: never answer. `cut`: destroy the connection without an answer. For faults in drills. */
  readonly instead?: 'hang' | 'cut'
}

/** An error that the caller is told about: `{"error":{"code","message"}}` with this status. */
export class ApiError extends Error {
  readonly status: number
  readonly code: string
  readonly headers: Readonly<Record<string, string>>
  constructor(status: number, code: string, message: string, headers: Record<string, string> = {}) {
    super(message)
    this.name = 'ApiError'
    this.status = status
    this.code = code
    this.headers = headers
  }
}

export type Handler = (call: Call) => Answer | Promise<Answer>

export interface Listening {
  readonly url: string
  readonly port: number
  readonly server: Server
  /** Stops listening and drops open connections. */
  close(): Promise<void>
}

/** Serves JSON on `host:port` (default 127.0.0.1, port 0 = a free one). Bodies above 1 MB are refused with 413. */
export async function serveJson(handle: Handler, o: { host?: string; port?: number; maxBytes?: number; contentType?: string } = {}): Promise<Listening> {
  const host = o.host ?? '127.0.0.1'
  const server = createServer((req, res) => {
    void answer(req, res, handle, o.maxBytes ?? 1_048_576, o.contentType ?? 'application/json')
  })
  // Longer than the idle time of any client here, so that a kept-alive connection is not closed under a request.
  server.keepAliveTimeout = 120_000
  await new Promise<void>((resolve, reject) => {
    server.once('error', (e: NodeJS.ErrnoException) => {
      reject(e.code === 'EADDRINUSE' ? new Error(`port ${o.port} on ${host} is in use: give another --port, or 0 for a free one`) : e)
    })
    server.listen(o.port ?? 0, host, resolve)
  })
  const port = (server.address() as AddressInfo).port
  return {
    url: `http://${host}:${port}`,
    port,
    server,
    close: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

async function answer(req: IncomingMessage, res: ServerResponse, handle: Handler, maxBytes: number, contentType: string): Promise<void> {
  let out: Answer
  try {
    out = await handle(await readCall(req, maxBytes))
  } catch (e) {
    out = asAnswer(e)
  }
  if (out.instead === 'hang') return
  if (out.instead === 'cut') return void req.socket.destroy()
  if (res.destroyed) return
  const text = out.body === undefined ? '' : JSON.stringify(out.body)
  const headers: Record<string, string | number> = { ...out.headers, 'content-length': Buffer.byteLength(text) }
  if (text && !headers['content-type']) headers['content-type'] = contentType
  res.writeHead(out.status, headers)
  res.end(text)
}

/** The answer for a thrown error: {@link ApiError} as it says, anything else 500. */
export function asAnswer(e: unknown): Answer {
  if (e instanceof ApiError) return { status: e.status, body: { error: { code: e.code, message: e.message } }, headers: e.headers }
  process.stderr.write(`${e instanceof Error ? (e.stack ?? e.message) : String(e)}\n`)
  return { status: 500, body: { error: { code: 'Internal', message: 'unexpected error, see the log' } } }
}

async function readCall(req: IncomingMessage, maxBytes: number): Promise<Call> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of req as AsyncIterable<Buffer>) {
    size += chunk.length
    if (size > maxBytes) throw new ApiError(413, 'TooLarge', `the body is larger than ${maxBytes} bytes`)
    chunks.push(chunk)
  }
  const [path, search] = splitOnce(req.url ?? '/', '?')
  const bearer = /^Bearer (\S+)$/i.exec(req.headers.authorization ?? '')?.[1] ?? null
  return {
    method: req.method ?? 'GET',
    path,
    segments: path.split('/').filter(Boolean).map(decode),
    query: new URLSearchParams(search),
    headers: req.headers,
    body: size === 0 ? undefined : parse(Buffer.concat(chunks).toString('utf8')),
    bearer,
    params: {},
  }
}

function splitOnce(text: string, mark: string): [string, string] {
  const at = text.indexOf(mark)
  return at < 0 ? [text, ''] : [text.slice(0, at), text.slice(at + 1)]
}
function decode(segment: string): string {
  try {
    return decodeURIComponent(segment)
  } catch {
    throw new ApiError(400, 'Invalid', `"${segment}" in the path is not valid percent-encoding`)
  }
}
function parse(text: string): Json {
  try {
    return JSON.parse(text) as Json
  } catch (e) {
    throw new ApiError(400, 'Invalid', `the body is not JSON: ${(e as Error).message}`)
  }
}

/** Joins `'METHOD /path/:param'` → handler into one handler; 404 for an unknown path, 405 for an unknown method. */
export function router(table: Readonly<Record<string, Handler>>): Handler {
  const match = routeTable(table)
  return (call) => {
    const found = match(call)
    return found.value({ ...call, params: found.params })
  }
}

/** Finds the entry of a table `'METHOD /path/:param'` → anything that fits a call; throws 404 or 405. */
export function routeTable<T>(table: Readonly<Record<string, T>>): (call: Call) => { value: T; params: Record<string, string> } {
  const routes = Object.entries(table).map(([key, value]) => {
    const [method, pattern] = splitOnce(key, ' ')
    return { method, parts: pattern.split('/').filter(Boolean), value }
  })
  return (call) => {
    let pathKnown = false
    for (const route of routes) {
      const params = matchPath(route.parts, call.segments)
      if (!params) continue
      if (route.method === call.method) return { value: route.value, params }
      pathKnown = true
    }
    if (pathKnown) throw new ApiError(405, 'MethodNotAllowed', `${call.method} is not offered at ${call.path}`)
    throw new ApiError(404, 'NotFound', `there is nothing at ${call.path}`)
  }
}

function matchPath(parts: readonly string[], segments: readonly string[]): Record<string, string> | null {
  if (parts.length !== segments.length) return null
  const params: Record<string, string> = {}
  for (const [i, part] of parts.entries()) {
    const segment = segments[i] as string
    if (part.startsWith(':')) params[part.slice(1)] = segment
    else if (part !== segment) return null
  }
  return params
}

/** The body as an object, or 400. */
export function bodyObject(call: Call): Record<string, Json> {
  const body = call.body ?? {}
  if (body === null || typeof body !== 'object' || Array.isArray(body)) throw new ApiError(400, 'Invalid', 'the body must be a JSON object')
  return body
}
