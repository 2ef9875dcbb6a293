import { join } from 'node:path'
import { CloudClient, Faults, GitClone, Loop, Tokens, serveJson } from '../lib/index.ts'
import { applicationApi } from './api.ts'
import { Controller } from './controller.ts'
import { ApplicationStore } from './store.ts'
import { ApplicationTarget, CloudTarget } from './targets.ts'

export interface GitOpsOptions {
  readonly dataDir: string
  readonly port: number
  readonly repo: string
  readonly branch: string
  readonly cloudUrl: string
  readonly cloudTokenFile: string
  readonly tokenFile: string
  readonly intervalMs: number
  /** Folder of the root application; default `gitops/root`. */
  readonly rootPath?: string
}
const NAMESPACE = 'argocd'

/** Starts the agent: API and controller loop. The root application is created at the first start only. */
export async function startGitOps(o: GitOpsOptions): Promise<{ url: string; close(): Promise<void> }> {
  const store = new ApplicationStore(join(o.dataDir, 'store'))
  if (store.list().length === 0) await createRoot(store, o)
  const git = new GitClone({ dir: join(o.dataDir, 'repo.git'), url: o.repo, branch: o.branch })
  const cloud = new CloudTarget(new CloudClient({ url: o.cloudUrl, tokenFile: o.cloudTokenFile, agent: 'argocd-application-controller' }))
  const controller = new Controller({ store, git, cloud, applications: new ApplicationTarget(store), periodMs: o.intervalMs })
  const loop = new Loop(() => controller.round(), o.intervalMs)
  const api = applicationApi({ store, tokens: new Tokens(o.tokenFile), faults: new Faults(), version: 'v1.31.0+sandbox', changed: () => loop.poke() })
  const listening = await serveJson(api, { port: o.port })
  loop.start()
  return {
    url: listening.url,
    close: async () => {
      await listening.close()
      await loop.stop()
      await store.close()
    },
  }
}

async function createRoot(store: ApplicationStore, o: GitOpsOptions): Promise<void> {
  await store.create({
    namespace: NAMESPACE,
    name: 'root',
    manager: 'kubectl-create',
    spec: {
      project: 'default',
      source: { repoURL: o.repo, path: o.rootPath ?? 'gitops/root', targetRevision: o.branch },
      destination: { server: 'https://kubernetes.default.svc', namespace: NAMESPACE },
      syncPolicy: { automated: { prune: true, selfHeal: true } },
    },
  })
}
