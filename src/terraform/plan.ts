/** Plan documents of `terraform show -json` and what they allow to be said (§5.1, §5.2 of the Terraform reference). */
import { ReglazeError } from '../core/errors.ts'
import { sameJson, type Json } from '../core/json.ts'
import { TERRAFORM } from './errors.ts'

export interface Change {
  readonly actions: readonly string[]
  readonly before: Json
  readonly after: Json
  readonly after_unknown?: Json
  readonly before_sensitive?: Json
  readonly after_sensitive?: Json
  readonly replace_paths?: Json[]
  readonly importing?: { readonly id?: string; readonly unknown?: boolean }
  readonly generated_config?: string
}
export interface ResourceChange {
  readonly address: string
  readonly previous_address?: string
  readonly module_address?: string
  readonly mode: 'managed' | 'data'
  readonly type: string
  readonly name: string
  readonly index?: string | number
  readonly provider_name: string
  readonly deposed?: string
  readonly action_reason?: string
  readonly change: Change
}
export interface PlanDocument {
  readonly format_version: string
  readonly terraform_version: string
  readonly resource_drift?: readonly ResourceChange[]
  readonly resource_changes?: readonly ResourceChange[]
  readonly deferred_changes?: readonly unknown[]
  readonly output_changes?: Readonly<Record<string, Change>>
  readonly prior_state?: { readonly values?: ValuesDocument }
  readonly planned_values?: ValuesDocument
  readonly configuration?: Record<string, unknown>
  readonly variables?: Record<string, { value?: Json }>
  readonly checks?: readonly unknown[]
  readonly timestamp?: string
  readonly applyable?: boolean
  readonly complete?: boolean
  readonly errored?: boolean
}
export interface ResourceValues {
  readonly address: string
  readonly mode: 'managed' | 'data'
  readonly type: string
  readonly provider_name: string
  readonly values: Record<string, Json>
  readonly sensitive_values?: Json
}
export interface ModuleValues {
  readonly resources?: readonly ResourceValues[]
  readonly child_modules?: readonly ModuleValues[]
}
export interface ValuesDocument {
  readonly root_module?: ModuleValues
  readonly outputs?: Record<string, { value?: Json; sensitive?: boolean }>
}

/** Reads plan JSON. Throws TERRAFORM_DOCUMENT when it is not one. */
export function parsePlan(text: string): PlanDocument {
  let doc: unknown
  try {
    doc = JSON.parse(text)
  } catch (cause) {
    throw new ReglazeError(TERRAFORM.TERRAFORM_DOCUMENT, 'the plan is not JSON', { cause })
  }
  const plan = doc as PlanDocument
  if (typeof plan !== 'object' || plan === null || !(plan.format_version ?? '').startsWith('1.')) {
    throw new ReglazeError(TERRAFORM.TERRAFORM_DOCUMENT, 'this is not plan JSON of format 1.x')
  }
  return plan
}

/** All resources of a values document by address. */
export function valuesByAddress(doc: ValuesDocument | undefined): Map<string, ResourceValues> {
  const out = new Map<string, ResourceValues>()
  const walk = (m: ModuleValues | undefined): void => {
    for (const r of m?.resources ?? []) out.set(r.address, r)
    for (const c of m?.child_modules ?? []) walk(c)
  }
  walk(doc?.root_module)
  return out
}

export type Verdict =
  | 'incomplete' | 'would-destroy' | 'would-create' | 'would-revert' | 'needs-write-only-apply' | 'forget'
  | 'needs-import-apply' | 'pending-move' | 'needs-output-refresh' | 'drift' | 'noise-only' | 'clean'

/** The worst first; a plan has exactly one headline. */
export const VERDICTS: readonly Verdict[] = [
  'incomplete', 'would-destroy', 'would-create', 'would-revert', 'needs-write-only-apply', 'forget',
  'needs-import-apply', 'pending-move', 'needs-output-refresh', 'drift', 'noise-only', 'clean',
]
export const NEXT_STEP: Record<Verdict, string> = {
  incomplete: 'No statement is possible: remove the error that Terraform names, then look again.',
  'would-destroy': 'Stop. Something would be destroyed; nobody resumes over this without a second person.',
  'would-create': 'An object is gone, or its state entry is: forget it, or let it be made again.',
  'would-revert': 'Decide per attribute: codify the actual value, or revert it.',
  'needs-write-only-apply': 'One reviewed apply sets a secret that the cloud never tells.',
  forget: 'Confirm that Terraform shall no longer know the object.',
  'needs-import-apply': 'Apply, then prove again.',
  'pending-move': 'Apply the move, then prove again.',
  'needs-output-refresh': 'One apply brings outputs and data up to date.',
  drift: 'Bring the state up to date by a refresh-only apply, or accept the drift.',
  'noise-only': 'Nothing: what differs is noise, shown below.',
  clean: 'Nothing.',
}

export interface ChangeVerdict {
  readonly address: string
  readonly verdict: Verdict
  /** Top-level attributes that the change touches. */
  readonly attributes: readonly string[]
  readonly reason: string
}

/** Top-level attributes in which before and after differ, or that are only known after apply. */
export function changedAttributes(c: Change): string[] {
  const before = isObject(c.before) ? c.before : {}
  const after = isObject(c.after) ? c.after : {}
  const unknown = isObject(c.after_unknown) ? c.after_unknown : {}
  const names = new Set([...Object.keys(before), ...Object.keys(after), ...Object.keys(unknown)])
  return [...names].filter((n) => hasTrue(unknown[n] ?? null) || !sameJson(before[n], after[n])).sort()
}

/** What one change of a normal plan means. */
export function changeVerdict(r: ResourceChange): ChangeVerdict {
  const { change } = r
  const of = (verdict: Verdict, reason: string, attributes: string[] = []): ChangeVerdict => ({ address: r.address, verdict, attributes, reason })
  const actions = change.actions
  if (actions.includes('delete')) {
    const why = actions.includes('create') ? `replaced (${r.action_reason ?? 'no reason given'})` : (r.action_reason ?? 'no longer wanted')
    return of('would-destroy', why, actions.includes('create') ? changedAttributes(change) : [])
  }
  if (actions.includes('forget')) return of('forget', 'a removed block lets Terraform forget it')
  if (r.mode === 'data') return of(actions.includes('read') ? 'needs-output-refresh' : 'clean', 'data read at apply')
  if (actions.includes('create')) return of('would-create', 'would be created')
  if (actions.includes('update')) {
    const attributes = changedAttributes(change)
    const secret = attributes.length > 0 && attributes.every((a) => onlySetsSecret(change, a))
    return of(secret ? 'needs-write-only-apply' : 'would-revert', secret ? 'sets a secret that no cloud tells' : 'would be changed to what the code says', attributes)
  }
  if (change.importing) return of('needs-import-apply', `imports ${change.importing.id ?? '(id known at apply)'}`)
  if (r.previous_address && r.previous_address !== r.address) return of('pending-move', `moved from ${r.previous_address}`)
  return of('clean', 'no change')
}

/** An attribute that is sensitive and was null: write-only values after an import. */
function onlySetsSecret(c: Change, attribute: string): boolean {
  const sensitive = isObject(c.after_sensitive) && hasTrue(c.after_sensitive[attribute] ?? null)
  const before = isObject(c.before) ? c.before[attribute] : null
  return sensitive && (before === null || before === undefined)
}

/** Outputs that the plan changes, with their actions. */
export function changedOutputs(plan: PlanDocument): string[] {
  return Object.entries(plan.output_changes ?? {}).filter(([, c]) => !c.actions.every((a) => a === 'no-op')).map(([n]) => n).sort()
}

export interface PlanVerdict {
  readonly verdict: Verdict
  readonly changes: readonly ChangeVerdict[]
  readonly outputs: readonly string[]
  /** Why the plan does not count as complete; empty when it does. */
  readonly incomplete: readonly string[]
}

/** The headline of a normal plan, drift aside (`drift.ts` judges drift). */
export function planVerdict(plan: PlanDocument): PlanVerdict {
  const incomplete: string[] = []
  if (plan.errored) incomplete.push('the plan ended with an error')
  if (plan.complete === false && !plan.errored) incomplete.push('the plan does not cover everything (targets, or changes that a later plan needs)')
  if (plan.complete === undefined) incomplete.push(`Terraform ${plan.terraform_version} does not say whether its plan is complete`)
  if ((plan.deferred_changes ?? []).length > 0) incomplete.push('changes are deferred')
  if (!plan.resource_changes && !plan.planned_values) incomplete.push('the plan has no changes document')
  const changes = (plan.resource_changes ?? []).map(changeVerdict).filter((c) => c.verdict !== 'clean')
  const outputs = changedOutputs(plan)
  const found: Verdict[] = changes.map((c) => c.verdict)
  if (outputs.length > 0) found.push('needs-output-refresh')
  if (incomplete.length > 0) found.push('incomplete')
  return { verdict: worst(found), changes, outputs, incomplete }
}

export function worst(found: readonly Verdict[]): Verdict {
  return VERDICTS.find((v) => found.includes(v)) ?? 'clean'
}
export function isObject(v: unknown): v is Record<string, Json> {
  return typeof v === 'object' && v !== null && !Array.isArray(v)
}
/** True when a mark document (sensitive, unknown) has `true` anywhere. */
export function hasTrue(v: Json): boolean {
  if (v === true) return true
  if (Array.isArray(v)) return v.some(hasTrue)
  return isObject(v) && Object.values(v).some(hasTrue)
}
