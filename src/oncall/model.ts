/** The words of this part as types, and its life cycles as tables (DESIGN §3). Pure. Instants are milliseconds since 1970 UTC. */

/** Where a shift comes from. */
export type Why =
  | { readonly kind: 'rotation'; readonly layer: string; readonly turn: number }
  | { readonly kind: 'override'; readonly override: string; readonly instead: string; readonly layer: string; readonly turn: number }
  /** No layer covers this time; the schedule's fallback person stands in, and it counts as a gap. */
  | { readonly kind: 'fallback' }
  | { readonly kind: 'gap' }

/** Half-open `[from, to)`. `person` is null only in a gap without a fallback. */
export interface Shift {
  readonly person: string | null
  readonly from: number
  readonly to: number
  readonly why: Why
}

/**
 * Replaces whoever is on call by `person` in `[from, to)`, or only `replaces` when that is given. Overrides are applied in
 * their order, each to what the earlier ones left, and only inside existing shifts: they never invent coverage.
 */
export interface Override {
  readonly id: string
  readonly person: string
  readonly replaces: string | null
  readonly from: number
  readonly to: number
}

export interface Window {
  readonly from: number
  readonly to: number
}

/** From → allowed next states. The same rows are in SQL; a test holds the two equal. */
export type Transitions = Readonly<Record<string, readonly string[]>>

/** A page to one person. `superseded`: somebody else acknowledged, or there is nothing to page about any more. */
export const PAGE = {
  queued: ['sent', 'acknowledged', 'superseded', 'failed'],
  sent: ['acknowledged', 'superseded'],
  acknowledged: [],
  superseded: [],
  failed: [],
} as const satisfies Transitions
export type PageState = keyof typeof PAGE

/** The paging of one incident: runs through the steps of the escalation policy until somebody acknowledges. */
export const PAGING = {
  running: ['acknowledged', 'exhausted', 'stopped'],
  exhausted: ['running', 'acknowledged', 'stopped'],
  acknowledged: [],
  /** Every alert resolved, or the incident closed. Who still acknowledges is still heard; a new alert starts it again. */
  stopped: ['running', 'acknowledged'],
} as const satisfies Transitions
export type PagingState = keyof typeof PAGING

/** One episode of an alert. A firing that arrives after the resolve is an old one and changes nothing. */
export const ALERT = { firing: ['resolved'], resolved: [] } as const satisfies Transitions
export type AlertState = keyof typeof ALERT

/** A raw delivery: stored before the answer, processed later; dead when it cannot be understood, until it is replayed. */
export const DELIVERY = { stored: ['processed', 'dead'], dead: ['stored'], processed: [] } as const satisfies Transitions
export type DeliveryState = keyof typeof DELIVERY

/** An alert as other parts see it. */
export interface Alert {
  readonly id: string
  readonly source: string
  readonly fingerprint: string
  /** RFC 3339, UTC. */
  readonly startsAt: string
  readonly state: AlertState
  readonly endsAt: string | null
  /** 1 worst … 5; null when the sender's severity is not known. */
  readonly severity: number | null
  readonly title: string
  readonly labels: Readonly<Record<string, string>>
  readonly annotations: Readonly<Record<string, string>>
  readonly generatorUrl: string | null
  /** Service that the labels belong to; when nobody claims them the catch-all team's first one, or `unrouted`. */
  readonly service: string
  readonly team: string
  /** The labels of the rule that matched; null = nobody claimed the alert. */
  readonly routedBy: Readonly<Record<string, string>> | null
  readonly incident: string | null
}
