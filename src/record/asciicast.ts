/**
 * asciicast v2 and v3 derived from raw frames (docs.asciinema.org, manual/asciicast). One streaming decoder runs over
 * the whole output: decoding frame by frame would break characters that are cut between two frames.
 */
import type { Frame, RecordingHeader } from './model.ts'
import { MarkParser } from './marks.ts'

export interface CastOptions {
  readonly version: 2 | 3
  /** Leave the shell's marks out of what is shown (default true); the raw frames keep them. */
  readonly strip?: boolean
  /** Pauses are shown at most this long, in seconds; only a hint for the player. */
  readonly idleTimeLimit?: number
}

/** The lines of an asciicast, each with its newline. Memory does not grow with the length of the recording. */
export function* asciicast(header: RecordingHeader, frames: Iterable<Frame>, options: CastOptions): Generator<string> {
  yield `${JSON.stringify(castHeader(header, options))}\n`
  const clock = new Clock(options.version)
  const decoder = new TextDecoder('utf-8', { ignoreBOM: true })
  const marks = options.strip === false ? null : new MarkParser(header.nonce)
  let last = 0
  for (const frame of frames) {
    last = frame.at
    const event = eventOf(frame, options.version, (bytes) => decoder.decode(marks ? plain(marks, bytes) : bytes, { stream: true }))
    if (event) yield `${JSON.stringify([clock.time(frame.at), ...event])}\n`
    if (frame.type === 'x') break
  }
  const tail = decoder.decode(marks ? joinAll(marks.end().map((p) => (p.kind === 'bytes' ? p.bytes : p.raw))) : new Uint8Array(0))
  if (tail !== '') yield `${JSON.stringify([clock.time(last), 'o', tail])}\n`
}

function castHeader(header: RecordingHeader, options: CastOptions): Record<string, unknown> {
  const timestamp = Math.floor(Date.parse(header.wall) / 1000)
  const common = {
    timestamp, command: header.command.join(' '), title: header.incident ?? undefined, env: header.env,
    idle_time_limit: options.idleTimeLimit,
  }
  const { cols, rows } = header.size
  return options.version === 2
    ? { version: 2, width: cols, height: rows, ...common }
    : { version: 3, term: { cols, rows, type: header.env['TERM'] }, ...common }
}

function eventOf(frame: Frame, version: 2 | 3, decode: (bytes: Uint8Array) => string): [string, string] | null {
  switch (frame.type) {
    case 'o': {
      const text = decode(frame.payload)
      return text === '' ? null : ['o', text]
    }
    case 'i':
      return ['i', new TextDecoder().decode(frame.payload)]
    case 'r':
      return ['r', new TextDecoder().decode(frame.payload)]
    case 'm':
      return ['m', new TextDecoder().decode(frame.payload)]
    case 'g':
      return ['m', `gap: ${new TextDecoder().decode(frame.payload)}`]
    case 'x':
      return version === 3 ? ['x', String((JSON.parse(new TextDecoder().decode(frame.payload)) as { code: number | null }).code ?? '')] : null
    default:
      return null
  }
}

/** v2: absolute seconds, microseconds exact. v3: intervals in whole milliseconds whose rounding error is carried on, so that it never adds up. */
class Clock {
  readonly #version: 2 | 3
  #toldMs = 0
  constructor(version: 2 | 3) {
    this.#version = version
  }
  time(at: number): number {
    if (this.#version === 2) return Math.round(at / 1000) / 1e6
    const ms = Math.round(at / 1e6)
    const interval = ms - this.#toldMs
    this.#toldMs = ms
    return interval / 1000
  }
}

function plain(marks: MarkParser, bytes: Uint8Array): Uint8Array {
  return joinAll(marks.push(bytes).flatMap((p) => (p.kind === 'bytes' ? [p.bytes] : [])))
}

export function joinAll(pieces: readonly Uint8Array[]): Uint8Array {
  if (pieces.length === 1) return pieces[0] as Uint8Array
  const all = new Uint8Array(pieces.reduce((sum, p) => sum + p.length, 0))
  let at = 0
  for (const piece of pieces) {
    all.set(piece, at)
    at += piece.length
  }
  return all
}
