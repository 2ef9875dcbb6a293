import { defineErrors } from '../core/index.ts'

export const ACCESS = defineErrors({
  ROLE_UNKNOWN: { kind: 'not-found', about: 'The configuration has no such break-glass role.', hint: 'See `reglaze access roles`.' },
  ACCESS_DENIED: { kind: 'refused', about: 'The policy of the role says no.', hint: 'See `reglaze access explain ROLE`: it names the rule that decided.' },
  GRANT_NOT_FOUND: { kind: 'not-found', about: 'There is no grant with this id.', hint: 'See `reglaze access list --all`.' },
  NOT_AN_APPROVER: { kind: 'refused', about: 'The caller is not among the approvers of this request, or is the person who asked.', hint: 'Ask one of the approvers that `reglaze access show GRANT` lists.' },
  NOT_YOUR_GRANT: { kind: 'refused', about: 'Credentials are handed to the person of the grant only.', hint: 'Sign in with that person’s own token.' },
  DURATION_TOO_LONG: { kind: 'invalid', about: 'The wanted duration is longer than the role allows.', hint: 'Ask for less; a new request can be made when it ends.' },
  POLICY_BROKEN: { kind: 'invalid', about: 'A condition of a role is not valid CEL.', hint: 'Correct the expression; `reglaze config check` shows the place.' },
  OBSERVE_ONLY: { kind: 'conflict', about: 'The server was restored from a backup and only observes until its targets were compared with the ledger.', hint: 'Run `reglaze restore confirm` after the comparison.' },
})
