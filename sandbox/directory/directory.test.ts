import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { apiCall } from '../cloud/testing/cloud.ts'
import { openDirectory, serveDirectory } from './index.ts'

const dir = mkdtempSync(join(tmpdir(), 'sandbox-directory-'))
let stop: () => Promise<void> = async () => {}
afterEach(async () => {
  await stop()
  rmSync(dir, { recursive: true, force: true })
})
async function start() {
  const journal = await openDirectory(dir)
  const server = await serveDirectory(journal)
  stop = async () => (await server.close(), await journal.close())
  const root = readFileSync(join(dir, 'root.key'), 'utf8').trim()
  return (method: string, path: string, body?: unknown, key = root) => apiCall(server.url, key, method, path, body)
}

test('people, groups, service principals and jobs: kept over a restart, checked, audited', async () => {
  let call = await start()
  const alice = { name: 'Alice', email: 'alice@tailwind.example', accounts: { cloud: 'alice', postgres: 'alice' } }
  expect(await call('PUT', '/v1/people/alice', alice)).toMatchObject({ status: 201, body: { id: 'alice', active: true } })
  expect((await call('PUT', '/v1/people/alice', alice)).status).toBe(200)
  expect((await call('POST', '/v1/people', { id: 'alice', ...alice })).status).toBe(409)
  expect((await call('PATCH', '/v1/people/alice', { active: false })).body).toMatchObject({ ...alice, active: false })
  expect((await call('PUT', '/v1/groups/ops', { members: ['alice'] })).status).toBe(201)
  expect((await call('PUT', '/v1/service-principals/svc-report', { credentials: [{ id: 'c1', kind: 'secret', expires_at: '2030-01-01T00:00:00Z' }] })).status).toBe(201)
  expect((await call('PUT', '/v1/jobs/nightly', { runs_as: 'svc-report', schedule: '0 3 * * *', acts_on: ['sandbox_database/orders'] })).status).toBe(201)
  expect((await call('PUT', '/v1/jobs/bad', { runs_as: 'svc-report' })).body.error.message).toBe('schedule is required')
  expect((await call('PUT', '/v1/people/bad', { ...alice, shoe: 43 })).body.error.message).toMatch(/shoe is not known in people/)
  expect((await call('GET', '/v1/planets')).status).toBe(404)
  await stop()
  call = await start()
  expect((await call('GET', '/v1/people/alice')).body.active).toBe(false)
  expect((await call('GET', '/v1/jobs')).body.items).toHaveLength(1)
  expect((await call('DELETE', '/v1/people/alice')).status).toBe(204)
  expect((await call('GET', '/v1/groups/ops')).body.members).toEqual(['alice'])
  const log = (await call('GET', '/v1/audit')).body
  expect(log.events.map((e: any) => `${e.action} ${e.collection}/${e.id}`)).toContain('delete people/alice')
  expect((await call('GET', `/v1/audit?after=${log.cursor}`)).body.events).toEqual([])
})

test('a reader may only read; without a key nobody may', async () => {
  const call = await start()
  const { secret } = (await call('POST', '/v1/keys', { name: 'svc-assess', role: 'reader' })).body
  expect((await call('GET', '/v1/people', undefined, secret)).status).toBe(200)
  expect((await call('PUT', '/v1/groups/x', {}, secret)).status).toBe(403)
  expect((await call('GET', '/v1/people', undefined, 'no')).status).toBe(401)
  expect(readFileSync(join(dir, 'directory.00000000.jsonl'), 'utf8')).not.toContain(secret)
})
