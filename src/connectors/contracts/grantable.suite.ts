/**
 * The contract of `Grantable`, the same for every connector. A connector's test calls {@link grantableContract} with a
 * harness around its simulator or, where there is one, the real program.
 */
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { CORE, ReglazeError } from '../../core/errors.ts'
import type { Json } from '../../core/json.ts'
import type { GrantSpec, GrantState, Grantable, Observation, PersonRef } from '../../core/ports.ts'

export type GrantFault = '429' | '401' | '500' | 'hang' | 'lost-answer'
export type GrantCall = 'grant' | 'observe' | 'revoke' | 'end-sessions'

/** A hook that a target cannot offer is the reason in words; its tests are then skipped by name, never silently. */
export type Hook<F> = F | string

export interface LiveSession {
  /** Whether the right can still be used over this session. */
  usable(): Promise<boolean>
  close?(): Promise<void>
}

export interface GrantableHarness {
  /** A new connector instance each time: nothing may live in its memory. Calls must time out within about a second. */
  connector(): Grantable
  readonly person: PersonRef
  readonly right: Record<string, Json>
  /** Whether the person has the right at this moment, as the target tells it itself, not through the connector. */
  raw(spec: GrantSpec): Promise<boolean>
  /** Gives the person the right before any grant, as somebody would by hand; returns what has to be there again at the end. */
  readonly memberBefore: Hook<() => Promise<{ same(): Promise<boolean> }>>
  /** Somebody removes the granted right by hand. */
  readonly humanRevokes: Hook<(spec: GrantSpec) => Promise<void>>
  /** Somebody changes the granted right behind our back so that it would last (no mark, no end), without removing it. */
  readonly humanKeeps: Hook<(spec: GrantSpec) => Promise<void>>
  /** The person begins to use the right. */
  readonly session: Hook<(spec: GrantSpec) => Promise<LiveSession>>
  /** The next `times` (default 1) calls of this kind meet this. `lost-answer`: the effect happens, the answer never comes. */
  readonly fault: Hook<(mode: GrantFault, on: GrantCall, times?: number) => Promise<void>>
  clearFaults?(): Promise<void>
  /** Whether the target itself ends the access after the deadline. */
  readonly backstop: boolean
  close(): Promise<void>
}

function known(o: Observation<GrantState>): GrantState {
  if (o.status === 'unknown') throw new Error(`unknown: ${o.reason}`)
  return o.value
}
async function failure(work: Promise<unknown>): Promise<ReglazeError> {
  const e = await work.then(
    () => null,
    (x: unknown) => x,
  )
  expect(e).toBeInstanceOf(ReglazeError)
  return e as ReglazeError
}

interface Bench {
  readonly h: GrantableHarness
  spec(): Promise<GrantSpec>
  seen(spec: GrantSpec): Promise<GrantState>
}
type Skip = (note?: string) => never

function need<F>(hook: Hook<F>, skip: Skip): F {
  if (typeof hook === 'string') skip(hook)
  return hook as F
}

let n = 0

export function grantableContract(name: string, makeHarness: () => Promise<GrantableHarness>): void {
  describe(`grantable contract: ${name}`, () => {
    let h: GrantableHarness
    beforeEach(async () => {
      h = await makeHarness()
    })
    afterEach(() => h.close())
    const bench = (): Bench => ({
      h,
      // As the server does it: look first, store everything as JSON, then grant.
      async spec() {
        const { principal, prior } = await h.connector().prepare(h.person, h.right)
        const grantId = `gr_contract${process.pid}x${n++}`
        const spec: GrantSpec = { grantId, incident: 'INC-1', principal, person: h.person.id, right: h.right, expiresAt: new Date(Date.now() + 3_600_000).toISOString(), prior }
        return JSON.parse(JSON.stringify(spec)) as GrantSpec
      },
      seen: async (spec) => known(await h.connector().observe(spec)),
    })
    effect(bench)
    people(bench)
    sessions(bench)
    faults(bench)
  })
}

function effect(bench: () => Bench): void {
  test('grants, and tells so with evidence', async () => {
    const { h, spec: make, seen } = bench()
    const spec = await make()
    expect(await h.raw(spec)).toBe(false)
    expect(await seen(spec)).toMatchObject({ member: false, sessions: 0 })
    await h.connector().grant(spec)
    expect(await h.raw(spec)).toBe(true)
    const o = await h.connector().observe(spec)
    expect(known(o).member).toBe(true)
    expect(o.status === 'known' && [o.evidence.source, o.evidence.request].every((t) => t.length > 0)).toBe(true)
    const { backstopUntil } = known(o)
    if (!h.backstop) expect(backstopUntil).toBeNull()
    else expect(Date.parse(backstopUntil as string)).toBeGreaterThanOrEqual(Date.parse(spec.expiresAt))
    await h.connector().revoke(spec)
    await h.connector().endSessions(spec)
  })

  test('grant repeated, revoke repeated, revoke without a grant: already so is success', async () => {
    const { h, spec: make, seen } = bench()
    const spec = await make()
    await h.connector().revoke(spec)
    await h.connector().endSessions(spec)
    for (let i = 0; i < 2; i++) await h.connector().grant(spec)
    expect(await seen(spec)).toMatchObject({ member: true })
    for (let i = 0; i < 2; i++) {
      await h.connector().revoke(spec)
      await h.connector().endSessions(spec)
      expect(await seen(spec)).toMatchObject({ member: false, sessions: 0 })
    }
    expect(await h.raw(spec)).toBe(false)
  })

  test('prepare changes nothing', async () => {
    const { h, spec: make } = bench()
    const spec = await make()
    await make()
    expect(await h.raw(spec)).toBe(false)
  })

  test('crash after the call: another instance with the stored intent observes, and ends it', async () => {
    const { h, spec: make, seen } = bench()
    const spec = await make()
    await h.connector().grant(spec)
    const stored = JSON.parse(JSON.stringify(spec)) as GrantSpec
    expect((await seen(stored)).member).toBe(true)
    await h.connector().grant(stored)
    await h.connector().revoke(stored)
    await h.connector().endSessions(stored)
    expect(await h.raw(stored)).toBe(false)
  })

  test('a granted right carries our mark, so that one without a row can be found', async ({ skip }) => {
    const { h, spec: make } = bench()
    const connector = h.connector()
    if (!connector.marked) skip('the connector cannot list marks')
    const spec = await make()
    await connector.grant(spec)
    expect((await connector.marked?.())?.filter((m) => m.grantId === spec.grantId)).toHaveLength(1)
    await connector.revoke(spec)
    await connector.endSessions(spec)
    expect((await connector.marked?.())?.filter((m) => m.grantId === spec.grantId)).toEqual([])
  })

  test('has a command for people', async () => {
    const { h, spec: make } = bench()
    const line = h.connector().manual(await make())
    expect(line.length).toBeGreaterThan(10)
    expect(line).not.toMatch(/undefined|\[object/)
  })
}

function people(bench: () => Bench): void {
  test('who had the right before has it after, exactly as before', async ({ skip }) => {
    const { h, spec: make, seen } = bench()
    const before = await need(h.memberBefore, skip)()
    const spec = await make()
    await h.connector().grant(spec)
    expect((await seen(spec)).member).toBe(true)
    await h.connector().revoke(spec)
    await h.connector().endSessions(spec)
    expect(await before.same()).toBe(true)
    expect(await h.raw(spec)).toBe(true)
    // It is not this grant's any more: nothing of the grant is left.
    expect(await seen(spec)).toMatchObject({ member: false, sessions: 0 })
    await h.connector().revoke(spec)
    expect(await before.same()).toBe(true)
  })

  test('already revoked by a person: seen, and revoke succeeds', async ({ skip }) => {
    const { h, spec: make, seen } = bench()
    const humanRevokes = need(h.humanRevokes, skip)
    const spec = await make()
    await h.connector().grant(spec)
    await humanRevokes(spec)
    expect((await seen(spec)).member).toBe(false)
    await h.connector().revoke(spec)
    await h.connector().endSessions(spec)
    expect(await seen(spec)).toMatchObject({ member: false, sessions: 0 })
    expect(await h.raw(spec)).toBe(false)
  })

  test('made to last behind our back: still seen as there, and revoke removes it', async ({ skip }) => {
    const { h, spec: make, seen } = bench()
    const humanKeeps = need(h.humanKeeps, skip)
    const spec = await make()
    await h.connector().grant(spec)
    await humanKeeps(spec)
    expect((await seen(spec)).member).toBe(true)
    await h.connector().revoke(spec)
    await h.connector().endSessions(spec)
    expect((await seen(spec)).member).toBe(false)
    expect(await h.raw(spec)).toBe(false)
  })
}

function sessions(bench: () => Bench): void {
  test('a live session is counted, and ended', async ({ skip }) => {
    const { h, spec: make, seen } = bench()
    const begin = need(h.session, skip)
    const spec = await make()
    await h.connector().grant(spec)
    const session = await begin(spec)
    try {
      expect(await session.usable()).toBe(true)
      expect(await seen(spec)).toMatchObject({ member: true, sessions: 1 })
      await h.connector().revoke(spec)
      expect((await seen(spec)).member).toBe(false)
      await h.connector().endSessions(spec)
      expect(await session.usable()).toBe(false)
      expect((await seen(spec)).sessions).toBe(0)
    } finally {
      await session.close?.()
    }
  })
}

function faults(bench: () => Bench): void {
  for (const mode of ['429', '401', '500', 'hang'] as const) {
    test(`${mode} while observing: unknown, never "absent"`, async ({ skip }) => {
      const { h, spec: make, seen } = bench()
      const fault = need(h.fault, skip)
      const spec = await make()
      await fault(mode, 'observe', 9)
      expect(await h.connector().observe(spec)).toMatchObject({ status: 'unknown', reason: expect.stringMatching(/./) })
      await h.clearFaults?.()
      await h.connector().grant(spec)
      await fault(mode, 'observe', 9)
      expect(await h.connector().observe(spec)).toMatchObject({ status: 'unknown' })
      await h.clearFaults?.()
      expect((await seen(spec)).member).toBe(true)
      await h.connector().revoke(spec)
      await h.connector().endSessions(spec)
    })
  }

  for (const mode of ['429', '401', '500'] as const) {
    test(`${mode} while granting and revoking: an error that is no success, and the repetition succeeds`, async ({ skip }) => {
      const { h, spec: make, seen } = bench()
      const fault = need(h.fault, skip)
      const spec = await make()
      await fault(mode, 'grant')
      expect((await failure(h.connector().grant(spec))).kind).toBe('outside')
      await h.clearFaults?.()
      expect((await seen(spec)).member).toBe(false)
      await h.connector().grant(spec)
      await fault(mode, 'revoke')
      expect((await failure(h.connector().revoke(spec))).kind).toBe('outside')
      await h.clearFaults?.()
      expect(await h.raw(spec)).toBe(true)
      await h.connector().revoke(spec)
      await h.connector().endSessions(spec)
      expect(await h.raw(spec)).toBe(false)
    })
  }

  test('no answer while granting: outcome unknown; looking tells that nothing happened', async ({ skip }) => {
    const { h, spec: make, seen } = bench()
    const fault = need(h.fault, skip)
    const spec = await make()
    await fault('hang', 'grant')
    expect((await failure(h.connector().grant(spec))).code).toBe(CORE.OUTCOME_UNKNOWN)
    await h.clearFaults?.()
    expect((await seen(spec)).member).toBe(await h.raw(spec))
    await h.connector().revoke(spec)
    await h.connector().endSessions(spec)
    expect(await h.raw(spec)).toBe(false)
  })

  test('answer lost after the effect: outcome unknown, then looking says that the right is there; and the same for revoke', async ({ skip }) => {
    const { h, spec: make, seen } = bench()
    const fault = need(h.fault, skip)
    const spec = await make()
    await fault('lost-answer', 'grant')
    expect((await failure(h.connector().grant(spec))).code).toBe(CORE.OUTCOME_UNKNOWN)
    await h.clearFaults?.()
    expect((await seen(spec)).member).toBe(true)
    await fault('lost-answer', 'revoke')
    expect((await failure(h.connector().revoke(spec))).code).toBe(CORE.OUTCOME_UNKNOWN)
    await h.clearFaults?.()
    expect((await seen(spec)).member).toBe(false)
    await h.connector().revoke(spec)
    await h.connector().endSessions(spec)
    expect(await h.raw(spec)).toBe(false)
  })

  test('the end of sessions fails: an error, the session still counted; repeated it succeeds', async ({ skip }) => {
    const { h, spec: make, seen } = bench()
    const fault = need(h.fault, skip)
    const begin = need(h.session, skip)
    const spec = await make()
    await h.connector().grant(spec)
    const session = await begin(spec)
    try {
      await h.connector().revoke(spec)
      await fault('500', 'end-sessions')
      await failure(h.connector().endSessions(spec))
      await h.clearFaults?.()
      expect((await seen(spec)).sessions).toBe(1)
      await h.connector().endSessions(spec)
      expect(await seen(spec)).toMatchObject({ member: false, sessions: 0 })
      expect(await session.usable()).toBe(false)
    } finally {
      await session.close?.()
    }
  })
}
