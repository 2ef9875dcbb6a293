import { defineErrors } from '../core/errors.ts'

export const ONCALL = defineErrors({
  INTAKE_UNAUTHENTICATED: { kind: 'unauthenticated', about: 'A delivery came without the token of its alert source, or for a source that is not configured.', hint: "Give the source's token as Bearer token or basic-auth password in the sender's http_config." },
  INTAKE_SECRET_UNREADABLE: { kind: 'outside', about: 'The token of an alert source cannot be read, so its deliveries cannot be checked.', hint: 'Set the secret that alert_sources names; the sender repeats its delivery.', retryable: true },
  SCHEDULE_NOT_FOUND: { kind: 'not-found', about: 'There is no schedule with this name.', hint: 'List the schedules with `reglaze oncall who`.' },
  SCHEDULE_TIME: { kind: 'invalid', about: 'A time for which no schedule can be worked out.', hint: 'Write it like 2026-11-21T09:00:00Z, between the years 1970 and 2400.' },
  SERVICE_NOT_FOUND: { kind: 'not-found', about: 'There is no service or team with this name, so nobody can be found who is on call for it.', hint: 'Use a service of the configuration in force.' },
  OVERRIDE_REFUSED: { kind: 'refused', about: 'Responders may only trade shifts that they give or take themselves.', hint: 'Ask an admin, or one of the two people of the trade.' },
  OVERRIDE_WITHOUT_EFFECT: { kind: 'conflict', about: 'The override would change nothing: no shift in its window is one that it could replace.', hint: 'Look at the shifts in that window first; an override never covers a gap.' },
  PAGE_NOBODY: { kind: 'conflict', about: 'Nobody was paged for this incident, so there is nothing to acknowledge.', hint: 'Look at the incident; open paging needs an alert or `reglaze incident open`.' },
  PAGE_NEEDS_PERSON: { kind: 'refused', about: 'An acknowledgement must name a person, and this token belongs to none.', hint: 'Use a token made for a person.' },
  PAGE_NO_NOTIFIER: { kind: 'outside', about: 'No way to send pages is configured.', hint: 'Set paging.connector in the configuration.', retryable: true },
})
