import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { startAutoscaler } from '../autoscaler/server.ts'
import { testCloud, type TestCloud } from '../cloud/testing/cloud.ts'
import { api, removeDir, tempDir, testTokens } from './world.ts'

export interface TestAutoscaler {
  readonly url: string
  readonly dir: string
  readonly cloud: TestCloud
  readonly args: readonly string[]
  group(): Promise<any>
  call(method: string, path: string, body?: unknown, user?: string): Promise<{ status: number; body: any }>
  instance(name: string): Promise<any>
  close(): Promise<void>
}

/** A cloud with `web-1` (tag role=web) and `db-1`, and (unless `start: false`) the autoscaler with group `web`. */
export async function testAutoscaler(o: { start?: boolean; graceMs?: number } = {}): Promise<TestAutoscaler> {
  const dir = tempDir()
  const cloud = await testCloud()
  await cloud.call('POST', '/v1/instances', { name: 'web-1', image: 'img-1', size: 'large', tags: { role: 'web' }, disk: [{ device: 'a', size_gb: 5 }] })
  await cloud.call('POST', '/v1/instances', { name: 'db-1', image: 'img-1', tags: { role: 'db' } })
  const key = join(dir, 'svc-autoscaler.key')
  writeFileSync(key, await cloud.key('svc-autoscaler', 'operator'))
  const tokenFile = testTokens(dir)
  const options = { dataDir: join(dir, 'autoscaler'), port: 0, cloudUrl: cloud.url, cloudTokenFile: key, tokenFile, intervalMs: 40, graceMs: o.graceMs ?? 200, groups: [{ name: 'web', match: { role: 'web' } }] }
  const running = o.start === false ? null : await startAutoscaler(options)
  const url = running?.url ?? ''
  const call: TestAutoscaler['call'] = (method, path, body, user = 'human') => api(url, user, method, path, body)
  return {
    url, dir, cloud, call,
    args: ['autoscaler', '--data', options.dataDir, '--cloud', cloud.url, '--cloud-token-file', key, '--token-file', tokenFile, '--interval-ms', '40', '--grace-ms', '200', '--group', 'web:role=web'],
    group: async () => (await call('GET', '/v1/groups/web', undefined, 'viewer')).body,
    instance: async (name) => (await cloud.call('GET', `/v1/instances?name=${name}`)).body.items[0],
    close: async () => {
      await running?.close()
      await cloud.close()
      removeDir(dir)
    },
  }
}
