/**
 * The capability ports: what a connector can do for the parts (DESIGN §1, §2). Each has one contract suite in
 * src/connectors/contracts/. Rules for every implementation: all calls may be repeated; "already so" is success;
 * an answer that never came throws OUTCOME_UNKNOWN; what cannot be observed is `unknown`, never "absent".
 */
import type { Json } from './json.ts'

/** What was read back from an outside system, and from where. */
export type Observation<T> =
  | { readonly status: 'known'; readonly value: T; readonly at: string; readonly evidence: Evidence }
  | { readonly status: 'unknown'; readonly at: string; readonly reason: string }

export interface Evidence {
  /** The system that answered, e.g. `sandbox-cloud http://127.0.0.1:4100`. */
  readonly source: string
  /** What was asked, without secrets, e.g. `GET /v1/memberships/operator/alice`. */
  readonly request: string
  /** The relevant part of the answer, without secrets. */
  readonly answer: Json
}

/** One right of one person at one target, for one grant. Everything an undo needs is in here: it is stored before the first call. */
export interface GrantSpec {
  readonly grantId: string
  readonly incident: string | null
  /** The person's immutable id at the target, looked up once, at request time. */
  readonly principal: string
  readonly person: string
  /** What is granted; its shape is the connector's. */
  readonly right: Record<string, Json>
  readonly expiresAt: string
  /** Handed over by prepare() and stored with the grant; e.g. whether the person was a member before. */
  readonly prior: Record<string, Json>
}

export interface GrantState {
  /** The right is there. */
  readonly member: boolean
  /** Live sessions or connections that still carry the right. */
  readonly sessions: number
  /** Until when the target itself would end the access without us; null = it would not. */
  readonly backstopUntil: string | null
  /** If a session cannot be ended: how long a credential stays usable. */
  readonly usableUntil?: string | null
}

export interface Grantable {
  /** Reads what has to be known before the first change (immutable id, prior membership). No effect. */
  prepare(person: PersonRef, right: Record<string, Json>): Promise<{ principal: string; prior: Record<string, Json> }>
  grant(spec: GrantSpec): Promise<void>
  observe(spec: GrantSpec): Promise<Observation<GrantState>>
  /** Level 1: no new use. */
  revoke(spec: GrantSpec): Promise<void>
  /** Level 2: live sessions ended. */
  endSessions(spec: GrantSpec): Promise<void>
  /** What the person needs to use it, handed out once to that person only; never stored, never logged. */
  credentials?(spec: GrantSpec): Promise<Record<string, string>>
  /** The command with which a human revokes it when we cannot. */
  manual(spec: GrantSpec): string
  /** Rights that carry our mark, for the sweep that finds grants without a row. */
  marked?(): Promise<{ grantId: string; principal: string; detail: Json }[]>
}
export interface PersonRef {
  readonly id: string
  readonly email: string
  readonly accounts: Readonly<Record<string, string>>
}

/** A hold on one automation. `prior` is the exact earlier setting, captured before the first change. */
export interface HoldSpec {
  readonly holdId: string
  /** `INC-42` */
  readonly incident: string
  /** Text a stopped person sees: who, why, until when, what to do. */
  readonly reason: string
  /** Person and machine identities that the hold must never block: the holder and our own revoker. */
  readonly passes: readonly string[]
  readonly expiresAt: string
  /** Which automation at the target, the connector's shape, e.g. `{ "application": "storefront" }`. */
  readonly target: Record<string, Json>
  readonly prior: Json
}
export interface PauseState {
  readonly paused: boolean
  /** The present setting, same shape as `prior`. */
  readonly setting: Json
  /** Who changed it last, as far as the target tells (managedFields, locked-by, audit). */
  readonly changedBy: string | null
  /** Work that runs on although paused (P9: paused is not quiet). */
  readonly running: readonly string[]
  /** Automations that write this one's settings (parents); they have to be held first. */
  readonly parents: readonly string[]
}
export interface Pausable {
  observe(spec: Omit<HoldSpec, 'prior'>): Promise<Observation<PauseState>>
  pause(spec: HoldSpec): Promise<void>
  /** Gives back exactly `prior`; what was paused before stays paused. */
  resume(spec: HoldSpec): Promise<void>
  /** After resume: did the first automatic run happen, and did it change anything? */
  firstRun?(spec: HoldSpec, since: string): Promise<Observation<{ ran: boolean; changed: readonly string[]; detail: Json }>>
  /**
   * After resume, when the setting is not as before: why the difference is not ours to give back, because whoever it belonged
   * to has given it up or handed it on meanwhile (another's lock that is gone). Null = it is still owed.
   */
  givenUp?(spec: HoldSpec, now: Json): string | null
  manual(spec: HoldSpec): string
}

/** One change (or attempt) in an outside system's audit log. */
export interface AuditEvent {
  readonly id: string
  readonly time: string
  readonly actor: string
  /** Key or session id that was used: attribution rests on this. */
  readonly credential: string
  /** Unchangeable mark set when the session began; our grant id, where the target supports it. */
  readonly sourceIdentity: string | null
  readonly action: 'create' | 'update' | 'delete' | 'read' | 'other'
  readonly resource: { readonly type: string; readonly id: string; readonly name: string | null }
  readonly before: Json
  readonly after: Json
  readonly ok: boolean
  readonly request: string
}
export interface AuditSource {
  /** Events after the cursor, oldest first. `complete: false` when the source says that it lost some. */
  read(cursor: string | null): Promise<{ events: AuditEvent[]; cursor: string; complete: boolean }>
}

/** Reads what exists outside: for end state, assess and "unmanaged" detection. */
export interface InventoryItem {
  readonly type: string
  readonly id: string
  readonly name: string
  readonly attributes: Record<string, Json>
}
export interface Inventory {
  list(): Promise<Observation<InventoryItem[]>>
}

export interface Message {
  readonly id: string
  readonly to: string
  readonly subject: string
  readonly text: string
}
export interface Notifier {
  /** Hands the message over; returns the provider's receipt. */
  send(message: Message): Promise<{ receipt: string }>
}

/** What still stands open: each part answers for itself, `incident` asks all at close (DESIGN §2). */
export interface OpenItem {
  readonly code: string
  readonly what: string
  /** The command that clears it. */
  readonly command: string
}
/** What a policy may ask; each part adds its facts (DESIGN §2). */
export type PolicyFacts = Record<string, Json>
