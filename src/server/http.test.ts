import { request } from 'node:http'
import { mkdtempSync, readFileSync, rmSync, existsSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createClient, serverRoutes } from '../client/index.ts'
import { newId, removeCluster, sql, startCluster } from '../store/index.ts'
import { createLog, serve, type Server } from './index.ts'

const CONFIG = `
organization: { name: Test }
people: [{ id: alice, name: Alice, email: alice@test.test }, { id: bob, name: Bob, email: bob@test.test }]
teams: [{ id: web, name: Web, members: [alice, bob], schedule: s, escalation: e }]
schedules: [{ id: s, layers: [{ id: l, zone: Europe/Paris, start: "2026-01-05", handoff: { at: "09:00" }, rotation: { kind: weekly }, members: [alice] }] }]
escalations: [{ id: e, steps: [{ after: 0s, notify: [{ schedule: s }] }] }]
services: [{ id: web, name: Web, team: web, criticality: 1 }]
connectors: [{ id: state, kind: terraform-state }, { id: cloud, kind: sandbox-cloud, url: "http://127.0.0.1:9", token: "env:NO_SUCH" }]
automations: [{ id: tf, connector: state, target: { state: prod }, services: [web] }]
workspaces: [{ id: prod, repository: r, services: [web], state: prod }]
roles: [{ id: fix, about: x, max_duration: 1h, eligible: [{ when: "true" }], approval: [{ approvals: 0, approvers: [] }], targets: [{ connector: cloud, right: { role: operator } }] }]
`
let dir: string
let server: Server
let admin: string
const tokens: Record<string, string> = {}
beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'reglaze-http-'))
  process.env['NO_SUCH'] = 'a-secret-of-the-cloud'
  const cluster = await startCluster({ dir: join(dir, 'cluster'), withParent: true })
  server = await serve({ dataDir: join(dir, 'data'), databaseUrl: cluster.socketUrl('postgres'), port: 0, version: '0', log: createLog('silent'), checkpointRemote: join(dir, 'no-such-remote.git') })
  admin = server.firstAdminToken as string
  for (const [name, body] of Object.entries({ alice: { role: 'responder', person: 'alice' }, bob: { role: 'viewer', person: 'bob' }, state: { role: 'viewer', scopes: ['state'] }, short: { role: 'admin', ttl: '1ms' } })) {
    tokens[name] = ((await json('POST', '/api/v1/tokens', admin, { name, ...body })).body as { secret: string }).secret
  }
  expect((await apply(CONFIG)).status).toBe(200)
})
afterAll(async () => {
  await server?.stop()
  await removeCluster(join(dir, 'cluster'))
  rmSync(dir, { recursive: true, force: true })
})
interface Answer {
  status: number
  headers: Record<string, string | string[] | undefined>
  body: unknown
}
/** On a raw socket: chunked bodies and addresses that fetch would tidy up. */
const raw = (method: string, path: string, o: { token?: string | undefined; headers?: Record<string, string>; chunks?: (string | Buffer)[] } = {}): Promise<Answer> =>
  new Promise((done, fail) => {
    const r = request(`${server.url}`, { method, path, agent: false, headers: { ...(o.token ? { authorization: `Bearer ${o.token}` } : {}), ...o.headers } }, (res) => {
      const got: Buffer[] = []
      res.on('data', (c: Buffer) => got.push(c)).on('end', () => {
        const text = Buffer.concat(got).toString()
        done({ status: res.statusCode ?? 0, headers: res.headers, body: /json/.test(res.headers['content-type'] ?? '') && text ? JSON.parse(text) : text })
      })
    })
    r.on('error', (e: NodeJS.ErrnoException) => (e.code === 'EPIPE' || e.code === 'ECONNRESET' ? setTimeout(() => done({ status: -1, headers: {}, body: {} }), 500).unref() : fail(e)))
    for (const c of o.chunks ?? []) r.write(c)
    r.end()
  })
const json = (method: string, path: string, token?: string, body?: unknown) => raw(method, path, { token, headers: { 'content-type': 'application/json' }, chunks: body === undefined ? [] : [JSON.stringify(body)] })
const apply = (text: string, base?: number | null) => json('POST', '/api/v1/config/apply', admin, { files: [{ file: 'reglaze.yaml', text }], ...(base === undefined ? {} : { base }) })
const problem = (a: Answer) => a.body as { code: string; detail: string; place?: string; hint?: string; instance: string; data?: unknown }

describe('who calls', () => {
  test('no token, a wrong one, an expired, a revoked one: 401 as a problem; a state-only token is no API token; a viewer does not act', async () => {
    for (const token of [undefined, 'rgz_wrong', '', tokens['short']]) {
      const a = await raw('GET', '/api/v1/whoami', { token })
      expect([a.status, a.headers['content-type'], a.headers['www-authenticate']]).toEqual([401, 'application/problem+json', 'Bearer realm="reglaze"'])
    }
    expect((await raw('GET', '/api/v1/whoami', { headers: { authorization: `Basic ${admin}` } })).status).toBe(401)
    expect((await raw('GET', '/api/v1/whoami', { token: tokens['state'] })).status).toBe(403)
    expect((await json('POST', '/api/v1/incidents', tokens['bob'], { service: 'web', title: 'it burns' })).status).toBe(403)
    expect((await json('POST', '/api/v1/tokens', tokens['alice'], { name: 'x', role: 'admin' })).status).toBe(403)
    const made = (await json('POST', '/api/v1/tokens', admin, { name: 'gone', role: 'viewer' })).body as { secret: string; token: { id: string } }
    expect((await json('DELETE', `/api/v1/tokens/${made.token.id}`, admin)).status).toBe(200)
    expect((await raw('GET', '/api/v1/whoami', { token: made.secret })).status).toBe(401)
  })
  test('the last admin token cannot be taken away; secrets are in one answer only and never cached', async () => {
    const { tokens: list } = (await json('GET', '/api/v1/tokens', admin)).body as { tokens: { id: string; name: string }[] }
    expect(JSON.stringify(list)).not.toMatch(/rgz_|hash/)
    const first = list.find((x) => x.name === 'first-admin')
    expect(problem(await json('DELETE', `/api/v1/tokens/${first?.id}`, admin))).toMatchObject({ code: 'WRONG_STATE', hint: expect.stringContaining('token create') })
    expect((await json('GET', '/api/v1/whoami', admin)).headers['cache-control']).toBe('no-store')
  })
})

describe('bad input', () => {
  test.each<[string, string, string, (string | Buffer)[], number, string]>([
    ['no JSON', 'POST', '/api/v1/incidents', ['{'], 400, 'INVALID_INPUT'], ['not UTF-8', 'POST', '/api/v1/incidents', [Buffer.from([0x7b, 0xff])], 400, 'INVALID_INPUT'],
    ['nothing', 'POST', '/api/v1/incidents', [], 400, 'INVALID_INPUT'], ['an unknown field', 'POST', '/api/v1/incidents', ['{"service":"web","title":"abc","x":1}'], 400, 'INVALID_INPUT'],
    ['a NUL', 'POST', '/api/v1/incidents', ['{"service":"web","title":"abc\\u0000"}'], 400, 'INVALID_INPUT'], ['half a character', 'POST', '/api/v1/incidents', ['{"service":"web","title":"abc\\ud800"}'], 400, 'INVALID_INPUT'],
    ['deep nesting', 'POST', '/api/v1/incidents', ['['.repeat(200_000)], 400, 'INVALID_INPUT'], ['an unknown service', 'POST', '/api/v1/incidents', ['{"service":"wbe","title":"abc"}'], 400, 'UNKNOWN_SERVICE'],
    ['a NUL in the address', 'GET', '/api/v1/incidents/%00', [], 400, 'INVALID_INPUT'], ['a broken escape', 'GET', '/api/v1/incidents/%E0%A4', [], 404, 'INCIDENT_NOT_FOUND'],
    ['SQL', 'GET', "/api/v1/incidents/'%20or%201=1--", [], 404, 'INCIDENT_NOT_FOUND'], ['a number too large', 'GET', '/api/v1/incidents/INC-99999999999', [], 404, 'INCIDENT_NOT_FOUND'],
    ['an unknown query', 'GET', '/api/v1/incidents?all=yes', [], 400, 'INVALID_INPUT'], ['an unknown route', 'GET', '/api/v1/nothing', [], 404, 'NOT_FOUND'], ['a route with another method', 'PUT', '/api/v1/incidents', [], 404, 'NOT_FOUND'],
    ['OPTIONS', 'OPTIONS', '/api/v1/incidents', [], 404, 'NOT_FOUND'], ['an unknown grant', 'GET', '/api/v1/access/grants/gr_x', [], 404, 'GRANT_NOT_FOUND'],
    ['a bad duration', 'POST', '/api/v1/tokens', ['{"name":"x","role":"viewer","ttl":"soon"}'], 400, 'INVALID_INPUT'],
  ])('%s', async (_name, method, path, chunks, status, code) => {
    const a = await raw(method, path, { token: admin, headers: { 'content-type': 'application/json' }, chunks })
    expect([a.status, problem(a).code]).toEqual([status, code])
    expect(problem(a).hint).toBeTruthy()
    expect(JSON.stringify(a.body)).not.toMatch(/node_modules|\.ts:|at Object|select |stack/)
    const { incidents } = (await json('GET', '/api/v1/incidents?all=true', admin)).body as { incidents: unknown[] }
    expect(incidents).toEqual([])
  })
  test('a body over the limit, chunked and without a length: 413, and the server lives on', async () => {
    const a = await raw('POST', '/api/v1/incidents', { token: admin, headers: { 'transfer-encoding': 'chunked', 'content-type': 'application/json' }, chunks: Array.from({ length: 40 }, () => 'x'.repeat(64 * 1024)) }).catch(() => ({ status: 413, body: {}, headers: {} }))
    expect(a.status).toBe(413)
    expect((await raw('GET', '/healthz')).body).toBe('ok\n')
  })
  test('HEAD answers without a body; a defect shows its occurrence and nothing else', async () => {
    expect(await raw('HEAD', '/api/v1/status', { token: admin })).toMatchObject({ status: 200, body: '' })
    await sql`alter table recordings rename to recordings_away`.execute(server.store.db)
    const a = await raw('GET', '/api/v1/recordings', { token: admin })
    await sql`alter table recordings_away rename to recordings`.execute(server.store.db)
    if (a.status !== 404) {
      expect(a.status).toBe(500)
      expect(problem(a)).toMatchObject({ code: 'INTERNAL', instance: expect.stringMatching(/^urn:uuid:/) })
      expect(JSON.stringify(a.body)).not.toMatch(/recordings|relation/)
    }
  })
  test('Terraform state: no token 401, API-only token 403, path tricks 404, DELETE 405, broken bodies 400; nothing is written', async () => {
    const basic = (t: string) => ({ authorization: `Basic ${Buffer.from(`x:${t}`).toString('base64')}` })
    const state = tokens['state'] as string
    expect((await raw('GET', '/terraform/state/prod')).status).toBe(401)
    expect((await raw('GET', '/terraform/state/prod', { headers: basic(tokens['alice'] as string) })).status).toBe(403)
    for (const name of ['..%2f..%2fetc', '%2e%2e', '.x', 'a%00b']) expect((await raw('POST', `/terraform/state/${name}`, { headers: basic(state), chunks: ['{"serial":1,"lineage":"l"}'] })).status).toBe(404)
    for (const method of ['DELETE', 'PUT']) expect((await raw(method, '/terraform/state/prod', { headers: basic(state) })).status).toBe(405)
    for (const body of ['{', Buffer.from([0xff]), '[]']) expect((await raw('POST', '/terraform/state/prod', { headers: basic(state), chunks: [body] })).status).toBe(400)
    expect((await raw('GET', '/terraform/state/prod', { headers: basic(state) })).status).toBe(204)
    expect(existsSync(join(dir, 'data', 'terraform', 'prod.tfstate'))).toBe(false)
  })
})

describe('configuration', () => {
  const version = async () => ((await json('GET', '/api/v1/config', admin)).body as { version: number }).version
  test('a mistake names file, line and column; a stale plan is refused; nothing changes', async () => {
    const before = await version()
    const a = await apply(CONFIG.replace('criticality: 1', 'criticality: 9'))
    expect([a.status, problem(a).code, problem(a).place]).toEqual([400, 'CONFIG_INVALID', expect.stringMatching(/^reglaze\.yaml:7:\d+$/)])
    expect(problem(await apply(CONFIG.replace('"true"', '"((("'))).code).toBe('POLICY_BROKEN')
    expect(problem(await apply(CONFIG, before + 7)).code).toBe('CONFIG_STALE')
    const both = await Promise.all([apply(CONFIG.replace('Test', 'A'), before), apply(CONFIG.replace('Test', 'B'), before)])
    expect(both.map((x) => x.status).sort()).toEqual([200, 409])
    expect(await version()).toBe(before + 1)
    expect((await apply(CONFIG)).status).toBe(200)
  })
  test('what live grants, holds and the close gate need is neither removed nor pointed elsewhere; a rotated secret is fine', async () => {
    const { db } = server.store
    const incident = newId('incident')
    const grant = newId('grant')
    await sql`insert into incidents (id, title, service, severity, opened_by) values (${incident}, 'it burns', 'web', 1, 'x')`.execute(db)
    await sql`insert into grants (id, incident_id, role, role_text, person, reason, requested_ms) values (${grant}, ${incident}, 'fix', '{"targets":[{"connector":"cloud","right":{}}]}', 'bob', 'it burns', 1000)`.execute(db)
    const hold = newId('hold')
    await sql`insert into holds (id, incident_id, automation, connector, target, place, reason, passes, held_for, period_ms, expires_at) values (${hold}, ${incident}, 'tf', 'state', '{}', 0, 'r', '[]', 'bob', 1000, now())`.execute(db)
    const refused = async (text: string) => problem(await apply(text)).detail
    expect(await refused(CONFIG.replace('127.0.0.1:9', '127.0.0.1:10'))).toMatch(/points elsewhere.*audit log/s)
    expect(await refused(CONFIG.replace(/, \{ id: bob[^}]*\}/, '').replace('[alice, bob]', '[alice]'))).toMatch('bob still has access')
    expect(await refused(CONFIG.replace(/^automations.*$/m, ''))).toMatch('automation tf is held')
    expect(await refused(CONFIG.replace(/^workspaces.*$/m, ''))).toMatch('workspace prod has to be proven')
    expect(await refused(CONFIG.replace('state: prod }]', 'state: other }]'))).toMatch('workspace prod')
    const plan = (await json('POST', '/api/v1/config/plan', admin, { files: [{ file: 'r.yaml', text: CONFIG.replace(/^workspaces.*$/m, '') }] })).body as { refused: string[] }
    expect(plan.refused).toHaveLength(1)
    expect((await apply(CONFIG.replace('env:NO_SUCH', 'env:PATH'))).status).toBe(200)
    await sql`update grants set state = 'withdrawn' where id = ${grant}`.execute(db)
    await sql`update holds set state = 'resuming' where id = ${hold}`.execute(db)
    await sql`update holds set state = 'resumed', resumed_at = now() where id = ${hold}`.execute(db)
    await sql`update incidents set state = 'closed', closed_at = now() where id = ${incident}`.execute(db)
    expect((await apply(CONFIG.replace(/^workspaces.*$/m, ''))).status).toBe(200)
  })
})

test('a checkpoint remote that is down keeps nothing from working: the files beside the data are there', async () => {
  expect(readFileSync(join(dir, 'data', 'checkpoints', 'first.checkpoint'), 'utf8')).toContain('reglaze.local/ledger')
})

describe('the client', () => {
  test('a name that would be another address is refused before the call; a missing server and a stranger are told apart', async () => {
    const client = createClient({ url: server.url, token: admin })
    for (const id of ['', '.', '..']) await expect(client.call(serverRoutes.tokenRevoke, { params: { id } })).rejects.toMatchObject({ code: 'INVALID_INPUT' })
    await expect(client.call(serverRoutes.tokenRevoke, { params: { id: 'a/../b' } })).rejects.toMatchObject({ code: 'NOT_FOUND', kind: 'not-found' })
    await expect(createClient({ url: 'http://127.0.0.1:1', token: admin }).call(serverRoutes.status)).rejects.toMatchObject({ code: 'SERVER_UNREACHABLE' })
    await expect(createClient({ url: server.url }).call(serverRoutes.status)).rejects.toMatchObject({ code: 'UNAUTHENTICATED' })
  })
})
