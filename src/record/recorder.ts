/** Records one program in a terminal. One process per recording: when this one crashes, no other recording is hit. */
import { randomBytes } from 'node:crypto'
import { spawnSync } from 'node:child_process'
import * as fs from 'node:fs'
import * as os from 'node:os'
import * as path from 'node:path'
import type { Readable, Writable } from 'node:stream'
import { ReglazeError } from '../core/errors.ts'
import { RECORD } from './errors.ts'
import { bashRc } from './marks.ts'
import { FORMAT, type RecordingExit, type RecordingHeader, type Size } from './model.ts'
import { Terminal } from './pty.ts'
import { startTicks } from './processes.ts'
import { tie } from './tie.ts'
import { FrameWriter } from './writer.ts'

/** Variables that are stored in the header; all others stay out of the file. */
const SHOWN_ENV = ['TERM', 'SHELL', 'LANG', 'LC_ALL', 'USER', 'LOGNAME', 'HOME', 'COLORTERM']
/** Output held in memory while the disk is full; beyond this the terminal stands still until the disk or the grace ends. */
const MOST_WAITING = 4 << 20
const RETRY_MS = 500
const ANCHOR_MS = 60_000
const KILL_AFTER_MS = 2000

export interface RecordOptions {
  /** Default: bash with marks. A path or a name on PATH. */
  readonly command?: string
  readonly args?: readonly string[]
  /** The program's whole environment. Default: ours. */
  readonly env?: Readonly<Record<string, string | undefined>>
  readonly cwd?: string
  /** Must not exist yet. */
  readonly file: string
  /** Default: the local terminal's, else 24 × 80. */
  readonly size?: Size
  /** What is typed. A local terminal is switched to raw for the time; null: nothing is typed. */
  readonly stdin?: Readable | null
  /** Where the output is shown; null: nowhere. */
  readonly stdout?: Writable | null
  /** Shown before the program starts (and kept as a marker). */
  readonly banner?: string
  readonly id?: string
  readonly person?: string | null
  readonly grant?: string | null
  readonly incident?: string | null
  readonly onFull?: 'terminate' | 'continue'
  /** How long a full disk may last before `onFull` (default 30 s). */
  readonly graceMs?: number
  readonly tie?: 'auto' | 'off'
  /** Every piece of output, after it went to the recording. */
  readonly onFrame?: (bytes: Uint8Array) => void
  /** The recording cannot be written at the moment: for an alarm. */
  readonly onTrouble?: (message: string) => void
  readonly signal?: AbortSignal
}

export interface Recorded {
  readonly id: string
  readonly file: string
  readonly exit: RecordingExit
  readonly state: 'complete' | 'partial'
  readonly bytes: number
  readonly frames: number
  /** SHA-256 of the last frame, hex. */
  readonly head: string
  readonly tied: RecordingHeader['tied']
}

export interface LiveRecording {
  readonly id: string
  readonly pid: number
  readonly nonce: string | null
  readonly header: RecordingHeader
  readonly done: Promise<Recorded>
  write(bytes: Uint8Array | string): void
  resize(size: Size): void
  marker(text: string): void
  /** Ends the program (SIGHUP, after 2 s SIGKILL); the recording is closed properly. */
  stop(reason?: string): void
}

/** Records until the program ends. Throws RECORDING_EXISTS or RECORDING_NOT_STARTED; after that every way out writes an exit frame. */
export async function record(options: RecordOptions): Promise<Recorded> {
  return startRecording(options).done
}

export function startRecording(options: RecordOptions): LiveRecording {
  return new Recorder(options)
}

class Recorder implements LiveRecording {
  readonly id: string
  readonly nonce: string | null
  readonly header: RecordingHeader
  readonly done: Promise<Recorded>
  readonly #options: RecordOptions
  readonly #writer: FrameWriter
  readonly #terminal: Terminal
  readonly #out: Writable | null
  readonly #undo: (() => void)[] = []
  #settle!: { resolve: (r: Recorded) => void; reject: (e: unknown) => void }
  #stop: { reason: RecordingExit['reason']; detail: string | null } | null = null
  #fullSince: number | null = null
  #unrecorded = false
  #lost = 0
  #heldByDisk = false
  #heldByScreen = false

  constructor(options: RecordOptions) {
    this.#options = options
    this.id = options.id ?? `rec_${randomBytes(10).toString('hex')}`
    const shell = options.command === undefined
    this.nonce = shell ? randomBytes(16).toString('hex') : null
    const env = cleanEnv(options.env ?? process.env)
    const { command, args, undo } = shell ? markedShell(this.nonce as string) : { command: onPath(options.command as string, env), args: options.args ?? [], undo: () => undefined }
    this.#undo.push(undo)
    const launch = tie(command, args, options.tie ?? 'auto')
    const cwd = path.resolve(options.cwd ?? process.cwd())
    const size = options.size ?? localSize(options.stdout ?? null) ?? { rows: 24, cols: 80 }
    const monotonic = process.hrtime.bigint()
    this.header = {
      format: FORMAT, id: this.id, command: [command, ...args.map((a) => (shell && a.endsWith('.bashrc') ? '(marks)' : a))], cwd, size, env: shownEnv(env), host: os.hostname(),
      user: userName(), person: options.person ?? null, grant: options.grant ?? null, incident: options.incident ?? null, input: 'off',
      wall: new Date().toISOString(), monotonicNs: String(monotonic), tied: launch.tied, tiedWhy: launch.why,
      onFull: options.onFull ?? 'terminate', graceMs: options.graceMs ?? 30_000, nonce: this.nonce,
      recorder: { pid: process.pid, startTicks: startTicks(process.pid) },
    }
    this.done = new Promise((resolve, reject) => (this.#settle = { resolve, reject }))
    this.#writer = this.#open(monotonic)
    this.#out = options.stdout ?? null
    this.#terminal = this.#launch(launch, env, cwd, size)
    this.#connect()
  }

  get pid(): number {
    return this.#terminal.pid
  }
  write(bytes: Uint8Array | string): void {
    this.#terminal.write(typeof bytes === 'string' ? Buffer.from(bytes) : bytes)
  }
  resize(size: Size): void {
    this.#writer.frame('r', `${size.cols}x${size.rows}`)
    this.#terminal.resize(size)
  }
  marker(text: string): void {
    this.#writer.frame('m', text)
  }
  stop(reason = 'asked to stop'): void {
    this.#end('stopped', reason)
  }

  #open(monotonic: bigint): FrameWriter {
    let fd: number
    let folder = false
    try {
      fs.mkdirSync(path.dirname(this.#options.file), { recursive: true })
      folder = true
      fd = fs.openSync(this.#options.file, 'wx', 0o600)
    } catch (error) {
      this.#undoAll()
      const exists = folder && (error as NodeJS.ErrnoException).code === 'EEXIST'
      throw new ReglazeError(exists ? RECORD.RECORDING_EXISTS : RECORD.RECORDING_NOT_STARTED, exists ? `${this.#options.file} is there already` : `cannot record to ${this.#options.file}: ${(error as Error).message}`, { cause: error })
    }
    const writer = new FrameWriter(fd, this.#options.file, monotonic, { onTrouble: (e) => this.#diskTrouble(e), onRecovered: () => this.#recovered() })
    try {
      writer.reserve()
      writer.frame('h', JSON.stringify(this.header))
      if (writer.waiting > 0) throw new Error('no room on the disk')
    } catch (error) {
      this.#undoAll()
      writer.releaseReserve()
      fs.closeSync(fd)
      fs.rmSync(this.#options.file, { force: true })
      throw new ReglazeError(RECORD.RECORDING_NOT_STARTED, `cannot record to ${this.#options.file}: ${(error as Error).message}`, { cause: error })
    }
    return writer
  }
  #launch(launch: { command: string; args: readonly string[] }, env: Record<string, string>, cwd: string, size: Size): Terminal {
    try {
      return new Terminal({
        ...launch, env, cwd, size,
        onOutput: (bytes) => this.#output(bytes),
        onEnd: (code, error) => void this.#finish(code, error),
      })
    } catch (error) {
      this.#undoAll()
      void this.#writer.close().then(() => fs.rmSync(this.#options.file, { force: true }))
      if (error instanceof ReglazeError) throw error
      throw new ReglazeError(RECORD.RECORDING_NOT_STARTED, `cannot start ${this.header.command.join(' ')}: ${(error as Error).message}`, { cause: error })
    }
  }

  #connect(): void {
    const { stdin, banner, signal } = this.#options
    if (banner) {
      this.#writer.frame('m', banner)
      this.#show(Buffer.from(`${banner.replaceAll('\n', '\r\n')}\r\n`))
    }
    if (stdin) this.#connectInput(stdin)
    if (this.#out) {
      const lost = () => this.#end('terminal-lost', 'the terminal that showed the output is gone')
      this.#out.on('error', lost)
      this.#undo.push(() => this.#out?.off('error', lost))
    }
    const anchor = setInterval(() => this.#anchor(), ANCHOR_MS)
    this.#undo.push(() => clearInterval(anchor))
    const aborted = () => this.stop('aborted')
    signal?.addEventListener('abort', aborted, { once: true })
    this.#undo.push(() => signal?.removeEventListener('abort', aborted))
    if (signal?.aborted) aborted()
  }
  #connectInput(stdin: Readable): void {
    const typed = (chunk: Buffer | string) => {
      if (!this.#terminal.write(Buffer.from(chunk))) stdin.pause()
      else return
      setTimeout(() => stdin.resume(), 20)
    }
    stdin.on('data', typed)
    this.#undo.push(() => {
      stdin.off('data', typed)
      stdin.pause()
    })
    if ((stdin as NodeJS.ReadStream).isTTY) this.#connectLocalTerminal()
  }
  /** Node's own raw mode keeps ONLCR and so changes bytes; `stty raw` does not. */
  #connectLocalTerminal(): void {
    const saved = spawnSync('stty', ['-g'], { stdio: ['inherit', 'pipe', 'ignore'], encoding: 'utf8' }).stdout.trim()
    spawnSync('stty', ['raw', '-echo'], { stdio: ['inherit', 'ignore', 'ignore'] })
    const restore = () => void spawnSync('stty', [saved || 'sane'], { stdio: ['inherit', 'ignore', 'ignore'] })
    const resized = () => {
      const size = localSize(this.#out)
      if (size) this.resize(size)
    }
    const hungUp = () => this.#end('terminal-lost', 'the local terminal was closed')
    const asked = () => this.stop('the recorder was asked to end')
    process.on('exit', restore).on('SIGWINCH', resized).on('SIGHUP', hungUp).on('SIGTERM', asked)
    this.#undo.push(() => {
      process.off('exit', restore).off('SIGWINCH', resized).off('SIGHUP', hungUp).off('SIGTERM', asked)
      restore()
    })
  }

  #output(bytes: Buffer): void {
    if (this.#unrecorded) this.#lost += bytes.length
    else this.#writer.output(bytes)
    this.#options.onFrame?.(bytes)
    this.#show(bytes)
    if (this.#fullSince !== null && !this.#unrecorded && this.#writer.waiting > MOST_WAITING) this.#hold('disk', true)
  }
  #show(bytes: Uint8Array): void {
    if (!this.#out || this.#out.destroyed || this.#out.writableEnded) return
    if (this.#out.write(bytes)) return
    this.#hold('screen', true)
    this.#out.once('drain', () => this.#hold('screen', false))
  }
  #hold(who: 'disk' | 'screen', hold: boolean): void {
    if (who === 'disk') this.#heldByDisk = hold
    else this.#heldByScreen = hold
    if (this.#heldByDisk || this.#heldByScreen) this.#terminal.pause()
    else this.#terminal.resume()
  }
  #anchor(): void {
    this.#writer.frame('a', JSON.stringify({ wall: new Date().toISOString(), monotonicNs: String(process.hrtime.bigint()) }))
  }

  #diskTrouble(error: NodeJS.ErrnoException): void {
    if (this.#fullSince !== null || this.#unrecorded) return
    this.#fullSince = performance.now()
    const end = this.header.onFull === 'terminate' ? `this terminal ends in ${Math.round(this.header.graceMs / 1000)} s` : 'it goes on unrecorded after that'
    this.#alarm(`RECORDING STOPPED: ${error.code ?? error.message}; ${end} unless there is room again`)
    const retry = setInterval(() => this.#retry(retry), Math.min(RETRY_MS, this.header.graceMs))
    this.#undo.push(() => clearInterval(retry))
  }
  #retry(timer: NodeJS.Timeout): void {
    if (this.#writer.retry()) return clearInterval(timer)
    if (performance.now() - (this.#fullSince ?? 0) < this.header.graceMs) return
    clearInterval(timer)
    this.#giveUp()
    if (this.header.onFull === 'terminate') this.#end('disk-full', 'the recording could not be written; the grace is over')
    else this.#alarm('THIS TERMINAL IS NO LONGER RECORDED')
    this.#hold('disk', false)
  }
  /** Uses the reserved room to say in the file itself that something is missing. */
  #giveUp(): void {
    this.#lost += this.#writer.discard()
    this.#unrecorded = true
    this.#writer.releaseReserve()
    this.#writer.frame('g', JSON.stringify({ reason: 'disk-full', lost: this.#lost, wall: new Date().toISOString() }))
  }
  #recovered(): void {
    if (this.#fullSince === null) return
    this.#fullSince = null
    this.#hold('disk', false)
    this.#alarm('recording again; nothing is lost')
  }
  /** To the person at the terminal, in red, and to whoever watches; never into the recorded output. */
  #alarm(message: string): void {
    this.#options.onTrouble?.(message)
    this.#show(Buffer.from(`\r\n\x1b[1;37;41m reglaze: ${message} \x1b[0m\r\n`))
  }

  #end(reason: RecordingExit['reason'], detail: string): void {
    if (this.#stop) return
    this.#stop = { reason, detail }
    this.#hold('screen', false)
    this.#terminal.signal('SIGHUP')
    this.#terminal.signal('SIGCONT')
    const kill = setTimeout(() => {
      this.#terminal.signal('SIGKILL')
      this.#terminal.unstop()
    }, KILL_AFTER_MS)
    this.#undo.push(() => clearTimeout(kill))
  }
  async #finish(code: number | null, error: Error | null): Promise<void> {
    try {
      this.#writer.flush()
      // The program may end while the disk is still full: its last output is then lost, and the file says so.
      if (this.#fullSince !== null && !this.#unrecorded && !this.#writer.retry()) this.#giveUp()
      this.#writer.releaseReserve()
      this.#anchor()
      const exit: RecordingExit = {
        code: code === -1 ? null : code, reason: this.#stop?.reason ?? (this.#unrecorded ? 'disk-full' : 'exit'),
        detail: this.#stop?.detail ?? error?.message ?? (code === -1 ? 'ended by a signal' : null), wall: new Date().toISOString(), lost: this.#lost,
      }
      this.#writer.frame('x', JSON.stringify(exit))
      this.#undoAll()
      // Not even the reserved room took the exit frame: the file ends interrupted and is closed later.
      const unclosed = this.#writer.waiting > 0
      await this.#writer.close()
      this.#settle.resolve({
        id: this.id, file: this.#options.file, exit, state: this.#lost > 0 || unclosed ? 'partial' : 'complete',
        bytes: this.#writer.size, frames: this.#writer.frames, head: this.#writer.head, tied: this.header.tied,
      })
    } catch (failure) {
      this.#undoAll()
      this.#settle.reject(failure)
    }
  }
  #undoAll(): void {
    for (const undo of this.#undo.splice(0).reverse()) undo()
  }
}

/** bash with the marks: its start file removes itself once it is read. */
function markedShell(nonce: string): { command: string; args: string[]; undo: () => void } {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'reglaze-shell-'))
  const rc = path.join(dir, 'marks.bashrc')
  fs.writeFileSync(rc, bashRc(nonce), { mode: 0o600 })
  const command = ['/bin/bash', '/usr/bin/bash', '/usr/local/bin/bash', '/opt/homebrew/bin/bash'].find((p) => fs.existsSync(p)) ?? 'bash'
  return { command, args: ['--rcfile', rc, '-i'], undo: () => fs.rmSync(dir, { recursive: true, force: true }) }
}

/** The native half starts a program by its path only. */
function onPath(command: string, env: Record<string, string>): string {
  if (command.includes('/')) return path.resolve(command)
  for (const dir of (env['PATH'] ?? '/usr/bin:/bin').split(':')) {
    const full = path.join(dir, command)
    try {
      fs.accessSync(full, fs.constants.X_OK)
      return full
    } catch {
      // Not here; the next folder.
    }
  }
  throw new ReglazeError(RECORD.RECORDING_NOT_STARTED, `there is no program ${command} on PATH`)
}
function cleanEnv(env: Readonly<Record<string, string | undefined>>): Record<string, string> {
  const clean: Record<string, string> = {}
  for (const [key, value] of Object.entries(env)) if (value !== undefined) clean[key] = value
  return { ...clean, TERM: clean['TERM'] || 'xterm-256color', REGLAZE_RECORDING: '1' }
}
function shownEnv(env: Record<string, string>): Record<string, string> {
  return Object.fromEntries(SHOWN_ENV.flatMap((key) => (env[key] === undefined ? [] : [[key, env[key] as string]])))
}
function localSize(out: Writable | null): Size | null {
  const tty = out as NodeJS.WriteStream | null
  return tty?.isTTY ? { rows: tty.rows, cols: tty.columns } : null
}
function userName(): string {
  try {
    return os.userInfo().username
  } catch {
    return String(process.getuid?.() ?? 'unknown')
  }
}
