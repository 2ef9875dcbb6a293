/** Applies what was decided and nothing else. */
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { ReglazeError } from '../core/errors.ts'
import { applyFile, changedOutputs, planTo, planVerdict, pullState, type ChangeVerdict, type PlanDocument } from '../terraform/index.ts'
import { RECONCILE } from './errors.ts'
import { decisionFor, type ApplyResult, type Decision } from './model.ts'
import { keepState, openSession, type EngineOptions, type Session } from './session.ts'

/**
 * State first (refresh-only), then a saved plan that is judged and applied as that file. Refuses with WOULD_DESTROY or
 * RECONCILE_UNDECIDED; the judgement is made before anything real is changed. Already done is success.
 */
export async function apply(dir: string, decisions: readonly Decision[], o: EngineOptions = {}): Promise<ApplyResult> {
  const s = await openSession(dir, o)
  await keepState(s)
  s.progress('bringing the state up to date')
  await s.runner.run(['apply', '-refresh-only', '-auto-approve', '-json', '-input=false', '-lock-timeout=5s', ...s.varArgs], {
    cwd: s.dir, env: s.place.env ?? {}, ...(o.signal && { signal: o.signal }), ...(o.onProgress && { onProgress: o.onProgress }), ...(o.timeoutMs && { timeoutMs: o.timeoutMs }),
  })
  const file = join(s.workDir, `apply-${process.pid}.tfplan`)
  try {
    const { plan, diagnostics } = await planTo(s.place, file, s.varArgs)
    const error = diagnostics.find((d) => d.severity === 'error')
    if (!plan || plan.errored) throw new ReglazeError(RECONCILE.RECONCILE_PLAN_FAILED, `${error?.summary ?? 'terraform plan failed'}: ${error?.detail ?? ''}`.trim(), { place: error?.place ?? s.dir })
    const changes = judge(s, plan, decisions)
    const outputs = changedOutputs(plan)
    if (plan.applyable !== false || changes.length > 0 || outputs.length > 0) {
      s.progress(changes.length > 0 ? `applying ${changes.map((c) => c.address).join(', ')}` : 'nothing to apply but outputs')
      await applyFile(s.place, file)
    }
    const { state } = await pullState(s.place)
    return { applied: changes, outputs, serial: state.serial, lineage: state.lineage, effort: s.effort() }
  } finally {
    rmSync(file, { force: true })
  }
}

function judge(s: Session, plan: PlanDocument, decisions: readonly Decision[]): ChangeVerdict[] {
  const { changes } = planVerdict(plan)
  const destroys = changes.filter((c) => c.verdict === 'would-destroy')
  if (destroys.length > 0) {
    throw new ReglazeError(RECONCILE.WOULD_DESTROY, `the plan would destroy ${destroys.map((c) => `${c.address} (${c.reason})`).join(', ')}`, { place: s.dir, data: { addresses: destroys.map((c) => c.address) } })
  }
  const undecided = changes.filter((c) => !covered(c, decisions))
  if (undecided.length > 0) {
    const list = undecided.map((c) => `${c.address}: ${c.verdict}${c.attributes.length > 0 ? ` (${c.attributes.join(', ')})` : ''}`)
    throw new ReglazeError(RECONCILE.RECONCILE_UNDECIDED, `no decision covers ${list.join('; ')}`, { place: s.dir, data: { addresses: undecided.map((c) => c.address) } })
  }
  return [...changes]
}

function covered(c: ChangeVerdict, decisions: readonly Decision[]): boolean {
  const whole = decisionFor(decisions, c.address, null)?.action
  switch (c.verdict) {
    case 'needs-output-refresh': return true
    case 'would-create': return whole === 'revert'
    case 'would-revert': return c.attributes.length > 0 && c.attributes.every((a) => attributeReverted(c.address, a, decisions))
    case 'needs-write-only-apply': return whole === 'import' || whole === 'revert' || c.attributes.every((a) => attributeReverted(c.address, a, decisions))
    case 'forget': return whole === 'forget'
    case 'needs-import-apply': return whole === 'import'
    default: return false
  }
}
/** A decision about `tags.env` covers a plan that says `tags`; any other part of it was judged by codify. */
function attributeReverted(address: string, attribute: string, decisions: readonly Decision[]): boolean {
  return decisions.some((d) => d.address === address && d.action === 'revert' && (d.attribute === undefined || d.attribute === attribute || d.attribute.startsWith(`${attribute}.`) || d.attribute.startsWith(`${attribute}[`)))
}
