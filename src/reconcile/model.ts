import type { Json } from '../core/json.ts'
import type { DriftClass, NoiseRule, Path, Verdict } from '../terraform/pure.ts'

/** What is done about a difference; `none` = seen, nothing to do. */
export type DecisionAction = 'codify' | 'revert' | 'import' | 'forget' | 'none'
export interface Decision {
  readonly address: string
  /** Attribute path as `check` prints it (`engine_version`, `tags.env`); without it the decision is about all differences of the address. */
  readonly attribute?: string
  readonly action: DecisionAction
  /** `import`: the object's id at the cloud. */
  readonly id?: string
}

/**
 * Classes of a difference: the drift classes, and
 * `would-revert` (no drift is left in the state, but the code says otherwise) · `ignored` (hidden by ignore_changes) ·
 * `gone` (deleted outside) · `not-made` (in the code, never made) · `would-destroy` · `secret` · `unmanaged` (no state knows it) ·
 * `import`, `forget` and `move` (the code asks for it, not applied yet).
 */
export type ItemClass = DriftClass | 'would-revert' | 'ignored' | 'gone' | 'not-made' | 'would-destroy' | 'secret' | 'unmanaged' | 'import' | 'forget' | 'move'

export interface Difference {
  /** `engine_version`, `tags.env`, `disk[0].size_gb`. */
  readonly attribute: string
  readonly path: Path
  /** What the code says; absent when it could not be seen. */
  readonly expected?: Json
  /** What the state said before this look. */
  readonly state: Json
  /** What is real. */
  readonly actual: Json
  readonly class: ItemClass
  readonly suggested: DecisionAction | null
  /** Where the code says it, `file:line:column`. */
  readonly place: string | null
  /** Known before the incident (the baseline holds the same difference). */
  readonly baseline: boolean
}
export interface ResourceReport {
  readonly address: string
  readonly type: string
  readonly id: string | null
  /** The worst class of its differences. */
  readonly class: ItemClass
  readonly suggested: DecisionAction | null
  readonly differences: readonly Difference[]
  readonly baseline: boolean
  readonly note: string | null
}
export interface Effort {
  /** How often Terraform was started, and the milliseconds inside it. */
  readonly invocations: number
  readonly terraformMs: number
  readonly wallMs: number
}
export interface CheckResult {
  readonly verdict: Verdict
  readonly nextStep: string
  readonly resources: readonly ResourceReport[]
  /** Outputs that an apply would change. */
  readonly outputs: readonly string[]
  /** What could not be seen, and why. */
  readonly blind: readonly string[]
  readonly serial: number
  readonly lineage: string
  readonly terraformVersion: string
  /** File (mode 0600, with secrets in clear, as Terraform keeps them) with the state as it was before this look. */
  readonly stateCopy: string
  readonly at: string
  readonly effort: Effort
}

export interface Refusal {
  readonly address: string
  readonly attribute: string | null
  readonly reason: string
  readonly place: string | null
  readonly options: readonly string[]
}
export interface EditNote {
  readonly address: string
  readonly attribute: string | null
  /** `tfvars`, `literal`, `module-argument`, `variable-default`, `local`, `map-key`, `json`, `block`, `import`, `removed`. */
  readonly kind: string
  readonly place: string
  readonly from: Json
  readonly to: Json
}
export interface CodifyResult {
  readonly branch: string | null
  readonly commit: string | null
  /** Commit that the branch starts from. */
  readonly base: string | null
  readonly patch: string
  readonly files: readonly string[]
  readonly edits: readonly EditNote[]
  readonly refused: readonly Refusal[]
  /** Secrets that an import can not read: to be set once by a reviewed apply. */
  readonly secrets: readonly string[]
  /** True when the code said it all already. */
  readonly unchanged: boolean
  readonly effort: Effort
}
export interface PlannedChange {
  readonly address: string
  readonly verdict: Verdict
  readonly attributes: readonly string[]
  readonly reason: string
}
export interface ApplyResult {
  readonly applied: readonly PlannedChange[]
  readonly outputs: readonly string[]
  readonly serial: number
  readonly lineage: string
  readonly effort: Effort
}
export interface Proof {
  readonly verdict: Verdict
  readonly nextStep: string
  /** Why it is not clean; empty when it is. */
  readonly open: readonly string[]
  /** Drift that counts as noise or was accepted, shown anyway. */
  readonly noise: readonly { readonly address: string; readonly attribute: string; readonly class: ItemClass }[]
  /** SHA-256 over the canonical plan JSON without secrets and without its timestamp. */
  readonly planDigest: string | null
  readonly commit: string | null
  readonly branch: string | null
  readonly dirty: boolean
  readonly serial: number
  readonly lineage: string
  readonly terraformVersion: string
  readonly resources: number
  readonly at: string
  readonly effort: Effort
}
export interface Recheck {
  readonly stale: boolean
  readonly reasons: readonly string[]
}
/** Drift that people decided to live with. */
export type AcceptedDrift = NoiseRule

/** The worst first. */
export const CLASS_ORDER: readonly ItemClass[] = [
  'would-destroy', 'gone', 'not-made', 'real', 'would-revert', 'unmanaged', 'secret', 'forget', 'import', 'move', 'ignored', 'computed-only', 'equal-set', 'equal-json', 'noise',
]
export function worstClass(classes: readonly ItemClass[]): ItemClass {
  return CLASS_ORDER.find((c) => classes.includes(c)) ?? 'noise'
}

/** What we suggest; null = a person has to say. */
export function suggestionFor(cls: ItemClass): DecisionAction | null {
  switch (cls) {
    case 'real': return 'codify'
    case 'gone': return 'forget'
    case 'unmanaged': return 'import'
    case 'computed-only': case 'equal-json': case 'equal-set': case 'noise': case 'ignored': case 'import': case 'forget': case 'move': return 'none'
    default: return null
  }
}

/** The decision that covers a difference: one for the attribute (or a part above it) goes before one for the whole address. */
export function decisionFor(decisions: readonly Decision[], address: string, attribute: string | null): Decision | undefined {
  const own = decisions.filter((d) => d.address === address)
  const covers = (d: Decision): boolean => attribute !== null && d.attribute !== undefined && (d.attribute === attribute || attribute.startsWith(`${d.attribute}.`) || attribute.startsWith(`${d.attribute}[`))
  const exact = own.filter(covers).sort((a, b) => (b.attribute as string).length - (a.attribute as string).length)[0]
  return exact ?? own.find((d) => d.attribute === undefined)
}
