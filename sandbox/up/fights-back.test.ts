import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { testCloud, type TestCloud } from '../cloud/testing/cloud.ts'
import { installProvider } from '../../dist/sandbox/provider/install.js'
import { testRunner, type TestRunner } from '../testing/runner.ts'
import { holds, removeDir, tempDir, until } from '../testing/world.ts'

const MAIN_TF = `terraform {
  required_providers {
    sandbox = { source = "sandbox.test/cloud/sandbox" }
  }
}
resource "sandbox_instance" "web" {
  name  = "web-1"
  image = "img-1"
  size  = "small"
}
`
let cloud: TestCloud
let w: TestRunner
let dir: string
afterEach(async () => {
  await w?.close()
  await cloud?.close()
  removeDir(dir)
})
const size = async (): Promise<string> => (await cloud.call('GET', '/v1/instances/name:web-1')).body.size
const grow = () => cloud.call('PATCH', '/v1/instances/name:web-1', { size: 'large' })
const finished = async (): Promise<number> => (await w.runs()).filter((r) => ['applied', 'planned_and_finished', 'planned', 'discarded'].includes(r.attributes.status)).length

test('the auto-applying runner undoes a change by hand under its own credential; locked, and with auto-apply off, it does not', async () => {
  dir = tempDir()
  cloud = await testCloud()
  mkdirSync(join(dir, 'provider'))
  const { cliConfig } = installProvider(join(dir, 'provider'))
  w = await testRunner({ files: { 'live/main.tf': MAIN_TF }, driftIntervalMs: 100, env: { TF_CLI_CONFIG_FILE: cliConfig, SANDBOX_URL: cloud.url, SANDBOX_TOKEN: await cloud.key('svc-runner', 'operator') } })
  await until('the machine is there', async () => (await cloud.call('GET', '/v1/instances/name:web-1')).status === 200, 30_000)
  await grow()
  await until('the change is undone', async () => (await size()) === 'small', 30_000)
  const { events } = (await cloud.call('GET', '/v1/audit?writes=1&limit=1000')).body
  expect(events.at(-1)).toMatchObject({ actor: 'svc-runner', resource: { type: 'sandbox_instance', name: 'web-1' } })

  const ws = `/api/v2/workspaces/${(await w.workspace()).id}`
  await w.call('PATCH', ws, { data: { type: 'workspaces', attributes: { 'auto-apply': false } } })
  await until('runs from before have ended', async () => (await w.runs())[0]?.attributes['auto-apply'] === false, 30_000)
  await grow()
  const before = await finished()
  await until('two more looks', async () => (await finished()) >= before + 2, 30_000)
  expect(await size()).toBe('large')

  await w.call('PATCH', ws, { data: { type: 'workspaces', attributes: { 'auto-apply': true } } })
  await w.call('POST', `${ws}/actions/lock`, { reason: 'repair' })
  await until('what runs has ended', async () => (await w.runs()).every((r) => !['pending', 'planning', 'applying'].includes(r.attributes.status)), 30_000)
  await grow()
  await holds('it stays', async () => (await size()) === 'large', 1000)
  await w.call('POST', `${ws}/actions/unlock`)
  await until('unlocked it is undone', async () => (await size()) === 'small', 30_000)
}, 120_000)
