/** Words and shapes of the repair plays. */
export type QuarantineKind = 'soft' | 'hard'

/** One play in flight; it stays in the journal until it is finished or undone. */
export interface JournalItem {
  readonly address: string
  readonly play: QuarantineKind | 'replace'
  readonly incident: string
  /**
   * soft: editing → quarantined → releasing; hard: editing → quarantined → releasing; replace: applying.
   * `quarantined` rests; every other step has to be finished by somebody.
   */
  readonly step: 'editing' | 'quarantined' | 'releasing' | 'applying'
  readonly type: string
  /** The object's id at the cloud, as it was before. */
  readonly id: string | null
  /** The file that was edited, and the SHA-256 of its text before. */
  readonly file: string | null
  readonly before: string | null
  readonly stateCopy: string | null
  readonly serial: number
  readonly lineage: string
  readonly at: string
}
export interface Journal {
  readonly version: 1
  readonly items: readonly JournalItem[]
}
export interface Effort {
  readonly invocations: number
  readonly terraformMs: number
  readonly wallMs: number
}
export interface Quiet {
  /** True when one plan of everything showed it; false when only a targeted plan was possible. */
  readonly complete: boolean
  /** Why no complete plan was possible. */
  readonly because: string | null
}
export interface QuarantineResult {
  readonly address: string
  readonly kind: QuarantineKind
  readonly incident: string
  readonly id: string | null
  readonly file: string
  /** Other instances that the same code makes; the soft kind covers them too. */
  readonly alsoAffects: readonly string[]
  readonly proof: Quiet
  readonly stateCopy: string
  readonly effort: Effort
}
export interface ReleaseResult {
  readonly address: string
  readonly kind: QuarantineKind
  readonly id: string | null
  readonly file: string
  /** True when the file is again what it was before, byte by byte. */
  readonly exact: boolean
  /** Attributes that had to be set again because no cloud tells them (after an import). */
  readonly secretsSet: readonly string[]
  /** Attributes that differ now and that the next reconcile has to decide about. */
  readonly differs: readonly string[]
  readonly effort: Effort
}
export interface ReplaceReview {
  readonly address: string
  readonly oldId: string | null
  /** Objects that read something of the replaced one. */
  readonly dependents: readonly string[]
  /** What the plan does, by address. */
  readonly changes: readonly { readonly address: string; readonly actions: readonly string[]; readonly attributes: readonly string[] }[]
  /** What to know before: final snapshot, order of destroying and making. */
  readonly warnings: readonly string[]
}
export interface ReplaceResult extends ReplaceReview {
  readonly newId: string | null
  readonly applied: boolean
  readonly effort: Effort
}
/** A quarantine as the markers in the code and the journal show it. */
export interface InFlight {
  readonly address: string
  readonly play: string
  readonly incident: string
  readonly place: string | null
  readonly step: string
}
