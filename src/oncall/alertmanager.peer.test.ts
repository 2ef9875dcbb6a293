import { execFileSync, spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, expect, it } from 'vitest'
import { ReglazeError } from '../core/index.ts'
import { useTestStore } from '../store/testing/index.ts'
import { TOKEN, until, world, type World } from './testing/world.ts'

/** The real Alertmanager (Debian: apt-get install prometheus-alertmanager), or none. REGLAZE_ALERTMANAGER names another binary. */
const binary = [process.env['REGLAZE_ALERTMANAGER'], 'prometheus-alertmanager', 'alertmanager'].find((name) => {
  try {
    return name !== undefined && execFileSync(name, ['--version'], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] }) !== null
  } catch {
    return false
  }
})
if (!binary && process.env['CI'] === 'true') throw new Error('CI needs the real Alertmanager: apt-get install prometheus-alertmanager')

const t = useTestStore()
const stops: (() => Promise<unknown> | unknown)[] = []
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop()
})

/** The intake route behind plain HTTP; answers as `answers` says first (500 = as if the store were away). */
async function intake(w: World, answers: number[]): Promise<string> {
  const server: Server = createServer((request, response) => {
    const parts: Buffer[] = []
    request.on('data', (d: Buffer) => parts.push(d)).on('end', () => {
      const forced = answers.shift()
      if (forced) return response.writeHead(forced).end()
      w.deliver(Buffer.concat(parts), { authorization: String(request.headers.authorization ?? ''), 'user-agent': String(request.headers['user-agent']) }).then(
        (id) => response.writeHead(200).end(id),
        (error: unknown) => response.writeHead(error instanceof ReglazeError && error.kind === 'unauthenticated' ? 401 : 500).end(),
      )
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  stops.push(() => (server.closeAllConnections(), new Promise((resolve) => server.close(resolve))))
  return `http://127.0.0.1:${(server.address() as { port: number }).port}`
}
async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as { port: number }
  await new Promise((resolve) => server.close(resolve))
  return port
}
async function alertmanager(hook: string): Promise<(alerts: object[]) => Promise<void>> {
  const dir = mkdtempSync(join(tmpdir(), 'reglaze-am-'))
  stops.push(() => rmSync(dir, { recursive: true, force: true }))
  const hooks = { receiver: 'reglaze', group_by: ['alertname', 'service'], group_wait: '0s', group_interval: '1s', repeat_interval: '2s' }
  writeFileSync(join(dir, 'am.yml'), JSON.stringify({ route: hooks, receivers: [{ name: 'reglaze', webhook_configs: [{ url: hook, send_resolved: true, http_config: { authorization: { type: 'Bearer', credentials: TOKEN } } }] }] }))
  const port = await freePort()
  const child = spawn(binary as string, [`--config.file=${dir}/am.yml`, `--storage.path=${dir}/data`, `--web.listen-address=127.0.0.1:${port}`, '--cluster.listen-address='], { stdio: 'ignore' })
  stops.push(() => new Promise((resolve) => (child.exitCode === null ? child.once('exit', resolve).kill('SIGKILL') : resolve(null))))
  const url = `http://127.0.0.1:${port}`
  await until(async () => {
    if (child.exitCode !== null) throw new Error(`Alertmanager ended with ${child.exitCode}`)
    return (await fetch(`${url}/-/ready`).catch(() => null))?.ok === true
  })
  return async (alerts) => {
    const answer = await fetch(`${url}/api/v2/alerts`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(alerts) })
    expect(answer.status).toBe(200)
  }
}

it.skipIf(!binary)('takes from the real Alertmanager: fired, repeated, retried after our failure, resolved', async () => {
  const w = await world(t.store)
  const answers: number[] = [500, 500]
  const post = await alertmanager(await intake(w, answers))
  const loops = w.part.start()
  stops.push(() => loops.stop())
  const startsAt = new Date(Date.now() - 60_000).toISOString()
  const one = (instance: string, more = {}) => ({ labels: { alertname: 'HighErrorRate', service: 'checkout', severity: 'critical', instance }, annotations: { summary: '40 %' }, startsAt, ...more })
  const list = async () => (await w.call('alert.list')).alerts as { fingerprint: string; state: string; deliveries: number; labels: Record<string, string>; incident: string | null }[]
  await post([one('a'), one('b')])
  await until(async () => (await list()).length === 2)
  expect(answers).toEqual([])
  await until(() => w.mail.sent.length === 1)
  await until(async () => (await list()).every((a) => a.deliveries >= 2))
  expect(w.mail.sent).toHaveLength(1)
  expect(new Set((await list()).map((a) => a.incident)).size).toBe(1)
  const endsAt = new Date(Date.now() - 1000).toISOString()
  await post([one('a', { endsAt }), one('b', { endsAt })])
  await until(async () => (await list()).every((a) => a.state === 'resolved'))
  await until(() => w.incidents.calls.at(-1)?.endsWith('firing 0') === true)
  const { fingerprintOf } = await import('./alertmanager.ts')
  for (const alert of await list()) expect(alert.fingerprint).toBe(fingerprintOf(alert.labels))
})
