import { afterEach, expect, test } from 'vitest'
import { APPS, AUTOMATED, ROUTE, storefrontApp, testGitOps, type TestGitOps } from '../testing/gitops.ts'
import { api, holds, until } from '../testing/world.ts'

let w: TestGitOps
afterEach(() => w.close())

const route = async (): Promise<any> => (await w.cloud.call('GET', '/v1/routes?name=www')).body.items[0]
const instance = async (name: string): Promise<any> => (await w.cloud.call('GET', `/v1/instances/name:${name}`)).body
const synced = () => until('storefront is synced', async () => (await w.app('storefront'))?.status?.sync?.status === 'Synced')
/** A fix by hand: the route points to the other machine. */
const fixByHand = async (): Promise<void> => void (await w.cloud.call('PATCH', `/v1/routes/${(await route()).id}`, { target_id: (await instance('web-2')).id }))
const onSecond = async (): Promise<boolean> => (await route()).target_id === (await instance('web-2')).id
const onFirst = async (): Promise<boolean> => (await route()).target_id === (await instance('web-1')).id
const off = { spec: { syncPolicy: { automated: null } } }

test('brings the cloud to what git says, under its own credential, and undoes a fix by hand', async () => {
  w = await testGitOps()
  await synced()
  expect(await onFirst()).toBe(true)
  await fixByHand()
  await until('the fix is undone', onFirst)
  const { events } = (await w.cloud.call('GET', '/v1/audit?writes=1&limit=1000')).body
  const undone = events.filter((e: any) => e.resource?.type === 'sandbox_route' && e.action === 'update').at(-1)
  expect(undone).toMatchObject({ actor: 'svc-gitops' })
  const app = await until('the operation is told', async () => ((await w.app('storefront')).status.operationState.operation.sync.resources ? w.app('storefront') : null))
  expect(app.status.operationState).toMatchObject({ phase: 'Succeeded', operation: { initiatedBy: { automated: true }, sync: { selfHealAttemptsCount: 1 } } })
  expect(app.status.operationState.syncResult.resources).toMatchObject([{ kind: 'Route', name: 'www', message: 'route.sandbox.test/www configured' }])
  // A self-heal of one resource is no deployment.
  expect(app.status.history).toHaveLength(1)
})

test('paused with its parent it leaves a fix alone and only reports', async () => {
  w = await testGitOps()
  await synced()
  expect((await w.patch('root', off, { manager: 'tool' })).status).toBe(200)
  const answer = await w.patch('storefront', off, { manager: 'tool' })
  expect(answer.body.spec.syncPolicy).toEqual({ syncOptions: ['CreateNamespace=true'] })
  await fixByHand()
  await until('the difference is reported', async () => (await w.app('storefront')).status.sync.status === 'OutOfSync')
  await holds('the fix stays', onSecond, 600)
})

test('`enabled: false` stops it as well', async () => {
  w = await testGitOps({ syncPolicy: '{ automated: { enabled: false, selfHeal: true } }' })
  await until('it looked', async () => (await w.app('storefront'))?.status?.sync?.status === 'OutOfSync')
  await holds('nothing is created', async () => (await route()) === undefined, 300)
})

test('a parent that is not held turns the child on again', async () => {
  w = await testGitOps()
  await synced()
  await w.patch('storefront', off, { manager: 'tool' })
  const app = await until('the parent wrote the policy back', async () => ((await w.app('storefront')).spec.syncPolicy.automated ? w.app('storefront') : null))
  expect(app.spec.syncPolicy).toEqual({ automated: { prune: true, selfHeal: true }, syncOptions: ['CreateNamespace=true'] })
  expect(app.metadata.annotations['argocd.argoproj.io/tracking-id']).toBe('root:argoproj.io/Application:argocd/storefront')
  const owner = app.metadata.managedFields.find((m: any) => m.fieldsV1['f:spec']?.['f:syncPolicy']?.['f:automated'])
  expect(owner.manager).toBe('argocd-controller')
})

test('without self-heal a fix stays until the next commit', async () => {
  w = await testGitOps({ syncPolicy: '{ automated: {} }' })
  await synced()
  await fixByHand()
  await until('the difference is reported', async () => (await w.app('storefront')).status.sync.status === 'OutOfSync')
  await holds('the fix stays', onSecond, 300)
  w.remote.commit({ 'gitops/storefront/all.yaml': `${ROUTE}# touched\n` })
  await until('the commit is synced', onFirst)
})

test('prune removes what git no longer has, only when asked to', async () => {
  w = await testGitOps({ syncPolicy: '{ automated: { selfHeal: true } }' })
  await synced()
  w.remote.commit({ 'gitops/storefront/all.yaml': ROUTE.slice(ROUTE.indexOf('---\n')) })
  const app = await until('it is seen', async () => ((await w.app('storefront')).status.resources.some((r: any) => r.requiresPruning) ? w.app('storefront') : null))
  expect(app.status.sync.status).toBe('OutOfSync')
  expect(await route()).toBeDefined()
  w.remote.commit({ 'gitops/root/storefront.yaml': storefrontApp(w.remote.url, AUTOMATED) })
  await until('it is pruned', async () => (await route()) === undefined)
})

test('an operation asked for over the API runs although automation is off', async () => {
  w = await testGitOps()
  await synced()
  await w.patch('root', off)
  await w.patch('storefront', off)
  await fixByHand()
  await w.patch('storefront', { operation: { initiatedBy: { username: 'human' }, sync: { revision: 'main' } } })
  await until('it synced', onFirst)
  const app = await until('it is told', async () => ((await w.app('storefront')).status.operationState.operation.initiatedBy.username === 'human' ? w.app('storefront') : null))
  expect(app.operation).toBeUndefined()
})

test('speaks as a Kubernetes API server about mistakes', async () => {
  w = await testGitOps()
  await synced()
  const none = await fetch(`${w.url}${APPS}/storefront`)
  expect([none.status, await none.json()]).toMatchObject([401, { kind: 'Status', reason: 'Unauthorized', code: 401 }])
  expect(await w.patch('storefront', off, { user: 'viewer' })).toMatchObject({ status: 403, body: { reason: 'Forbidden', message: expect.stringContaining('User "viewer" cannot patch resource "applications"') } })
  expect(await w.patch('nothing', off)).toMatchObject({ status: 404, body: { reason: 'NotFound', details: { name: 'nothing', kind: 'applications', group: 'argoproj.io' } } })
  expect(await w.patch('storefront', { metadata: { resourceVersion: '1' }, ...off })).toMatchObject({ status: 409, body: { reason: 'Conflict' } })
  expect(await w.patch('storefront', off, { type: 'application/json-patch+json' })).toMatchObject({ status: 415, body: { reason: 'UnsupportedMediaType' } })
  expect(await w.patch('storefront', { spec: { syncPolicy: { automated: { prune: 'yes' } } } })).toMatchObject({ status: 422, body: { reason: 'Invalid' } })
  expect(await api(w.url, 'admin', 'GET', '/apis/argoproj.io/v1alpha1/namespaces/argocd/pods')).toMatchObject({ status: 404 })
  const list = await api(w.url, 'viewer', 'GET', APPS)
  expect(list.body).toMatchObject({ kind: 'ApplicationList', metadata: { resourceVersion: expect.stringMatching(/^\d+$/) } })
  expect(list.body.items.map((a: any) => a.metadata.name)).toEqual(['root', 'storefront'])
})

test('a mistake in git is a condition of the application and changes nothing', async () => {
  w = await testGitOps()
  await synced()
  w.remote.commit({ 'gitops/storefront/all.yaml': 'apiVersion: v1\nkind: Pod\nmetadata: {name: x}\n' })
  const app = await until('it is told', async () => ((await w.app('storefront')).status.conditions ? w.app('storefront') : null))
  expect(app.status.conditions[0]).toMatchObject({ type: 'ComparisonError', message: 'gitops/storefront/all.yaml: no resource Pod in v1' })
  expect(app.status.sync.status).toBe('Unknown')
  expect(await route()).toBeDefined()
})
