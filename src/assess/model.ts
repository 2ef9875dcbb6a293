/** The answers of an assessment as types. What could not be observed is `unknown` with its reason, never absent. Pure. */

/** A resource as it was asked about, with what is known of it. */
export interface AssessedResource {
  /** As given: a Terraform address, `type/id` or `type/name`. */
  readonly given: string
  /** Terraform addresses that are this object; empty = in no state that could be read. */
  readonly addresses: readonly string[]
  readonly workspace: string | null
  readonly type: string | null
  readonly id: string | null
  readonly name: string | null
  /** Services of the configuration that run on it. */
  readonly services: readonly string[]
}

export interface ActingAutomation {
  readonly id: string
  readonly connector: string
  /** direct: it acts on the resource itself · service: on the service as a whole · parent: it writes the settings of another one here · beside: on other resources of the service. */
  readonly how: 'direct' | 'service' | 'parent' | 'beside'
  readonly because: string
  /** running: it may act at any time. */
  readonly state: 'running' | 'held' | 'unknown'
  /** Work that is under way at this moment, as the automation told. */
  readonly working: readonly string[]
  /** How long it needs to notice a change. */
  readonly period: string
  readonly changedBy: string | null
  readonly reason: string | null
}
export interface DependentService {
  readonly id: string
  readonly criticality: number
  /** The chain from the dependent to the service that runs on the resource. */
  readonly path: readonly string[]
}
export interface DependentResource {
  readonly address: string
  readonly workspace: string
  readonly type: string
  readonly id: string | null
}
export interface Flag {
  readonly resource: string
  readonly name: 'prevent_destroy' | 'deletion_protection' | 'skip_final_snapshot'
  readonly value: boolean | 'unknown'
  readonly source: string
  /** What it means for a repair, in words. */
  readonly means: string
}
export interface Job {
  readonly id: string
  readonly runs_as: string
  readonly schedule: string
  readonly acts_on: readonly string[]
  readonly enabled?: boolean
}

export interface Assessment {
  readonly service: string
  readonly resources: readonly AssessedResource[]
  readonly automations: readonly ActingAutomation[]
  readonly dependents: { readonly services: readonly DependentService[]; readonly resources: readonly DependentResource[] }
  /** What the resource's services themselves need. */
  readonly needs: readonly DependentService[]
  /** Automations that run now, or of which that is not known. */
  readonly loops: readonly string[]
  readonly criticality: { readonly level: number | null; readonly of: string | null; readonly flags: readonly Flag[]; readonly data_loss: readonly string[] }
  readonly jobs: readonly Job[]
  /** Everything that could not be observed. Not empty = the answers above are not complete. */
  readonly unknown: readonly string[]
}
