import { ReglazeError } from '../core/errors.ts'
import type { Evidence, Observation, Pausable } from '../core/ports.ts'

/** A secret as text, or read when it is needed (a rotated one is then used without a restart). */
export type Secret = string | (() => string | Promise<string>)

export async function bearer(token: Secret): Promise<{ authorization: string }> {
  return { authorization: `Bearer ${(typeof token === 'string' ? token : await token()).trim()}` }
}

/** Runs a read; what an outside system did not tell is `unknown` with the reason. Mistakes of the configuration and our own bugs are thrown. */
export async function observed<T>(read: () => Promise<{ value: T; evidence: Evidence }>): Promise<Observation<T>> {
  const at = (): string => new Date().toISOString()
  try {
    const { value, evidence } = await read()
    return { status: 'known', value, at: at(), evidence }
  } catch (e) {
    if (e instanceof ReglazeError && (e.kind === 'outside' || e.kind === 'unknown-outcome')) return { status: 'unknown', at: at(), reason: e.message }
    throw e
  }
}

/** What `Pausable.firstRun` tells. */
export type FirstRun = Awaited<ReturnType<NonNullable<Pausable['firstRun']>>>
