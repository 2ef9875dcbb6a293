import * as store from './0001_store.ts'
import * as ledger from './0002_ledger.ts'
import * as config from './0010_config.ts'
import * as incident from './0020_incident.ts'
import * as oncall from './0030_oncall.ts'
import * as access from './0040_access.ts'
import * as pause from './0050_pause.ts'
import * as pauseShared from './0051_pause_shared.ts'
import * as record from './0060_record.ts'
import * as reconcile from './0070_reconcile.ts'
import * as assess from './0080_assess.ts'
import * as alarms from './0090_alarms.ts'

/** One step of the schema: SQL text, run once, all steps of one start in one transaction. */
export interface Migration {
  readonly name: string
  readonly up: string
}

/** In order of their numbers. A released migration never changes; a new one is added at its place. */
export const migrations: readonly Migration[] = [store, ledger, config, incident, oncall, access, pause, pauseShared, record, reconcile, assess, alarms]
