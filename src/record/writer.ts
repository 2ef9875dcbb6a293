/**
 * Appends frames to the file of a recording: durable within a second of being shown (group commit by fdatasync), room
 * for the closing frames reserved from the start, and never a torn frame in the middle when the disk is full.
 */
import { hash } from 'node:crypto'
import * as fs from 'node:fs'
import { encodeFrame, FRAME_HEADER, HASH_LENGTH, type FrameType, type Hash } from './model.ts'

/** The closing frames (anchor, gap, exit) take well below 4 KB; two blocks more because file systems need some of their own. */
const RESERVE = 16_384
const SYNC_MS = 250
const COALESCE_MS = 16
const COALESCE_BYTES = 65_536

export const sha256: Hash = (data) => hash('sha256', data, 'buffer')

export interface WriterEvents {
  /** The disk is full or refuses to write; what could not be written stays in memory. */
  onTrouble(error: NodeJS.ErrnoException): void
  /** All that was held in memory has been written again. */
  onRecovered(): void
}

export class FrameWriter {
  readonly file: string
  readonly #fd: number
  readonly #start: bigint
  readonly #events: WriterEvents
  readonly #reserve: string
  #head: Uint8Array
  #size: number
  #frames: number
  #lastAt: number
  #output: Uint8Array[] = []
  #outputBytes = 0
  #outputAt = 0
  /** Encoded frames that a full disk did not take. Their hashes are already in the chain. */
  #backlog: { bytes: Uint8Array; type: FrameType; head: Uint8Array }[] = []
  #backlogBytes = 0
  #flushTimer: NodeJS.Timeout | null = null
  #syncTimer: NodeJS.Timeout | null = null
  #syncing: Promise<void> | null = null
  #dirty = false

  constructor(fd: number, file: string, start: bigint, events: WriterEvents, from?: { head: Uint8Array; size: number; frames: number; lastAt: number }) {
    this.file = file
    this.#fd = fd
    this.#start = start
    this.#events = events
    this.#reserve = `${file}.reserve`
    this.#head = from?.head ?? new Uint8Array(HASH_LENGTH)
    this.#size = from?.size ?? 0
    this.#frames = from?.frames ?? 0
    this.#lastAt = from?.lastAt ?? 0
  }

  get size(): number {
    return this.#size
  }
  get frames(): number {
    return this.#frames
  }
  get head(): string {
    return Buffer.from(this.#head).toString('hex')
  }
  /** Bytes that wait for room on the disk. */
  get waiting(): number {
    return this.#backlogBytes + this.#outputBytes
  }

  /** Takes the room for the closing frames. Throws when even that is not there: a recording must not begin then. */
  reserve(): void {
    const fd = fs.openSync(this.#reserve, 'w', 0o600)
    try {
      // Not zeros: a file system that stores holes or compresses would reserve nothing.
      fs.writeSync(fd, Buffer.from(Array.from({ length: RESERVE }, (_, i) => (i * 2654435761) >>> 24)))
      fs.fsyncSync(fd)
    } finally {
      fs.closeSync(fd)
    }
  }
  /** Gives the reserved room back, so that the closing frames fit. */
  releaseReserve(): void {
    fs.rmSync(this.#reserve, { force: true })
  }

  /** Nanoseconds since the start; never runs backwards. */
  now(): number {
    return Math.max(this.#lastAt, Number(process.hrtime.bigint() - this.#start))
  }

  /** Output is collected for at most 16 ms or 64 KB; any other frame goes out at once, after the output before it. */
  output(bytes: Uint8Array): void {
    if (bytes.length === 0) return
    if (this.#outputBytes === 0) this.#outputAt = this.now()
    this.#output.push(bytes)
    this.#outputBytes += bytes.length
    if (this.#outputBytes >= COALESCE_BYTES) this.flush()
    else this.#flushTimer ??= setTimeout(() => this.flush(), COALESCE_MS)
  }
  frame(type: FrameType, payload: Uint8Array | string): void {
    this.#collectOutput()
    this.#encode(type, this.now(), typeof payload === 'string' ? Buffer.from(payload) : payload)
    this.#drain()
  }
  flush(): void {
    this.#collectOutput()
    this.#drain()
  }
  #collectOutput(): void {
    if (this.#flushTimer) clearTimeout(this.#flushTimer)
    this.#flushTimer = null
    if (this.#outputBytes === 0) return
    const all = this.#output.length === 1 ? (this.#output[0] as Uint8Array) : Buffer.concat(this.#output)
    this.#output = []
    this.#outputBytes = 0
    for (let at = 0; at < all.length; at += COALESCE_BYTES) this.#encode('o', this.#outputAt, all.subarray(at, at + COALESCE_BYTES))
  }
  #encode(type: FrameType, at: number, payload: Uint8Array): void {
    const frame = encodeFrame(this.#head, type, Math.max(at, this.#lastAt), payload, sha256)
    this.#lastAt = Math.max(at, this.#lastAt)
    this.#backlog.push({ bytes: frame.bytes, type, head: this.#head })
    this.#backlogBytes += frame.bytes.length
    this.#head = frame.head
  }

  /** Writes what waits, whole frames only. True when nothing waits any more. */
  #drain(): boolean {
    while (this.#backlog.length > 0) {
      const { bytes } = this.#backlog[0] as { bytes: Uint8Array }
      try {
        writeAll(this.#fd, bytes, this.#size)
      } catch (error) {
        // A part of the frame may be on the disk: cut it off, so that the file always ends on a whole frame.
        try {
          fs.ftruncateSync(this.#fd, this.#size)
        } catch {
          // The reader cuts a torn tail off too.
        }
        this.#events.onTrouble(error as NodeJS.ErrnoException)
        return false
      }
      this.#size += bytes.length
      this.#frames += 1
      this.#backlogBytes -= bytes.length
      this.#backlog.shift()
      this.#dirty = true
    }
    if (this.#dirty) this.#syncTimer ??= setTimeout(() => void this.sync(), SYNC_MS)
    return true
  }
  /** Tries again to write what waits. */
  retry(): boolean {
    const done = this.#drain()
    if (done) this.#events.onRecovered()
    return done
  }
  /** Gives up what waits. Returns how many bytes of output are lost, and goes on from the last frame on the disk. */
  discard(): number {
    this.#collectOutput()
    const first = this.#backlog[0]
    if (!first) return 0
    const lost = this.#backlog.reduce((sum, f) => sum + (f.type === 'o' ? f.bytes.length - FRAME_HEADER - HASH_LENGTH : 0), 0)
    this.#head = first.head
    this.#backlog = []
    this.#backlogBytes = 0
    return lost
  }

  /** One fdatasync at a time; resolves when all that was written before the call is durable. */
  async sync(): Promise<void> {
    if (this.#syncTimer) clearTimeout(this.#syncTimer)
    this.#syncTimer = null
    while (this.#syncing) await this.#syncing
    if (!this.#dirty) return
    this.#dirty = false
    this.#syncing = new Promise<void>((resolve) => {
      fs.fdatasync(this.#fd, (error) => {
        this.#syncing = null
        if (error) {
          this.#dirty = true
          this.#events.onTrouble(error)
        }
        resolve()
      })
    })
    await this.#syncing
  }
  /** Last act: durable, timers gone, file and reserve closed. */
  async close(): Promise<void> {
    this.flush()
    await this.sync()
    if (this.#syncTimer) clearTimeout(this.#syncTimer)
    if (this.#flushTimer) clearTimeout(this.#flushTimer)
    this.#syncTimer = this.#flushTimer = null
    fs.fsyncSync(this.#fd)
    fs.closeSync(this.#fd)
    this.releaseReserve()
  }
}

function writeAll(fd: number, bytes: Uint8Array, position: number): void {
  let done = 0
  while (done < bytes.length) {
    const n = fs.writeSync(fd, bytes, done, bytes.length - done, position + done)
    if (n === 0) throw Object.assign(new Error('the disk took nothing'), { code: 'ENOSPC' })
    done += n
  }
}
