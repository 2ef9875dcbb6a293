/** Replace: the plan that will be applied is the plan that was looked at, as a file. */
import { ReglazeError } from '../core/errors.ts'
import { applyFile, attribute, blocks, changedAttributes, changeVerdict, indexState, literalValue, type PlanDocument } from '../terraform/index.ts'
import { REPAIR } from './errors.ts'
import type { ReplaceResult, ReplaceReview } from './model.ts'
import { pulled, target, withPlan, type Session, type Target } from './session.ts'

export interface ReplaceChoice {
  readonly incident: string
  /** Asked with what the plan would do; false leaves everything as it is. Without it a plan that passes the checks is applied. */
  readonly review?: (r: ReplaceReview) => boolean | Promise<boolean>
}

/**
 * Destroys and makes one object anew. The plan covers the object and what depends on it, so that a workspace that can
 * not be planned as a whole does not stop the repair. Refuses when anything else would be destroyed or made.
 */
export async function replaceObject(s: Session, address: string, o: ReplaceChoice): Promise<ReplaceResult> {
  const t = target(s.config(), address)
  const { state, text, entry } = await pulled(s)
  const found = entry(address)
  if (!found) throw new ReglazeError(REPAIR.REPAIR_NO_STATE, `the state has no ${address}`, { place: s.dir })
  const known = s.journal.find(address)
  if (known && known.play !== 'replace') throw new ReglazeError(REPAIR.REPAIR_ALREADY, `${address} is quarantined (${known.play}) for ${known.incident}`)
  const dependents = indexState(state).dependents(address).map((e) => e.address)
  if (known?.id && known.id !== found.id) {
    // An earlier run was killed after its apply: it is done.
    s.journal.remove(address)
    return { address, oldId: known.id, newId: found.id, dependents, changes: [], warnings: [], applied: true, effort: s.effort() }
  }
  const stateCopy = s.journal.keepState(state.serial, state.lineage, text)
  const args = [`-replace=${address}`, ...[address, ...dependents].map((a) => `-target=${a}`)]
  return withPlan(s, 'replace', args, async (plan, file, error) => {
    if (!plan || plan.errored) throw new ReglazeError(REPAIR.REPAIR_WOULD_CHANGE, `no plan for the replacement: ${error?.summary ?? ''}`, { place: error?.place ?? s.dir })
    const review = reviewOf(plan, t, found.id, dependents)
    judge(review)
    if (o.review && !(await o.review(review))) return { ...review, newId: found.id, applied: false, effort: s.effort() }
    s.journal.put({ address, play: 'replace', incident: o.incident, step: 'applying', type: t.parsed.type, id: found.id, file: t.file.name, before: null, stateCopy, serial: state.serial, lineage: state.lineage, at: s.now() })
    s.progress(`replacing ${address}`)
    await applyFile(s.place, file)
    const now = (await pulled(s)).entry(address)
    if (!now?.id || now.id === found.id) throw new ReglazeError(REPAIR.REPAIR_OTHER_OBJECT, `${address} is still ${String(now?.id)} after the replacement`, { place: s.dir })
    s.journal.remove(address)
    return { ...review, newId: now.id, applied: true, effort: s.effort() }
  })
}

function reviewOf(plan: PlanDocument, t: Target, oldId: string | null, dependents: readonly string[]): ReplaceReview {
  const changes = (plan.resource_changes ?? []).filter((c) => c.mode === 'managed' && changeVerdict(c).verdict !== 'clean').map((c) => ({ address: c.address, actions: c.change.actions, attributes: c.change.actions.includes('update') ? changedAttributes(c.change) : [] }))
  const warnings: string[] = []
  const own = changes.find((c) => c.address === t.address)
  if (own?.actions[0] === 'create') warnings.push('the new object is made before the old one is destroyed (create_before_destroy): both exist for a while')
  else warnings.push('the old object is destroyed first: it is gone until the new one is there')
  if (literalOf(t, 'skip_final_snapshot') === true) warnings.push('skip_final_snapshot is set: no snapshot is made before it is destroyed')
  if (blocks(t.block.items, 'lifecycle').some((l) => attribute(l.items, 'prevent_destroy'))) warnings.push('prevent_destroy stands in the code')
  return { address: t.address, oldId, dependents, changes, warnings }
}
function literalOf(t: Target, name: string): unknown {
  const found = attribute(t.block.items, name)
  return found ? literalValue(t.file, found.expr) : undefined
}

function judge(r: ReplaceReview): void {
  const own = r.changes.find((c) => c.address === r.address)
  if (!own?.actions.includes('delete') || !own.actions.includes('create')) throw new ReglazeError(REPAIR.REPAIR_WOULD_CHANGE, `the plan does not replace ${r.address}`)
  const others = r.changes.filter((c) => c.address !== r.address)
  const destroys = others.filter((c) => c.actions.includes('delete'))
  if (destroys.length > 0) throw new ReglazeError(REPAIR.REPAIR_WOULD_DESTROY, `replacing ${r.address} would also destroy ${destroys.map((c) => c.address).join(', ')}`, { data: { addresses: destroys.map((c) => c.address) } })
  const strange = others.filter((c) => !r.dependents.includes(c.address) || c.actions.join() !== 'update')
  if (strange.length > 0) throw new ReglazeError(REPAIR.REPAIR_WOULD_CHANGE, `replacing ${r.address} would also ${strange.map((c) => `${c.actions.join(' and ')} ${c.address}`).join(', ')}`)
}
