// The stored objects: durable before anybody is told, versions that never go back.
import { openJournal, type Journal } from '../lib/index.ts'
import { equal, kubeTime, newApplication, written, type Application, type Metadata, type Spec } from './application.ts'
import { alreadyExists, notFound } from './status.ts'

interface State { version: number; apps: Record<string, Application> }
type Entry = { put: string; app: Application; version: number } | { drop: string; version: number }

export class ApplicationStore {
  #journal: Journal<State, Entry>
  #version: number
  constructor(dir: string) {
    this.#journal = openJournal<State, Entry>({ dir, name: 'applications', initial: () => ({ version: 0, apps: {} }), apply, snapshotEvery: 2000 })
    this.#version = this.#journal.state.version
  }

  /** The version of the whole collection, for `metadata.resourceVersion` of lists. */
  get version(): string {
    return String(this.#version)
  }
  list(namespace?: string): Application[] {
    return Object.values(this.#journal.state.apps)
      .filter((app) => namespace === undefined || app.metadata.namespace === namespace)
      .sort((a, b) => (key(a.metadata) < key(b.metadata) ? -1 : 1))
  }
  find(namespace: string, name: string): Application | undefined {
    return this.#journal.state.apps[`${namespace}/${name}`]
  }
  get(namespace: string, name: string): Application {
    const app = this.find(namespace, name)
    if (app === undefined) throw notFound(name)
    return app
  }

  async create(o: { namespace: string; name: string; spec: Spec; metadata?: Partial<Metadata>; manager: string }): Promise<Application> {
    if (this.find(o.namespace, o.name)) throw alreadyExists(o.name)
    const app = newApplication({ ...o, resourceVersion: this.#next() })
    await this.#put(app)
    return app
  }

  /** Changes one object as `manager`. `change` gets a copy; nothing is written when it comes back equal. */
  async update(namespace: string, name: string, manager: string, change: (app: Application) => Application): Promise<Application> {
    const before = this.get(namespace, name)
    const next = written(before, change(structuredClone(before)), { manager, resourceVersion: this.#next() })
    if (next !== before) await this.#put(next)
    return next
  }

  /** The controller's note that it looked. It moves the version like any write, but is not worth the disk: after a restart the first look renews it. */
  reconciled(namespace: string, name: string, at: Date): void {
    const app = this.find(namespace, name)
    if (app?.status === undefined) return
    const version = this.#next()
    const next: Application = { ...app, metadata: { ...app.metadata, resourceVersion: version, generation: app.metadata.generation + 1 }, status: { ...app.status, reconciledAt: kubeTime(at) } }
    if (equal(next.status, app.status)) return
    this.#journal.state.apps[key(app.metadata)] = next
  }

  async remove(namespace: string, name: string): Promise<Application> {
    const app = this.get(namespace, name)
    this.#next()
    await this.#journal.commit({ drop: key(app.metadata), version: this.#version })
    return app
  }
  close(): Promise<void> {
    return this.#journal.close()
  }

  async #put(app: Application): Promise<void> {
    await this.#journal.commit({ put: key(app.metadata), app, version: this.#version })
  }
  // Milliseconds as a floor: versions handed out before a restart, also the ones never stored, are not given twice.
  #next(): string {
    this.#version = Math.max(this.#version + 1, Date.now())
    return String(this.#version)
  }
}

function key(m: Pick<Metadata, 'namespace' | 'name'>): string {
  return `${m.namespace}/${m.name}`
}
function apply(state: State, entry: Entry): void {
  state.version = entry.version
  if ('put' in entry) state.apps[entry.put] = entry.app
  else delete state.apps[entry.drop]
}
