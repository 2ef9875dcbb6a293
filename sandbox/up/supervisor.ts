// Keeps programs running: a crash is a restart on the same port, with a growing pause.
import { appendFileSync, existsSync, mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { setTimeout as wait } from 'node:timers/promises'
import { startProgram, type Started } from '../lib/index.ts'
import { dropPid, isOurs, readPids, writePid } from './pids.ts'

const MAIN = fileURLToPath(new URL('../main.js', import.meta.url))
const FIRST_PAUSE_MS = 200
const LONGEST_PAUSE_MS = 5000
/** Whoever ran this long starts again with the first pause. */
const STABLE_MS = 30_000

export interface Child { readonly name: string; readonly url: string; readonly port: number; readonly log: string }

export class Supervisor {
  #dir: string
  #stopping = new AbortController()
  #children = new Map<string, Started>()
  #watchers: Promise<void>[] = []
  constructor(dir: string) {
    this.#dir = dir
    mkdirSync(join(dir, 'logs'), { recursive: true })
  }

  /** Starts a program (its first start must succeed) and keeps it running until {@link stop}. */
  async start(name: string, args: readonly string[], port: number): Promise<Child> {
    const running = readPids(this.#dir).find((p) => p.name === name)
    if (running !== undefined && isOurs(running)) throw new Error(`${name} already runs in ${this.#dir} (pid ${running.pid}): stop it with \`sandbox down --dir ${this.#dir}\``)
    const log = join(this.#dir, 'logs', `${name}.log`)
    const first = await this.#spawn(name, args, port, log).catch((e: Error) => {
      throw new Error(`${name} did not start: ${lastLine(log) || e.message} (log: ${log})`)
    })
    const used = Number(new URL(first.url).port)
    this.#watchers.push(this.#watch(name, args, used, log, first))
    return { name, url: first.url, port: used, log }
  }

  /** Stops the programs, the last started first. */
  async stop(): Promise<void> {
    this.#stopping.abort()
    for (const [name, child] of [...this.#children].reverse()) {
      await child.stop()
      dropPid(this.#dir, name)
    }
    await Promise.all(this.#watchers)
  }

  async #spawn(name: string, args: readonly string[], port: number, log: string): Promise<Started> {
    const data = join(this.#dir, name)
    const child = await startProgram([MAIN, name, '--data', data, '--port', String(port), '--parent-pid', String(process.pid), ...args], { log })
    this.#children.set(name, child)
    writePid(this.#dir, name, child.pid, [name, data])
    return child
  }

  async #watch(name: string, args: readonly string[], port: number, log: string, first: Started): Promise<void> {
    let child = first
    let pause = FIRST_PAUSE_MS
    for (;;) {
      const began = Date.now()
      const { code, signal } = await child.exited
      if (this.#stopping.signal.aborted) return
      if (Date.now() - began > STABLE_MS) pause = FIRST_PAUSE_MS
      appendFileSync(log, `${new Date().toISOString()} supervisor: ${name} ended with ${signal ?? `code ${code}`}; starting it again in ${pause} ms\n`)
      const again = await this.#restart(name, args, port, log, pause)
      if (again === null) return
      child = again.child
      pause = again.pause
    }
  }

  async #restart(name: string, args: readonly string[], port: number, log: string, first: number): Promise<{ child: Started; pause: number } | null> {
    for (let pause = first; ; pause = Math.min(pause * 2, LONGEST_PAUSE_MS)) {
      const aborted = await wait(pause, false, { signal: this.#stopping.signal }).catch(() => true)
      if (aborted) return null
      try {
        const child = await this.#spawn(name, args, port, log)
        if (!this.#stopping.signal.aborted) return { child, pause: Math.min(pause * 2, LONGEST_PAUSE_MS) }
        await child.stop()
        return null
      } catch (e) {
        appendFileSync(log, `${new Date().toISOString()} supervisor: ${(e as Error).message}\n`)
      }
    }
  }
}

function lastLine(log: string): string {
  return existsSync(log) ? (readFileSync(log, 'utf8').trimEnd().split('\n').at(-1) ?? '') : ''
}
