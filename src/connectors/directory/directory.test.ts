import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { apiCall } from '../../../sandbox/cloud/testing/cloud.ts'
import { openDirectory, serveDirectory } from '../../../sandbox/directory/index.ts'
import { directoryClient } from './index.ts'

const dir = mkdtempSync(join(tmpdir(), 'directory-connector-'))
let stop = async (): Promise<void> => {}
let url = ''
let token = ''
beforeAll(async () => {
  const journal = await openDirectory(dir)
  const server = await serveDirectory(journal)
  url = server.url
  stop = async () => (await server.close(), await journal.close())
  const root = readFileSync(join(dir, 'root.key'), 'utf8').trim()
  await apiCall(url, root, 'PUT', '/v1/people/alice', { name: 'Alice', email: 'alice@tailwind.test', accounts: { cloud: 'alice' } })
  await apiCall(url, root, 'PUT', '/v1/service-principals/svc', { credentials: [{ id: 'c', kind: 'secret', expires_at: null }] })
  for (const [id, enabled] of [['on', true], ['off', false]] as const) await apiCall(url, root, 'PUT', `/v1/jobs/${id}`, { runs_as: 'svc', schedule: '0 3 * * *', acts_on: ['sandbox_database/orders'], enabled })
  token = (await apiCall(url, root, 'POST', '/v1/keys', { name: 'svc-read', role: 'reader' })).body.secret
})
afterAll(async () => {
  await stop()
  rmSync(dir, { recursive: true, force: true })
})

test('people, service principals and jobs are read with a reader key', async () => {
  const d = directoryClient({ name: 'directory', url, token })
  expect(await d.person('alice')).toMatchObject({ active: true, accounts: { cloud: 'alice' } })
  expect(await d.person('nobody')).toBeNull()
  expect((await d.people()).map((p) => p.id)).toEqual(['alice'])
  expect(await d.groups()).toEqual([])
  expect((await d.servicePrincipals())[0]?.credentials).toHaveLength(1)
  expect((await d.jobs()).map((j) => j.id)).toEqual(['on', 'off'])
  expect((await d.jobsActingOn('sandbox_database/orders')).map((j) => j.id)).toEqual(['on'])
})
test('no answer and a refused key are errors, not absence', async () => {
  await expect(directoryClient({ name: 'directory', url, token: 'no' }).person('alice')).rejects.toMatchObject({ code: 'OUTSIDE_FAILED' })
  await expect(directoryClient({ name: 'directory', url: 'http://127.0.0.1:9', token }).person('alice')).rejects.toMatchObject({ code: 'OUTSIDE_FAILED' })
})
