import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { testCloud, type TestCloud } from '../cloud/testing/cloud.ts'
import { startGitOps } from '../gitops/server.ts'
import { api, removeDir, tempDir, testRemote, testTokens, type TestRemote } from './world.ts'

export const APPS = '/apis/argoproj.io/v1alpha1/namespaces/argocd/applications'

export function storefrontApp(repo: string, syncPolicy: string): string {
  return `apiVersion: argoproj.io/v1alpha1
kind: Application
metadata: { name: storefront, namespace: argocd }
spec:
  project: default
  source: { repoURL: ${repo}, path: gitops/storefront, targetRevision: main }
  destination: { server: https://kubernetes.default.svc, namespace: storefront }
  syncPolicy: ${syncPolicy}
`
}
export const AUTOMATED = '{ automated: { prune: true, selfHeal: true }, syncOptions: [CreateNamespace=true] }'
export const ROUTE = `apiVersion: sandbox.test/v1
kind: Route
metadata: { name: www }
spec: { target: web-1 }
---
apiVersion: sandbox.test/v1
kind: Firewall
metadata: { name: front }
spec: { rules: [{ port: 443, protocol: tcp, source: 0.0.0.0/0 }] }
`

export interface TestGitOps {
  readonly url: string
  readonly dir: string
  readonly cloud: TestCloud
  readonly remote: TestRemote
  readonly tokenFile: string
  readonly cloudKeyFile: string
  app(name: string): Promise<any>
  patch(name: string, body: unknown, o?: { user?: string; manager?: string; type?: string }): Promise<{ status: number; body: any }>
  close(): Promise<void>
}

/** A cloud with two instances, a remote with root → storefront, and (unless `start: false`) the agent in this process. */
export async function testGitOps(o: { syncPolicy?: string; intervalMs?: number; start?: boolean } = {}): Promise<TestGitOps> {
  const dir = tempDir()
  const cloud = await testCloud()
  for (const name of ['web-1', 'web-2']) await cloud.call('POST', '/v1/instances', { name, image: 'img-1' })
  const remote = testRemote(dir, { 'gitops/storefront/all.yaml': ROUTE })
  remote.commit({ 'gitops/root/storefront.yaml': storefrontApp(remote.url, o.syncPolicy ?? AUTOMATED) })
  const cloudKeyFile = join(dir, 'svc-gitops.key')
  writeFileSync(cloudKeyFile, await cloud.key('svc-gitops', 'operator'))
  const tokenFile = testTokens(dir)
  const running = o.start === false ? null : await startGitOps({ dataDir: join(dir, 'gitops'), port: 0, repo: remote.url, branch: 'main', cloudUrl: cloud.url, cloudTokenFile: cloudKeyFile, tokenFile, intervalMs: o.intervalMs ?? 60 })
  const url = running?.url ?? ''
  return {
    url, dir, cloud, remote, tokenFile, cloudKeyFile,
    app: async (name) => (await api(url, 'viewer', 'GET', `${APPS}/${name}`)).body,
    patch: (name, body, p = {}) => api(url, p.user ?? 'human', 'PATCH', `${APPS}/${name}${p.manager === undefined ? '' : `?fieldManager=${p.manager}`}`, body, { 'content-type': p.type ?? 'application/merge-patch+json' }),
    close: async () => {
      await running?.close()
      await cloud.close()
      removeDir(dir)
    },
  }
}
