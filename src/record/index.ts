import type { Handler, OpenItem } from '../core/index.ts'
import { poke, startWorker, type Worker } from '../store/index.ts'
import { COLLECT, collect, collector } from './collect.ts'
import { recordHandlers } from './routes.ts'
import { type RecordDeps, Recordings } from './service.ts'

export * from './model.ts'
export * from './errors.ts'
export * from './contract.ts'
export * from './engine.ts'
export { attribute, type AttributionContext, type GrantWindow } from './attribute.ts'
export { undoneBy } from './undone.ts'
export { modificationHcl, type HclOptions } from './hcl.ts'
export { COLLECT, type UndoneFinding } from './collect.ts'
export { Recordings, type RecordDeps } from './service.ts'

export interface RecordPart {
  readonly recordings: Recordings
  readonly routes: Handler[]
  /** The loops of this part; each start() makes its work due. */
  readonly loops: readonly { readonly kind: string; start(): Promise<Worker> }[]
  openItems(incidentId: string): Promise<OpenItem[]>
  /** Reads all audit logs now, e.g. after a change that is to be seen at once. */
  collectNow(): Promise<void>
}

/** The door of record/ for the server. */
export function recordPart(deps: RecordDeps): RecordPart {
  const recordings = new Recordings(deps)
  const start = async (): Promise<Worker> => {
    for (const source of Object.keys(deps.sources())) await poke(deps.store.db, COLLECT, source)
    return startWorker(deps.store, { kind: COLLECT, handle: collector(deps), concurrency: 4 })
  }
  return {
    recordings, routes: recordHandlers(recordings), loops: [{ kind: COLLECT, start }],
    openItems: (id) => recordings.openItems(id),
    collectNow: async () => {
      for (const source of Object.keys(deps.sources())) await collect(deps, source)
    },
  }
}
