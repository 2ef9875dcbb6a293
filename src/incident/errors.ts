import { defineErrors } from '../core/index.ts'

export const INCIDENT = defineErrors({
  INCIDENT_NOT_FOUND: { kind: 'not-found', about: 'There is no incident with this number or id.', hint: 'See `reglaze incident list --all`.' },
  INCIDENT_CLOSED: { kind: 'conflict', about: 'The incident is closed; nothing more can be done in it.', hint: 'Open a new one: `reglaze incident open SERVICE "what is wrong"`.' },
  CLOSE_REFUSED: { kind: 'conflict', about: 'The close gate found something that still stands open.', hint: 'Run the command that stands beside each open item, then close again.' },
  UNKNOWN_SERVICE: { kind: 'invalid', about: 'The configuration has no such service.', hint: 'Take a service id from reglaze.yaml.' },
})
