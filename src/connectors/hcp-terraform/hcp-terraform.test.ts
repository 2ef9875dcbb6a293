import { afterEach, expect, test } from 'vitest'
import { FIRST, testRunner, type TestRunner } from '../../../sandbox/testing/runner.ts'
import { until } from '../../../sandbox/testing/world.ts'
import type { HoldSpec } from '../../core/index.ts'
import { pausableContract } from '../contracts/pausable.suite.ts'
import { HcpTerraform } from './index.ts'

const SPEC: Omit<HoldSpec, 'prior'> = { holdId: 'hold_1', incident: 'INC-42', reason: 'INC-42 frozen: break-glass by alice (DRI)', passes: [], expiresAt: '2030-01-01T00:00:00Z', target: { workspace: 'production' } }
const connector = (w: TestRunner, token = 'tool-token'): HcpTerraform => new HcpTerraform({ url: w.url, token, organization: 'acme', timeoutMs: 700 })
const act = async (w: TestRunner, user: string, what: string) => w.call('POST', `/api/v2/workspaces/${(await w.workspace()).id}/actions/${what}`, {}, user)
const autoApply = async (w: TestRunner, on: boolean) => w.call('PATCH', `/api/v2/workspaces/${(await w.workspace()).id}`, { data: { type: 'workspaces', attributes: { 'auto-apply': on } } })

// Both of its writes meet every fault: the lock (POST) and auto-apply (PATCH).
for (const [what, path] of [['the lock', 'actions'], ['auto-apply', '']] as const) {
  pausableContract(`hcp-terraform, faults at ${what}`, async () => {
    const w = await testRunner()
    await w.quiet(1)
    const { id } = await w.workspace()
    return {
      connector: () => connector(w),
      spec: SPEC,
      raw: async () => {
        const { attributes: a, relationships: r } = await w.workspace()
        return { autoApply: a['auto-apply'], locked: a.locked, reason: a['locked-reason'], by: r['locked-by']?.data ?? null }
      },
      humanPauses: async () => {
        await act(w, 'human', 'lock')
        await autoApply(w, false)
      },
      humanResumes: async () => void (await act(w, 'admin', 'force-unlock')),
      human: null,
      fault: async (mode, kind, times = 1) => void (await w.call('POST', '/_sandbox/faults', { mode, times, method: kind === 'read' ? 'GET' : path === '' ? 'PATCH' : 'POST', path_prefix: kind === 'read' ? '/api/v2/' : `/api/v2/workspaces/${id}${path === '' ? '' : `/${path}`}` }, 'admin')),
      clearFaults: async () => void (await w.call('DELETE', '/_sandbox/faults', undefined, 'admin')),
      close: () => w.close(),
    }
  })
}

let w: TestRunner | null = null
afterEach(async () => {
  await w?.close()
  w = null
})
const seen = async (c: HcpTerraform) => {
  const o = await c.observe(SPEC)
  if (o.status === 'unknown') throw new Error(o.reason)
  return o.value
}
const hold = async (c: HcpTerraform): Promise<HoldSpec> => {
  const spec = { ...SPEC, prior: (await seen(c)).setting }
  await c.pause(spec)
  return spec
}

test('a stopped person reads who, why and until when', async () => {
  w = await testRunner()
  await w.quiet(1)
  await hold(connector(w))
  const ws = await w.workspace()
  expect(ws.attributes).toMatchObject({ 'auto-apply': false, locked: true, 'locked-reason': 'INC-42 frozen: break-glass by alice (DRI) [hold_1]' })
  expect(await seen(connector(w))).toMatchObject({ paused: true, changedBy: 'users/user-tool' })
})

test('a lock of somebody else is recorded, not taken over, and stays', async () => {
  w = await testRunner()
  await w.quiet(1)
  await act(w, 'human', 'lock')
  const c = connector(w)
  const spec = await hold(c)
  expect(spec.prior).toEqual({ autoApply: true, locked: true, lockedBy: 'users/user-human' })
  expect(await seen(c)).toMatchObject({ paused: true, setting: { autoApply: false, locked: true, lockedBy: 'users/user-human' } })
  await c.resume(spec)
  expect((await seen(c)).setting).toEqual(spec.prior)
  // No run can start under that lock, so none is waited for; once it is gone it is not ours to put back.
  expect(await c.firstRun(spec, new Date().toISOString())).toMatchObject({ value: { ran: true, changed: [], detail: { locked_as_before_by: 'users/user-human' } } })
  expect(c.givenUp(spec, spec.prior)).toBeNull()
  await act(w, 'human', 'unlock')
  await c.resume(spec)
  expect(c.givenUp(spec, (await seen(c)).setting)).toMatch('users/user-human had locked it before the hold; that lock is gone')
  expect(c.givenUp(spec, { autoApply: false, locked: false, lockedBy: null })).toBeNull()
})

test('a lock that somebody else took during the hold is named and left alone', async () => {
  w = await testRunner()
  await w.quiet(1)
  const c = connector(w)
  const spec = await hold(c)
  await act(w, 'admin', 'force-unlock')
  await act(w, 'human', 'lock')
  await expect(c.resume(spec)).rejects.toMatchObject({ code: 'CONNECTOR_LOCKED', message: expect.stringContaining('is locked by users/user-human') })
  expect((await w.workspace()).attributes).toMatchObject({ 'auto-apply': true, locked: true })
  await act(w, 'human', 'unlock')
  await c.resume(spec)
  expect((await seen(c)).setting).toEqual(spec.prior)
})

test('a run that holds the workspace for itself is running work, no setting; the lock follows when it ends', async () => {
  w = await testRunner({ runsLock: true, files: { 'live/main.tf': 'resource "terraform_data" "a" {\n  provisioner "local-exec" { command = "sleep 60" }\n}\n' } })
  const c = connector(w)
  await until('the run applies', async () => (await w?.runs())?.[0]?.attributes.status === 'applying', 20_000)
  const spec = { ...SPEC, prior: (await seen(c)).setting }
  expect(spec.prior).toEqual({ autoApply: true, locked: false, lockedBy: null })
  await expect(c.pause(spec)).rejects.toMatchObject({ code: 'CONNECTOR_LOCKED', retryable: true, message: expect.stringMatching(/run-[0-9a-f]+ holds it until it ends/) })
  const now = await seen(c)
  expect(now).toMatchObject({ paused: false, setting: { autoApply: false, locked: false }, running: [expect.stringMatching(/^run-[0-9a-f]+ applying: first$/)] })
  await w.call('POST', `/api/v2/runs/${(await w.runs())[0].id}/actions/cancel`, {})
  await w.quiet(1)
  await c.pause(spec)
  expect((await seen(c)).paused).toBe(true)
})

test('the first run after resume: without changes, or with the addresses that it changed', async () => {
  w = await testRunner()
  const world = w
  await w.quiet(1)
  const c = connector(w)
  const spec = await hold(c)
  w.remote.commit({ 'live/main.tf': FIRST.replace('one', 'two') }, 'second')
  const since = new Date().toISOString()
  expect(await c.firstRun(spec, since)).toMatchObject({ value: { ran: false, changed: [] } })
  await c.resume(spec)
  const first = async () => {
    const r = await c.firstRun(spec, since)
    return r.status === 'known' && r.value.ran ? r.value : null
  }
  expect((await until('the first run', first, 30_000)).changed).toEqual(['terraform_data.a'])
  const later = new Date().toISOString()
  await world.call('POST', '/api/v2/runs', { data: { type: 'runs', relationships: { workspace: { data: { type: 'workspaces', id: (await world.workspace()).id } } } } })
  const none = await until('a run without changes', async () => {
    const r = await c.firstRun(spec, later)
    return r.status === 'known' && r.value.ran ? r.value : null
  }, 30_000)
  expect(none).toMatchObject({ changed: [], detail: { runs: [{ status: 'planned_and_finished' }] } })
})

test('a token that may only read: not there, as HCP Terraform says it', async () => {
  w = await testRunner()
  await w.quiet(1)
  const c = connector(w, 'viewer-token')
  await expect(c.pause({ ...SPEC, prior: (await seen(c)).setting })).rejects.toMatchObject({ code: 'CONNECTOR_NOT_THERE' })
})
