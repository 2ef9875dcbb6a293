import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { createClient, type Client } from '../client/index.ts'
import { CORE, EXIT, ReglazeError, type ErrorKind } from '../core/index.ts'

/** Where a command writes and what it sees: given, so that the demo and tests run the very commands that people type. */
export interface Io {
  readonly env: Readonly<Record<string, string | undefined>>
  readonly cwd: string
  readonly colour: boolean
  out(text: string): void
  err(text: string): void
}
export interface Globals {
  readonly url?: string
  readonly token?: string
  readonly json?: boolean
}

export const processIo: Io = {
  env: process.env,
  cwd: process.cwd(),
  colour: process.stdout.isTTY === true && !process.env['NO_COLOR'],
  out: (text) => void process.stdout.write(text),
  err: (text) => void process.stderr.write(text),
}
export const DEFAULT_URL = 'http://127.0.0.1:7420'

/** The client for the server that this command speaks to. */
export function client(io: Io, g: Globals): Client {
  const token = g.token ?? io.env['REGLAZE_TOKEN']
  if (!token) throw new ReglazeError(CORE.UNAUTHENTICATED, 'no token: neither --token nor REGLAZE_TOKEN is given')
  return createClient({ url: g.url ?? io.env['REGLAZE_URL'] ?? DEFAULT_URL, token })
}

/** One answer, as JSON or as text for people. */
export function answer(io: Io, g: Globals, value: unknown, text: () => string): void {
  io.out(g.json ? `${JSON.stringify(value, null, 2)}\n` : `${text()}\n`)
}
/** Progress on long work: to stderr, so that stdout stays the answer. Silent with --json. */
export function progress(io: Io, g: Globals, text: string): void {
  if (!g.json) io.err(`${paint(io, 'dim', text)}\n`)
}

const CODES = { bold: 1, dim: 2, red: 31, green: 32, yellow: 33, cyan: 36 } as const
export function paint(io: Pick<Io, 'colour'>, how: keyof typeof CODES, text: string): string {
  return io.colour ? `\u001b[${CODES[how]}m${text}\u001b[0m` : text
}

/** Columns, as wide as their widest cell. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const all = [head, ...rows]
  const width = head.map((_, i) => Math.max(...all.map((r) => (r[i] ?? '').length)))
  return all.map((r) => r.map((c, i) => (i === r.length - 1 ? c : c.padEnd(width[i] ?? 0))).join('  ').trimEnd()).join('\n')
}

/** A file that was named on the command line. Throws INVALID_INPUT with its place when it cannot be read. */
export function readText(io: Io, path: string): string {
  try {
    return readFileSync(resolve(io.cwd, path), 'utf8')
  } catch (cause) {
    throw new ReglazeError(CORE.INVALID_INPUT, `${path} cannot be read: ${(cause as Error).message}`, { place: path, hint: 'Name a file that is there and readable.', cause })
  }
}

/** Files that are missing or locked away are the caller's, not a defect of ours. */
function named(error: unknown): unknown {
  const { code, path, message } = error as NodeJS.ErrnoException
  if (error instanceof ReglazeError || !['ENOENT', 'EACCES', 'EISDIR', 'ENOTDIR', 'ENOSPC', 'EROFS'].includes(code ?? '')) return error
  return new ReglazeError(CORE.INVALID_INPUT, message, { ...(path ? { place: path } : {}), hint: code === 'ENOSPC' ? 'The disk is full: make room.' : 'Name a file or folder that is there and may be used.', cause: error })
}

/** Says an error with its place and way out; returns the exit code (DESIGN §5). */
export function report(io: Io, g: Globals, thrown: unknown): number {
  const error = named(thrown)
  const known = error instanceof ReglazeError
  const kind: ErrorKind = known ? error.kind : 'bug'
  if (g.json) {
    const e = known ? { code: error.code, message: error.message, place: error.place ?? null, hint: error.hint, data: error.data ?? null } : { code: CORE.INTERNAL, message: String((error as Error)?.stack ?? error), place: null, hint: '', data: null }
    io.out(`${JSON.stringify({ error: e }, null, 2)}\n`)
  } else if (known) {
    const at = error.place && !error.message.startsWith(error.place) ? `${error.place}: ` : ''
    io.err(`${paint(io, 'red', 'error')}: ${at}${error.message}${error.hint ? `\n${paint(io, 'dim', '→')} ${error.hint}` : ''}\n`)
  } else {
    io.err(`this is a defect in Reglaze: ${(error as Error)?.stack ?? String(error)}\n`)
  }
  return EXIT[kind] ?? 70
}

/** When this process waited for other programs, and for what; in milliseconds since 1970. The demo reports it. */
export const waits: { what: string; from: number; to: number }[] = []
export async function waitingFor<T>(what: string, work: Promise<T>): Promise<T> {
  const from = Date.now()
  try {
    return await work
  } finally {
    waits.push({ what, from, to: Date.now() })
  }
}

/** Waits until `look` gives a value; asks again every `everyMs`. Throws OUTSIDE_FAILED with what is still missing at the deadline. */
export async function waitFor<T>(look: () => Promise<T | null>, o: { timeoutMs: number; everyMs?: number; what: () => string }): Promise<T> {
  const end = performance.now() + o.timeoutMs
  for (;;) {
    // A server that is being restarted is no reason to give up before the deadline.
    const found = await look().catch((error: unknown) => {
      if (error instanceof ReglazeError && error.code === 'SERVER_UNREACHABLE' && performance.now() < end) return null
      throw error
    })
    if (found !== null) return found
    if (performance.now() > end) throw new ReglazeError(CORE.OUTSIDE_FAILED, `waited ${Math.round(o.timeoutMs / 1000)} s: ${o.what()}`, { hint: 'The work goes on in the server; look again, or run the same command once more.' })
    await waitingFor('answers of the server and of the automations', new Promise((r) => setTimeout(r, o.everyMs ?? 150)))
  }
}
