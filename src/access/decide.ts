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
 * Decides a request from the role's policy and the facts. Fail-closed: a fact that is missing or an expression that
 * fails makes an eligibility rule false and a deny rule true; the person who asks never counts as an approver.
 */
export function decide(policy: RolePolicy, facts: PolicyFacts, person: string): Decision {
  const rules: RuleResult[] = []
  const ask = (rule: string, when: string, onError: boolean): boolean => {
    try {
      const value = evaluate(when, facts as Record<string, unknown>) as unknown
      if (typeof value !== 'boolean') throw new Error('the condition is not true or false')
      rules.push({ rule, when, result: value })
      return value
    } catch (error) {
      rules.push({ rule, when, result: onError, error: (error as Error).message.split('\n')[0] ?? 'failed' })
      return onError
    }
  }
  const no = (because: string): Decision => ({ outcome: 'denied', because, approvals: 0, approvers: [], rules })
  for (const [i, d] of policy.deny.entries()) if (ask(`deny[${i}]`, d.when, true)) return no(`deny[${i}]: ${d.reason}`)
  const eligible = policy.eligible.findIndex((e, i) => ask(`eligible[${i}]`, e.when, false))
  if (eligible < 0) return no('no eligible rule holds for this person now')
  for (const [i, a] of policy.approval.entries()) {
    if (a.when !== undefined && !ask(`approval[${i}]`, a.when, false)) continue
    const because = `eligible[${eligible}] and approval[${i}]`
    if (a.approvals === 0) return { outcome: 'approved', because, approvals: 0, approvers: [], rules }
    const approvers = a.approvers.filter((p) => p !== person)
    if (approvers.length < a.approvals) return no(`approval[${i}]: ${a.approvals} approvals are needed and only ${approvers.length} other people may give them`)
    return { outcome: 'needs-approval', because, approvals: a.approvals, approvers, rules }
  }
  return no('no approval rule holds')
}
