import { execFile } from 'node:child_process'
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import pg from 'pg'
import type { Json } from '../../core/index.ts'
import { canonical } from '../../core/index.ts'
import { must, type Narrator } from './narrator.ts'
import { EXAMPLE, PEOPLE, type World } from './world.ts'
import { waitFor } from '../io.ts'
import { PACKAGE_ROOT } from '../version.ts'

const run = promisify(execFile)
// eslint-disable-next-line @typescript-eslint/no-explicit-any
type Any = any

/** The automation's settings as its own API tells them: read without Reglaze, before the pause and after the resume. */
export interface Settings {
  readonly root: Json
  readonly storefront: Json
  readonly autoApply: Json
  readonly locked: Json
  readonly suspended: Json
  readonly locks: Json
}

/** The persons, folders and open sessions of one run of the story. */
export class Cast {
  readonly world: World
  readonly n: Narrator
  dri = ''
  incident = 'INC-1'
  incidentId = ''
  grant = ''
  person!: { env: NodeJS.ProcessEnv; cwd: string }
  repairer!: { env: NodeJS.ProcessEnv; cwd: string }
  before!: Settings
  recording = ''
  ordersClient: pg.Client | null = null
  ordersLost = false
  sessionToken = ''
  constructor(world: World, n: Narrator) {
    this.world = world
    this.n = n
  }
  get clone(): string {
    return this.world.path('people', this.dri, 'production')
  }

  async automation(name: 'gitops' | 'runner' | 'autoscaler', path: string): Promise<Any> {
    const urls = (JSON.parse(readFileSync(this.world.path('sandbox', 'world.json'), 'utf8')) as { urls: Record<string, string> }).urls
    const token = readFileSync(this.world.path('sandbox', 'keys', `${name}-viewer.token`), 'utf8').trim()
    const response = await fetch(`${urls[name]}${path}`, { headers: { authorization: `Bearer ${token}` } })
    must(response.ok, `${name} answered ${response.status} to ${path}`)
    return response.json()
  }
  async settings(): Promise<Settings> {
    const app = async (name: string) => ((await this.automation('gitops', `/apis/argoproj.io/v1alpha1/namespaces/argocd/applications/${name}`)).spec.syncPolicy ?? null) as Json
    const workspace = (await this.automation('runner', '/api/v2/organizations/tailwind/workspaces/production')).data.attributes
    const group = await this.automation('autoscaler', '/v1/groups/web')
    return {
      root: await app('root'), storefront: await app('storefront'), autoApply: workspace['auto-apply'], locked: workspace['locked'],
      suspended: group.suspended_processes, locks: ((await this.world.cloud('GET', '/v1/locks'))['items'] as Any[]).map((l) => l.name),
    }
  }
  /** What the runner gets from the state backend with its own credentials. */
  async stateAs(user: 'svc-runner' | 'svc-drift', method = 'GET', body?: string): Promise<{ status: number; text: string }> {
    const auth = Buffer.from(`${user}:${this.world.tokens.get(user)}`).toString('base64')
    const response = await fetch(`${this.world.url}/terraform/state/production`, { method, headers: { authorization: `Basic ${auth}` }, ...(body ? { body } : {}) })
    return { status: response.status, text: await response.text() }
  }
  async find(collection: string, name: string): Promise<Any> {
    return ((await this.world.cloud('GET', `/v1/${collection}`))['items'] as Any[]).find((i) => i.name === name)
  }
  async git(...args: string[]): Promise<string> {
    return (await run('git', args, { cwd: this.clone, env: { ...process.env, ...this.person.env } })).stdout.trim()
  }
}

export async function alert(c: Cast): Promise<void> {
  await c.n.step('An alert comes in', async () => {
    const { world } = c
    const anyone = { env: world.personEnv('alice'), cwd: world.dir }
    const file = world.path('alert.json')
    writeFileSync(file, readFileSync(join(EXAMPLE, 'alert.json')))
    await c.n.reglaze(anyone, ['alerts', 'send', 'alertmanager', file])
    const incident = await waitFor(async () => ((await c.n.reglaze<Any[]>(anyone, ['incident', 'list'])) as Any[]).find((i) => i.service === 'storefront' && i.dri) ?? null, { timeoutMs: 20_000, everyMs: 300, what: () => 'no incident with a responsible person' })
    c.dri = incident.dri
    c.incident = incident.label
    c.incidentId = incident.id
    must((PEOPLE as readonly string[]).includes(c.dri), `${c.dri} is not a person of the rotation`)
    mkdirSync(world.path('people', c.dri), { recursive: true })
    await world.clone(c.dri)
    c.person = { env: world.personEnv(c.dri), cwd: c.clone }
    return { proof: `${c.incident} "${incident.title}", severity ${incident.severity}; one responsible person from the rotation: ${c.dri}`, evidence: incident }
  })
  await c.n.step('The person is paged and acknowledges', async () => {
    const mail = await waitFor(async () => c.world.sink.messages().find((m) => m.to.includes(`${c.dri}@tailwind.test`) && m.raw.includes(c.incident)) ?? null, { timeoutMs: 20_000, what: () => 'no mail reached the sink' })
    await c.n.reglaze(c.person, ['incident', 'ack', c.incident])
    const seen = await c.n.reglaze<Any>(c.person, ['incident', 'show', c.incident])
    must(seen.incident.acknowledged_by === c.dri, `acknowledged by ${seen.incident.acknowledged_by}, not by ${c.dri}`)
    return { proof: `mail "${mail.subject}" is in the mailbox of ${mail.to.join(', ')}; acknowledged at ${seen.incident.acknowledged_at}`, evidence: { message: mail.messageId, subject: mail.subject, acknowledged: seen.incident.acknowledged_at } }
  })
}

export async function breakGlass(c: Cast): Promise<void> {
  await c.n.step('Break glass: access on three systems, with an end', async () => {
    const { world } = c
    const explained = await c.n.reglaze<Any>(c.person, ['access', 'explain', 'production-repair', '--incident', c.incident])
    must(explained.decision.outcome === 'approved', `policy says ${explained.decision.outcome}: ${explained.decision.because}`)
    const grant = await c.n.reglaze<Any>(c.person, ['access', 'request', 'production-repair', '--incident', c.incident, '--reason', 'orders database and gateway are down', '--wait'])
    c.grant = grant.id
    // Read back without Reglaze: as the cloud's root, and by logging in to the database.
    const member = await world.cloud('GET', `/v1/memberships/operator/${c.dri}`)
    const assignment = ((await world.cloud('GET', '/v1/role-assignments'))['items'] as Any[]).find((a) => a.source_identity === c.grant)
    must(member['source_identity'] === c.grant, 'the membership at the cloud does not carry the grant')
    must(assignment?.principal === c.dri && assignment.expires_at, 'the role assignment made by Terraform is not there')
    await openSessions(c)
    const rows = (await (c.ordersClient as pg.Client).query('select count(*)::int as n, current_user as who from orders')).rows[0]
    return {
      proof: `${c.dri} is in until ${grant.expires_at}: membership (backstop ${member['expires_at'] as string}), database login ${rows.who} sees ${rows.n} orders, assignment ${assignment.id} by Terraform`,
      evidence: { grant, member, assignment, database: rows },
    }
  })
}

/** What the person holds during the repair: a database connection and a cloud session. They must be dead afterwards. */
async function openSessions(c: Cast): Promise<void> {
  const { targets } = await c.n.reglaze<Any>(c.person, ['access', 'credentials', c.grant])
  const db = targets.find((t: Any) => t.connector === 'orders-db').credentials
  c.ordersClient = new pg.Client(db.PGHOST ? { host: db.PGHOST, port: Number(db.PGPORT), user: db.PGUSER, password: db.PGPASSWORD, database: db.PGDATABASE } : { connectionString: db.DATABASE_URL ?? db.url })
  c.ordersClient.on('error', () => (c.ordersLost = true))
  await c.ordersClient.connect()
  const key = readFileSync(c.world.path('keys', `${c.dri}.key`), 'utf8').trim()
  c.sessionToken = (await c.world.cloud('POST', '/v1/sessions', {}, key))['token'] as string
  c.repairer = { env: { ...c.person.env, SANDBOX_TOKEN: c.sessionToken }, cwd: c.clone }
}

export async function pause(c: Cast): Promise<void> {
  await c.n.step('Pause what would undo the repair', async () => {
    c.before = await c.settings()
    const holds = await c.n.reglaze<Any[]>(c.person, ['pause', c.incident, '--wait'])
    const now = await c.settings()
    const off = (policy: Any) => !policy?.automated || policy.automated.enabled === false
    must(off(now.root) && off(now.storefront), 'the GitOps agent still syncs by itself')
    must(now.locked === true && now.autoApply === false, 'the runner is not locked')
    must(canonical(now.suspended).includes('ReplaceUnhealthy'), 'the autoscaler is not suspended')
    must((now.locks as string[]).length > 0, 'the control-plane lock is not there')
    const lock = await c.stateAs('svc-runner', 'LOCK', JSON.stringify({ ID: 'x', Operation: 'OperationTypeApply', Info: '', Who: 'runner', Version: '1', Created: new Date().toISOString(), Path: '' }))
    must(lock.status === 423 && lock.text.includes(c.incident), `the runner got ${lock.status} from the state backend`)
    must((await c.stateAs('svc-drift')).status === 200, 'drift runs cannot read the state any more')
    return { proof: `${holds.length} automations held, parent first; the runner's Terraform is told "${(JSON.parse(lock.text) as { ID: string }).ID}"`, evidence: { before: c.before, now, holds } }
  })
  await c.n.step('What differed before is the baseline', async () => {
    const found = await c.n.reglaze<Any>(c.person, ['reconcile', 'baseline', 'infra', '--incident', c.incident])
    must(found.drift.some((d: Any) => d.address.includes('web-2')), 'the change that was made weeks ago is not in the baseline')
    return { proof: `${found.drift.length} differences existed before the incident (state serial ${found.serial}), among them a first-boot script on web-2 that somebody changed weeks ago`, evidence: found }
  })
}

export async function assess(c: Cast): Promise<void> {
  await c.n.step('Assess the blast radius', async () => {
    const made = await c.n.reglaze<Any>(c.person, ['assess', c.incident, '--resource', 'sandbox_instance.gateway', '--resource', 'module.orders_db.sandbox_database.this'])
    const a = made.assessment
    must(a.automations.length >= 4 && a.criticality.level === 1, 'the assessment misses automations or criticality')
    return { proof: `criticality ${a.criticality.level}; ${a.automations.length} automations act on it, ${a.loops.length} loops running; services ${[...new Set([...a.resources.flatMap((r: Any) => r.services), ...a.dependents.services.map((s: Any) => s.id)])].join(', ')}; jobs ${a.jobs.map((j: Any) => j.id).join(', ') || 'none'}`, evidence: a }
  })
}

/** Commands that a person types into the recorded terminal. */
function repairScript(c: Cast, other: string, gateway: string): string {
  return `# typed into the recorded terminal
eval "$(sandbox login)"
reglaze repair quarantine infra sandbox_instance.gateway --incident ${c.incident}
sandbox set route storefront target_id=${other}
sandbox instance stop gateway
sandbox instance mend gateway
sandbox instance start gateway
sandbox set route storefront target_id=${gateway}
reglaze repair release infra sandbox_instance.gateway --incident ${c.incident}
reglaze repair replace infra 'module.web.sandbox_instance.this["web-3"]' --incident ${c.incident}
sandbox set instance web-1 size=large
sandbox delete firewall partner
sandbox create firewall name=emergency-block 'rule=[{"port":443,"protocol":"tcp","source":"203.0.113.0/24"}]'
sandbox database upgrade orders --engine-version 14.9 --parameter-group default.postgres14
sandbox database mend orders
sandbox show database orders
`
}

/** `sandbox` and `reglaze` as commands for the recorded shell. */
export function writeCommands(world: World): string {
  const bin = world.path('bin')
  mkdirSync(bin, { recursive: true })
  for (const [name, main] of [['sandbox', 'dist/sandbox/main.js'], ['reglaze', 'dist/src/cli/main.js']] as const) {
    writeFileSync(join(bin, name), `#!/bin/sh\nexec '${process.execPath}' '${join(PACKAGE_ROOT, main)}' "$@"\n`)
    chmodSync(join(bin, name), 0o755)
  }
  return bin
}

export async function record(c: Cast, script: string, name: string): Promise<Any> {
  const bin = writeCommands(c.world)
  const file = c.world.path(`${name}.sh`)
  writeFileSync(file, script)
  c.recording = c.world.path('people', c.dri, `${name}.rec`)
  const person = { env: { ...c.person.env, PATH: `${bin}:${c.person.env['PATH']}` }, cwd: c.clone }
  return c.n.reglaze<Any>(person, ['record', 'shell', '--incident', c.incident, '--grant', c.grant, '--file', c.recording, '--script', file])
}

export async function repair(c: Cast): Promise<void> {
  await c.n.step('Repair by hand, in a recorded terminal', async () => {
    const other = (await c.find('instances', 'web-1')).id as string
    const gateway = await c.find('instances', 'gateway')
    const web3 = await c.find('instances', 'web-3')
    const done = await record(c, repairScript(c, other, gateway.id as string), 'repair')
    const [db, gw, w3] = [await c.find('databases', 'orders'), await c.find('instances', 'gateway'), await c.find('instances', 'web-3')]
    must(db.engine_version === '14.9' && db.status === 'available', `the database is ${db.engine_version}, ${db.status}`)
    must(gw.id === gateway.id && gw.health === 'ok' && gw.status === 'running', 'the gateway is not the same machine, mended')
    must(w3.id !== web3.id, 'web-3 was not replaced')
    must(done.state === 'complete' && done.commands.every((x: Any) => x.exitCode === 0), 'a recorded command failed')
    return { proof: `database 13.11 → ${db.engine_version}; gateway ${gw.id} mended and released; web-3 ${web3.id} → ${w3.id}; ${done.commands.length} commands recorded`, evidence: { recording: { id: done.id, head: done.head, bytes: done.bytes, commands: done.commands } } }
  })
}

export async function recordStep(c: Cast): Promise<void> {
  await c.n.step('Everything is on record', async () => {
    const verified = await c.n.reglaze<Any>(c.person, ['record', 'verify', c.recording])
    const runbook = await c.n.reglaze<string>(c.person, ['record', 'runbook', c.recording])
    const wanted = ['sandbox_database', 'sandbox_firewall', 'sandbox_route', 'sandbox_instance']
    let list: Any[] = []
    await waitFor(async () => {
      list = await c.n.reglaze<Any[]>(c.person, ['record', 'modifications', '--incident', c.incident])
      return wanted.every((type) => list.some((m) => m.resource.type === type && m.verdict === 'attributed')) && list.some((m) => m.resource.name === 'orders' && canonical(m.attributes ?? {}).includes('14.9')) ? true : null
    }, { timeoutMs: 20_000, everyMs: 700, what: () => `known so far: ${list.map((m) => `${m.action} ${m.resource.type}/${m.resource.name} ${m.verdict}`).join(', ')}` })
    must(list.every((m) => m.verdict !== 'unexplained'), `unexplained: ${list.filter((m) => m.verdict === 'unexplained').map((m) => m.request).join(', ')}`)
    const mine = list.filter((m) => m.verdict === 'attributed')
    must(mine.every((m) => m.grant === c.grant && m.person === c.dri), 'a modification is attributed to somebody else')
    must(mine.some((m) => m.hcl), 'no modification is shown as code')
    return { proof: `recording intact (head ${verified.head.slice(0, 12)}…); ${mine.length} modifications, all by ${c.dri} under ${c.grant}, 0 unexplained; runbook draft of ${runbook.split('\n').length} lines`, evidence: { verified, modifications: mine.map((m) => ({ address: m.address, request: m.request, hcl: m.hcl })), runbook } }
  })
}

export async function endState(c: Cast): Promise<void> {
  await c.n.step('End state: expected against actual, a decision for each', async () => {
    const found = await c.n.reglaze<Any>(c.repairer, ['reconcile', 'check', 'infra', '--incident', c.incident])
    must(found.blind.some((b: string) => /no complete plan/.test(b)), 'a normal plan was expected to be impossible (precondition on the major version)')
    await c.n.reglaze(c.person, ['reconcile', 'decide', 'module.web.sandbox_instance.this["web-1"]', 'revert', '--incident', c.incident, '--reason', 'was only for the peak'])
    const items = await c.n.reglaze<Any[]>(c.person, ['reconcile', 'decide', '--incident', c.incident, '--suggested'])
    const old = found.resources.find((r: Any) => r.address.includes('web-2'))
    must(old?.baseline === true, 'what was there before the incident is blamed on it')
    const open = items.filter((i) => !i.decision)
    must(open.length === 0, `no decision for ${open.map((i) => i.address).join(', ')}`)
    const count = (d: string) => items.filter((i) => i.decision === d).map((i) => i.address)
    must(count('codify').some((a) => a.includes('orders_db')) && count('import').length === 1 && count('forget').length === 1, `decisions: ${items.map((i) => `${i.address} ${i.decision}`).join(', ')}`)
    return { proof: `a normal plan is impossible (precondition), drift is seen anyway: codify ${count('codify').length}, revert ${count('revert').length}, import ${count('import').length}, forget ${count('forget').length}, as code ${count('none').length}`, evidence: { check: found, items } }
  })
}

export async function reconcile(c: Cast): Promise<void> {
  await c.n.step('Reconcile: the code says what is real', async () => {
    const done = await c.n.reglaze<Any>(c.repairer, ['reconcile', 'codify', 'infra', '--incident', c.incident])
    must(done.commit && done.patch.includes('14.9'), 'the patch does not say 14.9')
    if ((await c.git('branch', '--show-current')) !== done.branch) await c.git('checkout', '-q', done.branch)
    const applied = await c.n.reglaze<Any>(c.repairer, ['reconcile', 'apply', 'infra', '--incident', c.incident])
    await c.n.reglaze(c.repairer, ['reconcile', 'tidy', 'infra', '--incident', c.incident])
    c.n.command(`git push origin ${done.branch}:${done.branch} ${done.branch}:main`)
    await c.git('push', '-q', 'origin', `${done.branch}:${done.branch}`, `${done.branch}:main`)
    return { proof: `${done.branch} at ${done.commit.slice(0, 10)}: ${done.edits.length} edits in ${done.files.join(', ')}, everything else byte for byte the same; applied ${applied.applied.length} changes, serial ${applied.serial}`, evidence: { patch: done.patch, edits: done.edits, applied } }
  })
  await c.n.step('Proof: a complete plan in which every action is no-op', async () => {
    const { proof, filed } = await c.n.reglaze<Any>(c.repairer, ['reconcile', 'prove', 'infra', '--incident', c.incident])
    must(proof.verdict === 'clean' && filed.valid, `${proof.verdict}: ${filed.why}`)
    return { proof: `${proof.resources} resources, serial ${proof.serial}, commit ${proof.commit.slice(0, 10)}, plan digest ${proof.planDigest.slice(0, 16)}, on file as ${filed.id}`, evidence: { proof, filed } }
  })
}

export async function resume(c: Cast): Promise<void> {
  await c.n.step('Resume: automation is given back exactly as it was', async () => {
    const holds = await c.n.reglaze<Any[]>(c.person, ['resume', c.incident, '--wait'])
    const after = await c.settings()
    must(canonical(after) === canonical(c.before), `settings differ: before ${canonical(c.before)}, now ${canonical(after)}`)
    const watched = holds.filter((h) => h.first_run)
    must(watched.some((h) => h.automation === 'terraform-runner'), 'the first run of the runner was not watched')
    return { proof: `settings read back at their own APIs equal the earlier ones; first runs watched: ${watched.map((h) => h.automation).join(', ')}, nothing changed`, evidence: { after, holds } }
  })
}

export async function revoke(c: Cast): Promise<void> {
  await c.n.step('Access ends, and nobody stays in', async () => {
    const { world } = c
    const grant = await c.n.reglaze<Any>(c.person, ['access', 'end', c.grant, '--wait'])
    must(grant.state === 'revoked' && grant.level === 'proven', `the grant is ${grant.state}`)
    const memberships = ((await world.cloud('GET', '/v1/memberships'))['items'] as Any[]).filter((m) => m.source_identity === c.grant)
    const assignments = ((await world.cloud('GET', '/v1/role-assignments'))['items'] as Any[]).filter((a) => a.source_identity === c.grant)
    const sessions = ((await world.cloud('GET', `/v1/sessions?principal=${c.dri}`))['items'] as Any[]).filter((s) => s.source_identity === c.grant)
    must(memberships.length + assignments.length + sessions.length === 0, `left at the cloud: ${memberships.length} memberships, ${assignments.length} assignments, ${sessions.length} sessions`)
    const refused = await fetch(`${world.cloudUrl}/v1/whoami`, { headers: { authorization: `Bearer ${c.sessionToken}` } })
    must(refused.status === 401, `the session from the repair still works (${refused.status})`)
    const dead = await (c.ordersClient as pg.Client).query('select 1').then(() => false, () => true)
    must(dead, 'the database connection from the repair still works')
    const root = new pg.Client({ connectionString: world.orders.url })
    await root.connect()
    const left = (await root.query(`select rolname from pg_roles where rolname like 'rg_%'`)).rows
    await root.end()
    must(left.length === 0, `database roles left: ${left.map((r) => r.rolname).join(', ')}`)
    return { proof: `revoked (level ${grant.level}): 0 memberships, 0 assignments, 0 sessions, 0 database roles; the session token of the repair gets 401, its database connection was ended`, evidence: { grant } }
  })
}

export async function close(c: Cast): Promise<void> {
  await c.n.step('Close, with a certificate that verifies offline', async () => {
    const file = c.world.path(`${c.incident}.certificate.json`)
    const closed = await c.n.reglaze<Any>(c.person, ['incident', 'close', c.incident, '--certificate', file])
    must(closed.incident.state === 'closed', 'the incident is not closed')
    const { phases } = await c.n.reglaze<Any>(c.person, ['incident', 'show', c.incident])
    must(phases.every((p: Any) => p.state === 'done'), `phases without evidence: ${phases.filter((p: Any) => p.state !== 'done').map((p: Any) => p.phase).join(', ')}`)
    // Trust comes from elsewhere: the key and the first checkpoint on a branch of the git remote.
    const remote = async (name: string) => {
      const { stdout } = await run('git', ['--git-dir', c.world.remote, 'show', `reglaze-checkpoints:${name}`])
      const path = c.world.path(`remote-${name}`)
      writeFileSync(path, stdout)
      return path
    }
    const key = await remote('ledger.key')
    const first = await remote('first.checkpoint')
    const verified = await c.n.reglaze<Any>(c.person, ['ledger', 'verify', file, '--key', key, '--incident', c.incidentId])
    await c.n.reglaze(c.person, ['ledger', 'verify', file, '--checkpoint', first])
    const text = readFileSync(file, 'utf8')
    const forged = c.world.path('forged.json')
    writeFileSync(forged, text.replace(c.dri, c.dri === 'alice' ? 'nobby' : 'alice'))
    await c.n.reglaze(c.person, ['ledger', 'verify', forged, '--key', key], 1)
    return { proof: `${c.incident} is closed; ${verified.entries.length} ledger entries certified, accepted by the key and by the first checkpoint from the git remote; a changed byte is rejected`, evidence: { certificate: file, checkpoint: verified.checkpoint?.size ?? null } }
  })
}

/** `--skip pause`: why pausing matters. */
export async function withoutPause(c: Cast): Promise<void> {
  await c.n.step('Repair without a pause: the automation fights back', async () => {
    const other = (await c.find('instances', 'web-1')).id as string
    const gateway = await c.find('instances', 'gateway')
    await record(c, `eval "$(sandbox login)"\nsandbox set route storefront target_id=${other}\nsandbox instance stop gateway\n`, 'repair')
    const started = performance.now()
    let undone: Any[] = []
    await waitFor(async () => {
      undone = (await c.n.reglaze<Any[]>(c.person, ['record', 'modifications', '--incident', c.incident])).filter((m) => m.undone)
      return undone.some((m) => m.undone.by === 'svc-gitops') && undone.some((m) => m.undone.by === 'svc-autoscaler') ? true : null
    }, { timeoutMs: 30_000, everyMs: 700, what: () => `undone so far: ${undone.map((m) => `${m.resource.name} by ${m.undone.by}`).join(', ') || 'nothing'}` })
    const route = await c.find('routes', 'storefront')
    const now = await c.find('instances', 'gateway')
    must(route.target_id !== other, 'the route still points to the healthy machine')
    must(now?.id !== gateway.id, 'the machine under repair is still there')
    return { proof: `noticed within ${((performance.now() - started) / 1000).toFixed(1)} s: ${undone.map((m) => `${m.resource.type} ${m.resource.name ?? m.resource.id} ${m.undone.how} by ${m.undone.by} (${m.undone.event})`).join('; ')}`, evidence: { undone } }
  })
  await c.n.step('The close gate refuses', async () => {
    const answer = await c.n.reglaze<Any>(c.person, ['incident', 'close', c.incident], 5)
    const open = answer.error?.data?.open ?? []
    const what = open.map((o: Any) => o.what).join('; ')
    must(open.some((o: Any) => o.code === 'grant-live') && what.includes('undone by svc-gitops') && what.includes('undone by svc-autoscaler'), `the list does not say what was undone: ${what}`)
    return { proof: `${open.length} things stand open: ${open.map((o: Any) => o.code).join(', ')}`, evidence: { open } }
  })
  await revoke(c)
}
