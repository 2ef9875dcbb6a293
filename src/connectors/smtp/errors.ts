import { defineErrors } from '../../core/errors.ts'

export const SMTP = defineErrors({
  SMTP_FAILED: { kind: 'outside', about: 'The mail server could not be reached or asked to try later; the mail was not accepted.', hint: 'Check the address and the log of the mail server; the page is tried again.', retryable: true },
  SMTP_REFUSED: { kind: 'outside', about: 'The mail server refused the recipient or the mail for good.', hint: 'Correct the e-mail address of the person in the configuration; the escalation goes on meanwhile.' },
  SMTP_BAD_URL: { kind: 'invalid', about: 'The address of the mail server is not an SMTP URL.', hint: 'Write it like smtp://mail.example:587 or smtps://user:password@mail.example.' },
})
