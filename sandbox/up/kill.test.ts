import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, expect, test } from 'vitest'
import { startProgram, type Started } from '../lib/index.ts'
import { testAutoscaler } from '../testing/autoscaler.ts'
import { APPS, testGitOps } from '../testing/gitops.ts'
import { FIRST, WORKSPACE, testRunner } from '../testing/runner.ts'
import { api, holds, until } from '../testing/world.ts'
import { commandLine } from './pids.ts'

const MAIN = fileURLToPath(new URL('../../dist/sandbox/main.js', import.meta.url))
const started: Started[] = []
const closing: (() => Promise<void>)[] = []
afterEach(async () => {
  await Promise.all(started.splice(0).map((p) => p.stop('SIGKILL')))
  for (const close of closing.splice(0)) await close()
})
async function start(args: readonly string[]): Promise<Started> {
  const p = await startProgram([MAIN, ...args])
  started.push(p)
  return p
}

test('kill -9 of the GitOps agent: a pause stays a pause, versions do not go back', async () => {
  const w = await testGitOps({ start: false })
  closing.push(() => w.close())
  const args = ['gitops', '--data', join(w.dir, 'gitops'), '--repo', w.remote.url, '--cloud', w.cloud.url, '--cloud-token-file', w.cloudKeyFile, '--token-file', w.tokenFile, '--interval-ms', '60']
  let agent = await start(args)
  const app = async (name: string): Promise<any> => (await api(agent.url, 'viewer', 'GET', `${APPS}/${name}`)).body
  const off = async (name: string): Promise<any> => (await api(agent.url, 'human', 'PATCH', `${APPS}/${name}`, { spec: { syncPolicy: { automated: null } } }, { 'content-type': 'application/merge-patch+json' })).body
  await until('it is synced', async () => (await app('storefront'))?.status?.sync?.status === 'Synced')
  await off('root')
  const before = await off('storefront')
  await agent.stop('SIGKILL')
  agent = await start(args)
  const after = await app('storefront')
  expect(after.spec).toEqual(before.spec)
  expect(after.metadata.uid).toBe(before.metadata.uid)
  await until('it looks again', async () => Number((await app('storefront')).metadata.resourceVersion) > Number(before.metadata.resourceVersion))
  await w.cloud.call('PATCH', '/v1/routes/name:www', { target_id: (await w.cloud.call('GET', '/v1/instances/name:web-2')).body.id })
  await until('the difference is reported', async () => (await app('storefront')).status.sync.status === 'OutOfSync')
  await holds('the fix stays', async () => (await app('storefront')).status.sync.status === 'OutOfSync', 300)
})

test('kill -9 of the runner in the middle of an apply: the run is errored, its Terraform has ended, lock and settings are kept', async () => {
  const w = await testRunner({ start: false, files: { 'live/main.tf': 'resource "terraform_data" "a" {\n  provisioner "local-exec" { command = "sleep 60" }\n}\n' } })
  closing.push(() => w.close())
  let runner = await start(w.args)
  const call = (method: string, path: string, body?: unknown) => api(runner.url, 'human', method, path, body)
  const { id } = (await call('GET', WORKSPACE)).body.data
  const runs = async (): Promise<any[]> => (await call('GET', `/api/v2/workspaces/${id}/runs`)).body.data
  await until('the provisioner runs', async () => (await runs())[0]?.attributes.status === 'applying' && readFileSync(join(w.dir, 'runner/runs', `${(await runs())[0].id}.log`), 'utf8').includes('Provisioning with'), 20_000)
  await call('POST', `/api/v2/workspaces/${id}/actions/lock`, { reason: 'kept' })
  await call('PATCH', `/api/v2/workspaces/${id}`, { data: { type: 'workspaces', attributes: { 'auto-apply': false } } })
  const journal = readFileSync(join(w.dir, 'runner/store/runner.00000000.jsonl'), 'utf8')
  const pid = Number([...journal.matchAll(/"pid":(\d+)/g)].at(-1)?.[1])
  expect(commandLine(pid)[0]).toMatch(/terraform$/)
  await runner.stop('SIGKILL')
  runner = await start(w.args)
  expect((await runs())[0].attributes).toMatchObject({ status: 'errored', 'error-message': 'the runner was stopped during this run' })
  expect(commandLine(pid)).toEqual([])
  expect((await call('GET', WORKSPACE)).body.data.attributes).toMatchObject({ locked: true, 'locked-reason': 'kept', 'auto-apply': false })
  w.remote.commit({ 'live/main.tf': FIRST })
  await holds('locked it starts nothing', async () => (await runs()).length === 1, 300)
  await call('POST', `/api/v2/workspaces/${id}/actions/unlock`)
  await until('it works again', async () => (await runs())[0]?.attributes.status === 'planned', 20_000)
})

test('kill -9 of the autoscaler between terminate and launch loses no machine; a suspension stays', async () => {
  const w = await testAutoscaler({ start: false })
  closing.push(() => w.close())
  let scaler = await start(w.args)
  await w.cloud.call('POST', '/v1/faults', { method: 'POST', path_prefix: '/v1/instances', mode: 'hang', times: 1, principal: 'svc-autoscaler' })
  await w.cloud.call('POST', '/v1/instances/name:web-1/actions/stop')
  await until('it is terminated', async () => (await w.instance('web-1')) === undefined)
  await scaler.stop('SIGKILL')
  await w.cloud.call('DELETE', '/v1/faults')
  scaler = await start(w.args)
  const made = await until('it is launched', async () => w.instance('web-1'))
  expect(made).toMatchObject({ size: 'large', tags: { role: 'web', replaced_by: 'autoscaler' } })
  await api(scaler.url, 'human', 'POST', '/v1/groups/web/suspend', { processes: ['HealthCheck', 'ReplaceUnhealthy'] })
  await scaler.stop('SIGKILL')
  scaler = await start(w.args)
  expect((await api(scaler.url, 'viewer', 'GET', '/v1/groups/web')).body.suspended_processes).toHaveLength(2)
})

test('a token file may be changed while it runs', async () => {
  const w = await testAutoscaler()
  closing.push(() => w.close())
  expect((await w.call('GET', '/v1/groups', undefined, 'new')).status).toBe(401)
  writeFileSync(join(w.dir, 'api.tokens'), 'new-token,new,new,"readers"\n')
  expect((await w.call('GET', '/v1/groups', undefined, 'new')).status).toBe(200)
  expect((await w.call('GET', '/v1/groups', undefined, 'viewer')).status).toBe(401)
})
