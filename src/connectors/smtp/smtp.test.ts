import { mkdtempSync, rmSync } from 'node:fs'
import { connect, createServer, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createTransport } from 'nodemailer'
import { SMTPServer, type SMTPServerOptions } from 'smtp-server'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { CORE } from '../../core/index.ts'
import { smtpNotifier, startSmtpSink, type SmtpSink } from './index.ts'

let dir: string
const stops: (() => Promise<unknown>)[] = []
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'reglaze-smtp-'))
})
afterEach(async () => {
  for (const stop of stops.splice(0)) await stop()
  rmSync(dir, { recursive: true, force: true })
})
async function sink(): Promise<SmtpSink> {
  const made = await startSmtpSink({ dir })
  stops.push(() => made.stop())
  return made
}
const message = { id: 'page_0123', to: 'ann@tailwind.example', subject: '[INC-1] sev 1 Kasse: 40 % – “rot” 🔥'.repeat(3), text: `.dot first\n..two\n\n${'ein sehr langer Satz mit Ümläuten '.repeat(20)}\nhttps://reglaze.example/ack/a=b=c\n` }
const from = 'Reglaze <oncall@tailwind.example>'

describe('the sink, a simulator', () => {
  it('keeps what nodemailer sends, byte for byte in meaning, and over a restart', async () => {
    const first = await sink()
    const { receipt } = await smtpNotifier({ url: first.url, from }).send(message)
    expect(receipt).toBe('<page_0123@tailwind.example> 250 kept')
    await first.stop()
    const again = await sink()
    await createTransport({ url: again.url }).sendMail({ from, to: ['a@x.example', 'b@x.example'], subject: 'plain', text: 'hello\n' })
    expect(again.messages()).toMatchObject([
      { from: 'oncall@tailwind.example', to: [message.to], subject: message.subject, messageId: '<page_0123@tailwind.example>' },
      { to: ['a@x.example', 'b@x.example'], subject: 'plain', text: 'hello\r\n' },
    ])
    expect(again.messages()[0]?.text.replaceAll('\r\n', '\n')).toBe(message.text)
  })

  it('says so when it does not know a command, and keeps nothing without a recipient', async () => {
    const { port, messages } = await sink()
    const answers = await new Promise<string>((resolve, reject) => {
      let all = ''
      const socket = connect(port, '127.0.0.1', () => socket.write('VRFY x\r\nHELO me\r\nDATA\r\nMAIL FROM:<a@b.example>\r\nRSET\r\nQUIT\r\n'))
      socket.setEncoding('utf8').on('data', (d: string) => (all += d)).on('end', () => resolve(all)).on('error', reject)
    })
    expect(answers.match(/^\d{3}/gm)).toEqual(['220', '502', '250', '503', '250', '250', '221'])
    expect(messages()).toEqual([])
  })
})

async function peer(o: SMTPServerOptions): Promise<string> {
  const server = new SMTPServer({ authOptional: true, disabledCommands: ['STARTTLS'], ...o })
  server.on('error', () => {})
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  stops.push(() => new Promise<void>((resolve) => server.close(() => resolve())))
  return `smtp://127.0.0.1:${(server.server.address() as { port: number }).port}`
}
const fault = (code: number, text: string) => Object.assign(new Error(text), { responseCode: code })
async function silentServer(onData: (socket: import('node:net').Socket, text: string) => void, greet = true): Promise<string> {
  const server: Server = createServer((socket) => {
    if (greet) socket.write('220 hello\r\n')
    socket.on('error', () => {}).on('data', (d) => onData(socket, d.toString()))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  stops.push(() => new Promise<void>((resolve) => server.close(() => resolve())))
  return `smtp://127.0.0.1:${(server.address() as { port: number }).port}`
}

describe('the notifier, against another server', () => {
  it('hands the mail over with a stable Message-ID', async () => {
    const got: string[] = []
    const url = await peer({ onData: (stream, _session, done) => void stream.on('data', (d) => got.push(String(d))).on('end', () => done(null)) })
    const notifier = smtpNotifier({ url, from })
    await notifier.send(message)
    await notifier.send(message)
    expect(got.join('').match(/^Message-ID: .*$/gim)).toEqual(['Message-ID: <page_0123@tailwind.example>', 'Message-ID: <page_0123@tailwind.example>'].map((l) => expect.stringContaining(l)))
    expect(got.join('')).toContain('Auto-Submitted: auto-generated')
  })

  it.each([
    ['greylisted', { onRcptTo: (_a, _s, done) => done(fault(451, 'later')) }, 'SMTP_FAILED', true],
    ['no such user', { onRcptTo: (_a, _s, done) => done(fault(550, 'no such user')) }, 'SMTP_REFUSED', false],
    ['mail refused', { onData: (s, _x, done) => void s.resume().on('end', () => done(fault(554, 'looks like spam'))) }, 'SMTP_REFUSED', false],
    ['disk full', { onData: (s, _x, done) => void s.resume().on('end', () => done(fault(452, 'full'))) }, 'SMTP_FAILED', true],
    ['sign-in wanted', { authOptional: false }, 'SMTP_FAILED', true],
  ] as [string, SMTPServerOptions, string, boolean][])('%s', async (_name, options, code, retryable) => {
    const error = await smtpNotifier({ url: await peer(options), from }).send(message).catch((e: unknown) => e)
    expect(error).toMatchObject({ code, retryable, kind: 'outside' })
  })

  it('does not know the outcome when the connection is lost after the text', async () => {
    const url = await silentServer((socket, text) => {
      if (/^(EHLO|MAIL|RCPT)/.test(text)) socket.write('250 ok\r\n')
      else if (text.startsWith('DATA')) socket.write('354 go\r\n')
      else socket.destroy()
    })
    expect(await smtpNotifier({ url, from }).send(message).catch((e: unknown) => e)).toMatchObject({ code: CORE.OUTCOME_UNKNOWN })
  })

  it('fails in time when nobody answers, nobody listens, or the password is wrong', async () => {
    const hangs = await silentServer(() => {}, false)
    expect(await smtpNotifier({ url: hangs, from, timeoutMs: 200 }).send(message).catch((e: unknown) => e)).toMatchObject({ code: 'SMTP_FAILED', retryable: true })
    expect(await smtpNotifier({ url: 'smtp://127.0.0.1:1', from }).send(message).catch((e: unknown) => e)).toMatchObject({ code: 'SMTP_FAILED' })
    const locked = await peer({ allowInsecureAuth: true, authOptional: false, onAuth: (_a, _s, done) => done(new Error('no')) })
    expect(await smtpNotifier({ url: locked.replace('//', '//ann:wrong@'), from }).send(message).catch((e: unknown) => e)).toMatchObject({ code: 'SMTP_FAILED', retryable: true })
    expect(() => smtpNotifier({ url: 'mail.example', from })).toThrow(/smtp:\/\//)
  })
})
