// `sandbox up`: which programs, with which arguments and credentials.
import { join } from 'node:path'
import { installProvider } from '../provider/index.ts'
import { cloudKey, apiTokens, runnerEnv } from './keys.ts'
import { AUTOMATIONS, type Automation, type AutomationConfig, type ProgramName } from './config.ts'
import type { Supervisor } from './supervisor.ts'
import { addToWorld, readWorld, type World } from './world.ts'

export interface UpOptions {
  readonly dir: string
  readonly names: readonly ProgramName[]
  readonly config: AutomationConfig
  /** Explicit ports; otherwise the one of the last time, otherwise a free one. */
  readonly ports: Partial<Record<ProgramName, number>>
}

/** Starts the programs, the cloud before those that act in it, and records where they are. */
export async function up(supervisor: Supervisor, o: UpOptions): Promise<World> {
  if (o.names.includes('cloud')) await startOne(supervisor, o, 'cloud')
  const others = await Promise.allSettled(o.names.filter((n) => n !== 'cloud').map((n) => startOne(supervisor, o, n)))
  const failed = others.find((r) => r.status === 'rejected')
  if (failed !== undefined) throw failed.reason
  return readWorld(o.dir)
}

async function startOne(supervisor: Supervisor, o: UpOptions, name: ProgramName): Promise<void> {
  const world = readWorld(o.dir)
  const port = o.ports[name] ?? world.ports[name] ?? 0
  const { args, files } = isAutomation(name) ? await automation(o, world, name) : { args: [], files: { [`${name}-root`]: join(o.dir, name, 'root.key') } }
  const paths = name === 'cloud' ? { terraformRc: installProvider(join(o.dir, 'provider')).cliConfig } : {}
  const child = await supervisor.start(name, args, port).catch((e: Error) => {
    const remembered = o.ports[name] === undefined && world.ports[name] !== undefined && /in use|EADDRINUSE/.test(e.message)
    throw remembered ? new Error(`${e.message}\nport ${port} is the one that ${name} had the last time; choose another with --ports ${name}=0`) : e
  })
  addToWorld(o.dir, { urls: { [name]: child.url }, ports: { [name]: child.port }, logs: { [name]: child.log }, files, paths })
}

function isAutomation(name: ProgramName): name is Automation {
  return (AUTOMATIONS as readonly string[]).includes(name)
}

async function automation(o: UpOptions, world: World, name: Automation): Promise<{ args: string[]; files: Record<string, string> }> {
  const cloudUrl = o.config.cloudUrl ?? world.urls.cloud
  if (cloudUrl === undefined) throw new Error(`${name} needs the cloud: start it first with \`sandbox up --dir ${o.dir} --with cloud\`, or give cloudUrl in --config`)
  const key = await cloudKey(o.dir, cloudUrl, name, o.config[name]?.roles ?? ['operator'])
  const { tokenFile, files } = apiTokens(o.dir, name)
  const named = Object.fromEntries(Object.entries(files).map(([user, file]) => [`${name}-${user}`, file]))
  const args = name === 'gitops' ? gitopsArgs(o.config, cloudUrl, key) : name === 'runner' ? runnerArgs(o, world, cloudUrl, key) : autoscalerArgs(o.config, cloudUrl, key)
  return { args: [...args, '--token-file', tokenFile], files: { [`svc-${name}`]: key, ...named } }
}

function needRepo(config: AutomationConfig, name: Automation): string {
  if (config.repo === undefined) throw new Error(`${name} works from git: give "repo" in the --config file`)
  return config.repo
}
function gitopsArgs(config: AutomationConfig, cloudUrl: string, key: string): string[] {
  const c = config.gitops ?? {}
  return ['--repo', needRepo(config, 'gitops'), '--branch', config.branch ?? 'main', '--cloud', cloudUrl, '--cloud-token-file', key, '--interval-ms', String(c.intervalMs ?? 1000), '--root-path', c.rootPath ?? 'gitops/root']
}
function runnerArgs(o: UpOptions, world: World, cloudUrl: string, key: string): string[] {
  const c = o.config.runner ?? {}
  const envFile = runnerEnv(o.dir, { ...(world.paths.terraformRc === undefined ? {} : { TF_CLI_CONFIG_FILE: world.paths.terraformRc }), ...c.env, SANDBOX_URL: cloudUrl }, { SANDBOX_TOKEN: key })
  return [
    '--repo', needRepo(o.config, 'runner'), '--branch', o.config.branch ?? 'main', '--env-file', envFile,
    '--organization', c.organization ?? 'sandbox', '--workspace', c.workspace ?? 'production', '--working-directory', c.workingDirectory ?? '.',
    '--poll-ms', String(c.pollMs ?? 500), '--drift-interval-ms', String(c.driftIntervalMs ?? 4000), ...(c.autoApply === false ? ['--no-auto-apply'] : []), ...(c.runsLock ? ['--runs-lock'] : []),
  ]
}
function autoscalerArgs(config: AutomationConfig, cloudUrl: string, key: string): string[] {
  const c = config.autoscaler ?? {}
  const groups = (c.groups ?? []).flatMap((g) => ['--group', `${g.name}:${Object.entries(g.match).map(([k, v]) => `${k}=${v}`).join(',')}`])
  return ['--cloud', cloudUrl, '--cloud-token-file', key, '--interval-ms', String(c.intervalMs ?? 1000), '--grace-ms', String(c.graceMs ?? 3000), ...groups]
}
