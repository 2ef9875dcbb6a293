import { CliError } from './io.ts'
import type { Io } from './io.ts'

export type Body = { [key: string]: unknown }

const EXIT: Readonly<Record<number, number>> = { 400: 2, 401: 3, 403: 3, 404: 4, 409: 5, 423: 5 }
const HINT: Readonly<Record<number, string>> = {
  401: 'Set SANDBOX_TOKEN to a key, or to a session token: eval "$(sandbox login)"',
  403: 'A session keeps the roles it had at login: if you were given the role just now, log in again.',
  404: 'See what exists: sandbox list instances',
  423: 'See all locks: sandbox locks',
  429: 'Wait a moment and try again.',
}

/** Calls the cloud in SANDBOX_URL with SANDBOX_TOKEN; an error answer becomes a {@link CliError} with a hint. */
export async function api(io: Io, method: string, path: string, body?: unknown): Promise<any> {
  const url = io.env['SANDBOX_URL']
  const token = io.env['SANDBOX_TOKEN']
  if (!url) throw new CliError(2, 'SANDBOX_URL is not set', 'Set it to the address of the cloud: export SANDBOX_URL=http://127.0.0.1:4100')
  if (!token) throw new CliError(3, 'SANDBOX_TOKEN is not set', 'Set it to your key, then: eval "$(sandbox login)"')
  const res = await send(io, url.replace(/\/+$/, '') + path, method, token, body)
  const text = await res.text()
  const answer = text === '' ? null : parse(text, url)
  if (res.ok) return answer
  const message = answer?.error?.message ?? `${method} ${path} answered ${res.status}`
  throw new CliError(EXIT[res.status] ?? 6, message, HINT[res.status] ?? '')
}

async function send(io: Io, url: string, method: string, token: string, body: unknown): Promise<Response> {
  const signal = io.signal ? AbortSignal.any([io.signal, AbortSignal.timeout(30_000)]) : AbortSignal.timeout(30_000)
  try {
    return await fetch(url, { method, signal, headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' }, ...(body === undefined ? {} : { body: JSON.stringify(body) }) })
  } catch (e) {
    const cause = (e as Error).cause as NodeJS.ErrnoException | undefined
    const why = cause?.code ?? (e as Error).message
    if (method !== 'GET' && why !== 'ECONNREFUSED') throw new CliError(7, `no answer from ${new URL(url).origin} (${why}): whether it took effect is not known`, 'Look before you repeat it: sandbox show …, sandbox audit')
    throw new CliError(6, `the cloud at ${new URL(url).origin} cannot be reached: ${why}`, 'Check SANDBOX_URL, and that the cloud is running.')
  }
}
function parse(text: string, url: string): any {
  try {
    return JSON.parse(text)
  } catch {
    throw new CliError(6, `${url} did not answer with JSON`, 'Check SANDBOX_URL.')
  }
}

const COLLECTIONS: Readonly<Record<string, string>> = {
  instance: 'instances',
  database: 'databases',
  route: 'routes',
  firewall: 'firewalls',
  snapshot: 'snapshots',
  'role-assignment': 'role-assignments',
}
/** The collection for a word: `instance`, `instances`, … */
export function collectionOf(word: string | undefined): string {
  const found = word === undefined ? undefined : (COLLECTIONS[word] ?? (Object.values(COLLECTIONS).includes(word) ? word : undefined))
  if (!found) throw new CliError(2, word === undefined ? 'say which collection' : `"${word}" is not a collection`, `Collections: ${Object.values(COLLECTIONS).join(', ')}`)
  return found
}

/** The path of one object by id (`i-12ab…`) or name. */
export function pathOf(collection: string, ref: string | undefined): string {
  if (!ref) throw new CliError(2, 'say which one, by name or id', `See what exists: sandbox list ${collection}`)
  const isId = /^(i|db|rt|fw|ra|snap)-[0-9a-f]{10}$/.test(ref)
  return `/v1/${collection}/${isId ? ref : `name:${encodeURIComponent(ref)}`}`
}
