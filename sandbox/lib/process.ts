import { spawn } from 'node:child_process'
import { mkdirSync, openSync } from 'node:fs'
import { dirname } from 'node:path'

/** What a sandbox program prints as its first and only line on stdout once it serves. */
export interface Ready {
  readonly ready: true
  readonly url: string
  readonly pid: number
}

/**
 * Runs a server program to its end: starts it, prints the ready line, ends on SIGTERM/SIGINT and, when `parentPid` is
 * given, when that process is gone (a killed parent leaves no orphans). A start that fails prints one line and exits 1.
 * `patienceMs`: how long its close may take (default 2 s); more for a program that has others to end.
 */
export async function runProgram(o: { name: string; parentPid?: number | undefined; patienceMs?: number; start(): Promise<{ url: string; close(): Promise<void>; extra?: Record<string, unknown> }> }): Promise<void> {
  let running: { url: string; close(): Promise<void>; extra?: Record<string, unknown> }
  try {
    running = await o.start()
  } catch (e) {
    process.stderr.write(`${o.name}: ${(e as Error).message}\n`)
    process.exit(1)
  }
  let ending = false
  const end = (): void => {
    if (ending) return
    ending = true
    // A connection that never closes must not keep the process; the journal is durable per record anyway.
    setTimeout(() => process.exit(0), o.patienceMs ?? 2000).unref()
    running.close().then(
      () => process.exit(0),
      () => process.exit(1),
    )
  }
  process.on('SIGTERM', end)
  process.on('SIGINT', end)
  if (o.parentPid) watchParent(o.parentPid, end)
  process.stdout.write(`${JSON.stringify({ ready: true, url: running.url, pid: process.pid, ...running.extra })}\n`)
}

function watchParent(pid: number, gone: () => void): void {
  setInterval(() => {
    try {
      process.kill(pid, 0)
    } catch (e) {
      if ((e as NodeJS.ErrnoException).code === 'ESRCH') gone()
    }
  }, 500).unref()
}

/** `--name value` or `--name=value` pairs and single `--flag`s; everything else in `rest`. An unknown option is an error. */
export function readOptions(argv: readonly string[], known: { values?: readonly string[]; flags?: readonly string[] }): { get(name: string): string | undefined; has(name: string): boolean; all(name: string): string[]; rest: string[] } {
  const values = new Map<string, string[]>()
  const flags = new Set<string>()
  const rest: string[] = []
  for (let i = 0; i < argv.length; i++) {
    const arg = argv[i] as string
    if (!arg.startsWith('--')) {
      rest.push(arg)
      continue
    }
    const at = arg.indexOf('=')
    const name = at < 0 ? arg.slice(2) : arg.slice(2, at)
    if (known.flags?.includes(name) && at < 0) flags.add(name)
    else if (known.values?.includes(name)) {
      const value = at < 0 ? argv[++i] : arg.slice(at + 1)
      if (value === undefined) throw new Error(`--${name} needs a value`)
      values.set(name, [...(values.get(name) ?? []), value])
    } else throw new Error(`unknown option --${name}`)
  }
  return { get: (n) => values.get(n)?.at(-1), has: (n) => flags.has(n), all: (n) => values.get(n) ?? [], rest }
}

export interface Started extends Ready {
  /** Resolves when the process has ended. */
  readonly exited: Promise<{ code: number | null; signal: NodeJS.Signals | null }>
  /** Sends the signal (default SIGTERM) and waits for the end; SIGKILL after 10 s: a runner gives its Terraform up to 7 s to release its lock. Safe to call twice. */
  stop(signal?: NodeJS.Signals): Promise<void>
}

/**
 * Starts a program that prints the ready line and waits for it. `args[0]` is the script; it runs under this Node.
 * Its stderr goes to `log` (a file, appended) or is dropped. The error of a failed start contains that stderr.
 */
export async function startProgram(args: readonly string[], o: { env?: NodeJS.ProcessEnv; log?: string; cwd?: string; timeoutMs?: number; detached?: boolean } = {}): Promise<Started> {
  if (o.log) mkdirSync(dirname(o.log), { recursive: true })
  const child = spawn(process.execPath, [...args], {
    stdio: ['ignore', 'pipe', o.log ? openSync(o.log, 'a') : 'pipe'],
    env: { ...process.env, ...o.env },
    cwd: o.cwd,
    detached: o.detached ?? false,
  })
  let stderr = ''
  child.stderr?.on('data', (d: Buffer) => {
    stderr = (stderr + d.toString()).slice(-4000)
  })
  const exited = new Promise<{ code: number | null; signal: NodeJS.Signals | null }>((resolve) => child.once('exit', (code, signal) => resolve({ code, signal })))
  const stop = async (signal: NodeJS.Signals = 'SIGTERM'): Promise<void> => {
    if (child.exitCode !== null || child.signalCode !== null) return
    child.kill(signal)
    const timer = setTimeout(() => child.kill('SIGKILL'), 10_000)
    await exited
    clearTimeout(timer)
  }
  const ready = await new Promise<Ready>((resolve, reject) => {
    const what = args.join(' ')
    const timer = setTimeout(() => {
      child.kill('SIGKILL')
      reject(new Error(`${what} did not become ready in ${o.timeoutMs ?? 15_000} ms\n${stderr}`))
    }, o.timeoutMs ?? 15_000)
    let out = ''
    child.stdout?.on('data', (d: Buffer) => {
      out += d.toString()
      const line = out.split('\n').find((l) => l.startsWith('{"ready":true'))
      if (!line || !out.includes('\n')) return
      clearTimeout(timer)
      resolve(JSON.parse(line) as Ready)
    })
    child.once('error', reject)
    child.once('exit', (code) => {
      clearTimeout(timer)
      reject(new Error(`${what} ended with code ${code} before it was ready\n${stderr}${o.log ? `see ${o.log}` : ''}`))
    })
  })
  return { ...ready, exited, stop }
}
