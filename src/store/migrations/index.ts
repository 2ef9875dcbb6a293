import * as store from './0001_store.ts'
import * as oncall from './0030_oncall.ts'

/** One step of the schema: SQL text, run once, all steps of one start in one transaction. */
export interface Migration {
  readonly name: string
  readonly up: string
}

/** In order of their numbers. A released migration never changes; a new one is added at its place. */
export const migrations: readonly Migration[] = [store, oncall]
