/**
 * The contract of `Pausable`, the same for every connector. A connector's test calls {@link pausableContract} with a
 * harness around its simulator (or the real program).
 */
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { CORE, ReglazeError } from '../../core/errors.ts'
import type { Json } from '../../core/json.ts'
import type { HoldSpec, Observation, Pausable, PauseState } from '../../core/ports.ts'

export type FaultMode = '429' | '401' | '500' | 'hang' | 'lost-answer'

export interface PausableHarness {
  /** A new connector instance each time: nothing may live in its memory. Calls must time out within about a second. */
  connector(): Pausable
  readonly spec: Omit<HoldSpec, 'prior'>
  /** The setting as the outside system tells it itself, not through the connector. */
  raw(): Promise<Json>
  /** A person pauses it by hand, with their own credential. */
  humanPauses(): Promise<void>
  /** A person, or a program, switches it on again behind our back. */
  humanResumes(): Promise<void>
  /** What `changedBy` has to say after that; null when the target cannot tell. */
  readonly human: string | null
  /** The next calls of the connector that read or write meet this, until {@link clearFaults}. Left out where the target cannot be made to. */
  fault?(mode: FaultMode, on: 'read' | 'write', times?: number): Promise<void>
  clearFaults?(): Promise<void>
  /** A parent that writes the setting back, where the target has such. It is held when the harness begins. */
  parent?: {
    /** Its name in `parents`. */
    readonly name: string
    release(): Promise<void>
    hold(): Promise<void>
    /** Waits until the parent has looked at its child at least once more. */
    looked(): Promise<void>
    /** What `changedBy` says after the parent wrote. */
    readonly writer: string
  }
  close(): Promise<void>
}

const known = (o: Observation<PauseState>): PauseState => {
  if (o.status === 'unknown') throw new Error(`unknown: ${o.reason}`)
  return o.value
}
const failure = async (work: Promise<unknown>): Promise<ReglazeError> => {
  const e = await work.then(() => null, (x: unknown) => x)
  expect(e).toBeInstanceOf(ReglazeError)
  return e as ReglazeError
}

export function pausableContract(name: string, makeHarness: () => Promise<PausableHarness>): void {
  describe(`pausable contract: ${name}`, () => {
    let h: PausableHarness
    beforeEach(async () => {
      h = await makeHarness()
    })
    afterEach(() => h.close())
    const seen = async (): Promise<PauseState> => known(await h.connector().observe(h.spec))
    /** As the server does it: look, store what was there, then pause. */
    const capture = async (): Promise<HoldSpec> => ({ ...h.spec, prior: (await seen()).setting })

    test('pauses, and tells so with evidence', async () => {
      const spec = await capture()
      expect(await seen()).toMatchObject({ paused: false })
      await h.connector().pause(spec)
      const o = await h.connector().observe(h.spec)
      expect(known(o).paused).toBe(true)
      expect(o.status === 'known' && [o.evidence.source, o.evidence.request].every((t) => t.length > 0)).toBe(true)
      expect(JSON.parse(JSON.stringify(spec.prior))).toEqual(spec.prior)
    })

    test('pause repeated changes nothing more', async () => {
      const spec = await capture()
      await h.connector().pause(spec)
      const once = await h.raw()
      await h.connector().pause(spec)
      expect(await h.raw()).toEqual(once)
      expect((await seen()).paused).toBe(true)
    })

    test('resume gives back exactly what was, and may be repeated', async () => {
      const before = JSON.stringify(await h.raw())
      const spec = await capture()
      await h.connector().pause(spec)
      await h.connector().resume(spec)
      expect(JSON.stringify(await h.raw())).toBe(before)
      expect((await seen()).setting).toEqual(spec.prior)
      await h.connector().resume(spec)
      expect(JSON.stringify(await h.raw())).toBe(before)
    })

    test('resume without a pause before it changes nothing', async () => {
      const before = JSON.stringify(await h.raw())
      await h.connector().resume(await capture())
      expect(JSON.stringify(await h.raw())).toBe(before)
    })

    test('what a person had paused before stays paused', async () => {
      await h.humanPauses()
      const before = JSON.stringify(await h.raw())
      const spec = await capture()
      expect((await seen()).paused).toBe(true)
      await h.connector().pause(spec)
      expect((await seen()).paused).toBe(true)
      await h.connector().resume(spec)
      expect(JSON.stringify(await h.raw())).toBe(before)
      expect((await seen()).paused).toBe(true)
    })

    test('goes on after a crash between the call and its record', async () => {
      const before = JSON.stringify(await h.raw())
      const spec = await capture()
      await h.connector().pause(spec)
      const stored = JSON.parse(JSON.stringify(spec)) as HoldSpec
      await h.connector().pause(stored)
      expect((await seen()).paused).toBe(true)
      await h.connector().resume(stored)
      await h.connector().resume(stored)
      expect(JSON.stringify(await h.raw())).toBe(before)
    })

    test('switched on behind our back: says so, and who where the target tells', async () => {
      const spec = await capture()
      await h.connector().pause(spec)
      await h.humanResumes()
      const now = await seen()
      expect(now.paused).toBe(false)
      expect(now.changedBy).toBe(h.human)
      await h.connector().pause(spec)
      expect((await seen()).paused).toBe(true)
    })

    test('has a command for people', async () => {
      const spec = await capture()
      const line = h.connector().manual(spec)
      expect(line.length).toBeGreaterThan(10)
      expect(line).not.toMatch(/undefined|\[object/)
    })

    test('a target that is not there is unknown, not "not paused"', async () => {
      const target = Object.fromEntries(Object.entries(h.spec.target).map(([k, v]) => [k, typeof v === 'string' ? `${v}-nowhere` : v]))
      let asked: Promise<unknown>
      try {
        asked = h.connector().observe({ ...h.spec, target })
      } catch {
        throw new Error('observe threw instead of rejecting: whoever handles it with .catch() would miss that')
      }
      const o = await asked.catch((e: unknown) => e)
      if (o instanceof ReglazeError) expect(['invalid', 'outside', 'not-found']).toContain(o.kind)
      else expect(o).toMatchObject({ status: 'unknown' })
    })

    test('a parent writes it back unless it is held; it is named', async ({ skip }) => {
      if (!h.parent) return skip()
      const spec = await capture()
      expect((await seen()).parents).toContain(h.parent.name)
      await h.connector().pause(spec)
      await h.parent.looked()
      expect((await seen()).paused).toBe(true)
      await h.parent.release()
      await h.parent.looked()
      const now = await seen()
      expect(now).toMatchObject({ paused: false, changedBy: h.parent.writer })
      await h.parent.hold()
      await h.connector().pause(spec)
      await h.parent.looked()
      expect((await seen()).paused).toBe(true)
    })

    faults(() => h, capture, seen)
  })
}

function faults(harness: () => PausableHarness, capture: () => Promise<HoldSpec>, seen: () => Promise<PauseState>): void {
  for (const mode of ['429', '401', '500', 'hang'] as const) {
    test(`${mode} while reading: unknown`, async ({ skip }) => {
      const h = harness()
      if (!h.fault) return skip()
      await h.fault(mode, 'read')
      expect(await h.connector().observe(h.spec)).toMatchObject({ status: 'unknown', reason: expect.any(String) })
      await h.clearFaults?.()
      expect((await seen()).paused).toBe(false)
    })
  }

  for (const mode of ['429', '401', '500'] as const) {
    test(`${mode} while pausing: an error that is no success, and the repetition succeeds`, async ({ skip }) => {
      const h = harness()
      if (!h.fault) return skip()
      const before = JSON.stringify(await h.raw())
      const spec = await capture()
      await h.fault(mode, 'write')
      expect((await failure(h.connector().pause(spec))).code).toBe(CORE.OUTSIDE_FAILED)
      await h.clearFaults?.()
      expect((await seen()).paused).toBe(false)
      await h.connector().pause(spec)
      expect((await seen()).paused).toBe(true)
      await h.fault(mode, 'write')
      expect((await failure(h.connector().resume(spec))).code).toBe(CORE.OUTSIDE_FAILED)
      await h.clearFaults?.()
      await h.connector().resume(spec)
      expect(JSON.stringify(await h.raw())).toBe(before)
    })
  }

  test('no answer while pausing: outcome unknown; looking tells; the repetition succeeds', async ({ skip }) => {
    const h = harness()
    if (!h.fault) return skip()
    const spec = await capture()
    await h.fault('hang', 'write')
    expect((await failure(h.connector().pause(spec))).code).toBe(CORE.OUTCOME_UNKNOWN)
    await h.clearFaults?.()
    expect((await seen()).paused).toBe(false)
    await h.connector().pause(spec)
    expect((await seen()).paused).toBe(true)
  })

  test('answer lost after the effect: outcome unknown, never a success; looking tells; repeated it ends well', async ({ skip }) => {
    const h = harness()
    if (!h.fault) return skip()
    const before = JSON.stringify(await h.raw())
    const spec = await capture()
    await h.fault('lost-answer', 'write')
    expect((await failure(h.connector().pause(spec))).code).toBe(CORE.OUTCOME_UNKNOWN)
    await h.clearFaults?.()
    await h.connector().pause(spec)
    expect((await seen()).paused).toBe(true)
    await h.fault('lost-answer', 'write')
    expect((await failure(h.connector().resume(spec))).code).toBe(CORE.OUTCOME_UNKNOWN)
    await h.clearFaults?.()
    await h.connector().resume(spec)
    expect(JSON.stringify(await h.raw())).toBe(before)
  })

  test('unknown is never "resumed"', async ({ skip }) => {
    const h = harness()
    if (!h.fault) return skip()
    const spec = await capture()
    await h.connector().pause(spec)
    await h.fault('hang', 'read', 2)
    expect((await h.connector().observe(h.spec)).status).toBe('unknown')
    await failure(h.connector().resume(spec))
    await h.clearFaults?.()
    expect((await seen()).paused).toBe(true)
  })
}
