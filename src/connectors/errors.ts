import { defineErrors } from '../core/errors.ts'

/**
 * Codes shared by all connectors. Beside them connectors throw CORE.OUTSIDE_FAILED (refused credential, throttled,
 * server error, not reachable) and CORE.OUTCOME_UNKNOWN.
 */
export const CONNECTOR = defineErrors({
  CONNECTOR_LOCKED: {
    kind: 'outside',
    about: 'A lock in an outside system blocks the change.',
    hint: 'Read who holds the lock and why; have it removed there, or add our identity to its exceptions.',
    retryable: true,
  },
  CONNECTOR_NOT_THERE: {
    kind: 'outside',
    about: 'An object that the configuration names does not exist in the outside system.',
    hint: 'Compare the name in the configuration with what exists there.',
    retryable: true,
  },
  CONNECTOR_CONFLICT: {
    kind: 'outside',
    about: 'Somebody else changed the object in the outside system at the same time.',
    hint: 'Nothing to do: it is read again and the change repeated.',
    retryable: true,
  },
  CONNECTOR_BAD_ANSWER: {
    kind: 'outside',
    about: 'An outside system answered in a shape that the connector does not know.',
    hint: 'Check that the URL is the right one and that the version of the system is supported.',
    retryable: true,
  },
  CONNECTOR_BAD_TARGET: {
    kind: 'invalid',
    about: 'The configuration describes a right or a target that the connector cannot use.',
    hint: 'Correct the named field; the README of the connector shows the shape.',
  },
})
