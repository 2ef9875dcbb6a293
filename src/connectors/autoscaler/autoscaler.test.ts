import { afterEach, expect, test } from 'vitest'
import { testAutoscaler, type TestAutoscaler } from '../../../sandbox/testing/autoscaler.ts'
import { until } from '../../../sandbox/testing/world.ts'
import type { HoldSpec } from '../../core/index.ts'
import { pausableContract } from '../contracts/pausable.suite.ts'
import { Autoscaler } from './index.ts'

const SPEC: Omit<HoldSpec, 'prior'> = { holdId: 'hold_1', incident: 'INC-42', reason: 'INC-42 frozen', passes: [], expiresAt: '2030-01-01T00:00:00Z', target: { group: 'web' } }
const BOTH = ['HealthCheck', 'ReplaceUnhealthy']
const connector = (w: TestAutoscaler): Autoscaler => new Autoscaler({ url: w.url, token: 'tool-token', timeoutMs: 700 })

pausableContract('autoscaler', async () => {
  const w = await testAutoscaler()
  return {
    connector: () => connector(w),
    spec: SPEC,
    raw: async () => (await w.group()).suspended_processes.map((p: any) => p.process_name).sort(),
    humanPauses: async () => void (await w.call('POST', '/v1/groups/web/suspend', { processes: BOTH })),
    humanResumes: async () => void (await w.call('POST', '/v1/groups/web/resume', { processes: BOTH })),
    human: 'human',
    fault: async (mode, kind, times = 1) => void (await w.call('POST', '/_sandbox/faults', { mode, times, method: kind === 'read' ? 'GET' : 'POST', path_prefix: '/v1/groups/web' }, 'admin')),
    clearFaults: async () => void (await w.call('DELETE', '/_sandbox/faults', undefined, 'admin')),
    close: () => w.close(),
  }
})

let w: TestAutoscaler | null = null
afterEach(async () => {
  await w?.close()
  w = null
})

test('suspends exactly what was not suspended, and resumes exactly that', async () => {
  w = await testAutoscaler()
  await w.call('POST', '/v1/groups/web/suspend', { processes: ['HealthCheck', 'AZRebalance'] })
  const c = connector(w)
  const o = await c.observe(SPEC)
  const spec = { ...SPEC, prior: o.status === 'known' ? o.value.setting : null }
  expect(spec.prior).toEqual({ suspended: ['HealthCheck'] })
  await c.pause(spec)
  expect((await w.group()).suspended_processes).toMatchObject([{ process_name: 'HealthCheck', suspended_by: 'human' }, { process_name: 'AZRebalance' }, { process_name: 'ReplaceUnhealthy', suspended_by: 'tool', suspension_reason: 'INC-42 frozen [hold_1]' }])
  await c.resume(spec)
  expect((await w.group()).suspended_processes.map((p: any) => p.process_name)).toEqual(['HealthCheck', 'AZRebalance'])
})

test('the first run after resume tells what it replaced', async () => {
  w = await testAutoscaler()
  const c = connector(w)
  const spec = { ...SPEC, prior: { suspended: [] } }
  await c.pause(spec)
  const before = (await w.cloud.call('POST', '/v1/instances/name:web-1/actions/stop')).body
  const since = new Date().toISOString()
  await c.resume(spec)
  const quiet = await until('the first look', async () => {
    const r = await c.firstRun(spec, since)
    return r.status === 'known' && r.value.ran ? r.value : null
  })
  expect(quiet.changed.length).toBeLessThanOrEqual(1)
  const changed = await until('the replacement', async () => {
    const r = await c.firstRun(spec, since)
    return r.status === 'known' && r.value.ran && r.value.changed.length > 0 ? r.value.changed : null
  })
  expect(changed).toEqual([`Replacing instance: web-1 (${before.id})`])
})

test('a process that does not exist is a mistake of the configuration', async () => {
  w = await testAutoscaler()
  await expect(connector(w).observe({ ...SPEC, target: { group: 'web', processes: ['Sleep'] } })).rejects.toMatchObject({ code: 'CONNECTOR_BAD_TARGET' })
})
