import { evaluate, parse } from '@marcbachmann/cel-js'
import { ReglazeError, type PolicyFacts } from '../core/index.ts'
import { ACCESS } from './errors.ts'

export interface RolePolicy {
  readonly id: string
  readonly eligible: readonly { when: string }[]
  readonly deny: readonly { when: string; reason: string }[]
  readonly approval: readonly { when?: string | undefined; approvals: number; approvers: readonly string[] }[]
}
export interface RuleResult {
  /** `eligible[0]`, `deny[1]`, `approval[0]` */
  readonly rule: string
  readonly when: string
  readonly result: boolean
  /** Why it could not be decided; such a rule counts against the caller. */
  readonly error?: string
}
export interface Decision {
  readonly outcome: 'approved' | 'needs-approval' | 'denied'
  /** The rule that decided. */
  readonly because: string
  readonly approvals: number
  readonly approvers: readonly string[]
  readonly rules: readonly RuleResult[]
}

/** Checks that an expression is CEL; throws POLICY_BROKEN with the parser's words. */
export function checkExpression(when: string, place: string): void {
  try {
    parse(when)
  } catch (error) {
    throw new ReglazeError(ACCESS.POLICY_BROKEN, `"${when}" is not a valid condition: ${(error as Error).message.split('\n')[0]}`, { place })
  }
}

/**
 * Decides a request from the role's policy and the facts. Fail-closed: what cannot be decided (a missing fact, an
 * expression that fails) never gives more than either answer would: an eligibility rule becomes false, a deny rule
 * true, and an approval rule that asks for people keeps asking for them. Who asks never counts as an approver.
 */
export function decide(policy: RolePolicy, facts: PolicyFacts, person: string): Decision {
  const rules: RuleResult[] = []
  /** null = cannot be decided. */
  const ask = (rule: string, when: string, counts: boolean): boolean | null => {
    try {
      const value = evaluate(when, facts as Record<string, unknown>) as unknown
      if (typeof value !== 'boolean') throw new Error('the condition is not true or false')
      rules.push({ rule, when, result: value })
      return value
    } catch (error) {
      rules.push({ rule, when, result: counts, error: (error as Error).message.split('\n')[0] ?? 'failed' })
      return null
    }
  }
  const no = (because: string): Decision => ({ outcome: 'denied', because, approvals: 0, approvers: [], rules })
  for (const [i, d] of policy.deny.entries()) if (ask(`deny[${i}]`, d.when, true) !== false) return no(`deny[${i}]: ${d.reason}`)
  const eligible = policy.eligible.findIndex((e, i) => ask(`eligible[${i}]`, e.when, false) === true)
  if (eligible < 0) return no('no eligible rule holds for this person now')
  const others = (list: readonly string[]) => [...new Set(list)].filter((p) => p !== person)
  let approvals = 0
  let approvers: string[] | null = null
  const used: string[] = []
  for (const [i, a] of policy.approval.entries()) {
    const holds = a.when === undefined ? true : ask(`approval[${i}]`, a.when, a.approvals > 0)
    // A rule that gives access without a second person has to hold for certain.
    if (holds === false || (holds === null && a.approvals === 0)) continue
    if (a.approvals > 0) {
      const may = others(a.approvers)
      approvers = approvers === null ? may : approvers.filter((p) => may.includes(p))
      approvals = Math.max(approvals, a.approvals)
    }
    used.push(`approval[${i}]`)
    if (holds === null) continue
    const because = `eligible[${eligible}] and ${used.join(' and ')}`
    if (approvals === 0) return { outcome: 'approved', because, approvals: 0, approvers: [], rules }
    if ((approvers ?? []).length < approvals) return no(`${used.join(' and ')}: ${approvals} approvals are needed and only ${(approvers ?? []).length} other people may give them`)
    return { outcome: 'needs-approval', because, approvals, approvers: approvers ?? [], rules }
  }
  return no('no approval rule holds')
}
