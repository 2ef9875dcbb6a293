import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { runCli } from '../../src/cli/run.ts'
import { createLog, serve, type Server } from '../../src/server/index.ts'
import { removeCluster, startCluster } from '../../src/store/index.ts'

export interface Running {
  readonly server: Server
  readonly admin: string
  readonly dir: string
  /** A call as a program without our client makes it. */
  call(method: string, path: string, token: string | null, body?: unknown): Promise<{ status: number; body: unknown }>
  token(name: string, body: Record<string, unknown>): Promise<string>
  /** One command line against this server. */
  cli(argv: readonly string[], token?: string): Promise<{ code: number; out: string; err: string }>
  stop(): Promise<void>
}

/** A real server on a database of its own (both end with this process, however it ends), with everything that a first start makes and nothing else. */
export async function startServer(): Promise<Running> {
  const dir = mkdtempSync(join(tmpdir(), 'rgz-golden-'))
  const cluster = await startCluster({ dir: join(dir, 'cluster'), withParent: true })
  const server = await serve({ dataDir: join(dir, 'data'), databaseUrl: cluster.socketUrl('postgres'), port: 0, version: '0.0.0', log: createLog('silent') })
  const admin = server.firstAdminToken as string
  const call: Running['call'] = async (method, path, token, body) => {
    const headers = { ...(token === null ? {} : { authorization: `Bearer ${token}` }), ...(body === undefined ? {} : { 'content-type': 'application/json' }) }
    const response = await fetch(`${server.url}${path}`, { method, headers, ...(body === undefined ? {} : { body: JSON.stringify(body) }), redirect: 'manual' })
    const text = await response.text()
    return { status: response.status, body: /json/.test(response.headers.get('content-type') ?? '') && text ? JSON.parse(text) : text }
  }
  return {
    server, admin, dir, call,
    async token(name, body) {
      return ((await call('POST', '/api/v1/tokens', admin, { name, ...body })).body as { secret: string }).secret
    },
    async cli(argv, token = admin) {
      let out = ''
      let err = ''
      const code = await runCli(argv, { env: { PATH: process.env['PATH'], HOME: dir, REGLAZE_URL: server.url, REGLAZE_TOKEN: token }, cwd: dir, colour: false, out: (t) => (out += t), err: (t) => (err += t) })
      return { code, out, err }
    },
    async stop() {
      await server.stop()
      await removeCluster(join(dir, 'cluster'))
      rmSync(dir, { recursive: true, force: true })
    },
  }
}
