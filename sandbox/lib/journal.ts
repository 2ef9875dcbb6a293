import { closeSync, existsSync, fdatasync, fsyncSync, ftruncateSync, mkdirSync, openSync, readFileSync, readdirSync, renameSync, rmSync, write, writeSync } from 'node:fs'
import { join } from 'node:path'
import { ownFolder } from './owner.ts'

export interface Journal<S, R> {
  readonly state: S
  /**
   * Applies the record to the state at once and appends it to the file. The promise resolves when it is durable
   * (write + fdatasync, many records per sync). An answer about the record may leave only after that.
   */
  commit(record: R): Promise<void>
  /** Like commit, but nobody waits for the disk: for records whose loss in a power cut is harmless (a read in an audit log). */
  note(record: R): void
  /** Resolves when everything committed so far is durable: a reader must not be told of a write that could still vanish. */
  settled(): Promise<void>
  close(): Promise<void>
}

export interface JournalOptions<S, R> {
  readonly dir: string
  /** File name stem; default `journal`. */
  readonly name?: string
  initial(): S
  /** Must be deterministic: it runs again at every start. Everything random or timed belongs into the record. */
  apply(state: S, record: R): void
  /** A snapshot is written and a new file begun after this many records; default 5000. */
  readonly snapshotEvery?: number
}

interface Pending {
  readonly line: string
  readonly sync: boolean
  readonly done: (() => void) | null
}

/**
 * Opens (or creates) an append-only journal of JSON lines and replays it. A torn last line (a write cut by a kill or a
 * power cut, so never answered) is cut off. State = last snapshot + the lines after it. Throws when another living process
 * has it open.
 */
export function openJournal<S, R>(o: JournalOptions<S, R>): Journal<S, R> {
  mkdirSync(o.dir, { recursive: true })
  return new FileJournal(o)
}

class FileJournal<S, R> implements Journal<S, R> {
  state: S
  #o: JournalOptions<S, R>
  #name: string
  #fd = -1
  #generation = 0
  #records = 0
  #queue: Pending[] = []
  #running: Promise<void> | null = null
  #failed: Error | null = null
  /** Records that were committed and are not yet durable. */
  #unsafe = 0
  #release: () => void

  constructor(o: JournalOptions<S, R>) {
    this.#o = o
    this.#name = o.name ?? 'journal'
    this.state = o.initial()
    this.#release = ownFolder(o.dir, this.#name)
    this.#replay()
  }

  commit(record: R): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#failed) return reject(this.#failed)
      this.#o.apply(this.state, record)
      this.#unsafe++
      const done = (): void => {
        this.#unsafe--
        resolve()
      }
      this.#enqueue({ line: `${JSON.stringify(record)}\n`, sync: true, done })
    })
  }

  note(record: R): void {
    if (this.#failed) throw this.#failed
    this.#o.apply(this.state, record)
    this.#enqueue({ line: `${JSON.stringify(record)}\n`, sync: false, done: null })
  }

  settled(): Promise<void> {
    if (this.#failed) return Promise.reject(this.#failed)
    if (this.#unsafe === 0) return Promise.resolve()
    return new Promise((resolve) => this.#enqueue({ line: '', sync: true, done: resolve }))
  }

  async close(): Promise<void> {
    await this.#running
    if (this.#fd >= 0) closeSync(this.#fd)
    this.#fd = -1
    this.#release()
  }

  #path(generation: number): string {
    return join(this.#o.dir, `${this.#name}.${String(generation).padStart(8, '0')}.jsonl`)
  }

  #replay(): void {
    const snapshot = join(this.#o.dir, `${this.#name}.snapshot.json`)
    if (existsSync(snapshot)) {
      const saved = JSON.parse(readFileSync(snapshot, 'utf8')) as { generation: number; state: S }
      this.state = saved.state
      this.#generation = saved.generation
    }
    const path = this.#path(this.#generation)
    this.#fd = openSync(path, 'a+')
    syncDir(this.#o.dir)
    const text = readFileSync(path)
    const end = text.lastIndexOf(10) + 1
    if (end < text.length) {
      ftruncateSync(this.#fd, end)
      fsyncSync(this.#fd)
    }
    for (const line of text.subarray(0, end).toString('utf8').split('\n')) {
      if (line === '') continue
      this.#o.apply(this.state, JSON.parse(line) as R)
      this.#records++
    }
    this.#dropOld()
  }

  #enqueue(p: Pending): void {
    this.#queue.push(p)
    this.#running ??= this.#drain()
  }

  // One writer; whatever came while a sync ran goes into the next one (group commit).
  async #drain(): Promise<void> {
    await Promise.resolve()
    while (this.#queue.length > 0) {
      const batch = this.#queue
      this.#queue = []
      try {
        const text = batch.map((p) => p.line).join('')
        if (text) await writeAll(this.#fd, Buffer.from(text))
        if (batch.some((p) => p.sync)) await sync(this.#fd)
      } catch (e) {
        // The disk is full or gone: what is in memory is no longer what is on disk. Nothing may be answered any more.
        this.#failed = e as Error
        process.stderr.write(`journal ${this.#path(this.#generation)}: ${(e as Error).message}; stopping\n`)
        process.exit(74)
      }
      this.#records += batch.length
      for (const p of batch) p.done?.()
      if (this.#records >= (this.#o.snapshotEvery ?? 5000) && this.#queue.length === 0) this.#snapshot()
    }
    // In the same turn as the last look at the queue, so that no record can come in between and wait for ever.
    this.#running = null
  }

  // Runs only when no record waits, so that the state equals what is on disk. New file first, then the snapshot that
  // names it: a kill in between leaves the old snapshot with its complete old file.
  #snapshot(): void {
    const generation = this.#generation + 1
    const fd = openSync(this.#path(generation), 'a+')
    const target = join(this.#o.dir, `${this.#name}.snapshot.json`)
    const temporary = `${target}.tmp`
    const out = openSync(temporary, 'w')
    const bytes = Buffer.from(JSON.stringify({ generation, state: this.state }))
    for (let at = 0; at < bytes.length; ) at += writeSync(out, bytes, at)
    fsyncSync(out)
    closeSync(out)
    renameSync(temporary, target)
    syncDir(this.#o.dir)
    closeSync(this.#fd)
    this.#fd = fd
    this.#generation = generation
    this.#records = 0
    this.#dropOld()
  }

  #dropOld(): void {
    const pattern = new RegExp(`^${this.#name}\\.(\\d{8})\\.jsonl$`)
    for (const file of readdirSync(this.#o.dir)) {
      const found = pattern.exec(file)
      if (found && Number(found[1]) < this.#generation) rmSync(join(this.#o.dir, file), { force: true })
    }
  }
}

function writeAll(fd: number, bytes: Buffer): Promise<void> {
  return new Promise((resolve, reject) => {
    const next = (at: number): void => {
      write(fd, bytes, at, bytes.length - at, null, (e, n) => {
        if (e) return reject(e)
        if (at + n < bytes.length) next(at + n)
        else resolve()
      })
    }
    next(0)
  })
}
function sync(fd: number): Promise<void> {
  return new Promise((resolve, reject) => fdatasync(fd, (e) => (e ? reject(e) : resolve())))
}
function syncDir(dir: string): void {
  const fd = openSync(dir, 'r')
  try {
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
}
