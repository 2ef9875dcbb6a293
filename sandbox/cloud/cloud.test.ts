import { readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { testCloud } from './testing/cloud.ts'
import type { TestCloud } from './testing/cloud.ts'

let cloud: TestCloud
beforeEach(async () => {
  cloud = await testCloud()
})
afterEach(() => cloud.close())

const soon = (ms: number) => new Date(Date.now() + ms).toISOString()
const audit = async (query = '') => (await cloud.call('GET', `/v1/audit?${query}`)).body

test('every role may do its part and no more', async () => {
  const keys = { none: await cloud.key('nobody'), reader: await cloud.key('rita', 'reader'), operator: await cloud.key('olga', 'operator'), access: await cloud.key('anna', 'access-admin') }
  const i = (await cloud.call('POST', '/v1/instances', { name: 'web', image: 'v1' })).body
  const table: [string, string, unknown, number, number, number, number][] = [
    ['GET', '/v1/instances', undefined, 403, 200, 200, 200],
    ['PATCH', `/v1/instances/${i.id}`, { size: 'large' }, 403, 403, 200, 403],
    ['POST', `/v1/instances/${i.id}/actions/stop`, {}, 403, 403, 200, 403],
    ['PUT', '/v1/memberships/operator/rita', {}, 403, 403, 403, 201],
    ['PUT', '/v1/memberships/admin/anna', {}, 403, 403, 403, 403],
    ['POST', '/v1/role-assignments', { principal: 'rita', role: 'operator', scope: '/' }, 403, 403, 403, 201],
    ['POST', '/v1/principals', { id: 'x', kind: 'person' }, 403, 403, 403, 403],
    ['PUT', '/v1/locks/l', { level: 'read-only' }, 403, 403, 403, 403],
    ['GET', '/v1/whoami', undefined, 200, 200, 200, 200],
  ]
  for (const [method, path, body, ...expected] of table) {
    const got = []
    for (const key of Object.values(keys)) got.push((await cloud.call(method, path, body, key)).status)
    expect([method, path, ...got]).toEqual([method, path, ...expected])
  }
  expect((await cloud.call('GET', '/v1/whoami', undefined, 'wrong')).status).toBe(401)
  expect((await cloud.call('PATCH', `/v1/instances/${i.id}`, {}, keys.none)).body.error.message).toMatch(/nobody may not PATCH .* needs operator or admin/)
})

test('a session keeps its roles after the membership is gone, until it is ended itself', async () => {
  const key = await cloud.key('alice')
  expect((await cloud.call('PUT', '/v1/memberships/operator/alice', { expires_at: soon(60_000), source_identity: 'gr_1' })).status).toBe(201)
  expect((await cloud.call('PUT', '/v1/memberships/operator/alice', { expires_at: soon(60_000), source_identity: 'gr_1' })).status).toBe(200)
  const s = (await cloud.call('POST', '/v1/sessions', { ttl_seconds: 600 }, key)).body
  expect(s).toMatchObject({ roles: ['operator'], source_identity: 'gr_1' })
  expect(Date.parse(s.expires_at)).toBeLessThan(Date.now() + 61_000)
  expect((await cloud.call('DELETE', '/v1/memberships/operator/alice')).status).toBe(204)
  expect((await cloud.call('DELETE', '/v1/memberships/operator/alice')).status).toBe(404)
  expect((await cloud.call('POST', '/v1/instances', { name: 'a', image: 'v1' }, key)).status).toBe(403)
  expect((await cloud.call('POST', '/v1/instances', { name: 'a', image: 'v1' }, s.token)).status).toBe(201)
  const listed = (await cloud.call('GET', '/v1/sessions?source_identity=gr_1')).body.items
  expect(listed).toHaveLength(1)
  expect(JSON.stringify(listed)).not.toContain(s.token)
  expect((await cloud.call('DELETE', `/v1/sessions/${s.session_id}`)).status).toBe(204)
  expect((await cloud.call('DELETE', `/v1/sessions/${s.session_id}`)).status).toBe(404)
  expect((await cloud.call('GET', '/v1/whoami', undefined, s.token)).status).toBe(401)
  const made = (await audit('writes=1')).events.find((e: any) => e.resource?.type === 'sandbox_instance' && e.status === 201)
  expect(made).toMatchObject({ actor: 'alice', credential: s.session_id, source_identity: 'gr_1', action: 'create', before: null })
})

test('the backstop: after expires_at a membership gives nothing and is listed as expired', async () => {
  const key = await cloud.key('alice')
  await cloud.call('PUT', '/v1/memberships/operator/alice', { expires_at: new Date(Date.now() - 1).toISOString() })
  expect((await cloud.call('GET', '/v1/instances', undefined, key)).status).toBe(403)
  expect((await cloud.call('GET', '/v1/memberships/operator/alice')).body.expired).toBe(true)
  expect((await cloud.call('POST', '/v1/sessions', {}, key)).body.roles).toEqual([])
})

test('role assignments give a role on everything or on one resource, and end by themselves', async () => {
  const key = await cloud.key('alice')
  const [a, b] = [(await cloud.call('POST', '/v1/instances', { name: 'a', image: '1' })).body, (await cloud.call('POST', '/v1/instances', { name: 'b', image: '1' })).body]
  await cloud.call('POST', '/v1/role-assignments', { principal: 'alice', role: 'operator', scope: `instances/${a.id}`, source_identity: 'gr_2' })
  expect((await cloud.call('PATCH', `/v1/instances/${a.id}`, { size: 'l' }, key)).status).toBe(200)
  expect((await cloud.call('PATCH', `/v1/instances/${b.id}`, { size: 'l' }, key)).status).toBe(403)
  const s = (await cloud.call('POST', '/v1/sessions', {}, key)).body
  expect(s.source_identity).toBe('gr_2')
  const over = (await cloud.call('POST', '/v1/role-assignments', { principal: 'alice', role: 'reader', scope: '/', expires_at: new Date(Date.now() - 1).toISOString() })).body
  expect(over.expired).toBe(true)
  expect((await cloud.call('GET', '/v1/routes', undefined, key)).status).toBe(403)
})

test('locks stop everybody but their exceptions, the removal of access too; lock calls themselves never', async () => {
  const olga = await cloud.key('olga', 'operator')
  const anna = await cloud.key('anna', 'access-admin')
  const i = (await cloud.call('POST', '/v1/instances', { name: 'web', image: 'v1' })).body
  expect((await cloud.call('PUT', '/v1/locks/freeze', { level: 'no-delete', scope: '/', except: ['anna'], reason: 'INC-1', owner: 'carol' })).status).toBe(201)
  expect((await cloud.call('PUT', '/v1/locks/freeze', { level: 'no-delete', scope: '/', except: ['anna'], reason: 'INC-1', owner: 'carol' })).status).toBe(200)
  const refused = await cloud.call('DELETE', `/v1/instances/${i.id}`, undefined, olga)
  expect(refused).toMatchObject({ status: 423, body: { error: { code: 'ScopeLocked', message: 'locked by carol: INC-1 (lock "freeze", no-delete, scope /)' } } })
  expect((await cloud.call('PATCH', `/v1/instances/${i.id}`, { size: 'l' }, olga)).status).toBe(200)
  expect((await cloud.call('DELETE', '/v1/memberships/operator/olga')).status).toBe(423)
  expect((await cloud.call('DELETE', '/v1/memberships/operator/olga', undefined, anna)).status).toBe(204)
  expect((await cloud.call('DELETE', '/v1/locks/freeze')).status).toBe(204)
  await cloud.call('PUT', '/v1/memberships/operator/olga', {})
  await cloud.call('PUT', '/v1/locks/one', { level: 'read-only', scope: 'instances/name:web' })
  expect((await cloud.call('GET', '/v1/locks/one')).body.scope).toBe(`instances/${i.id}`)
  expect((await cloud.call('POST', `/v1/instances/${i.id}/actions/stop`, {}, olga)).status).toBe(423)
  expect((await cloud.call('POST', '/v1/instances', { name: 'other', image: 'v1' }, olga)).status).toBe(201)
})

test('instances: what fails is mended only when stopped; image is fixed; names are unique', async () => {
  const i = (await cloud.call('POST', '/v1/instances', { name: 'web', image: 'v1', password: 'hunter2', labels: ['a', 'b'], policy: '{"a":1,"b":{"c":1,"d":2}}' })).body
  expect(i).toMatchObject({ status: 'running', health: 'ok', labels: ['b', 'a'], policy: '{"b":{"d":2,"c":1},"a":1}' })
  expect(i).not.toHaveProperty('password')
  const act = async (name: string) => (await cloud.call('POST', `/v1/instances/name:web/actions/${name}`, {})).status
  expect([await act('fail'), await act('mend'), await act('stop'), await act('mend'), await act('start'), await act('jump')]).toEqual([200, 409, 200, 200, 200, 404])
  expect((await cloud.call('GET', '/v1/instances?name=web')).body.items[0]).toMatchObject({ status: 'running', health: 'ok' })
  expect((await cloud.call('PATCH', '/v1/instances/name:web', { image: 'v2' })).status).toBe(400)
  expect((await cloud.call('PATCH', '/v1/instances/name:web', { status: 'stopped' })).body.error.message).toMatch(/status cannot be set/)
  expect((await cloud.call('POST', '/v1/instances', { name: 'web', image: 'v1' })).status).toBe(409)
  expect(JSON.stringify(await audit())).not.toContain('hunter2')
})

test('databases: a major upgrade needs its permission, takes its time, and there is no way back', async () => {
  await cloud.call('POST', '/v1/databases', { name: 'orders', engine: 'postgres', engine_version: '13.11' })
  const patch = (body: unknown) => cloud.call('PATCH', '/v1/databases/name:orders', body)
  expect((await patch({ engine_version: '14.9' })).body.error.message).toMatch(/major upgrade/)
  const up = (await cloud.call('POST', '/v1/databases/name:orders/actions/upgrade', { engine_version: '14.9', parameter_group: 'pg14' })).body
  expect(up).toMatchObject({ status: 'upgrading', engine_version: '13.11', parameter_group: 'default.postgres13' })
  expect((await patch({ storage_gb: 30 })).status).toBe(409)
  await expect.poll(async () => (await cloud.call('GET', '/v1/databases/name:orders')).body).toMatchObject({ status: 'available', engine_version: '14.9', parameter_group: 'pg14' })
  expect((await patch({ engine_version: '13.11', allow_major_version_upgrade: true })).body.error.message).toMatch(/cannot go back/)
  const snap = await cloud.call('POST', '/v1/databases/name:orders/actions/snapshot', { name: 'before' })
  expect(snap).toMatchObject({ status: 201, body: { database: 'orders', engine_version: '14.9' } })
  await patch({ deletion_protection: true })
  expect((await cloud.call('DELETE', '/v1/databases/name:orders')).status).toBe(409)
  expect((await cloud.call('POST', '/v1/databases', { name: 'copy', engine: 'postgres', engine_version: '14.9', snapshot_identifier: 'nope' })).status).toBe(400)
})

test('the audit log has every call, refused ones too, with before and after, and pages by cursor', async () => {
  const rita = await cloud.key('rita', 'reader')
  const start = (await audit()).cursor
  const i = (await cloud.call('POST', '/v1/instances', { name: 'web', image: 'v1' })).body
  await cloud.call('PATCH', `/v1/instances/${i.id}`, { size: 'large' }, rita)
  await cloud.call('PATCH', `/v1/instances/${i.id}`, { size: 'large' })
  await cloud.call('GET', '/v1/instances')
  const all = await audit(`after=${start}&writes=1`)
  expect(all.complete).toBe(true)
  expect(all.events.map((e: any) => [e.actor, e.action, e.status, e.resource?.id])).toEqual([
    ['root', 'create', 201, i.id],
    ['rita', 'update', 403, i.id],
    ['root', 'update', 200, i.id],
  ])
  expect(all.events[2]).toMatchObject({ before: { size: 'small' }, after: { size: 'large' }, request: { size: 'large' } })
  const page = await audit(`after=${start}&writes=1&limit=2`)
  expect(page.events).toHaveLength(2)
  expect((await audit(`after=${page.cursor}&writes=1&limit=2`)).events.map((e: any) => e.status)).toEqual([200])
  expect((await audit(`after=${start}`)).events.some((e: any) => e.action === 'read')).toBe(true)
})

test('faults: each kind, as often as asked', async () => {
  const fault = (body: object) => cloud.call('POST', '/v1/faults', body)
  await fault({ path_prefix: '/v1/instances', mode: '429', times: 2 })
  const got = [await cloud.call('GET', '/v1/instances'), await cloud.call('GET', '/v1/instances'), await cloud.call('GET', '/v1/instances')]
  expect(got.map((g) => g.status)).toEqual([429, 429, 200])
  expect(got[0]?.headers.get('retry-after')).toBe('1')
  await fault({ method: 'POST', path_prefix: '/v1/instances', mode: 'lost-answer', times: 1 })
  await expect(cloud.call('POST', '/v1/instances', { name: 'ghost', image: 'v1' })).rejects.toThrow()
  expect((await cloud.call('GET', '/v1/instances?name=ghost')).body.items).toHaveLength(1)
  await fault({ path_prefix: '/v1/routes', mode: 'hang', times: 1 })
  await expect(fetch(`${cloud.url}/v1/routes`, { signal: AbortSignal.timeout(100), headers: { authorization: `Bearer ${cloud.rootKey}` } })).rejects.toThrow()
  await fault({ path_prefix: '/', mode: '401', times: 5 })
  await cloud.call('DELETE', '/v1/faults')
  expect((await cloud.call('GET', '/v1/routes')).status).toBe(200)
})

test('no secret is on the disk but root.key', async () => {
  const key = await cloud.key('alice', 'operator')
  const s = (await cloud.call('POST', '/v1/sessions', {}, key)).body
  for (const file of readdirSync(cloud.dir).filter((f) => f !== 'root.key')) {
    const text = readFileSync(join(cloud.dir, file), 'utf8')
    for (const secret of [key, s.token, cloud.rootKey]) expect(text).not.toContain(secret)
  }
})
