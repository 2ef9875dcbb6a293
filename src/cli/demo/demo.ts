import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { spawnSync } from 'node:child_process'
import { CORE, ReglazeError } from '../../core/index.ts'
import { removeCluster, removeEmbedded } from '../../store/index.ts'
import { createRunner } from '../../terraform/index.ts'
import { paint, waits, type Io } from '../io.ts'
import { Narrator, type StepRecord } from './narrator.ts'
import { portFrom } from './processes.ts'
import * as story from './story.ts'
import { World } from './world.ts'
import { PACKAGE_ROOT, VERSION } from '../version.ts'

export interface DemoOptions {
  readonly dir: string
  readonly exit: boolean
  readonly json: boolean
  readonly skipPause: boolean
  readonly port: number
}
export interface DemoReport {
  readonly ok: boolean
  readonly version: string
  readonly terraform: string
  readonly seconds: number
  /** When it waited for other programs, and for what; in milliseconds since 1970. */
  readonly waits: readonly { readonly what: string; readonly from: number; readonly to: number }[]
  readonly steps: readonly StepRecord[]
}
const MARKER = '.reglaze-demo'

/** Plays the story; returns the report. The world stays up (until Ctrl-C) unless `exit`. */
export async function demo(io: Io, o: DemoOptions): Promise<DemoReport> {
  const n = new Narrator(io, o.json)
  const terraform = await createRunner()
  const started = performance.now()
  const dir = await prepareFolder(o.dir)
  const world = new World({ dir, port: await portFrom(o.port), say: (text) => n.dim(text) })
  const c = new story.Cast(world, n)
  const stopAll = async (): Promise<void> => {
    await c.ordersClient?.end().catch(() => {})
    await world.stop()
  }
  const interrupted = new Promise<'interrupted'>((done) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => done('interrupted'))
  })
  let ok = true
  try {
    const played = play(c, o)
    const end = await Promise.race([played.then(() => 'played' as const), interrupted])
    if (end === 'interrupted') throw new ReglazeError(CORE.WRONG_STATE, 'interrupted')
  } catch (error) {
    ok = false
    if (n.records.every((r) => r.ok)) n.records.push({ name: 'the world', ok: false, proof: (error as Error).message, evidence: { stack: (error as Error).stack }, commands: [], ms: 0 })
    n.say(`\n${paint(io, 'red', 'The story ended here.')} ${(error as Error).message}\nLogs: ${join(dir, 'logs')}, ${join(dir, 'sandbox', 'logs')}`)
  }
  const report: DemoReport = { ok, version: VERSION, terraform: terraform.version, seconds: Math.round((performance.now() - started) / 100) / 10, waits, steps: n.records }
  if (o.json) io.out(`${JSON.stringify(report, null, 2)}\n`)
  else if (ok) io.out(`\n${paint(io, 'green', `Every proof held: ${n.records.length} steps in ${report.seconds} s, on Terraform ${report.terraform}.`)}\n`)
  if (ok && !o.exit) {
    io.out(nextCommands(io, c))
    await interrupted
    io.err('\nstopping the world …\n')
  }
  await stopAll()
  return report
}

async function play(c: story.Cast, o: DemoOptions): Promise<void> {
  await c.n.step('The world of Tailwind Traders', async () => {
    await c.world.raise()
    return { proof: `${Object.keys(c.world.pids()).length + 2} programs up; production built from code by the runner; Reglaze at ${c.world.url}`, evidence: { dir: c.world.dir, url: c.world.url, cloud: c.world.cloudUrl, pids: c.world.pids() } }
  })
  await story.alert(c)
  await story.breakGlass(c)
  if (o.skipPause) return story.withoutPause(c)
  await story.pause(c)
  await story.assess(c)
  await story.repair(c)
  await story.recordStep(c)
  await story.endState(c)
  await story.reconcile(c)
  await story.resume(c)
  await story.revoke(c)
  await story.close(c)
}

/** The demo's own folder: a finished earlier world in it is cleared away, anything else is left alone and refused. */
async function prepareFolder(wanted: string): Promise<string> {
  const dir = resolve(wanted)
  if (existsSync(dir)) {
    if (!existsSync(join(dir, MARKER))) throw new ReglazeError(CORE.INVALID_INPUT, `${dir} is not a demo folder`, { hint: 'Give another one with --dir, or remove it yourself.' })
    const owner = Number(readFileSync(join(dir, MARKER), 'utf8'))
    if (runs(owner)) throw new ReglazeError(CORE.WRONG_STATE, `a demo world is up in ${dir} (process ${owner})`, { hint: 'Stop it with Ctrl-C there, or give another folder with --dir.' })
    const main = join(PACKAGE_ROOT, 'dist', 'sandbox', 'main.js')
    spawnSync(process.execPath, [main, 'down', '--dir', join(dir, 'sandbox')], { stdio: 'ignore' })
    // As root the databases may lie elsewhere, where their own account can reach them.
    await removeEmbedded(join(dir, 'reglaze'))
    await removeCluster(join(dir, 'orders-db'))
    rmSync(dir, { recursive: true, force: true })
  }
  mkdirSync(dir, { recursive: true, mode: 0o755 })
  writeFileSync(join(dir, MARKER), String(process.pid))
  return dir
}

function runs(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return pid !== process.pid && readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('demo')
  } catch {
    return false
  }
}

function nextCommands(io: Io, c: story.Cast): string {
  const file = c.world.path('people', `${c.dri}.env`)
  const kept = Object.entries(c.person.env).filter(([k, v]) => v !== undefined && !['PATH', 'HOME', 'TERM', 'LANG', 'LC_ALL'].includes(k))
  writeFileSync(file, `${kept.map(([k, v]) => `export ${k}='${String(v).replaceAll("'", `'\\''`)}'`).join('\n')}\nexport PATH='${story.writeCommands(c.world)}':"$PATH"\ncd '${c.clone}'\n`, { mode: 0o600 })
  const commands = [`reglaze incident timeline ${c.incident}`, 'reglaze incident open storefront "try it yourself"', 'reglaze access request production-repair --incident INC-2 --reason "a try" --wait', 'reglaze pause INC-2 --wait', 'reglaze incident show INC-2     # what stands open, with the command that clears it', 'sandbox list instances', 'reglaze demo --skip pause --dir /tmp/reglaze-demo-2   # why pausing matters']
  return `\nThe world is up. In another terminal, as ${c.dri}:\n\n  . ${quoted(file)}\n\n${commands.map((l) => `  ${paint(io, 'cyan', l)}`).join('\n')}\n\nAPI: ${c.world.url}/ · folder: ${c.world.dir} · Ctrl-C stops everything.\n`
}
const quoted = (path: string): string => (/^[\w./-]+$/.test(path) ? path : `'${path}'`)
