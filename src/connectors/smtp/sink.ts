import { mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { createServer, type Socket } from 'node:net'
import { join } from 'node:path'

/**
 * A simulator of a mail server, for the demo, drills and tests: it takes every mail over real SMTP and keeps it as an .eml
 * file; it delivers nothing to anybody, knows no TLS and no sign-in. It listens on loopback only.
 */
export interface SmtpSink {
  readonly port: number
  readonly url: string
  /** What it has kept, oldest first; also what an earlier run left in the folder. */
  messages(): SinkMessage[]
  stop(): Promise<void>
}
export interface SinkMessage {
  readonly file: string
  readonly from: string
  readonly to: readonly string[]
  readonly subject: string
  readonly messageId: string
  /** The whole mail as it came, headers included. */
  readonly raw: string
  /** The text, with quoted-printable and base64 undone. */
  readonly text: string
}

const LARGEST = 10 * 1024 * 1024

/** Starts it; `port` 0 or absent = any free one. The answer to DATA comes after the file is written. */
export async function startSmtpSink(o: { dir: string; port?: number }): Promise<SmtpSink> {
  mkdirSync(o.dir, { recursive: true })
  let count = readdirSync(o.dir).filter((f) => f.endsWith('.eml')).length
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket)).on('error', () => socket.destroy())
    converse(socket, (envelope, data) => keep(o.dir, ++count, envelope, data))
  })
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(o.port ?? 0, '127.0.0.1', resolve))
  const { port } = server.address() as { port: number }
  return {
    port,
    url: `smtp://127.0.0.1:${port}`,
    messages: () => readdirSync(o.dir).filter((f) => f.endsWith('.eml')).sort().map((f) => readMessage(o.dir, f)),
    async stop() {
      for (const socket of sockets) socket.destroy()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

interface Envelope {
  from: string | null
  to: string[]
}

/** One SMTP conversation (RFC 5321, without extensions). Bytes are kept as latin1 so that none is lost. */
function converse(socket: Socket, keepMail: (envelope: Envelope, data: string) => void): void {
  const say = (line: string): void => void socket.write(`${line}\r\n`)
  let envelope: Envelope = { from: null, to: [] }
  let data: string[] | null = null
  let size = 0
  let rest = ''
  const command = (line: string): void => {
    const address = /<([^>]*)>/.exec(line)?.[1]
    switch (line.slice(0, 4).toUpperCase()) {
      case 'EHLO':
      case 'HELO':
        return say('250 reglaze-smtp-sink: a simulator, delivers to nobody')
      case 'MAIL':
        envelope = { from: address ?? '', to: [] }
        return say('250 ok')
      case 'RCPT':
        if (!address || envelope.from === null) return say('503 first MAIL, then RCPT with an address')
        envelope.to.push(address)
        return say('250 ok')
      case 'DATA':
        if (envelope.to.length === 0) return say('503 nobody to give it to')
        data = []
        size = 0
        return say('354 end with a line of one dot')
      case 'RSET':
        envelope = { from: null, to: [] }
        return say('250 ok')
      case 'NOOP':
        return say('250 ok')
      case 'QUIT':
        say('221 bye')
        return void socket.end()
      default:
        return say('502 this simulator does not know that command')
    }
  }
  const dataLine = (line: string, lines: string[]): void => {
    size += line.length
    if (line !== '.') {
      if (size <= LARGEST) lines.push(line.startsWith('.') ? line.slice(1) : line)
      return
    }
    data = null
    if (size > LARGEST) return say('552 too large')
    keepMail(envelope, `${lines.join('\r\n')}\r\n`)
    envelope = { from: null, to: [] }
    say('250 kept')
  }
  say('220 reglaze-smtp-sink')
  socket.setEncoding('latin1').on('data', (chunk: string) => {
    const lines = (rest + chunk).split('\r\n')
    rest = lines.pop() ?? ''
    if (rest.length > LARGEST) return void socket.destroy()
    for (const line of lines) {
      if (data) dataLine(line, data)
      else command(line)
    }
  })
}

function keep(dir: string, n: number, envelope: Envelope, data: string): void {
  const file = join(dir, `${String(n).padStart(6, '0')}.eml`)
  const head = `X-Sink-From: ${envelope.from}\r\n${envelope.to.map((to) => `X-Sink-To: ${to}\r\n`).join('')}`
  writeFileSync(`${file}.part`, head + data, 'latin1')
  renameSync(`${file}.part`, file)
}

function readMessage(dir: string, file: string): SinkMessage {
  const raw = readFileSync(join(dir, file), 'latin1')
  const end = raw.indexOf('\r\n\r\n')
  const headers = raw.slice(0, end).replace(/\r\n[ \t]+/g, ' ').split('\r\n').map((line) => [line.slice(0, line.indexOf(':')).toLowerCase(), line.slice(line.indexOf(':') + 1).trim()] as const)
  const all = (name: string) => headers.filter(([n]) => n === name).map(([, value]) => value)
  const one = (name: string) => all(name)[0] ?? ''
  const subject = one('subject').replace(/\?=\s+=\?/g, '?==?').replace(/=\?utf-8\?([qb])\?([^?]*)\?=/gi, (_, how: string, text: string) => decode(how.toLowerCase() === 'q' ? 'quoted-printable' : 'base64', how.toLowerCase() === 'q' ? text.replaceAll('_', ' ') : text))
  return { file, from: one('x-sink-from'), to: all('x-sink-to'), subject, messageId: one('message-id'), raw, text: decode(one('content-transfer-encoding').toLowerCase(), raw.slice(end + 4)) }
}

function decode(encoding: string, body: string): string {
  if (encoding === 'base64') return Buffer.from(body, 'base64').toString('utf8')
  if (encoding !== 'quoted-printable') return Buffer.from(body, 'latin1').toString('utf8')
  const bytes = body.replace(/=\r\n/g, '').replace(/=([0-9A-F]{2})/gi, (_, hex: string) => String.fromCharCode(parseInt(hex, 16)))
  return Buffer.from(bytes, 'latin1').toString('utf8')
}
