// The Terraform provider `sandbox`. Terraform starts it for every command, so it loads as little as possible.
import { createSecureServer } from 'node:http2'
import type { ServerHttp2Stream } from 'node:http2'
import type { AddressInfo } from 'node:net'
import { selfSigned } from './certificate.ts'

const COOKIE = 'd602bf8f470bc67ca7faa0386276bbdd4330efaf76d1a219cb4d6991ca9872b2'
const OK = 0
const UNIMPLEMENTED = 12
const INTERNAL = 13

if (process.env['TF_PLUGIN_MAGIC_COOKIE'] !== COOKIE || !process.env['PLUGIN_CLIENT_CERT']) {
  process.stderr.write('This is a Terraform provider. Terraform starts it by itself: run `sandbox provider install DIR` and set TF_CLI_CONFIG_FILE.\n')
  process.exit(1)
}

const { key, cert, der } = selfSigned()
const server = createSecureServer({ key, cert, ca: process.env['PLUGIN_CLIENT_CERT'], requestCert: true, rejectUnauthorized: true, minVersion: 'TLSv1.2' })
server.on('stream', (stream, headers) => {
  stream.on('error', () => stream.destroy())
  const [, service = '', method = ''] = String(headers[':path']).split('/')
  if (service === 'plugin.GRPCBroker' || service === 'plugin.GRPCStdio') stream.respond({ ':status': 200, 'content-type': 'application/grpc' })
  else if (service === 'plugin.GRPCController') answer(stream, Buffer.alloc(0), () => process.exit(0))
  else if (service === 'grpc.health.v1.Health') answer(stream, Buffer.from([8, 1]))
  else serve(stream, service === 'tfplugin6.Provider' ? method : '')
})
process.on('SIGINT', () => {})
server.listen(0, '127.0.0.1', () => {
  const { port } = server.address() as AddressInfo
  process.stdout.write(`1|6|tcp|127.0.0.1:${port}|grpc|${der.toString('base64').replace(/=+$/, '')}\n`)
})
// Loaded while Terraform connects.
const loading = Promise.all([import('./proto.ts'), import('./provider.ts')]).then(([proto, provider]) => ({ readFields: proto.readFields, methods: provider.providerMethods(process.env) }))
// A Terraform that was killed asks nobody to shut down.
const parent = process.ppid
setInterval(() => process.ppid !== parent && process.exit(0), 2000).unref()

function serve(stream: ServerHttp2Stream, method: string): void {
  const chunks: Buffer[] = []
  stream.on('data', (d: Buffer) => chunks.push(d))
  stream.on('end', () => {
    // One frame per call: a zero byte, the length, the message.
    void call(stream, method, Buffer.concat(chunks).subarray(5))
  })
}
async function call(stream: ServerHttp2Stream, method: string, request: Buffer): Promise<void> {
  try {
    const { readFields, methods } = await loading
    const run = Object.hasOwn(methods, method) ? methods[method] : undefined
    if (run) answer(stream, await run(readFields(request)))
    else fail(stream, UNIMPLEMENTED, `${method} is not offered`)
  } catch (e) {
    fail(stream, INTERNAL, e instanceof Error ? e.message : String(e))
  }
}

function answer(stream: ServerHttp2Stream, body: Buffer, then?: () => void): void {
  if (stream.destroyed) return
  stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true })
  stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': String(OK) }))
  if (then) stream.on('close', then)
  const frame = Buffer.alloc(5 + body.length)
  frame.writeUInt32BE(body.length, 1)
  body.copy(frame, 5)
  stream.end(frame)
}
function fail(stream: ServerHttp2Stream, status: number, text: string): void {
  if (stream.destroyed) return
  stream.respond({ ':status': 200, 'content-type': 'application/grpc', 'grpc-status': String(status), 'grpc-message': encodeURIComponent(text) }, { endStream: true })
}
