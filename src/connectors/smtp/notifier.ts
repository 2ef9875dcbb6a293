import { createTransport } from 'nodemailer'
import { outcomeUnknown, ReglazeError } from '../../core/errors.ts'
import type { Message, Notifier } from '../../core/ports.ts'
import { SMTP } from './errors.ts'

export interface SmtpOptions {
  /** `smtp://[user:password@]host[:port]`, or `smtps://`; `?requireTLS=true` insists on STARTTLS. */
  readonly url: string
  readonly from: string
  /** Milliseconds of silence after which a connection counts as lost; default 15 s. */
  readonly timeoutMs?: number
}

/**
 * Pages by mail. The Message-ID is made from the message's id, so a mail that is handed over twice is the same mail to every
 * reader. Throws SMTP_FAILED (not accepted, try again), SMTP_REFUSED (never will be), OUTCOME_UNKNOWN (connection lost
 * on the way).
 */
export function smtpNotifier(o: SmtpOptions): Notifier {
  if (!/^smtps?:\/\/[^/]/.test(o.url)) throw new ReglazeError(SMTP.SMTP_BAD_URL, 'the address of the mail server does not begin with smtp:// or smtps://')
  const timeout = o.timeoutMs ?? 15_000
  const domain = o.from.slice(o.from.lastIndexOf('@') + 1).replace(/[>\s]/g, '')
  return {
    async send(message: Message): Promise<{ receipt: string }> {
      // One connection for each mail: a page is rare, and a pooled connection that died in silence costs the first one after it.
      const transport = createTransport({ url: o.url, connectionTimeout: timeout, greetingTimeout: timeout, socketTimeout: timeout, disableFileAccess: true, disableUrlAccess: true })
      try {
        const info = await transport.sendMail({
          from: o.from, to: message.to, subject: message.subject, text: message.text,
          messageId: `<${message.id}@${domain}>`,
          headers: { 'Auto-Submitted': 'auto-generated', 'X-Auto-Response-Suppress': 'All' },
        })
        return { receipt: `${info.messageId} ${info.response}` }
      } catch (error) {
        throw translate(error as SmtpError, message.to)
      } finally {
        transport.close()
      }
    },
  }
}

interface SmtpError extends Error {
  readonly code?: string
  readonly originalCode?: string
  readonly command?: string
  readonly responseCode?: number
}

const SIGN_IN = new Set([530, 534, 535, 538])
/** The connection stood and was lost: how far the mail had come is not told, so it may have been taken. */
const LOST = new Set(['SOCKET_TIMEOUT', 'ECONNRESET', 'EPIPE', 'ETIMEDOUT'])

function translate(error: SmtpError, to: string): ReglazeError {
  const { code, originalCode, command = '', responseCode } = error
  if (responseCode !== undefined) {
    // 5xx about this recipient or this mail is final; a refused sender or sign-in is our set-up, and the mail may go once it is mended.
    const final = responseCode >= 500 && !SIGN_IN.has(responseCode) && (command === 'RCPT TO' || command === 'DATA')
    return new ReglazeError(final ? SMTP.SMTP_REFUSED : SMTP.SMTP_FAILED, `the mail server answered for ${to}: ${error.message}`, { cause: error, data: { responseCode } })
  }
  if (code === 'ECONNECTION' || LOST.has(originalCode ?? '')) return outcomeUnknown(`the connection to the mail server was lost, perhaps after the mail to ${to}: ${error.message}`, error)
  return new ReglazeError(SMTP.SMTP_FAILED, `the mail to ${to} could not be handed over: ${error.message}`, { cause: error })
}
