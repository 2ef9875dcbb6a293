// What goes wrong outside at three in the morning: nothing is ever called revoked before it was read back, everybody is
// told, and when the world is well again everybody is out.
import { readFileSync } from 'node:fs'
import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { accessRoutes } from '../../src/access/contract.ts'
import { serverRoutes } from '../../src/client/index.ts'
import { createClient } from '../../src/client/index.ts'
import { startChild } from '../../src/cli/demo/processes.ts'
import * as story from '../../src/cli/demo/story.ts'
import { waitFor } from '../../src/cli/io.ts'
import { incidentRoutes } from '../../src/incident/contract.ts'
import { pauseRoutes } from '../../src/pause/contract.ts'
import { startCluster } from '../../src/store/index.ts'
import { MAIN } from '../testing/cli.ts'
import { keyOf, ledgerIsWhole, lowerStage, nobodyInside, ordersRoles, raiseStage, type Stage } from '../testing/stage.ts'

// eslint-disable-next-line @typescript-eslint/no-explicit-any
type Any = any
let stage: Stage
beforeAll(async () => {
  stage = await raiseStage('world-faults')
  await story.alert(stage.cast)
}, 120_000)
afterAll(async () => {
  if (stage) await lowerStage(stage)
}, 60_000)

const ask = (...more: string[]) => {
  const { cast } = stage
  return cast.n.reglaze<Any>(cast.person, ['access', 'request', 'production-repair', '--incident', cast.incident, '--reason', 'repair at three in the morning', ...more])
}
const grantOf = (id: string): Promise<Any> => stage.world.admin().call(accessRoutes.get, { params: { id } })
const targetOf = async (id: string, connector: string): Promise<Any> => (await grantOf(id)).targets.find((t: Any) => t.connector === connector)
const until = <T>(what: string, look: () => Promise<T | null | false>, timeoutMs = 30_000): Promise<T> =>
  waitFor(async () => (await look()) || null, { timeoutMs, everyMs: 100, what: () => what })
const fault = (o: { method?: string; path_prefix: string; mode: string; times: number }) => stage.world.cloud('POST', '/v1/faults', { principal: 'svc-reglaze', ...o })
const wellAgain = () => stage.world.cloud('DELETE', '/v1/faults')
const kinds = async (): Promise<string[]> => (await stage.world.admin().call(incidentRoutes.timeline, { params: { id: stage.cast.incident } })).entries.map((e) => e.kind)
const mails = (subject: RegExp) => stage.world.sink.messages().filter((m) => m.to.includes(`${stage.cast.dri}@tailwind.test`) && subject.test(m.subject))
/** Every state that the grant and its targets were seen in while something went on. */
async function watch(id: string, over: () => boolean): Promise<Set<string>> {
  const seen = new Set<string>()
  while (!over()) {
    const g = await grantOf(id)
    for (const s of [g.state, ...g.targets.map((t: Any) => `${t.connector} ${t.state}`)]) seen.add(s)
    await new Promise((done) => setTimeout(done, 40))
  }
  return seen
}

let first = ''
test('the cloud refuses, hangs and loses answers while access is given: unknown until it was read back', async () => {
  await fault({ method: 'PUT', path_prefix: '/v1/memberships', mode: 'lost-answer', times: 1 })
  await fault({ method: 'GET', path_prefix: '/v1/memberships', mode: '500', times: 6 })
  first = (await ask()).id
  await until('the cloud is shown as not known', async () => (await targetOf(first, 'cloud'))?.state === 'unknown')
  const g = await grantOf(first)
  expect(g.state).not.toBe('active')
  expect(g.targets.find((t: Any) => t.connector === 'cloud').error).toBeTruthy()
  await wellAgain()
  await fault({ method: 'GET', path_prefix: '/v1/memberships', mode: 'hang', times: 1 })
  await until('the grant is in force', async () => (await grantOf(first)).state === 'active', 60_000)
  await wellAgain()
  // The lost answer had its effect: one membership, not two tries that differ.
  expect(await stage.world.cloud('GET', `/v1/memberships/operator/${stage.cast.dri}`)).toMatchObject({ source_identity: first })
}, 120_000)

test('somebody switches the GitOps app on again during the hold: noticed, named, told, held again', async () => {
  const { cast, world } = stage
  cast.before = await cast.settings()
  await cast.n.reglaze(cast.person, ['pause', cast.incident, '--wait'])
  const urls = (JSON.parse(readFileSync(world.path('sandbox', 'world.json'), 'utf8')) as { urls: Record<string, string> }).urls
  const token = readFileSync(world.path('sandbox', 'keys', 'gitops-admin.token'), 'utf8').trim()
  const answer = await fetch(`${urls['gitops']}/apis/argoproj.io/v1alpha1/namespaces/argocd/applications/storefront?fieldManager=nosy-colleague`, {
    method: 'PATCH', headers: { authorization: `Bearer ${token}`, 'content-type': 'application/merge-patch+json' }, body: JSON.stringify({ spec: { syncPolicy: cast.before.storefront } }),
  })
  expect(answer.status, await answer.text()).toBe(200)
  const hold = async (): Promise<Any> => (await world.admin().call(pauseRoutes.list, { params: { id: cast.incident } })).holds.find((h) => h.automation === 'gitops-storefront')
  await until('the switch is noticed', async () => (await hold()).reverts > 0)
  await until('it is held again', async () => (await hold()).state === 'held')
  expect((await cast.settings()).storefront).not.toEqual(cast.before.storefront)
  const entry = (await world.admin().call(incidentRoutes.timeline, { params: { id: cast.incident } })).entries.find((e) => e.kind === 'hold.reverted')
  expect(entry?.data).toMatchObject({ automation: 'gitops-storefront', by: expect.stringContaining('nosy-colleague') })
  await until('the responsible person is told', async () => mails(/gitops-storefront was switched on again by .*nosy-colleague/).length > 0)
}, 60_000)

test('the cloud refuses and the orders database is down while access ends: stuck, told, never "revoked"; then revoked and proven', async () => {
  const { cast, world } = stage
  await fault({ method: 'DELETE', path_prefix: '/v1/memberships', mode: '500', times: 1000 })
  const orders = world.orders
  await orders.stop()
  const over = { yes: false }
  const watching = watch(first, () => over.yes)
  try {
    await cast.n.reglaze(cast.person, ['access', 'end', first])
    for (const connector of ['cloud', 'orders-db']) {
      await until(`${connector} is stuck`, async () => (await targetOf(first, connector)).state === 'stuck', 60_000)
      const t = await targetOf(first, connector)
      expect(t.error).toBeTruthy()
      expect(t.manual).toBeTruthy()
    }
    expect((await grantOf(first)).state).toBe('stuck')
    await until('the responsible person is told', async () => mails(/could not be revoked at cloud/).length > 0 && mails(/could not be revoked at orders-db/).length > 0)
    const refused = await cast.n.reglaze<Any>(cast.person, ['incident', 'close', cast.incident], 5)
    expect(refused.error.data.open.some((o: Any) => o.code.startsWith('grant'))).toBe(true)
    // Still inside: the cloud says so.
    expect(await world.cloud('GET', `/v1/memberships/operator/${cast.dri}`)).toMatchObject({ source_identity: first })
  } finally {
    over.yes = true
    await wellAgain()
    const again = await startCluster({ dir: world.path('orders-db'), tcpPort: orders.port, withParent: true })
    // Only its first start is told the password.
    world.orders = { ...again, url: orders.url }
  }
  const seen = await watching
  expect([...seen]).not.toContain('revoked')
  expect([...seen]).not.toContain('cloud revoked')
  expect([...seen]).not.toContain('orders-db revoked')
  await until('revoked', async () => (await grantOf(first)).state === 'revoked', 60_000)
  expect(await grantOf(first)).toMatchObject({ level: 'proven', end_reason: 'done' })
  expect(await ordersRoles(world)).toEqual([])
}, 180_000)

test('a change after the grant ended and one by another credential stay unexplained and block the close', async () => {
  const { cast, world } = stage
  // Standing rights that Reglaze did not give: exactly what must not look like the repair.
  await world.cloud('PUT', `/v1/memberships/operator/${cast.dri}`, { note: 'by hand, beside Reglaze' })
  const size = (await cast.find('instances', 'web-2')).size
  await world.cloud('PATCH', '/v1/instances/name:web-2', { size: 'large' }, keyOf(world, cast.dri))
  await world.cloud('PATCH', '/v1/instances/name:web-2', { size })
  // The control-plane lock of the hold keeps memberships from being deleted; this one ends by its time.
  await world.cloud('PUT', `/v1/memberships/operator/${cast.dri}`, { expires_at: new Date(Date.now() - 1000).toISOString() })
  const mine = async () => (await cast.n.reglaze<Any[]>(cast.person, ['record', 'modifications', '--incident', cast.incident])).filter((m) => m.resource.name === 'web-2')
  await until('both are seen', async () => (await mine()).length >= 2)
  const both = await mine()
  expect(both.map((m) => [m.actor, m.verdict])).toEqual(expect.arrayContaining([[cast.dri, 'unexplained'], ['root', 'unexplained']]))
  const open = async (): Promise<string[]> => (await cast.n.reglaze<Any>(cast.person, ['incident', 'close', cast.incident], 5)).error.data.open.map((o: Any) => o.code)
  expect((await open()).filter((c) => c === 'MODIFICATION_UNEXPLAINED').length).toBeGreaterThanOrEqual(2)
  const approver = await world.admin().call(serverRoutes.tokenCreate, { body: { name: 'second-look', role: 'approver', person: cast.dri === 'bob' ? 'carol' : 'bob' } })
  const asApprover = { env: { ...cast.person.env, REGLAZE_TOKEN: approver.secret }, cwd: cast.clone }
  const all = (await cast.n.reglaze<Any[]>(cast.person, ['record', 'modifications', '--incident', cast.incident])).filter((m) => m.verdict === 'unexplained')
  for (const m of all) await cast.n.reglaze(asApprover, ['record', 'explain', m.id, '--reason', 'part of a drill'])
  expect(await open()).not.toContain('MODIFICATION_UNEXPLAINED')
  await cast.n.reglaze(cast.person, ['resume', cast.incident, '--without-proof', 'a drill: nothing is left changed', '--wait'])
  expect(await cast.settings()).toEqual(cast.before)
  await world.cloud('DELETE', `/v1/memberships/operator/${cast.dri}`)
}, 120_000)

test('two servers on one database: one is killed in the middle of a grant, the other gives it and takes it back', async () => {
  const { cast, world } = stage
  const second = await startChild({
    name: 'the second server', log: world.path('logs', 'reglaze-2.log'), env: world.serverEnvironment,
    args: [MAIN, '--json', 'serve', '--data', world.path('reglaze'), '--port', '0', '--checkpoint-remote', world.remote],
  })
  try {
    const other = createClient({ url: String(second.ready['url']), token: world.tokens.get(cast.dri) })
    await stage.ledger.look()
    const { id } = await ask()
    while (!(await stage.ledger.look()).some((k) => k.startsWith('grant.')));
    await world.killServer('SIGKILL')
    await until('the other server has given it', async () => (await other.call(accessRoutes.get, { params: { id } })).state === 'active')
    await other.call(accessRoutes.end, { params: { id } })
    const g = await until('the other server has taken it back', async () => {
      const now = await other.call(accessRoutes.get, { params: { id } })
      return now.state === 'revoked' ? now : null
    })
    expect(g.level).toBe('proven')
    await world.startServer()
    await stage.ledger.holdsAll()
    await nobodyInside(stage)
  } finally {
    await second.stop()
  }
}, 120_000)

test('the server is dead when the deadline comes: the targets end the access by themselves, and after the start it is proven', async () => {
  const { cast, world } = stage
  const grant = await ask('--for', '5s')
  await until('in force', async () => (await grantOf(grant.id)).state === 'active', 20_000)
  const { targets } = await cast.n.reglaze<Any>(cast.person, ['access', 'credentials', grant.id])
  const member = await world.cloud('GET', `/v1/memberships/operator/${cast.dri}`)
  const token = (await world.cloud('POST', '/v1/sessions', {}, keyOf(world, cast.dri)))['token'] as string
  await stage.ledger.look()
  await world.killServer('SIGKILL')
  expect(await world.cloud('GET', '/v1/whoami', undefined, token)).toMatchObject({ source_identity: grant.id })
  // Nobody revokes. The backstop is at most a minute later, so that it never cuts a repair short by a clock that is off.
  const backstop = Date.parse(String(member['expires_at']))
  expect(backstop - Date.parse(grant.expires_at)).toBeLessThanOrEqual(60_000)
  const db = targets.find((t: Any) => t.connector === 'orders-db').credentials
  const login = async () => {
    const client = new pg.Client({ host: db.PGHOST, port: Number(db.PGPORT), user: db.PGUSER, password: db.PGPASSWORD, database: db.PGDATABASE })
    client.on('error', () => {})
    await client.connect()
    await client.end()
  }
  const out = async () => {
    const session = await fetch(`${world.cloudUrl}/v1/whoami`, { headers: { authorization: `Bearer ${token}` } })
    const write = await fetch(`${world.cloudUrl}/v1/instances/name:web-2`, { method: 'PATCH', headers: { authorization: `Bearer ${keyOf(world, cast.dri)}` }, body: '{"size":"large"}' })
    const database = await login().then(() => 'in', () => 'out')
    return session.status === 401 && write.status === 403 && database === 'out'
  }
  await new Promise((done) => setTimeout(done, Math.max(0, backstop - Date.now() - 500)))
  await until('all three targets keep the person out by themselves', out, 15_000)
  await world.startServer()
  await stage.ledger.holdsAll()
  const g = await until('revoked after the start', async () => {
    const now = await grantOf(grant.id)
    return now.state === 'revoked' ? now : null
  })
  expect(g).toMatchObject({ end_reason: 'deadline', level: 'proven' })
  expect(await kinds()).toContain('grant.revoked')
}, 150_000)

test('everybody is out, the settings are as before, the ledger is whole', async () => {
  await nobodyInside(stage)
  expect(await stage.cast.settings()).toEqual(stage.cast.before)
  expect((await ledgerIsWhole(stage)).size).toBeGreaterThan(30)
}, 60_000)
