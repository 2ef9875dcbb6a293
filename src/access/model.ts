/** The life of a grant (DESIGN §3). Expiry is a reason to revoke, not a state; `revoked` exists only with read-back evidence. */
export const GRANT_STATES = ['requested', 'approved', 'intended', 'granting', 'unknown', 'active', 'revoking', 'stuck', 'revoked', 'denied', 'withdrawn'] as const
export type GrantState = (typeof GRANT_STATES)[number]
export const GRANT_TRANSITIONS: readonly (readonly [GrantState, GrantState])[] = [
  ['requested', 'approved'], ['requested', 'denied'], ['requested', 'withdrawn'],
  ['approved', 'intended'], ['approved', 'withdrawn'],
  ['intended', 'granting'], ['intended', 'revoking'],
  ['granting', 'unknown'], ['granting', 'active'], ['granting', 'revoking'],
  ['unknown', 'active'], ['unknown', 'granting'], ['unknown', 'revoking'],
  ['active', 'unknown'], ['active', 'granting'], ['active', 'revoking'],
  ['revoking', 'stuck'], ['revoking', 'revoked'], ['stuck', 'revoking'], ['stuck', 'revoked'],
]
export const TERMINAL: readonly GrantState[] = ['revoked', 'denied', 'withdrawn']
/** States in which something may exist at a target. */
export const OUTSIDE: readonly GrantState[] = ['intended', 'granting', 'unknown', 'active', 'revoking', 'stuck']

export type TargetState = 'intended' | 'granting' | 'unknown' | 'active' | 'revoking' | 'stuck' | 'revoked'
export type EndReason = 'deadline' | 'done' | 'incident-closed' | 'panic' | 'withdrawn' | 'removed-outside'

/** Level of a revocation (reference access.md §4.1): no new use · live sessions ended · proven gone by read-back. */
export type Level = 'no-new-use' | 'sessions-ended' | 'proven'

/** How far the targets are, as one state of the grant. */
export function overall(targets: readonly TargetState[], ending: boolean): GrantState {
  if (ending) {
    if (targets.every((t) => t === 'revoked')) return 'revoked'
    return targets.some((t) => t === 'stuck') ? 'stuck' : 'revoking'
  }
  if (targets.every((t) => t === 'active')) return 'active'
  return targets.some((t) => t === 'unknown') ? 'unknown' : 'granting'
}

/** How long to wait before the n-th further try of a revocation: never gives up, at most 5 minutes apart. */
export function retryMs(attempts: number): number {
  return Math.min(300_000, 500 * 2 ** Math.min(attempts, 12))
}
/** The same for granting: somebody waits for it, so at most 15 s apart. */
export function grantRetryMs(attempts: number): number {
  return Math.min(15_000, retryMs(attempts))
}
/** From this many failed tries on a revocation counts as stuck: the DRI is paged with the manual command; trying goes on. */
export const STUCK_AFTER = 5
/** Whether this failed try pages: the one that makes it stuck, and every third after it, so that one lost message is not silence. */
export function pagesAgain(attempts: number): boolean {
  return attempts >= STUCK_AFTER && (attempts - STUCK_AFTER) % 3 === 0
}

/** Kind of the timers that bring a grant to where it should be. */
export const CONVERGE = 'grant.converge'
