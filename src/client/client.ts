import type { z } from 'zod'
import { CORE, defineErrors, outcomeUnknown, ReglazeError, type Route } from '../core/index.ts'

export const CLIENT = defineErrors({
  SERVER_UNREACHABLE: { kind: 'outside', about: 'The Reglaze server does not answer at this address.', hint: 'Start it with `reglaze serve`, or correct REGLAZE_URL.', retryable: true },
  SERVER_ANSWER: { kind: 'outside', about: 'What answered is not a Reglaze server of this version.', hint: 'Check REGLAZE_URL and `reglaze --version` on both sides.' },
})

/** An error that the server reported: its code may be one that only the server knows. */
export interface Problem {
  type: string
  title: string
  status: number
  code: string
  kind: string
  detail: string
  hint?: string
  place?: string
  instance: string
  data?: Record<string, unknown>
}
export class ServerError extends ReglazeError {
  readonly problem: Problem
  constructor(problem: Problem) {
    super(problem.code, problem.detail, { hint: problem.hint ?? '', ...(problem.place ? { place: problem.place } : {}), ...(problem.data ? { data: problem.data } : {}) })
    this.problem = problem
  }
  override get kind() {
    return this.problem.kind as ReglazeError['kind']
  }
}

type In<T> = T extends z.ZodType ? z.input<T> : undefined
export interface CallInput<P, Q, B> {
  params?: In<P>
  query?: In<Q>
  body?: In<B>
  timeoutMs?: number
}

export interface Client {
  readonly url: string
  call<P extends z.ZodType, Q extends z.ZodType, B extends z.ZodType, R extends z.ZodType>(route: Route<P, Q, B, R>, input?: CallInput<P, Q, B>): Promise<z.output<R>>
}

/** The typed client of the HTTP API: everything that the CLI and the console do goes through this. */
export function createClient(o: { url: string; token?: string | undefined }): Client {
  const base = o.url.replace(/\/$/, '')
  return {
    url: base,
    async call(route, input = {}) {
      const path = route.path.replace(/\{(\w+)\}/g, (_, key: string) => segment(key, (input.params as Record<string, unknown> | undefined)?.[key]))
      const query = new URLSearchParams()
      for (const [k, v] of Object.entries((input.query ?? {}) as Record<string, unknown>)) if (v !== undefined) query.set(k, String(v))
      const url = `${base}${path}${query.size > 0 ? `?${query}` : ''}`
      const answer = await send(url, route.method, o.token, input.body ?? (route.body ? {} : undefined), input.timeoutMs ?? 30_000)
      const parsed = route.response.safeParse(answer)
      if (!parsed.success) throw new ReglazeError(CLIENT.SERVER_ANSWER, `the answer of ${route.id} does not have the agreed shape: ${parsed.error.issues[0]?.path.join('.')}: ${parsed.error.issues[0]?.message}`)
      return parsed.data as never
    },
  }
}

/** A name as one part of an address; `..` would be another address. */
function segment(key: string, value: unknown): string {
  const text = value === undefined || value === null ? '' : String(value)
  if (text === '' || text === '.' || text === '..') throw new ReglazeError(CORE.INVALID_INPUT, `"${text}" is no ${key}`, { place: key })
  return encodeURIComponent(text)
}

async function send(url: string, method: string, token: string | undefined, body: unknown, timeoutMs: number): Promise<unknown> {
  let response: Response
  try {
    response = await fetch(url, {
      method,
      headers: { accept: 'application/json', ...(token ? { authorization: `Bearer ${token}` } : {}), ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(timeoutMs),
    })
  } catch (cause) {
    const reason = (cause as { cause?: { code?: string } }).cause?.code ?? (cause as Error).name
    if (method !== 'GET' && reason !== 'ECONNREFUSED' && reason !== 'ENOTFOUND') throw outcomeUnknown(`no answer from ${url} (${reason})`, cause)
    throw new ReglazeError(CLIENT.SERVER_UNREACHABLE, `no answer from ${url} (${reason})`, { cause })
  }
  const text = await response.text().catch((cause: unknown) => {
    throw method === 'GET' ? new ReglazeError(CLIENT.SERVER_UNREACHABLE, `the answer of ${url} broke off`, { cause }) : outcomeUnknown(`the answer of ${url} broke off`, cause)
  })
  let parsed: unknown
  try {
    parsed = text === '' ? null : JSON.parse(text)
  } catch {
    throw new ReglazeError(CLIENT.SERVER_ANSWER, `${url} answered ${response.status} without JSON`)
  }
  if (response.ok) return parsed
  const problem = parsed as Problem
  if (typeof problem?.code !== 'string') throw new ReglazeError(response.status === 401 ? CORE.UNAUTHENTICATED : CLIENT.SERVER_ANSWER, `${url} answered ${response.status}`)
  throw new ServerError(problem)
}
