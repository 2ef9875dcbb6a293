import type { Config } from '../config/schema.ts'
import type { Notifier } from '../core/index.ts'
import type { Db, Log, Store, Tx } from '../store/index.ts'
import type { Alert } from './model.ts'

/** What a page says about its incident. */
export interface IncidentRef {
  readonly id: string
  /** The 42 of INC-42. */
  readonly number: number
  readonly title: string
  readonly service: string
  readonly team: string | null
  readonly severity: number | null
}

/** What on-call asks of the part that keeps incidents; the server joins them. Every call is inside the caller's transaction. */
export interface IncidentPort {
  /**
   * Opens an incident for the alert's service, or attaches to the open one, and returns its id. `alert` is the worst of
   * those that began in one delivery for one service; `more` are others of them (at most 50, for a title or a note): all of
   * them are attached to the same incident.
   */
  onAlert(tx: Tx, alert: Alert, more: readonly Alert[]): Promise<string>
  /** An alert of the incident (`alert.incident`) resolved; `firing` of its alerts still fire. Once per delivery and incident. */
  onResolved(tx: Tx, alert: Alert, left: { readonly resolved: readonly Alert[]; readonly firing: number }): Promise<void>
  /** The one responsible person that was paged. */
  onDri(tx: Tx, incidentId: string, person: string): Promise<void>
  onAcknowledged(tx: Tx, incidentId: string, person: string, pageId: string): Promise<void>
  /** By id or label (`INC-42`); null when there is none. */
  find(db: Db | Tx, idOrLabel: string): Promise<IncidentRef | null>
}

export interface OncallDeps {
  readonly store: Store
  readonly config: () => Config
  readonly incidents: IncidentPort
  /** Null while none is configured: pages wait and are retried. */
  readonly notifier: () => Notifier | null
  /** Base of the acknowledge links, e.g. `https://reglaze.example`. */
  readonly publicUrl: () => string
  /** The value behind a secret reference; throws when it is missing. */
  readonly secret: (reference: string) => string
  readonly log: Log
}
