/**
 * The file format of a recording: raw frames in a hash chain (DESIGN record/). Pure: the hash is handed in.
 *
 *   u32 LE payload length · u64 LE nanoseconds since the start (monotonic) · u8 type · payload · 32 bytes
 *   h = SHA-256(h of the frame before ‖ 13-byte header ‖ payload); before the first frame h is 32 zero bytes
 *
 * The raw bytes are the evidence: an asciicast loses invalid bytes, so it is only ever derived (asciicast.ts).
 */
import type { Json } from '../core/json.ts'

export const FRAME_HEADER = 13
export const HASH_LENGTH = 32
/** No frame of ours is longer: output is cut at 64 KB, markers and headers are small. */
export const MAX_PAYLOAD = 1 << 20
export const FORMAT = 'reglaze-recording/1'

/** h header · o output · i input · r resize · m marker · a anchor of both clocks · g gap · x exit */
export type FrameType = 'h' | 'o' | 'i' | 'r' | 'm' | 'a' | 'g' | 'x'
const TYPES = 'hoirmagx'

export type Hash = (data: Uint8Array) => Uint8Array

export interface Frame {
  readonly type: FrameType
  /** Nanoseconds since the start of the recording, monotonic; exact up to 104 days. */
  readonly at: number
  readonly payload: Uint8Array
  /** Where the frame begins in the file. */
  readonly offset: number
}

export interface Size {
  readonly rows: number
  readonly cols: number
}

/** The JSON of the first frame. */
export interface RecordingHeader {
  readonly format: typeof FORMAT
  readonly id: string
  readonly command: readonly string[]
  readonly cwd: string
  readonly size: Size
  /** Only the variables of the allow-list: an environment holds secrets. */
  readonly env: Readonly<Record<string, string>>
  readonly host: string
  readonly user: string
  readonly person: string | null
  readonly grant: string | null
  readonly incident: string | null
  /** Key presses are not recorded; what the terminal echoes is. */
  readonly input: 'off'
  readonly wall: string
  readonly monotonicNs: string
  /** Do all processes of the terminal end when the recorder dies? `hangup-only`: a process that ignores SIGHUP lives on. */
  readonly tied: 'pid-namespace' | 'hangup-only'
  readonly tiedWhy: string | null
  /** What happens when the recording cannot be written. */
  readonly onFull: 'terminate' | 'continue'
  readonly graceMs: number
  /** Proves that a shell mark was written by the shell that we started; null: no marks. */
  readonly nonce: string | null
  readonly recorder: { readonly pid: number; readonly startTicks: string | null }
}

/** The JSON of the last frame. */
export interface RecordingExit {
  /** Exit status; 128 + n after signal n; null when nobody knows. */
  readonly code: number | null
  readonly reason: 'exit' | 'stopped' | 'disk-full' | 'interrupted' | 'terminal-lost'
  readonly detail: string | null
  readonly wall: string
  /** Bytes that the terminal showed and that are not in the file. */
  readonly lost: number
}

export interface EncodedFrame {
  readonly bytes: Uint8Array
  readonly head: Uint8Array
}

/** One frame as bytes, and the new head of the chain. `at` in whole nanoseconds. */
export function encodeFrame(previous: Uint8Array, type: FrameType, at: number, payload: Uint8Array, hash: Hash): EncodedFrame {
  const hashed = new Uint8Array(HASH_LENGTH + FRAME_HEADER + payload.length)
  hashed.set(previous, 0)
  const view = new DataView(hashed.buffer, HASH_LENGTH, FRAME_HEADER)
  view.setUint32(0, payload.length, true)
  view.setBigUint64(4, BigInt(at), true)
  view.setUint8(12, type.charCodeAt(0))
  hashed.set(payload, HASH_LENGTH + FRAME_HEADER)
  const head = hash(hashed)
  const bytes = new Uint8Array(FRAME_HEADER + payload.length + HASH_LENGTH)
  bytes.set(hashed.subarray(HASH_LENGTH), 0)
  bytes.set(head, FRAME_HEADER + payload.length)
  return { bytes, head }
}

export interface BadPlace {
  readonly offset: number
  readonly frame: number
  readonly why: string
}

/** Reads frames out of pieces of any size and checks the chain on the way. It stops for good at the first bad place. */
export class FrameReader {
  readonly #hash: Hash
  #rest = new Uint8Array(0)
  #previous = new Uint8Array(HASH_LENGTH)
  #offset = 0
  #frames = 0
  #lastAt = 0
  #ended = false
  #bad: BadPlace | null = null

  constructor(hash: Hash) {
    this.#hash = hash
  }
  /** Hash of the last good frame. */
  get head(): Uint8Array {
    return this.#previous
  }
  /** End of the last good frame in the file. */
  get offset(): number {
    return this.#offset
  }
  get frames(): number {
    return this.#frames
  }
  get lastAt(): number {
    return this.#lastAt
  }
  get ended(): boolean {
    return this.#ended
  }
  get bad(): BadPlace | null {
    return this.#bad
  }
  /** Bytes after the last good frame that do not make a whole one yet. */
  get torn(): number {
    return this.#rest.length
  }

  push(piece: Uint8Array): Frame[] {
    if (this.#bad) return []
    const data = this.#rest.length === 0 ? piece : joined(this.#rest, piece)
    const frames: Frame[] = []
    let start = 0
    while (data.length - start >= FRAME_HEADER) {
      const size = wholeSize(data, start)
      if (size < 0) {
        this.#fail('the length or the type of a frame is impossible')
        break
      }
      if (data.length - start < size) break
      const frame = this.#one(data.subarray(start, start + size))
      if (!frame) break
      frames.push(frame)
      start += size
    }
    // A copy: `slice` of a Node Buffer would share the memory that the caller reads the next piece into.
    this.#rest = new Uint8Array(data.subarray(start))
    return frames
  }

  #one(bytes: Uint8Array): Frame | null {
    const length = bytes.length - HASH_LENGTH
    const type = String.fromCharCode(bytes[12] as number) as FrameType
    const at = Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(4, true))
    const expected = this.#hash(joined(this.#previous, bytes.subarray(0, length)))
    if (!sameBytes(expected, bytes.subarray(length))) return this.#fail('the hash does not fit what came before')
    if (this.#ended) return this.#fail('there is a frame after the exit frame')
    if (this.#frames === 0 && type !== 'h') return this.#fail('the first frame is not a header')
    if (at < this.#lastAt) return this.#fail('time runs backwards')
    const frame: Frame = { type, at, payload: new Uint8Array(bytes.subarray(FRAME_HEADER, length)), offset: this.#offset }
    this.#previous = new Uint8Array(expected)
    this.#offset += bytes.length
    this.#frames += 1
    this.#lastAt = at
    this.#ended = type === 'x'
    return frame
  }
  #fail(why: string): null {
    this.#bad = { offset: this.#offset, frame: this.#frames, why }
    return null
  }
}

/** Length of the whole frame that begins at `start`; -1 when no frame of ours looks like this. */
function wholeSize(data: Uint8Array, start: number): number {
  const length = new DataView(data.buffer, data.byteOffset + start).getUint32(0, true)
  if (length > MAX_PAYLOAD || !TYPES.includes(String.fromCharCode(data[start + 12] as number))) return -1
  return FRAME_HEADER + length + HASH_LENGTH
}

export function joined(a: Uint8Array, b: Uint8Array): Uint8Array {
  const all = new Uint8Array(a.length + b.length)
  all.set(a, 0)
  all.set(b, a.length)
  return all
}

export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false
  return true
}

/** What a check of a whole recording found. */
export interface Verification {
  readonly ok: boolean
  /** complete: ended by an exit frame and nothing lost · partial: it says itself what is missing · interrupted: no end · broken */
  readonly state: 'complete' | 'partial' | 'interrupted' | 'broken'
  readonly reason: string | null
  readonly frames: number
  readonly bytes: number
  /** SHA-256 of the last good frame in hex: known elsewhere, it proves that no tail was cut. */
  readonly head: string
  readonly bad: BadPlace | null
  /** Bytes after the last whole frame. */
  readonly torn: number
  readonly header: RecordingHeader | null
  readonly exit: RecordingExit | null
}

/** One command of the history, from the shell's marks. */
export interface RecordedCommand {
  readonly command: string
  readonly cwd: string | null
  /** Seconds since the start of the recording. */
  readonly start: number
  readonly end: number | null
  readonly exitCode: number | null
}

/** A manual change outside, and whose it was. */
export type Verdict = 'attributed' | 'automation' | 'unexplained'
export interface ModificationResource {
  readonly type: string
  readonly id: string
  readonly name: string | null
}
export interface ChangedAttribute {
  readonly before: Json
  readonly after: Json
}

export interface Undone {
  readonly by: string
  readonly at: string
  readonly event: string
  /** reverted: the earlier value is back · overwritten: another value is there · deleted · made-again */
  readonly how: 'reverted' | 'overwritten' | 'deleted' | 'made-again'
  readonly attributes: readonly string[]
}
export interface Modification {
  /** Null until it is stored. */
  readonly id: string | null
  readonly event: string
  readonly at: string
  readonly actor: string
  readonly credential: string
  readonly sourceIdentity: string | null
  readonly action: string
  readonly request: string
  readonly resource: ModificationResource
  readonly address: string | null
  /** The whole object before and after, as the audit log tells; null = it did not exist. */
  readonly before: Json
  readonly after: Json
  /** Only what differs. */
  readonly attributes: Readonly<Record<string, ChangedAttribute>>
  readonly grant: string | null
  readonly incident: string | null
  readonly person: string | null
  readonly verdict: Verdict
  readonly why: string
}

/** The life of an uploaded recording; the same pairs are in the database. */
export type RecordingState = 'open' | 'complete' | 'partial'
export const RECORDING_TRANSITIONS: readonly (readonly [RecordingState, RecordingState])[] = [['open', 'complete'], ['open', 'partial']]
