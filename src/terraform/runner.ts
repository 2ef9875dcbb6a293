/** The only place that runs the Terraform (or OpenTofu) program. No shell, no prompts, no network of its own. */
import { spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { accessSync, closeSync, constants, existsSync, fstatSync, openSync, readdirSync, readFileSync, readSync, statSync, unlinkSync } from 'node:fs'
import { devNull, tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { ReglazeError } from '../core/errors.ts'
import type { Files } from './config.ts'
import { diagnosticError, readLine, textDiagnostics, type Diagnostic } from './diagnostics.ts'
import { TERRAFORM } from './errors.ts'
import { parsePlan, type PlanDocument } from './plan.ts'
import type { ProviderSchemas } from './schema.ts'
import { parseState, type StateDocument } from './state.ts'

export interface Counters {
  /** How often the program was started. */
  invocations: number
  /** Wall time inside it, in milliseconds. */
  ms: number
  /** The same by first word(s): `plan`, `show`, `state pull`… */
  readonly byCommand: Record<string, { count: number; ms: number }>
}
export interface RunOptions {
  readonly cwd: string
  readonly env?: Readonly<Record<string, string | undefined>>
  readonly signal?: AbortSignal
  /** Deadline in milliseconds; default 30 minutes. */
  readonly timeoutMs?: number
  /** One readable line of progress at a time. */
  readonly onProgress?: (line: string) => void
  /** Given to the program on its standard input. */
  readonly input?: string
  /** Exit codes that are no error; default only 0. */
  readonly ok?: readonly number[]
}
export interface RunResult {
  readonly code: number
  readonly stdout: string
  readonly diagnostics: readonly Diagnostic[]
  readonly ms: number
}
export interface Runner {
  readonly binary: string
  readonly product: 'terraform' | 'tofu'
  readonly version: string
  readonly counters: Counters
  run(args: readonly string[], o: RunOptions): Promise<RunResult>
}

/** What all Runner-based calls share. */
export interface Place {
  readonly runner: Runner
  readonly dir: string
  readonly env?: Readonly<Record<string, string | undefined>>
  readonly signal?: AbortSignal
  readonly onProgress?: (line: string) => void
  readonly timeoutMs?: number
}

const GRACE_MS = 15_000

/** What every program may know of ours: where things are, in which language, through which proxy. */
const HARMLESS = /^(PATH|HOME|USER|LOGNAME|SHELL|TMPDIR|LANG|LANGUAGE|LC_\w+|TZ|TERM|SSL_CERT_(FILE|DIR)|NODE_EXTRA_CA_CERTS|(https?|no|all)_proxy|(HTTPS?|NO|ALL)_PROXY|TF_PLUGIN_CACHE_DIR|REGLAZE_TERRAFORM)$/

function environment(own: Readonly<Record<string, string | undefined>> | undefined, bare: boolean): Record<string, string> {
  const env: Record<string, string> = {}
  const ours = bare ? Object.fromEntries(Object.entries(process.env).filter(([k]) => HARMLESS.test(k))) : process.env
  for (const [k, v] of Object.entries({ ...ours, ...own })) if (v !== undefined) env[k] = v
  // Arguments that somebody exported for his shell would change what a plan covers (-target) or where it is written.
  for (const k of Object.keys(env)) if (/^TF_(CLI_ARGS|LOG)/.test(k)) delete env[k]
  const config = env['TF_CLI_CONFIG_FILE']
  const home = env['HOME'] ? join(env['HOME'], '.terraformrc') : null
  // An empty file: without one Terraform warns on every call.
  if (config ? !existsSync(config) : home === null || !existsSync(home)) env['TF_CLI_CONFIG_FILE'] = devNull
  return { ...env, TF_IN_AUTOMATION: '1', CHECKPOINT_DISABLE: '1', TF_INPUT: '0' }
}

/** Finds the program: `REGLAZE_TERRAFORM`, else terraform, else tofu on PATH. */
export function findBinary(env: Readonly<Record<string, string | undefined>> = process.env): string {
  const named = env['REGLAZE_TERRAFORM']
  if (named) {
    if (named.includes('/') ? isExecutable(named) : onPath(named, env)) return named.includes('/') ? named : (onPath(named, env) as string)
    throw new ReglazeError(TERRAFORM.TERRAFORM_MISSING, `REGLAZE_TERRAFORM names ${named}, which is no executable file`, { place: 'REGLAZE_TERRAFORM' })
  }
  const found = onPath('terraform', env) ?? onPath('tofu', env)
  if (!found) throw new ReglazeError(TERRAFORM.TERRAFORM_MISSING, 'neither terraform nor tofu is on PATH')
  return found
}
function onPath(name: string, env: Readonly<Record<string, string | undefined>>): string | undefined {
  return (env['PATH'] ?? '').split(delimiter).filter((d) => d !== '').map((d) => join(d, name)).find(isExecutable)
}
function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return statSync(path).isFile()
  } catch {
    return false
  }
}

/** Finds the program and its version. `bare`: Terraform and its providers get none of our variables but harmless ones. Throws TERRAFORM_MISSING, TERRAFORM_TOO_OLD. */
export async function createRunner(o: { binary?: string; env?: Readonly<Record<string, string | undefined>>; bare?: boolean } = {}): Promise<Runner> {
  const base = { ...process.env, ...o.env }
  const binary = o.binary ?? findBinary(base)
  const counters: Counters = { invocations: 0, ms: 0, byCommand: {} }
  const run = (args: readonly string[], r: RunOptions): Promise<RunResult> => execute(binary, args, { ...r, env: { ...o.env, ...r.env } }, counters, o.bare ?? false)
  const answer = await run(['version', '-json'], { cwd: tmpdir(), timeoutMs: 60_000 })
  const version = (JSON.parse(answer.stdout) as { terraform_version: string }).terraform_version
  const [major, minor] = version.split('.').map(Number) as [number, number]
  if (major < 1 || (major === 1 && minor < 5)) throw new ReglazeError(TERRAFORM.TERRAFORM_TOO_OLD, `${binary} is version ${version}`, { place: binary })
  return { binary, product: /tofu[^/]*$/.test(binary) ? 'tofu' : 'terraform', version, counters, run }
}

/** A closed terminal must not end Terraform before it has saved its state and released its lock. It stays the process that we started: `exec`. */
const STEADY = ['-c', `trap '' HUP; exec "$@"`, 'sh']
/** How often its progress is read while it runs. */
const LOOK_MS = 100

/**
 * What the program prints goes to a file without a name, not to a pipe: when we are killed, a broken pipe would end
 * Terraform with its lock taken; so it goes on to its end.
 */
function spool(): { readonly fd: number; fresh(): Buffer; close(): void } {
  const path = join(tmpdir(), `reglaze-out-${randomUUID()}`)
  const fd = openSync(path, 'wx+', 0o600)
  unlinkSync(path)
  let at = 0
  return {
    fd,
    fresh() {
      const bytes = Buffer.alloc(fstatSync(fd).size - at)
      let got = 0
      // Positioned reads: the place in the file is shared with the program that writes.
      while (got < bytes.length) got += readSync(fd, bytes, got, bytes.length - got, at + got)
      at += got
      return bytes
    },
    close: () => closeSync(fd),
  }
}

function execute(binary: string, args: readonly string[], o: RunOptions, counters: Counters, bare: boolean): Promise<RunResult> {
  const started = performance.now()
  const name = args[0] === 'state' || args[0] === 'providers' ? args.slice(0, 2).join(' ') : (args[0] as string)
  const obstacle = obstacleTo(binary, name, o)
  if (obstacle) return Promise.reject(obstacle)
  return new Promise((resolve, reject) => {
    const spooled = spool()
    const errors = spool()
    const child = spawn('/bin/sh', [...STEADY, binary, ...args], { cwd: o.cwd, env: environment(o.env, bare), stdio: ['pipe', spooled.fd, errors.fd] })
    const out: Buffer[] = []
    const diagnostics: Diagnostic[] = []
    let stopped: 'timeout' | 'signal' | null = null
    const stop = (why: 'timeout' | 'signal'): void => {
      stopped ??= why
      // SIGINT lets Terraform release its lock and save the state; only then force.
      child.kill('SIGINT')
      setTimeout(() => child.kill('SIGKILL'), GRACE_MS).unref()
    }
    const timer = setTimeout(() => stop('timeout'), o.timeoutMs ?? 1_800_000)
    const aborted = (): void => stop('signal')
    o.signal?.addEventListener('abort', aborted, { once: true })
    const json = args.includes('-json') && (name === 'plan' || name === 'apply')
    const take = lines((b) => out.push(b), json ? (line) => readLine(line, diagnostics, o.onProgress) : null)
    const looking = setInterval(() => take(spooled.fresh()), LOOK_MS)
    child.stdin?.on('error', () => {})
    child.stdin?.end(o.input ?? '')
    const finish = (): number => {
      clearTimeout(timer)
      clearInterval(looking)
      o.signal?.removeEventListener('abort', aborted)
      const ms = performance.now() - started
      count(counters, name, ms)
      return ms
    }
    let stderr: string | null = null
    const taken = (): string => {
      // A start that failed is told twice: as an error and as an end.
      if (stderr !== null) return stderr
      take(spooled.fresh())
      stderr = errors.fresh().toString('utf8')
      spooled.close()
      errors.close()
      return stderr
    }
    child.on('error', (cause) => {
      finish()
      taken()
      reject(new ReglazeError(TERRAFORM.TERRAFORM_MISSING, `${binary} could not be started in ${o.cwd}`, { cause, place: o.cwd }))
    })
    child.on('close', (code) => {
      const ms = finish()
      const said = taken()
      const stdout = Buffer.concat(out).toString('utf8')
      if (stopped) return reject(new ReglazeError(stopped === 'timeout' ? TERRAFORM.TERRAFORM_TIMEOUT : TERRAFORM.TERRAFORM_STOPPED, `terraform ${name} was stopped`, { place: o.cwd }))
      const all = diagnostics.length > 0 ? diagnostics : code === 0 ? [] : textDiagnostics(`${said}\n${json || args.includes('-json') ? '' : stdout}`)
      if ((o.ok ?? [0]).includes(code ?? -1)) resolve({ code: code ?? -1, stdout, diagnostics: all, ms })
      else reject(diagnosticError(name, code, all, o.cwd))
    })
  })
}

/** Why it cannot even be started; null = it can. */
function obstacleTo(binary: string, name: string, o: RunOptions): ReglazeError | null {
  if (o.signal?.aborted) return new ReglazeError(TERRAFORM.TERRAFORM_STOPPED, `${name} was not started: it was cancelled`, { place: o.cwd })
  if (binary.includes('/') && !isExecutable(binary)) return new ReglazeError(TERRAFORM.TERRAFORM_MISSING, `${binary} is no executable file`, { place: binary })
  return null
}
function count(counters: Counters, name: string, ms: number): void {
  const entry = (counters.byCommand[name] ??= { count: 0, ms: 0 })
  counters.invocations++
  counters.ms += ms
  entry.count++
  entry.ms += ms
}

/** Collects chunks and hands whole lines on. */
function lines(collect: (b: Buffer) => void, each: ((line: string) => void) | null): (b: Buffer) => void {
  let rest = ''
  return (b) => {
    collect(b)
    if (!each) return
    rest += b.toString('utf8')
    const parts = rest.split('\n')
    rest = parts.pop() as string
    for (const p of parts) each(p)
  }
}

function call(p: Place, args: readonly string[], extra: Partial<RunOptions> = {}): Promise<RunResult> {
  return p.runner.run(args, { cwd: p.dir, ...(p.env && { env: p.env }), ...(p.signal && { signal: p.signal }), ...(p.onProgress && { onProgress: p.onProgress }), ...(p.timeoutMs && { timeoutMs: p.timeoutMs }), ...extra })
}

/** `init`, without asking and without upgrading anything. `pluginDir` takes providers from a folder, not from the network. */
export async function init(p: Place, o: { pluginDir?: string; reconfigure?: boolean } = {}): Promise<void> {
  p.onProgress?.('terraform init')
  await call(p, ['init', '-input=false', '-no-color', ...(o.reconfigure ? ['-reconfigure'] : []), ...(o.pluginDir ? [`-plugin-dir=${o.pluginDir}`] : [])])
}
/** True when the folder was initialised (its providers and modules are there). */
export function isInitialised(dir: string): boolean {
  return existsSync(join(dir, '.terraform'))
}
export async function pullState(p: Place): Promise<{ text: string; state: StateDocument }> {
  const { stdout } = await call(p, ['state', 'pull'])
  return { text: stdout, state: parseState(stdout) }
}
export async function providerSchemas(p: Place): Promise<ProviderSchemas> {
  const { stdout } = await call(p, ['providers', 'schema', '-json'])
  return JSON.parse(stdout) as ProviderSchemas
}

export interface Planned {
  /** Null when Terraform could write no plan at all. */
  readonly plan: PlanDocument | null
  readonly file: string
  readonly diagnostics: readonly Diagnostic[]
}
/** `plan -out`, then `show -json`: two invocations. An error of the plan is data (`plan` may be null), not an exception. */
export async function planTo(p: Place, file: string, args: readonly string[] = []): Promise<Planned> {
  const run = await call(p, ['plan', '-json', '-input=false', '-lock-timeout=5s', `-out=${file}`, ...args], { ok: [0, 1] })
  const locked = run.diagnostics.find((d) => /state lock|already locked/i.test(d.summary + d.detail) && d.severity === 'error')
  if (locked) throw diagnosticError('plan', run.code, run.diagnostics, p.dir)
  if (!existsSync(file)) return { plan: null, file, diagnostics: run.diagnostics }
  const { stdout } = await call(p, ['show', '-json', '-no-color', file])
  const plan = parsePlan(stdout)
  return { plan: run.code === 1 ? { ...plan, errored: true } : plan, file, diagnostics: run.diagnostics }
}
export async function applyFile(p: Place, file: string): Promise<void> {
  await call(p, ['apply', '-json', '-input=false', '-lock-timeout=5s', file])
}

/** The folder tree of this computer. */
export const disk: Files = {
  list: (dir) => {
    try {
      return readdirSync(dir)
    } catch {
      return []
    }
  },
  read: (path) => {
    try {
      return readFileSync(path, 'utf8')
    } catch {
      return undefined
    }
  },
}
