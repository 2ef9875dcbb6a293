/** What kind of trouble an error is; it fixes the HTTP status and the exit code (DESIGN §5). */
export type ErrorKind = 'invalid' | 'refused' | 'unauthenticated' | 'not-found' | 'conflict' | 'outside' | 'unknown-outcome' | 'bug' | 'no'

export const EXIT: Record<ErrorKind, number> = {
  no: 1, invalid: 2, refused: 3, unauthenticated: 3, 'not-found': 4, conflict: 5, outside: 6, 'unknown-outcome': 7, bug: 70,
}
export const HTTP_STATUS: Record<ErrorKind, number> = {
  no: 409, invalid: 400, refused: 403, unauthenticated: 401, 'not-found': 404, conflict: 409, outside: 502, 'unknown-outcome': 504, bug: 500,
}

export interface ErrorSpec {
  readonly kind: ErrorKind
  /** One sentence: what this code means. Printed in docs/reference/errors.md. */
  readonly about: string
  /** The way out, shown when the thrower gives none of its own. */
  readonly hint: string
  readonly retryable?: boolean
}

const registry = new Map<string, ErrorSpec>()

/** Registers a part's error codes. Each part calls this once, at load, with its own prefix. Throws on a duplicate code. */
export function defineErrors<T extends Record<string, ErrorSpec>>(specs: T): { [K in keyof T & string]: K } {
  const codes = {} as { [K in keyof T & string]: K }
  for (const code of Object.keys(specs) as (keyof T & string)[]) {
    if (registry.has(code)) throw new Error(`error code ${code} is defined twice`)
    registry.set(code, specs[code] as ErrorSpec)
    codes[code] = code
  }
  return codes
}

export function errorSpec(code: string): ErrorSpec | undefined {
  return registry.get(code)
}
export function allErrors(): ReadonlyMap<string, ErrorSpec> {
  return registry
}

export interface ErrorDetails {
  /** Where it is: file:line:column, a field path, an address. */
  readonly place?: string
  readonly hint?: string
  readonly cause?: unknown
  readonly data?: Record<string, unknown>
}

/** Every error that a user can see. `code` is one of the registry; anything else that is thrown is our bug (exit 70). */
export class ReglazeError extends Error {
  readonly code: string
  readonly place: string | undefined
  readonly hint: string
  readonly data: Record<string, unknown> | undefined
  constructor(code: string, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause })
    this.name = 'ReglazeError'
    this.code = code
    this.place = details.place
    this.hint = details.hint ?? registry.get(code)?.hint ?? ''
    this.data = details.data
  }
  get kind(): ErrorKind {
    return registry.get(this.code)?.kind ?? 'bug'
  }
  get retryable(): boolean {
    return registry.get(this.code)?.retryable ?? false
  }
}

export const CORE = defineErrors({
  INVALID_INPUT: { kind: 'invalid', about: 'The input does not have the expected shape.', hint: 'Correct the named field and try again.' },
  NOT_FOUND: { kind: 'not-found', about: 'There is nothing with this id or name.', hint: 'List what exists, then use its id.' },
  WRONG_STATE: { kind: 'conflict', about: 'The thing is not in a state that allows this.', hint: 'Look at its current state first.' },
  REFUSED: { kind: 'refused', about: 'The caller may not do this.', hint: 'Ask somebody with the role that the message names.' },
  UNAUTHENTICATED: { kind: 'unauthenticated', about: 'No valid token came with the call.', hint: 'Set REGLAZE_TOKEN to a token made with `reglaze token create`.' },
  OUTSIDE_FAILED: { kind: 'outside', about: 'An outside system answered with an error or could not be reached.', hint: 'Check the system that the message names; the work is retried.', retryable: true },
  OUTCOME_UNKNOWN: { kind: 'unknown-outcome', about: 'The call went out but no answer came; its effect is not known until it is observed.', hint: 'Wait for the observation; do not repeat the call by hand.' },
  DIFFERENCES: { kind: 'no', about: 'A check ran and its answer is no: something differs or is not proven.', hint: 'The output says what.' },
  INTERNAL: { kind: 'bug', about: 'A defect in Reglaze.', hint: 'Report it with the occurrence id.' },
})

/** Thrown by connectors when a call may or may not have had its effect (timeout, connection lost after sending). */
export function outcomeUnknown(message: string, cause?: unknown): ReglazeError {
  return new ReglazeError(CORE.OUTCOME_UNKNOWN, message, { cause })
}
