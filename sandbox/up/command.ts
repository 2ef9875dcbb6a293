import { mkdirSync, realpathSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { setTimeout as wait } from 'node:timers/promises'
import { readSettings, runProgram, startProgram } from '../lib/index.ts'
import { PROGRAMS, readConfig, readNames, type ProgramName } from './config.ts'
import { commandLine, dropPid, isOurs, readPids, writePid, type PidFile } from './pids.ts'
import { Supervisor } from './supervisor.ts'
import { up } from './up.ts'

export const UP_USAGE = 'up --dir D [--with cloud,directory] [--config automations.json] [--ports cloud=4100,runner=0] [--detach] [--json] [--parent-pid N]'
export const DOWN_USAGE = 'down --dir D [--json]'
const MAIN = fileURLToPath(new URL('../main.js', import.meta.url))

/** `up …`: starts programs of the world and keeps them running, in the foreground or (`--detach`) in the background. */
export async function upCommand(argv: readonly string[]): Promise<void> {
  const s = readSettings(argv, { usage: UP_USAGE, flags: ['json', 'detach'], values: ['dir', 'with', 'config', 'ports'] })
  mkdirSync(resolve(s.text('dir')), { recursive: true, mode: 0o700 })
  const dir = realpathSync(resolve(s.text('dir')))
  if (s.has('detach')) return detach(dir, argv)
  const supervisor = new Supervisor(dir)
  const names = readNames(s.text('with', 'cloud,directory'))
  const self = `supervisor-${process.pid}`
  await runProgram({
    name: 'up',
    patienceMs: 14_000,
    parentPid: s.whole('parent-pid', 0) || undefined,
    async start() {
      const config = s.has('config') ? readConfig(resolve(s.text('config'))) : {}
      writePid(dir, self, process.pid, process.argv.slice(2))
      try {
        const world = await up(supervisor, { dir, names, config, ports: readPorts(s.text('ports', '')) })
        const started = Object.fromEntries(names.map((n) => [n, world.urls[n]]))
        return { url: started[names[0] ?? ''] ?? '', close: () => end(supervisor, dir, self), extra: { urls: world.urls, started: names, world: join(dir, 'world.json'), files: world.files, paths: world.paths } }
      } catch (e) {
        await end(supervisor, dir, self)
        throw e
      }
    },
  })
}
async function end(supervisor: Supervisor, dir: string, self: string): Promise<void> {
  await supervisor.stop()
  dropPid(dir, self)
}

async function detach(dir: string, argv: readonly string[]): Promise<void> {
  const rest = argv.filter((a) => a !== '--detach')
  const child = await startProgram([MAIN, 'up', ...rest], { detached: true, log: join(dir, 'logs', 'supervisor.log'), timeoutMs: 60_000 })
  process.stdout.write(`${JSON.stringify({ ...child, exited: undefined, stop: undefined })}\n`)
  process.exit(0)
}

function readPorts(text: string): Partial<Record<ProgramName, number>> {
  const ports: Partial<Record<ProgramName, number>> = {}
  for (const pair of text.split(',').filter(Boolean)) {
    const [name = '', port = ''] = pair.split('=')
    if (!PROGRAMS.includes(name as ProgramName) || !/^\d{1,5}$/.test(port) || Number(port) > 65_535) throw new Error(`--ports ${pair}: write NAME=PORT with a name of ${PROGRAMS.join(', ')}`)
    ports[name as ProgramName] = Number(port)
  }
  return ports
}

/** `down --dir D`: ends what `up` started there: supervisors first, then what they may have left. */
export async function downCommand(argv: readonly string[]): Promise<void> {
  const s = readSettings(argv, { usage: DOWN_USAGE, flags: ['json'], values: ['dir'] })
  const dir = resolve(s.text('dir'))
  const all = readPids(dir)
  const stopped: string[] = []
  const stale: string[] = []
  for (const p of [...all].sort((a, b) => Number(b.name.startsWith('supervisor-')) - Number(a.name.startsWith('supervisor-')))) {
    if (isOurs(p)) {
      await endProcess(p)
      stopped.push(p.name)
    } else if (!p.name.startsWith('supervisor-') && !stopped.some((n) => n.startsWith('supervisor-'))) stale.push(p.name)
    dropPid(dir, p.name)
  }
  process.stdout.write(`${JSON.stringify({ stopped, stale })}\n`)
}
async function endProcess(p: PidFile): Promise<void> {
  for (const [signal, ms] of [['SIGTERM', 15_000], ['SIGKILL', 2000]] as const) {
    if (!isOurs(p)) return
    process.kill(p.pid, signal)
    for (let waited = 0; waited < ms && commandLine(p.pid).length > 0; waited += 50) await wait(50)
  }
}
