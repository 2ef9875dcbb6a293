import { afterEach, expect, test } from 'vitest'
import { testAutoscaler, type TestAutoscaler } from '../testing/autoscaler.ts'
import { holds, until } from '../testing/world.ts'

let w: TestAutoscaler
afterEach(() => w.close())
const stop = async (name: string): Promise<any> => (await w.cloud.call('POST', `/v1/instances/name:${name}/actions/stop`)).body

test('replaces a stopped machine of its group under its own credential, and no other', async () => {
  w = await testAutoscaler()
  const before = await stop('web-1')
  await stop('db-1')
  const after = await until('a new web-1', async () => {
    const now = await w.instance('web-1')
    return now && now.id !== before.id ? now : null
  })
  expect(after).toMatchObject({ image: 'img-1', size: 'large', status: 'running', tags: { role: 'web', replaced_by: 'autoscaler' }, disk: [{ device: 'a', size_gb: 5 }] })
  expect((await w.instance('db-1')).status).toBe('stopped')
  const { events } = (await w.cloud.call('GET', '/v1/audit?writes=1&limit=1000')).body
  expect(events.filter((e: any) => e.actor === 'svc-autoscaler').map((e: any) => e.action)).toEqual(['delete', 'create'])
  const group = await until('the activity has ended', async () => ((await w.group()).activities[0]?.status === 'Successful' ? w.group() : null))
  expect(group.activities).toMatchObject([{ instance: before.id, status: 'Successful', end_time: expect.any(String) }])
})

test.each(['HealthCheck', 'ReplaceUnhealthy'])('with %s suspended a machine under repair stays', async (process) => {
  w = await testAutoscaler()
  const answer = await w.call('POST', '/v1/groups/web/suspend', { processes: [process] })
  expect(answer).toMatchObject({ status: 200, body: { suspended_processes: [{ process_name: process, suspended_by: 'human' }], changed_by: 'human' } })
  const before = await stop('web-1')
  await holds('it stays', async () => (await w.instance('web-1'))?.id === before.id, 700)
  await w.call('POST', '/v1/groups/web/resume', { processes: [process] })
  await until('it is replaced after resume', async () => (await w.instance('web-1'))?.id !== before.id)
})

test('a machine that comes back within the grace time stays', async () => {
  w = await testAutoscaler({ graceMs: 400 })
  const { id } = await stop('web-1')
  await w.cloud.call('POST', `/v1/instances/${id}/actions/start`)
  await holds('it stays', async () => (await w.instance('web-1'))?.id === id, 700)
})

test('explicit lists only, and clear mistakes', async () => {
  w = await testAutoscaler()
  for (const body of [{}, { processes: [] }, { processes: 'HealthCheck' }, { processes: ['Sleep'] }]) expect((await w.call('POST', '/v1/groups/web/suspend', body)).status).toBe(400)
  expect((await w.call('POST', '/v1/groups/none/suspend', { processes: ['HealthCheck'] })).status).toBe(404)
  expect((await w.call('POST', '/v1/groups/web/suspend', { processes: ['HealthCheck'] }, 'viewer')).status).toBe(403)
  expect((await w.call('GET', '/v1/groups', undefined, 'nobody')).status).toBe(401)
  expect((await w.group()).suspended_processes).toEqual([])
})
