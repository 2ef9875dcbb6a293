import { changeVerdict, parseAddress, type PlanDocument } from '../terraform/index.ts'
import type { Quiet } from './model.ts'
import { withPlan, type Session } from './session.ts'

export type QuietAnswer = { quiet: true; proof: Quiet } | { quiet: false; reason: string }

/**
 * Does a plan leave the address alone? A complete plan is asked first; when the workspace can not be planned as a whole
 * (a failed precondition elsewhere), a plan of this address alone, which is said in the proof.
 */
export async function isQuiet(s: Session, address: string, o: { inState: boolean }): Promise<QuietAnswer> {
  return withPlan(s, 'quiet', [], async (plan, _file, error) => {
    if (plan && !plan.errored) return judge(plan, address, { complete: plan.complete !== false, because: null })
    const broken = (plan?.resource_changes ?? []).find((c) => c.address === address)
    if (broken && changeVerdict(broken).verdict !== 'clean') return { quiet: false, reason: changeVerdict(broken).reason }
    // Out of the state and out of the code there is nothing to aim at; code that evaluates but for a check is all to be asked.
    if (!o.inState) return error && /undeclared|unsupported|missing/i.test(error.summary) ? { quiet: false, reason: error.summary } : { quiet: true, proof: { complete: false, because: error?.summary ?? 'no plan' } }
    return withPlan(s, 'quiet-one', [`-target=${address}`], async (one, _f, err) => {
      if (!one || one.errored) return { quiet: false, reason: err?.summary ?? 'no plan is possible' }
      return judge(one, address, { complete: false, because: error?.summary ?? 'the workspace as a whole can not be planned' })
    })
  })
}

function judge(plan: PlanDocument, address: string, proof: Quiet): QuietAnswer {
  const local = parseAddress(address)
  for (const c of plan.resource_changes ?? []) {
    if (c.address !== address) continue
    const v = changeVerdict(c)
    if (v.verdict !== 'clean') return { quiet: false, reason: `${c.change.actions.join(' and ')} ${c.address}${v.attributes.length > 0 ? ` (${v.attributes.join(', ')})` : ''}: ${v.reason}` }
  }
  return local.mode === 'managed' ? { quiet: true, proof } : { quiet: false, reason: 'not a managed resource' }
}
