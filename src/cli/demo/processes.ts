import { spawn, type ChildProcess } from 'node:child_process'
import { createWriteStream } from 'node:fs'
import { createServer, type AddressInfo } from 'node:net'
import { CORE, ReglazeError } from '../../core/index.ts'

export interface Child {
  readonly pid: number
  /** The one JSON line that the program printed when it was ready. */
  readonly ready: Record<string, unknown>
  readonly exited: Promise<number | null>
  stop(signal?: NodeJS.Signals): Promise<void>
}

/** Starts a program of ours that prints one JSON line when it is ready. Its other output goes to a log file. */
export async function startChild(o: { name: string; args: readonly string[]; env: NodeJS.ProcessEnv; log: string; timeoutMs?: number }): Promise<Child> {
  const child = spawn(process.execPath, o.args, { env: o.env, stdio: ['ignore', 'pipe', 'pipe'] })
  const log = createWriteStream(o.log, { flags: 'a', mode: 0o600 })
  child.stderr.pipe(log, { end: false })
  const exited = new Promise<number | null>((done) => child.once('exit', (code) => done(code)))
  void exited.then(() => log.end())
  const ready = await firstLine(child, o, exited)
  child.stdout.pipe(log, { end: false })
  return {
    pid: child.pid as number,
    ready,
    exited,
    async stop(signal: NodeJS.Signals = 'SIGTERM') {
      if (child.exitCode !== null || child.signalCode !== null) return
      child.kill(signal)
      const killer = setTimeout(() => child.kill('SIGKILL'), 15_000)
      await exited
      clearTimeout(killer)
    },
  }
}

function firstLine(child: ChildProcess, o: { name: string; log: string; timeoutMs?: number }, exited: Promise<number | null>): Promise<Record<string, unknown>> {
  return new Promise((done, fail) => {
    let text = ''
    const late = setTimeout(() => {
      child.kill('SIGKILL')
      fail(new ReglazeError(CORE.OUTSIDE_FAILED, `${o.name} was not ready in time; its log: ${o.log}`))
    }, o.timeoutMs ?? 60_000)
    void exited.then((code) => {
      clearTimeout(late)
      fail(new ReglazeError(CORE.OUTSIDE_FAILED, `${o.name} ended with code ${code} before it was ready; its log: ${o.log}${text ? `; it said: ${text.trim()}` : ''}`))
    })
    const onData = (chunk: Buffer) => {
      text += chunk.toString('utf8')
      const line = text.split('\n').slice(0, -1).find((l) => l.startsWith('{') && l.includes('"ready"'))
      if (line === undefined) return
      child.stdout?.off('data', onData)
      clearTimeout(late)
      done(JSON.parse(line) as Record<string, unknown>)
    }
    child.stdout?.on('data', onData)
  })
}

/** Ports that are free now, asked for together so that they differ. */
export async function freePorts(n: number): Promise<number[]> {
  const servers = await Promise.all(
    Array.from({ length: n }, () => new Promise<ReturnType<typeof createServer>>((done, fail) => {
      const s = createServer().once('error', fail)
      s.listen(0, '127.0.0.1', () => done(s))
    })),
  )
  const ports = servers.map((s) => (s.address() as AddressInfo).port)
  await Promise.all(servers.map((s) => new Promise((done) => s.close(done))))
  return ports
}

/** The wanted port if nobody listens on it, else the next free one of the following nine, else any. 0 = any. */
export async function portFrom(wanted: number): Promise<number> {
  if (wanted === 0) return (await freePorts(1))[0] as number
  for (let port = wanted; port < wanted + 10; port++) {
    const free = await new Promise<boolean>((done) => {
      const s = createServer().once('error', () => done(false))
      s.listen(port, '127.0.0.1', () => s.close(() => done(true)))
    })
    if (free) return port
  }
  return (await freePorts(1))[0] as number
}
