import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openCloud, serveCloud } from '../index.ts'

export interface TestCloud {
  readonly url: string
  readonly dir: string
  readonly rootKey: string
  /** A call that returns status and body; never throws for an error status. */
  call(method: string, path: string, body?: unknown, token?: string): Promise<{ status: number; body: any; headers: Headers }>
  /** Makes a principal with these roles and returns a key. */
  key(principal: string, ...roles: string[]): Promise<string>
  close(): Promise<void>
}

/** A cloud in this process, in a folder of its own. */
export async function testCloud(): Promise<TestCloud> {
  const dir = mkdtempSync(join(tmpdir(), 'sandbox-cloud-'))
  const journal = await openCloud(dir)
  const server = await serveCloud(journal)
  const rootKey = readFileSync(join(dir, 'root.key'), 'utf8').trim()
  const call: TestCloud['call'] = (method, path, body, token = rootKey) => apiCall(server.url, token, method, path, body)
  return {
    url: server.url,
    dir,
    rootKey,
    call,
    async key(principal, ...roles) {
      await call('POST', '/v1/principals', { id: principal, kind: principal.startsWith('svc') ? 'service' : 'person' })
      for (const role of roles) await call('PUT', `/v1/memberships/${role}/${principal}`, {})
      return (await call('POST', `/v1/principals/${principal}/keys`, {})).body.secret
    },
    async close() {
      await server.close()
      await journal.close()
      rmSync(dir, { recursive: true, force: true })
    },
  }
}

export async function apiCall(url: string, token: string, method: string, path: string, body?: unknown): Promise<{ status: number; body: any; headers: Headers }> {
  const res = await fetch(url + path, { method, headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' }, ...(body === undefined ? {} : { body: JSON.stringify(body) }) })
  const text = await res.text()
  return { status: res.status, body: text ? JSON.parse(text) : null, headers: res.headers }
}
