/**
 * One program on a pseudo-terminal, with every byte of its output and a certain end (recording-and-ledger.md §2).
 *
 * The native half of @replit/ruspty is used without its JavaScript wrapper. The wrapper looks for an end mark inside the
 * output and removes it wherever it appears, so a program that prints those eight bytes would change its own
 * recording, and it drops the terminal one second after the exit even when a slow reader has not read all.
 * Here the end mark is only believed when the process is gone; the same bytes from the program stay in the output.
 */
import { createRequire } from 'node:module'
import { ReadStream } from 'node:tty'
import type * as Ruspty from '@replit/ruspty/index.js'
import { ReglazeError } from '../core/errors.ts'
import { RECORD } from './errors.ts'
import type { Size } from './model.ts'

let loaded: { readonly ruspty: typeof Ruspty; readonly endMark: Buffer } | null = null
/** The native half, loaded when the first terminal is asked for: it does not exist for every computer. Throws RECORDING_NOT_HERE. */
function native(): { readonly ruspty: typeof Ruspty; readonly endMark: Buffer } {
  if (loaded) return loaded
  try {
    const ruspty = createRequire(import.meta.url)('@replit/ruspty/index.js') as typeof Ruspty
    loaded = { ruspty, endMark: ruspty.getSyntheticEofSequence() }
  } catch (cause) {
    throw new ReglazeError(RECORD.RECORDING_NOT_HERE, `terminals cannot be recorded on ${process.platform}-${process.arch}: the optional package @replit/ruspty has no build for it, or was left out of the installation`, { cause })
  }
  return loaded
}

/** The native half writes the end mark before it reports the exit; this long after it nothing more is on its way. */
const MARK_MISSING_MS = 2000

export interface PtyOptions {
  readonly command: string
  readonly args: readonly string[]
  readonly env: Readonly<Record<string, string>>
  readonly cwd: string
  readonly size: Size
  onOutput(bytes: Buffer): void
  /** After the last byte. `code` is -1 when the process died by a signal, null when the system does not tell. */
  onEnd(code: number | null, error: Error | null): void
}

export class Terminal {
  readonly pid: number
  readonly #options: PtyOptions
  readonly #native: Ruspty.Pty
  readonly #endMark: Buffer
  readonly #fd: number
  readonly #socket: ReadStream
  /** Bytes that may be the beginning of, or begin with, the end mark. */
  #held: Buffer = Buffer.alloc(0)
  #exit: { code: number | null; error: Error | null } | null = null
  #markSeen = false
  #released = false
  #ended = false
  #watch: NodeJS.Timeout | null = null
  #lastData = performance.now()

  constructor(options: PtyOptions) {
    this.#options = options
    const { ruspty, endMark } = native()
    this.#endMark = endMark
    this.#native = new ruspty.Pty({
      command: options.command, args: [...options.args], envs: { ...options.env }, dir: options.cwd, size: { ...options.size },
      onExit: (error, code) => this.#exited(error ? null : code, error),
    })
    this.pid = this.#native.pid
    this.#fd = this.#native.takeControllerFd()
    this.#socket = new ReadStream(this.#fd)
    this.#socket.on('data', (chunk: Buffer) => this.#data(chunk))
    this.#socket.on('error', (error: NodeJS.ErrnoException) => {
      // EIO is how Linux says that nobody holds the terminal any more: all has been read.
      if (error.code !== 'EINTR' && error.code !== 'EAGAIN') this.#socket.destroy()
    })
    this.#socket.on('end', () => this.#socket.destroy())
    this.#socket.on('close', () => this.#end())
  }

  write(bytes: Uint8Array): boolean {
    return this.#ended || this.#socket.destroyed ? true : this.#socket.write(bytes)
  }
  pause(): void {
    this.#socket.pause()
  }
  resume(): void {
    if (!this.#socket.destroyed) this.#socket.resume()
    this.#lastData = performance.now()
  }
  resize(size: Size): void {
    if (this.#ended || this.#socket.destroyed) return
    try {
      native().ruspty.ptyResize(this.#fd, { ...size })
    } catch (error) {
      // 9 EBADF, 25 ENOTTY: the terminal is gone already.
      if (!/os error (9|25)\b/.test(String(error))) throw error
    }
  }
  /** Sends a signal to the program's whole session leader group; gone already is fine. */
  signal(signal: NodeJS.Signals): void {
    for (const target of [-this.pid, this.pid]) {
      try {
        process.kill(target, signal)
      } catch {
        // Already gone.
      }
    }
  }
  get alive(): boolean {
    if (this.#exit) return false
    try {
      process.kill(this.pid, 0)
      return true
    } catch (error) {
      return (error as NodeJS.ErrnoException).code === 'EPERM'
    }
  }
  /** A terminal that was stopped by Ctrl-S also stops the end of the recording: let it run on. */
  unstop(): void {
    if (!this.#ended && !this.#socket.destroyed) this.#socket.write(Buffer.from([0x11]))
  }
  /** Closes the terminal whatever is still in it: SIGHUP goes to everything on it. */
  hangUp(): void {
    this.#release()
    this.#socket.destroy()
  }

  #data(chunk: Buffer): void {
    this.#lastData = performance.now()
    const data = this.#held.length === 0 ? chunk : Buffer.concat([this.#held, chunk])
    let certain = data.length - markPrefixAtEnd(data, this.#endMark)
    const mark = data.lastIndexOf(this.#endMark)
    // While the process lives, the mark can only come from itself: it is output like any other.
    if (mark >= 0 && !this.alive) {
      certain = mark
      this.#markSeen = true
    }
    this.#held = Buffer.from(data.subarray(certain))
    if (certain > 0) this.#options.onOutput(data.subarray(0, certain))
    this.#maybeRelease()
  }
  #exited(code: number | null, error: Error | null): void {
    this.#exit = { code, error }
    this.#maybeRelease()
    this.#watch ??= setInterval(() => this.#checkEnd(), 100)
  }
  /** The end mark is written after the exit and so after all output of the program: once it is read, all is read. */
  #maybeRelease(): void {
    if (this.#exit && this.#markSeen) this.#release()
  }
  #checkEnd(): void {
    if (this.#socket.isPaused() || performance.now() - this.#lastData < MARK_MISSING_MS) return
    if (this.#released) this.#socket.destroy()
    else this.#release()
  }
  #release(): void {
    if (this.#released) return
    this.#released = true
    this.#native.dropUserFd()
  }
  #end(): void {
    if (this.#ended) return
    if (!this.#exit) {
      // The terminal closed before the exit was reported: the report comes, the process has been hung up.
      setTimeout(() => this.#end(), 10)
      return
    }
    this.#ended = true
    if (this.#watch) clearInterval(this.#watch)
    this.#release()
    const rest = this.#markSeen ? withoutMark(this.#held, this.#endMark) : this.#held
    this.#held = Buffer.alloc(0)
    if (rest.length > 0) this.#options.onOutput(rest)
    this.#options.onEnd(this.#exit.code, this.#exit.error)
  }
}

/** Length of the longest end of `data` that could be the beginning of the end mark. */
function markPrefixAtEnd(data: Buffer, endMark: Buffer): number {
  for (let n = Math.min(data.length, endMark.length - 1); n > 0; n--) {
    if (data.subarray(data.length - n).equals(endMark.subarray(0, n))) return n
  }
  return 0
}
function withoutMark(held: Buffer, endMark: Buffer): Buffer {
  const mark = held.lastIndexOf(endMark)
  return mark < 0 ? held : Buffer.concat([held.subarray(0, mark), held.subarray(mark + endMark.length)])
}
