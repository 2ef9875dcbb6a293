import { defineErrors } from '../core/errors.ts'

export const ASSESS = defineErrors({
  ASSESS_NOTHING: { kind: 'invalid', about: 'An assessment needs at least one resource, and neither the call nor the service names any.', hint: 'Name one with --resource, or list the resources of the service in the configuration.' },
})
