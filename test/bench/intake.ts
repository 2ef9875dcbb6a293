import { Agent, createServer, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import pg from 'pg'
import { createClient, serverRoutes } from '../../src/client/index.ts'
import { removeEmbedded, startCluster } from '../../src/store/index.ts'
import type { Row } from './bench.ts'
import { folder, serve } from './tools.ts'

const COUNT = 3000
const AT_ONCE = 32
const EXAMPLE = join(import.meta.dirname, '..', '..', 'examples', 'tailwind')

/** Durable alerts a second at the real endpoint; the peer answers after one bare insert of the same body into the same kind of PostgreSQL. */
export async function benchIntake(): Promise<Row[]> {
  const f = folder()
  const data = join(f.dir, 'data')
  process.env['TAILWIND_ALERTMANAGER_TOKEN'] = 'bench-token'
  const s = await serve(data)
  const cluster = await startCluster({ dir: join(f.dir, 'bare') })
  try {
    const client = createClient({ url: s.url, token: s.token ?? '' })
    await client.call(serverRoutes.configApply, { body: { files: [{ file: 'reglaze.yaml', text: readFileSync(join(EXAMPLE, 'reglaze.yaml'), 'utf8') }] } })
    const sample = readFileSync(join(EXAMPLE, 'alert.json'), 'utf8')
    const ours = await load(`${s.url}/api/v1/intake/alertmanager/alertmanager`, (n) => sample.replace('f601ee779ffc365b', n.toString(16).padStart(16, '0')))
    const bare = await bareIntake(cluster.socketUrl('postgres'))
    const theirs = await load(bare.url, (n) => sample.replace('f601ee779ffc365b', n.toString(16).padStart(16, '0')))
    await bare.stop()
    return [
      { what: 'intake of durable alerts', value: `${Math.round(ours.rate)}/s`, peer: `bare http + one insert ${Math.round(theirs.rate)}/s`, ratio: `${(ours.rate / theirs.rate).toFixed(2)}×` },
      { what: 'intake, p99 of the answer', value: `${ours.p99.toFixed(1)} ms`, peer: `${theirs.p99.toFixed(1)} ms`, ratio: `${(ours.p99 / theirs.p99).toFixed(2)}×` },
    ]
  } finally {
    await s.stop()
    await cluster.stop()
    await removeEmbedded(data).catch(() => undefined)
    f.remove()
  }
}

async function load(url: string, body: (n: number) => string): Promise<{ rate: number; p99: number }> {
  const agent = new Agent({ keepAlive: true, maxSockets: AT_ONCE })
  const times: number[] = []
  let next = 0
  const started = performance.now()
  const worker = async (): Promise<void> => {
    while (next < COUNT) {
      const n = next++
      const t = performance.now()
      await new Promise<void>((done, fail) => {
        const text = body(n)
        const r = request(url, { method: 'POST', agent, headers: { authorization: 'Bearer bench-token', 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) } }, (answer) => {
          answer.resume().on('end', () => (answer.statusCode === 200 || answer.statusCode === 202 ? done() : fail(new Error(`answered ${answer.statusCode}`))))
        })
        r.on('error', fail).end(text)
      })
      times.push(performance.now() - t)
    }
  }
  await Promise.all(Array.from({ length: AT_ONCE }, worker))
  const seconds = (performance.now() - started) / 1000
  agent.destroy()
  times.sort((a, b) => a - b)
  return { rate: COUNT / seconds, p99: times[Math.floor(times.length * 0.99)] as number }
}

async function bareIntake(databaseUrl: string): Promise<{ url: string; stop(): Promise<void> }> {
  const pool = new pg.Pool({ connectionString: databaseUrl, max: 10 })
  pool.on('error', () => {})
  await pool.query('create table bodies (id bigint generated always as identity, at timestamptz default now(), body text)')
  const server = createServer((req, res) => {
    const chunks: Buffer[] = []
    req.on('data', (c: Buffer) => chunks.push(c)).on('end', () => {
      const text = Buffer.concat(chunks).toString()
      JSON.parse(text)
      void pool.query({ name: 'insert', text: 'insert into bodies (body) values ($1)', values: [text] }).then(() => res.end('{}'), () => res.writeHead(503).end())
    })
  })
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    async stop() {
      server.closeAllConnections()
      await new Promise((done) => server.close(done))
      await pool.end()
    },
  }
}
