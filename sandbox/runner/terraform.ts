// Terraform as the runner calls it: its own process, its own environment, everything it prints into the run's log.
import { spawn } from 'node:child_process'
import { createWriteStream, existsSync, readFileSync, readlinkSync } from 'node:fs'
import type { Counts } from './model.ts'

export interface Invocation {
  readonly cwd: string
  readonly env: NodeJS.ProcessEnv
  readonly log: string
  /** Told the process id as soon as it runs. */
  started(pid: number): Promise<void>
}

/** Runs `terraform ARGS` and returns its standard output. Throws with the last lines that it printed when it fails. */
export async function terraform(args: readonly string[], at: Invocation): Promise<string> {
  const log = createWriteStream(at.log, { flags: 'a' })
  log.write(`\n$ terraform ${args.join(' ')}\n`)
  const child = spawn('terraform', [...args], { cwd: at.cwd, env: at.env, stdio: ['ignore', 'pipe', 'pipe'] })
  const out: Buffer[] = []
  let tail = ''
  const quiet = args[0] === 'show'
  child.stdout.on('data', (d: Buffer) => {
    out.push(d)
    if (!quiet) log.write(d)
  })
  child.stderr.on('data', (d: Buffer) => {
    tail = (tail + d.toString()).slice(-4000)
    log.write(d)
  })
  const ended = new Promise<{ code: number | null; signal: string | null }>((resolve, reject) => {
    child.once('error', (e: NodeJS.ErrnoException) => reject(e.code === 'ENOENT' ? new Error('there is no terraform on the PATH') : e))
    child.once('close', (code, signal) => resolve({ code, signal }))
  })
  try {
    if (child.pid !== undefined) await at.started(child.pid)
    const { code, signal } = await ended
    if (code !== 0) throw new Error(summary(tail) || `terraform ${args[0]} ended with ${signal ?? `code ${code}`}`)
    return Buffer.concat(out).toString('utf8')
  } finally {
    await new Promise((resolve) => log.end(resolve))
  }
}

/** The first error that Terraform told, without its frame. */
function summary(text: string): string {
  const lines = text.split('\n').map((l) => l.replace(/^[╷│╵\s]+/, '').trim()).filter(Boolean)
  const at = lines.findIndex((l) => l.startsWith('Error'))
  return lines.slice(Math.max(at, 0), Math.max(at, 0) + 6).join(' ')
}

/** What a runner gives Terraform: the file's variables on top of almost nothing. */
export function environment(envFile: string, home: string): NodeJS.ProcessEnv {
  const env: NodeJS.ProcessEnv = { PATH: process.env['PATH'], HOME: home, TMPDIR: process.env['TMPDIR'], LANG: 'C.UTF-8', TF_IN_AUTOMATION: '1', TF_INPUT: '0', CHECKPOINT_DISABLE: '1' }
  for (const line of readFileSync(envFile, 'utf8').split('\n')) {
    const found = /^\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)=(.*)$/.exec(line)
    if (found) env[found[1] as string] = (found[2] as string).replace(/^(["'])(.*)\1$/, '$2')
  }
  return env
}

interface PlanJson {
  resource_changes?: { address: string; change: { actions: string[]; importing?: unknown } }[]
  output_changes?: Record<string, { actions: string[] }>
}
/** Counts and addresses of a plan, from its JSON. */
export function readPlan(json: string): { counts: Counts; changed: string[]; hasChanges: boolean } {
  const plan = JSON.parse(json) as PlanJson
  const counts: Counts = { additions: 0, changes: 0, destructions: 0, imports: 0 }
  const changed: string[] = []
  for (const { address, change } of plan.resource_changes ?? []) {
    if (change.importing) counts.imports += 1
    if (change.actions.includes('create')) counts.additions += 1
    if (change.actions.includes('delete')) counts.destructions += 1
    if (change.actions.includes('update')) counts.changes += 1
    if (!['no-op', 'read'].includes(change.actions.join())) changed.push(address)
  }
  const outputs = Object.values(plan.output_changes ?? {}).some((o) => o.actions.join() !== 'no-op')
  return { counts, changed, hasChanges: changed.length > 0 || outputs || counts.imports > 0 }
}

/** Is this process a Terraform that works in this folder? A pid alone may have been given to somebody else. */
export function isOurTerraform(pid: number, cwd: string): boolean {
  try {
    if (!existsSync(`/proc/${pid}`)) return false
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0')[0]?.endsWith('terraform') === true && readlinkSync(`/proc/${pid}/cwd`) === cwd
  } catch {
    return false
  }
}
