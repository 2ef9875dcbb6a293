import { defineErrors } from '../core/index.ts'

export const SERVER = defineErrors({
  BODY_TOO_LARGE: { kind: 'invalid', about: 'The body of a call is larger than the route allows.', hint: 'Send less: 1 MiB for the API, 32 MiB for alert intake and Terraform state.' },
  PORT_BUSY: { kind: 'conflict', about: 'The address that the server wants to listen on is taken.', hint: 'Give another one: `reglaze serve --port N` (0 = the next free one).' },
  NO_SUCH_CAPABILITY: { kind: 'invalid', about: 'A connector cannot do what the configuration asks of it.', hint: 'Take a connector of a kind that can; docs/connectors.md lists them.' },
})
