import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { FIRST, WORKSPACE, testRunner, type TestRunner } from '../testing/runner.ts'
import { holds, until } from '../testing/world.ts'

let w: TestRunner
afterEach(() => w.close())
const id = async (): Promise<string> => (await w.workspace()).id
const action = async (what: string, user = 'human', body: unknown = {}) => w.call('POST', `/api/v2/workspaces/${await id()}/actions/${what}`, body, user)
const autoApply = async (on: boolean) => w.call('PATCH', `/api/v2/workspaces/${await id()}`, { data: { type: 'workspaces', attributes: { 'auto-apply': on } } })
const state = (): any => JSON.parse(readFileSync(join(w.dir, 'runner/work/live/terraform.tfstate'), 'utf8'))

test('a commit is planned and applied by real Terraform; the next look finds nothing to do', async () => {
  w = await testRunner({ driftIntervalMs: 50 })
  const runs = await until('a run without changes', async () => ((await w.runs())[0]?.attributes.status === 'planned_and_finished' ? w.runs() : null), 30_000)
  const first = runs.at(-1)
  expect(first.attributes).toMatchObject({ status: 'applied', 'has-changes': true, 'auto-apply': true, message: 'first', 'trigger-reason': 'vcs-push', source: 'tfe-configuration-version' })
  expect(Object.keys(first.attributes['status-timestamps'])).toEqual(['queued-at', 'planning-at', 'planned-at', 'applying-at', 'applied-at'])
  expect(runs[0].attributes).toMatchObject({ 'has-changes': false, 'trigger-reason': 'drift-schedule' })
  expect(state().resources[0].name).toBe('a')
  const plan = (await w.call('GET', `/api/v2/runs/${first.id}/plan`)).body.data
  expect(plan.attributes).toMatchObject({ 'resource-additions': 1, 'resource-changes': 0, 'resource-destructions': 0, status: 'finished' })
  expect((await w.call('GET', `/api/v2/plans/${plan.id}/json-output`)).body.resource_changes[0].address).toBe('terraform_data.a')
  expect((await w.call('GET', plan.attributes['log-read-url'])).body.log).toContain('Apply complete! Resources: 1 added')
})

test('locked it starts nothing, not even for a new commit; unlocked it catches up', async () => {
  w = await testRunner({ driftIntervalMs: 50 })
  await w.quiet(1)
  expect(await action('lock', 'human', { reason: 'hands off' })).toMatchObject({ status: 200, body: { data: { attributes: { locked: true, 'locked-reason': 'hands off' }, relationships: { 'locked-by': { data: { id: 'user-human', type: 'users' } } } } } })
  await until('what ran has ended', async () => (await w.runs()).every((r) => !['planning', 'applying', 'pending'].includes(r.attributes.status)))
  const before = (await w.runs()).length
  w.remote.commit({ 'live/main.tf': FIRST.replace('one', 'two') }, 'second')
  await holds('no run starts', async () => (await w.runs()).length === before, 500)
  await action('unlock')
  await until('the commit is applied', async () => (await w.runs()).some((r) => r.attributes.message === 'second' && r.attributes.status === 'applied'), 30_000)
})

test('lock and unlock answer as HCP Terraform does', async () => {
  w = await testRunner()
  await w.quiet(1)
  expect(await action('unlock')).toMatchObject({ status: 409, body: { errors: [{ status: '409', title: 'conflict', detail: 'Unable to unlock workspace. The workspace is already unlocked.' }] } })
  await action('lock')
  expect(await action('lock', 'tool')).toMatchObject({ status: 409, body: { errors: [{ detail: 'Unable to lock workspace. The workspace is already locked.' }] } })
  expect(await action('unlock', 'tool')).toMatchObject({ status: 409, body: { errors: [{ detail: expect.stringContaining('is locked by User human') }] } })
  expect((await action('force-unlock', 'tool')).status).toBe(404)
  expect((await action('force-unlock', 'admin')).status).toBe(200)
  expect((await action('lock', 'viewer')).status).toBe(404)
  expect((await w.call('GET', WORKSPACE, undefined, 'nobody')).body).toEqual({ errors: [{ status: '401', title: 'unauthorized' }] })
  expect((await w.call('GET', '/api/v2/organizations/acme/workspaces/none')).body).toEqual({ errors: [{ status: '404', title: 'not found' }] })
})

test('without auto-apply a change waits for confirmation; a run made before keeps its own setting', async () => {
  w = await testRunner()
  await w.quiet(1)
  await autoApply(false)
  w.remote.commit({ 'live/main.tf': FIRST.replace('one', 'two') }, 'second')
  const [planned] = await w.quiet(2)
  expect(planned.attributes).toMatchObject({ status: 'planned', 'auto-apply': false, actions: { 'is-confirmable': true } })
  await autoApply(true)
  expect((await w.call('GET', `/api/v2/runs/${planned.id}`)).body.data.attributes['auto-apply']).toBe(false)
  expect((await w.call('POST', `/api/v2/runs/${planned.id}/actions/apply`, {})).status).toBe(202)
  await until('it is applied', async () => (await w.runs())[0]?.attributes.status === 'applied', 30_000)
  expect((await w.call('POST', `/api/v2/runs/${planned.id}/actions/discard`, {})).status).toBe(409)
})

test('a run over the API waits while locked; a broken configuration is errored with what Terraform said', async () => {
  w = await testRunner()
  await w.quiet(1)
  await action('lock')
  const body = { data: { type: 'runs', attributes: { message: 'by hand', 'plan-only': true }, relationships: { workspace: { data: { type: 'workspaces', id: await id() } } } } }
  expect(await w.call('POST', '/api/v2/runs', body)).toMatchObject({ status: 201, body: { data: { attributes: { status: 'pending', source: 'tfe-api', 'trigger-reason': 'manual' } } } })
  await holds('it waits', async () => (await w.runs())[0]?.attributes.status === 'pending', 300)
  await action('unlock')
  await until('it ran', async () => (await w.runs())[0]?.attributes.status === 'planned_and_finished', 30_000)
  w.remote.commit({ 'live/main.tf': 'resource "terraform_data" "a" { input = var.none }\n' }, 'broken')
  const run = await until('it failed', async () => ((await w.runs())[0]?.attributes.status === 'errored' ? (await w.runs())[0] : null), 30_000)
  expect(run.attributes['error-message']).toContain('Reference to undeclared input variable')
})

test('a file that git removed is gone from the next run', async () => {
  w = await testRunner({ files: { 'live/main.tf': FIRST, 'live/more.tf': 'resource "terraform_data" "b" {}\n' } })
  await w.quiet(1)
  expect(state().resources.map((r: any) => r.name)).toEqual(['a', 'b'])
  w.remote.commit({ 'live/more.tf': null }, 'less')
  await until('it is destroyed', async () => (await w.runs())[0]?.attributes.message === 'less' && (await w.runs())[0]?.attributes.status === 'applied', 30_000)
  expect(state().resources.map((r: any) => r.name)).toEqual(['a'])
})
