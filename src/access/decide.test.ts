import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { decide, type RolePolicy } from './decide.ts'

describe('decide is fail-closed', () => {
  const names = ['a', 'b', 'c'] as const
  const when = fc.constantFrom('a', 'b', 'c', '!a', 'a && b', 'b || c', '!(a && c)')
  const people = ['alice', 'bob', 'carol', 'dave']
  const policy = fc.record({
    id: fc.constant('r'),
    eligible: fc.array(fc.record({ when }), { maxLength: 2 }),
    deny: fc.array(fc.record({ when, reason: fc.constant('no') }), { maxLength: 2 }),
    approval: fc.array(fc.record({ when: fc.option(when, { nil: undefined }), approvals: fc.integer({ min: 0, max: 3 }), approvers: fc.subarray(people) }), { maxLength: 4 }),
  }) as fc.Arbitrary<RolePolicy>
  const gives = (d: ReturnType<typeof decide>, votes: readonly string[]) => d.outcome === 'approved' || (d.outcome === 'needs-approval' && votes.filter((v) => d.approvers.includes(v)).length >= d.approvals)

  test('what is unknown never gives more than the strictest answer would, whoever votes', () => {
    fc.assert(fc.property(policy, fc.record({ a: fc.option(fc.boolean()), b: fc.option(fc.boolean()), c: fc.option(fc.boolean()) }), fc.subarray(people), (p, partial, votes) => {
      const known = Object.fromEntries(Object.entries(partial).filter(([, v]) => v !== null)) as Record<string, boolean>
      if (!gives(decide(p, known, 'alice'), votes)) return
      const missing = names.filter((n) => !(n in known))
      for (let bits = 0; bits < 2 ** missing.length; bits++) {
        const full = { ...known, ...Object.fromEntries(missing.map((n, i) => [n, (bits & (1 << i)) !== 0])) }
        expect(gives(decide(p, full, 'alice'), votes)).toBe(true)
      }
    }), { numRuns: 2000 })
  })
  test('who asks is never an approver, and too few others is no', () => {
    fc.assert(fc.property(policy, fc.record({ a: fc.boolean(), b: fc.boolean(), c: fc.boolean() }), (p, facts) => {
      const d = decide(p, facts, 'alice')
      expect(d.approvers).not.toContain('alice')
      if (d.outcome === 'needs-approval') expect(new Set(d.approvers).size).toBeGreaterThanOrEqual(d.approvals)
    }), { numRuns: 1000 })
  })
  const one = (more: Partial<RolePolicy>): RolePolicy => ({ id: 'r', eligible: [{ when: 'true' }], deny: [], approval: [{ approvals: 0, approvers: [] }], ...more })
  test.each<[string, RolePolicy, string]>([
    ['no eligible rule', one({ eligible: [] }), 'denied'], ['a missing fact', one({ eligible: [{ when: 'oncall.primary' }] }), 'denied'], ['a number', one({ eligible: [{ when: '1' }] }), 'denied'],
    ['a deny rule that cannot be decided', one({ deny: [{ when: 'x.y', reason: 'r' }] }), 'denied'], ['no approval rule', one({ approval: [] }), 'denied'],
    ['an empty approver list', one({ approval: [{ approvals: 1, approvers: [] }] }), 'denied'], ['only the person himself', one({ approval: [{ approvals: 1, approvers: ['alice'] }] }), 'denied'],
    ['one approver named twice', one({ approval: [{ approvals: 2, approvers: ['bob', 'bob'] }] }), 'denied'],
    ['an undecided rule that asks for people before a lax one', one({ approval: [{ when: 'x.y', approvals: 1, approvers: ['bob'] }, { approvals: 0, approvers: [] }] }), 'needs-approval'],
    ['an undecided lax rule before one that asks for people', one({ approval: [{ when: 'x.y', approvals: 0, approvers: [] }, { approvals: 1, approvers: ['bob'] }] }), 'needs-approval'],
  ])('%s: %s', (_name, p, outcome) => {
    expect(decide(p, {}, 'alice').outcome).toBe(outcome)
  })
})
