import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { callHttp } from './http.ts'

const server = createServer((req, res) => {
  const path = req.url ?? ''
  if (path === '/hang') return
  if (path === '/cut') return void req.socket.destroy()
  if (path === '/half') {
    res.writeHead(200, { 'content-length': 100 })
    res.write('{"a":')
    return void setImmediate(() => req.socket.destroy())
  }
  res.writeHead(Number(path.slice(1)), { 'content-type': 'application/json' })
  res.end('{"error":{"code":"X","message":"because"}}')
})
let base = ''
beforeAll(async () => {
  await new Promise<void>((r) => server.listen(0, '127.0.0.1', r))
  base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
})
afterAll(() => {
  server.closeAllConnections()
  server.close()
})
const code = (method: 'GET' | 'PUT' | 'POST', path: string, more: object = {}) =>
  callHttp({ method, url: base + path, system: 'peer', timeoutMs: 300, ...more }).then(
    (a) => String(a.status),
    (e: { code: string }) => e.code,
  )

test.each([
  ['GET', '/200', '200'],
  ['GET', '/hang', 'OUTSIDE_FAILED'],
  ['PUT', '/hang', 'OUTCOME_UNKNOWN'],
  ['GET', '/cut', 'OUTSIDE_FAILED'],
  ['PUT', '/cut', 'OUTCOME_UNKNOWN'],
  ['PUT', '/half', 'OUTCOME_UNKNOWN'],
  ['PUT', '/401', 'OUTSIDE_FAILED'],
  ['PUT', '/429', 'OUTSIDE_FAILED'],
  ['PUT', '/500', 'OUTSIDE_FAILED'],
  ['PUT', '/504', 'OUTCOME_UNKNOWN'],
  ['GET', '/504', 'OUTSIDE_FAILED'],
  ['PUT', '/409', 'CONNECTOR_CONFLICT'],
  ['PUT', '/423', 'CONNECTOR_LOCKED'],
  ['GET', '/404', 'CONNECTOR_NOT_THERE'],
] as const)('%s %s → %s', async (method, path, expected) => {
  expect(await code(method, path)).toBe(expected)
})
test('nothing listens: certainly no effect, so an ordinary failure', async () => {
  const gone = await callHttp({ method: 'PUT', url: 'http://127.0.0.1:9/x', system: 'peer' }).catch((e: { code: string }) => e.code)
  expect(gone).toBe('OUTSIDE_FAILED')
})
test('a read-only POST is never an unknown outcome', async () => {
  expect(await code('POST', '/hang', { readOnly: true })).toBe('OUTSIDE_FAILED')
})
test('the message names system, call, status and reason', async () => {
  await expect(callHttp({ method: 'GET', url: `${base}/403`, system: 'peer' })).rejects.toThrow(/peer: GET .*\/403 answered 403: because/)
})
