import fc from 'fast-check'
import { afterEach, expect, test } from 'vitest'
import { mergePatch } from '../../../sandbox/gitops/application.ts'
import { APPS, testGitOps, type TestGitOps } from '../../../sandbox/testing/gitops.ts'
import { api, until } from '../../../sandbox/testing/world.ts'
import { CORE } from '../../core/errors.ts'
import type { HoldSpec, Json } from '../../core/index.ts'
import { pausableContract } from '../contracts/pausable.suite.ts'
import { ArgoCd } from './index.ts'
import { HOLD_ANNOTATION, isPaused, parentsOf, patchTo } from './sync-policy.ts'

const SPEC: Omit<HoldSpec, 'prior'> = { holdId: 'hold_1', incident: 'INC-42', reason: 'INC-42 frozen: break-glass by alice (DRI)', passes: [], expiresAt: '2030-01-01T00:00:00Z', target: { application: 'storefront' } }
const off = { spec: { syncPolicy: { automated: null } } }
const on = { spec: { syncPolicy: { automated: { prune: true, selfHeal: true } } } }

async function started(): Promise<TestGitOps> {
  const w = await testGitOps()
  await until('storefront is synced', async () => (await w.app('storefront'))?.status?.sync?.status === 'Synced')
  return w
}
const connector = (w: TestGitOps): ArgoCd => new ArgoCd({ url: w.url, token: 'tool-token', timeoutMs: 700 })
/** The parent has looked when a full reconcile of its own came after now. */
async function rootLooked(w: TestGitOps): Promise<void> {
  const version = Number((await w.app('root')).metadata.resourceVersion)
  const second = Date.now() + 1000
  await until('root looked', async () => Number((await w.app('root')).metadata.resourceVersion) > version && Date.now() > second)
}

pausableContract('argocd', async () => {
  const w = await started()
  await w.patch('root', off)
  return {
    connector: () => connector(w),
    spec: SPEC,
    raw: async () => {
      const app = await w.app('storefront')
      return { syncPolicy: app.spec.syncPolicy ?? null, annotations: app.metadata.annotations ?? null } as Json
    },
    humanPauses: async () => void (await w.patch('storefront', off, { manager: 'kubectl-edit' })),
    humanResumes: async () => void (await w.patch('storefront', on, { manager: 'kubectl-edit' })),
    human: 'kubectl-edit',
    fault: async (mode, kind, times = 1) => void (await api(w.url, 'admin', 'POST', '/_sandbox/faults', { mode, times, method: kind === 'read' ? 'GET' : 'PATCH', path_prefix: `${APPS}/storefront` })),
    clearFaults: async () => void (await api(w.url, 'admin', 'DELETE', '/_sandbox/faults')),
    parent: { name: 'root', writer: 'argocd-controller', release: async () => void (await w.patch('root', on)), hold: async () => void (await w.patch('root', off)), looked: () => rootLooked(w) },
    close: () => w.close(),
  }
})

let w: TestGitOps | null = null
afterEach(async () => {
  await w?.close()
  w = null
})
const held = async (c: ArgoCd, application: string): Promise<HoldSpec> => {
  const base = { ...SPEC, holdId: `hold_${application}`, target: { application } }
  const seen = await c.observe(base)
  if (seen.status === 'unknown') throw new Error(seen.reason)
  const spec = { ...base, prior: seen.value.setting }
  await c.pause(spec)
  return spec
}

test('the hold is written on the object, by a field manager of our own, and taken off again', async () => {
  w = await started()
  const c = connector(w)
  const root = await held(c, 'root')
  const child = await held(c, 'storefront')
  const app = await w.app('storefront')
  expect(app.metadata.annotations[HOLD_ANNOTATION]).toBe('hold_storefront INC-42: INC-42 frozen: break-glass by alice (DRI)')
  expect(app.spec.syncPolicy).toEqual({ syncOptions: ['CreateNamespace=true'] })
  const seen = await c.observe(child)
  expect(seen).toMatchObject({ status: 'known', value: { paused: true, changedBy: 'reglaze', parents: ['root'] } })
  await c.resume(child)
  await c.resume(root)
  expect((await w.app('storefront')).metadata.annotations[HOLD_ANNOTATION]).toBeUndefined()
  expect((await w.app('root')).metadata.annotations).toBeUndefined()
})

test('the first run after resume: looked and nothing changed, or what it changed', async () => {
  w = await started()
  const c = connector(w)
  const world = w
  // Kubernetes times are whole seconds: the agent's first operations must not lie in the second of the resume.
  const second = Math.floor(Date.now() / 1000)
  await until('the next second', async () => Math.floor(Date.now() / 1000) > second)
  const root = await held(c, 'root')
  const child = await held(c, 'storefront')
  await world.cloud.call('PATCH', `/v1/routes/name:www`, { target_id: (await world.cloud.call('GET', '/v1/instances/name:web-2')).body.id })
  const before = new Date().toISOString()
  // While it is held nothing has run, however often the controller looks: it is out of sync and does nothing.
  expect(await c.firstRun(child, before)).toMatchObject({ value: { ran: false } })
  const since = new Date().toISOString()
  await c.resume(child)
  await c.resume(root)
  const run = await until('the first run', async () => {
    const r = await c.firstRun(child, since)
    return r.status === 'known' && r.value.ran ? r.value : null
  })
  expect(run.changed).toEqual(['Route/www'])
  const parent = await until('the first run of the parent', async () => {
    const r = await c.firstRun(root, since)
    return r.status === 'known' && r.value.ran ? r.value : null
  })
  expect(parent.changed).toEqual([])
})

test('a change between read and write is not overwritten: it is read again', async () => {
  w = await started()
  const c = connector(w)
  await held(c, 'root')
  // The agent moves the resourceVersion all the time here (a look every 60 ms); ten holds and releases must all come through.
  for (let i = 0; i < 10; i++) await c.resume(await held(c, 'storefront'))
  expect((await w.app('storefront')).spec.syncPolicy).toEqual({ automated: { prune: true, selfHeal: true }, syncOptions: ['CreateNamespace=true'] })
})

test('running work is told; a credential without the right is an error with a hint', async () => {
  w = await started()
  await w.patch('root', off)
  const readOnly = new ArgoCd({ url: w.url, token: () => 'viewer-token' })
  const seen = await readOnly.observe(SPEC)
  expect(seen.status).toBe('known')
  const spec = { ...SPEC, prior: seen.status === 'known' ? seen.value.setting : null }
  await expect(readOnly.pause(spec)).rejects.toMatchObject({ code: CORE.OUTSIDE_FAILED, message: expect.stringContaining('cannot patch resource "applications"'), hint: expect.stringContaining('README') })
  await expect(readOnly.observe({ ...SPEC, target: { app: 'storefront' } })).rejects.toMatchObject({ code: 'CONNECTOR_BAD_TARGET', message: 'argocd: application: Invalid input: expected string, received undefined' })
})

test('parents are walked to the top, with owners that are no applications', async () => {
  w = await testGitOps()
  const world = w
  await until('storefront is there', async () => (await world.app('storefront'))?.spec !== undefined)
  await api(w.url, 'admin', 'POST', APPS, { apiVersion: 'argoproj.io/v1alpha1', kind: 'Application', metadata: { name: 'leaf', annotations: { 'argocd.argoproj.io/tracking-id': 'storefront:argoproj.io/Application:argocd/leaf', 'argocd.argoproj.io/skip-reconcile': 'true' }, ownerReferences: [{ apiVersion: 'argoproj.io/v1alpha1', kind: 'ApplicationSet', name: 'fleet', uid: 'u' }] }, spec: { project: 'default', source: { repoURL: 'x' }, destination: {} } })
  expect(await connector(w).observe({ ...SPEC, target: { application: 'leaf' } })).toMatchObject({ value: { paused: true, setting: { syncPolicy: null }, parents: ['ApplicationSet/fleet', 'storefront', 'root'] } })
})

test('a policy without `automated`, or with enabled: false, is paused; null and absent `enabled` are on', () => {
  expect([null, {}, { automated: null }, { automated: { enabled: false, prune: true } }].map((p) => isPaused(p as never))).toEqual([true, true, true, true])
  expect([{ automated: {} }, { automated: { enabled: null } }, { automated: { enabled: true } }].map((p) => isPaused(p as never))).toEqual([false, false, false])
})

test('the patch that gives back', () => {
  expect(patchTo({ syncOptions: ['a'] }, { automated: { prune: true }, syncOptions: ['a'] })).toEqual({ automated: { prune: true } })
  expect(patchTo({ automated: { prune: true, selfHeal: true } }, { automated: { prune: true } })).toEqual({ automated: { selfHeal: null } })
  expect(patchTo({ automated: {} }, null)).toBeNull()
  expect(patchTo({ a: 1, b: [1] }, { b: [1], a: 1 })).toBeUndefined()
})

test('whatever the policy became meanwhile, the patch makes exactly the earlier one of it', () => {
  // A merge patch cannot write null, and an API server stores none.
  const { policy } = fc.letrec((tie) => ({
    policy: fc.dictionary(fc.constantFrom('automated', 'prune', 'selfHeal', 'enabled', 'syncOptions', 'retry'), tie('value'), { maxKeys: 5 }),
    value: fc.oneof({ maxDepth: 3 }, fc.boolean(), fc.string(), fc.array(fc.string()), tie('policy')),
  }))
  fc.assert(
    fc.property(policy, policy, (now, before) => {
      const patch = patchTo(now as Json, before as Json)
      const after = patch === undefined ? now : mergePatch(now as never, patch as never)
      expect(after).toEqual(before)
    }),
    { numRuns: 2000 },
  )
})

test('an application in another namespace is tracked with its namespace', () => {
  const metadata = { name: 'x', namespace: 'team', resourceVersion: '1', annotations: { 'argocd.argoproj.io/tracking-id': 'ops_root:argoproj.io/Application:team/x' } }
  expect(parentsOf({ metadata }, 'argocd')).toEqual([{ kind: 'Application', namespace: 'ops', name: 'root' }])
})
