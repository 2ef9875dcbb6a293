import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import pg from 'pg'
import { createClient, serverRoutes, type Client } from '../../client/index.ts'
import { startSmtpSink, type SmtpSink } from '../../connectors/smtp/sink.ts'
import { CORE, ReglazeError } from '../../core/index.ts'
import { startCluster, type Cluster } from '../../store/index.ts'
import { waitFor, waitingFor } from '../io.ts'
import { PACKAGE_ROOT } from '../version.ts'
import { freePorts, portFrom, startChild, type Child } from './processes.ts'

const run = promisify(execFile)
const SANDBOX = join(PACKAGE_ROOT, 'dist', 'sandbox', 'main.js')
const REGLAZE = join(PACKAGE_ROOT, 'dist', 'src', 'cli', 'main.js')
export const EXAMPLE = join(PACKAGE_ROOT, 'examples', 'tailwind')
/** `for:` of the alert rule. */
const ALERT_AFTER_MS = 2500
export const PEOPLE = ['alice', 'bob', 'carol'] as const

export interface WorldOptions {
  readonly dir: string
  /** Port of the Reglaze server. */
  readonly port: number
  readonly say: (text: string) => void
}

/** The world of the demo: Tailwind Traders on the sandbox, each program a process of its own, joined by public APIs and git. */
export class World {
  readonly dir: string
  port: number
  readonly #say: (text: string) => void
  readonly #children = new Map<string, Child>()
  readonly #ports = { gitops: 0, runner: 0, autoscaler: 0 }
  sink!: SmtpSink
  orders!: Cluster
  cloudUrl = ''
  directoryUrl = ''
  adminToken = ''
  readonly sourceToken = randomBytes(18).toString('base64url')
  readonly #ordersPassword = randomBytes(12).toString('base64url')
  readonly tokens = new Map<string, string>()
  #serverEnv: NodeJS.ProcessEnv = {}

  constructor(o: WorldOptions) {
    this.dir = o.dir
    this.port = o.port
    this.#say = o.say
  }
  get url(): string {
    return `http://127.0.0.1:${this.port}`
  }
  path(...parts: string[]): string {
    return join(this.dir, ...parts)
  }
  get remote(): string {
    return this.path('git', 'production.git')
  }
  get terraformRc(): string {
    return this.path('terraform', 'terraform.rc')
  }

  async raise(): Promise<void> {
    for (const folder of ['logs', 'keys', 'git', 'people', 'mail']) mkdirSync(this.path(folder), { recursive: true, mode: 0o700 })
    this.#say('starting the cloud, the directory, the orders database and the mail sink')
    const [sandbox] = await waitingFor('the cloud, the directory and the orders database to start', Promise.all([this.#sandboxUp('sandbox', 'cloud,directory', []), this.#startOrders(), this.#makeRepository(), this.#installProvider(), this.#startSink()]))
    const urls = sandbox.ready['urls'] as Record<string, string>
    this.cloudUrl = urls['cloud'] as string
    this.directoryUrl = urls['directory'] as string
    await Promise.all([this.#seedCloud(), this.#seedDirectory()])
    const [gitops, runner, autoscaler] = (await freePorts(3)) as [number, number, number]
    Object.assign(this.#ports, { gitops, runner, autoscaler })
    this.#writeAutomationTokens()
    this.#say('starting reglaze serve on its embedded PostgreSQL')
    this.#serverEnv = this.#environment()
    await this.#firstServer()
    await this.#configure()
    this.#say('starting the GitOps agent, the Terraform runner and the autoscaler')
    await waitingFor('the automations to start', this.#startAutomations())
    await this.#settled()
  }

  /** The port was free when it was chosen; another world beside this one may have been faster. */
  async #firstServer(): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.startServer()
      } catch (error) {
        if (attempt >= 5 || !(error as Error).message.includes('PORT_BUSY')) throw error
        this.port = await portFrom(this.port)
      }
    }
  }
  /** What the server is told by its environment; a second process on the same database gets the same. */
  get serverEnvironment(): NodeJS.ProcessEnv {
    return this.#serverEnv
  }
  /** Starts `reglaze serve`, or starts it again after it was killed. */
  async startServer(): Promise<void> {
    const child = await startChild({
      name: 'reglaze serve', log: this.path('logs', 'reglaze.log'), env: this.#serverEnv,
      args: [REGLAZE, '--json', 'serve', '--data', this.path('reglaze'), '--port', String(this.port), '--parent-pid', String(process.pid), '--checkpoint-remote', this.remote],
    })
    this.#children.set('reglaze', child)
    const token = child.ready['admin_token']
    if (typeof token === 'string') {
      this.adminToken = token
      writeFileSync(this.path('keys', 'reglaze-admin.token'), `${token}\n`, { mode: 0o600 })
    }
  }
  async killServer(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    await this.#children.get('reglaze')?.stop(signal)
  }
  get serverPid(): number {
    return this.#children.get('reglaze')?.pid ?? 0
  }

  admin(): Client {
    return createClient({ url: this.url, token: this.adminToken })
  }
  #key(name: string): string {
    return readFileSync(this.path('keys', `${name}.key`), 'utf8').trim()
  }

  /** What a person has in the shell: Reglaze, the cloud, Terraform with the shared state. */
  personEnv(person: string): NodeJS.ProcessEnv {
    return {
      PATH: process.env['PATH'], HOME: this.path('people', person), LANG: 'C.UTF-8', LC_ALL: 'C.UTF-8', TERM: 'xterm-256color',
      REGLAZE_URL: this.url, REGLAZE_TOKEN: this.tokens.get(person), REGLAZE_SOURCE_TOKEN: this.sourceToken,
      SANDBOX_URL: this.cloudUrl, SANDBOX_TOKEN: this.#key(person),
      GIT_AUTHOR_NAME: person, GIT_AUTHOR_EMAIL: `${person}@tailwind.test`, GIT_COMMITTER_NAME: person, GIT_COMMITTER_EMAIL: `${person}@tailwind.test`,
      ...this.terraformEnv(person, this.tokens.get(person) ?? ''),
      ...(process.env['REGLAZE_TERRAFORM'] ? { REGLAZE_TERRAFORM: process.env['REGLAZE_TERRAFORM'] } : {}),
    }
  }
  terraformEnv(user: string, token: string): Record<string, string> {
    const address = `${this.url}/terraform/state/production`
    return {
      TF_CLI_CONFIG_FILE: this.terraformRc, TF_HTTP_ADDRESS: address, TF_HTTP_LOCK_ADDRESS: address, TF_HTTP_UNLOCK_ADDRESS: address, TF_HTTP_LOCK_METHOD: 'LOCK', TF_HTTP_UNLOCK_METHOD: 'UNLOCK',
      TF_HTTP_USERNAME: user, TF_HTTP_PASSWORD: token, TF_HTTP_RETRY_MAX: '6', TF_VAR_orders_password: this.#ordersPassword, TF_IN_AUTOMATION: '1', CHECKPOINT_DISABLE: '1',
    }
  }
  /** A person's own clone of the repository. */
  async clone(person: string): Promise<string> {
    const dir = this.path('people', person, 'production')
    mkdirSync(this.path('people', person), { recursive: true })
    await run('git', ['clone', '-q', this.remote, dir])
    return dir
  }

  async stop(): Promise<void> {
    for (const name of ['automations', 'reglaze', 'sandbox']) await this.#children.get(name)?.stop()
    await this.orders?.stop()
    await this.sink?.stop()
  }
  pids(): Record<string, number> {
    return Object.fromEntries([...this.#children].map(([name, c]) => [name, c.pid]))
  }

  async #sandboxUp(name: string, programs: string, more: string[]): Promise<Child> {
    const child = await startChild({ name: `sandbox (${programs})`, log: this.path('logs', `${name}.log`), env: { ...process.env, NODE_EXTRA_CA_CERTS: undefined }, args: [SANDBOX, 'up', '--dir', this.path('sandbox'), '--with', programs, '--json', '--parent-pid', String(process.pid), ...more] })
    this.#children.set(name, child)
    return child
  }
  async #startSink(): Promise<void> {
    this.sink = await startSmtpSink({ dir: this.path('mail') })
  }
  async #installProvider(): Promise<void> {
    await run(process.execPath, [SANDBOX, 'provider', 'install', this.path('terraform')])
  }

  async #startOrders(): Promise<void> {
    this.orders = await startCluster({ dir: this.path('orders-db'), tcpPort: 0, password: this.#ordersPassword, withParent: true })
    const client = new pg.Client({ connectionString: this.orders.url })
    client.on('error', () => {})
    await client.connect()
    try {
      await client.query(`create role break_glass nologin; create table orders (id bigint primary key, item text not null, paid boolean not null default false);
        insert into orders select n, 'lamp', true from generate_series(1, 1000) n; grant select, insert, update, delete on orders to break_glass`)
    } finally {
      await client.end()
    }
  }

  async #makeRepository(): Promise<void> {
    const work = this.path('git', 'seed')
    cpSync(join(EXAMPLE, 'production'), work, { recursive: true })
    const git = (...args: string[]) => run('git', ['-c', 'user.name=Tailwind', '-c', 'user.email=platform@tailwind.test', ...args], { cwd: work })
    await run('git', ['init', '-q', '--bare', '-b', 'main', this.remote])
    await git('init', '-q', '-b', 'main')
    await git('add', '-A')
    await git('commit', '-q', '-m', 'Production of Tailwind Traders')
    await git('push', '-q', this.remote, 'main')
  }

  async cloud(method: string, path: string, body?: unknown, token = readFileSync(this.path('sandbox', 'cloud', 'root.key'), 'utf8').trim()): Promise<Record<string, unknown>> {
    const response = await fetch(`${this.cloudUrl}${path}`, { method, headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' }, ...(body === undefined ? {} : { body: JSON.stringify(body) }) })
    if (!response.ok) throw new ReglazeError(CORE.OUTSIDE_FAILED, `the cloud answered ${response.status} to ${method} ${path}: ${await response.text()}`)
    return response.status === 204 ? {} : ((await response.json()) as Record<string, unknown>)
  }
  async #seedCloud(): Promise<void> {
    const people = PEOPLE.map((id) => ({ id, kind: 'person', roles: ['reader'] }))
    const machines = [{ id: 'svc-reglaze', kind: 'service', roles: ['admin'] }]
    for (const p of [...people, ...machines]) {
      await this.cloud('POST', '/v1/principals', { id: p.id, kind: p.kind, display_name: p.id })
      for (const role of p.roles) await this.cloud('PUT', `/v1/memberships/${role}/${p.id}`, { note: 'standing right' })
      const made = await this.cloud('POST', `/v1/principals/${p.id}/keys`, {})
      writeFileSync(this.path('keys', `${p.id}.key`), `${made['secret'] as string}\n`, { mode: 0o600 })
    }
  }
  async #seedDirectory(): Promise<void> {
    const root = readFileSync(this.path('sandbox', 'directory', 'root.key'), 'utf8').trim()
    const put = async (method: string, path: string, body: unknown) => {
      const response = await fetch(`${this.directoryUrl}${path}`, { method, headers: { authorization: `Bearer ${root}`, 'content-type': 'application/json' }, body: JSON.stringify(body) })
      if (!response.ok) throw new ReglazeError(CORE.OUTSIDE_FAILED, `the directory answered ${response.status} to ${path}: ${await response.text()}`)
    }
    const names = { alice: 'Alice Moreau', bob: 'Bob Adeyemi', carol: 'Carol Nguyen' }
    for (const id of PEOPLE) await put('POST', '/v1/people', { id, name: names[id], email: `${id}@tailwind.test`, active: true, accounts: { cloud: id, postgres: id } })
    await put('POST', '/v1/groups', { id: 'storefront', name: 'Storefront', members: [...PEOPLE] })
    await put('POST', '/v1/service-principals', { id: 'svc-backup', name: 'Nightly backup', owners: ['carol'], credentials: [{ id: 'backup-key', kind: 'key', expires_at: '2027-03-01T00:00:00Z' }] })
    await put('POST', '/v1/jobs', { id: 'orders-backup', runs_as: 'svc-backup', schedule: '0 3 * * *', acts_on: ['sandbox_database/orders'] })
  }

  #writeAutomationTokens(): void {
    // `sandbox up` makes these files; they are made here first because the server's configuration names them.
    for (const name of ['gitops', 'runner', 'autoscaler']) {
      mkdirSync(this.path('sandbox', 'keys'), { recursive: true, mode: 0o700 })
      writeFileSync(this.path('sandbox', 'keys', `${name}-operator.token`), `${randomBytes(24).toString('base64url')}\n`, { mode: 0o600 })
    }
  }
  #environment(): NodeJS.ProcessEnv {
    const token = (file: string) => readFileSync(file, 'utf8').trim()
    const directory = this.path('sandbox', 'directory', 'root.key')
    return {
      ...process.env,
      TAILWIND_CLOUD_URL: this.cloudUrl, TAILWIND_CLOUD_TOKEN: this.#key('svc-reglaze'), TAILWIND_DIRECTORY_URL: this.directoryUrl, TAILWIND_DIRECTORY_TOKEN: token(directory),
      TAILWIND_ORDERS_DB_URL: this.orders.url, TAILWIND_TERRAFORM_RC: this.terraformRc, TAILWIND_SMTP_URL: this.sink.url, TAILWIND_ALERTMANAGER_TOKEN: this.sourceToken, TAILWIND_INFRA_REPOSITORY: this.remote,
      ...Object.fromEntries(Object.entries(this.#ports).flatMap(([name, port]) => [[`TAILWIND_${name.toUpperCase()}_URL`, `http://127.0.0.1:${port}`], [`TAILWIND_${name.toUpperCase()}_TOKEN`, token(this.path('sandbox', 'keys', `${name}-operator.token`))]])),
    }
  }

  async #configure(): Promise<void> {
    const admin = this.admin()
    const file = join(EXAMPLE, 'reglaze.yaml')
    await admin.call(serverRoutes.configApply, { body: { files: [{ file: 'reglaze.yaml', text: readFileSync(file, 'utf8') }] } })
    const make = async (name: string, body: { role: 'responder' | 'approver' | 'viewer'; person?: string; scopes: ('api' | 'state' | 'state-read')[] }) => {
      const made = await admin.call(serverRoutes.tokenCreate, { body: { name, ...body } })
      this.tokens.set(name, made.secret)
      writeFileSync(this.path('keys', `reglaze-${name}.token`), `${made.secret}\n`, { mode: 0o600 })
    }
    for (const person of PEOPLE) await make(person, { role: 'responder', person, scopes: ['api', 'state'] })
    await make('svc-runner', { role: 'viewer', scopes: ['state'] })
    await make('svc-drift', { role: 'viewer', scopes: ['state-read'] })
  }

  async #startAutomations(): Promise<void> {
    const config = {
      repo: this.remote, branch: 'main', gitops: { intervalMs: 1000, rootPath: 'gitops/root' },
      runner: { organization: 'tailwind', workspace: 'production', workingDirectory: 'infra', driftIntervalMs: 4000, autoApply: true, env: this.terraformEnv('svc-runner', this.tokens.get('svc-runner') ?? '') },
      autoscaler: { intervalMs: 1000, graceMs: 3000, groups: [{ name: 'web', match: { group: 'web' } }] },
    }
    const file = this.path('sandbox', 'automations.json')
    writeFileSync(file, JSON.stringify(config, null, 2), { mode: 0o600 })
    const ports = Object.entries(this.#ports).map(([n, p]) => `${n}=${p}`).join(',')
    await this.#sandboxUp('automations', 'gitops,runner,autoscaler', ['--config', file, '--ports', ports])
  }

  /** Waits until the runner has built everything from code and the GitOps agent is in sync. */
  async #settled(): Promise<void> {
    this.#say('the runner builds production from code')
    await waitFor(
      async () => {
        const routes = (await this.cloud('GET', '/v1/routes'))['items'] as { name: string; target_id: string }[]
        const instances = (await this.cloud('GET', '/v1/instances'))['items'] as { id: string; name: string }[]
        const databases = (await this.cloud('GET', '/v1/databases'))['items'] as unknown[]
        const target = routes.find((r) => r.name === 'storefront')?.target_id
        const state = await fetch(`${this.url}/terraform/state/production`, { headers: { authorization: `Basic ${Buffer.from(`svc-drift:${this.tokens.get('svc-drift')}`).toString('base64')}` } })
        const built = state.status === 200 && ((await state.json()) as { resources: unknown[] }).resources.length >= 4
        return built && databases.length === 1 && instances.some((i) => i.name === 'gateway' && i.id === target) ? true : null
      },
      { timeoutMs: 60_000, what: () => `production is not built yet; see ${this.path('sandbox', 'logs')}` },
    )
    // Somebody did this weeks ago: it must never be blamed on the incident.
    await this.cloud('PATCH', '/v1/instances/name:web-2', { user_data: '#!/bin/sh\nsysctl -w net.core.somaxconn=4096\n' })
    this.#say('something breaks: the gateway fails, and the migration of the orders database')
    await this.cloud('POST', '/v1/databases/name:orders/actions/fail')
    await this.cloud('POST', '/v1/instances/name:gateway/actions/fail')
    // The alert comes later than its cause: a rule has to hold for a while before it fires.
    await waitingFor('the alert: its rule has to hold for a while', new Promise((r) => setTimeout(r, ALERT_AFTER_MS)))
  }
}
