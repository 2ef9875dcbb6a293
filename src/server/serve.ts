import { randomBytes } from 'node:crypto'
import { existsSync, linkSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import { join } from 'node:path'
import type { AddressInfo } from 'node:net'
import { getRequestListener } from '@hono/node-server'
import { ReglazeError, type Route } from '../core/index.ts'
import type { Config } from '../config/index.ts'
import { firstCheckpoint, publicKeyText, startSequencer } from '../ledger/index.ts'
import { openStore, type Store } from '../store/index.ts'
import { createRunner } from '../terraform/index.ts'
import { certify } from './certify.ts'
import { exportCheckpoint } from './checkpoint-export.ts'
import { compose, type Composition } from './compose.ts'
import { inForce, type InForce } from './config-versions.ts'
import { Connectors } from './connectors.ts'
import { examine } from './doctor.ts'
import { SERVER } from './errors.ts'
import { serverHandlers } from './handlers.ts'
import { createApp } from './http.ts'
import { createLog, type Log } from './log.ts'
import { createMetrics } from './metrics.ts'
import { firstToken } from './tokens.ts'

export interface ServeOptions {
  readonly dataDir: string
  readonly databaseUrl?: string | undefined
  readonly host?: string
  /** 0 = the next free one. */
  readonly port: number
  readonly publicUrl?: string | undefined
  /** Git remote that gets each signed checkpoint (a branch of its own), so that a cut tail can be noticed elsewhere. */
  readonly checkpointRemote?: string | undefined
  /** Serve TLS itself: files with the certificate chain and its key. */
  readonly tls?: { readonly cert: string; readonly key: string } | undefined
  readonly version: string
  readonly log?: Log
}
export interface Server {
  readonly url: string
  /** Printed once, at first start. */
  readonly firstAdminToken: string | null
  readonly store: Store
  readonly routes: readonly Route[]
  stop(): Promise<void>
}
const EMPTY: Config = { organization: { name: 'none' }, people: [], teams: [], schedules: [], escalations: [], services: [], connectors: [], automations: [], workspaces: [], roles: [], alert_sources: [] }

/** Starts a server process: store, loops, HTTP. Any number of them may share one database. */
export async function serve(o: ServeOptions): Promise<Server> {
  const log = o.log ?? createLog()
  mkdirSync(o.dataDir, { recursive: true, mode: 0o700 })
  const store = await openStore({ dataDir: o.dataDir, databaseUrl: o.databaseUrl, log })
  const undo: (() => Promise<void>)[] = [() => store.close()]
  const stop = async () => {
    for (const step of undo.splice(0).reverse()) await step().catch((error: unknown) => log.error({ err: error }, 'a part did not stop cleanly'))
  }
  try {
    return await start(o, store, log, undo, stop)
  } catch (error) {
    await stop()
    throw error
  }
}

async function start(o: ServeOptions, store: Store, log: Log, undo: (() => Promise<void>)[], stop: () => Promise<void>): Promise<Server> {
  const keyDir = join(o.dataDir, 'keys')
  let current: InForce | null = await inForce(store)
  let composition: Composition | null = null
  const reload = async () => {
    const next = await inForce(store)
    // The same object stays while the version stays: connectors are made once per version.
    // A look that took long must not bring an older version back.
    if (!next || next.version <= (current?.version ?? 0)) return
    current = next
    await composition?.configured()
  }
  const poll = setInterval(() => void reload().catch((error: unknown) => log.warn({ err: error }, 'the configuration could not be read')), 1000)
  undo.push(async () => clearInterval(poll))
  const config = () => current?.config ?? EMPTY
  const sequencer = startSequencer(store, { keyDir, origin: 'reglaze.local/ledger', log, exportCheckpoint: (note) => exportCheckpoint({ note, first: async () => (await firstCheckpoint(store.db))?.note ?? null, key: async () => (await publicKeyText(store.db)) ?? '', dir: join(o.dataDir, 'checkpoints'), remote: o.checkpointRemote, log }) })
  undo.push(() => sequencer.stop())
  // A ledger that cannot be signed must not keep anybody inside: revoking goes on, certificates are refused.
  await sequencer.flush().catch((error: unknown) => log.error({ err: error }, 'the ledger cannot be signed; see the runbook "ledger inconsistent"'))
  const connectors = new Connectors({ config, store, dataDir: o.dataDir, secretKey: secretKey(keyDir), runner: () => createRunner({ bare: true }) })
  undo.push(() => connectors.close())
  let url = ''
  const joined = compose({
    store, dataDir: o.dataDir, config, connectors, log, publicUrl: () => o.publicUrl ?? config().paging?.public_url ?? url,
    certify: (incident) => certify(store, sequencer, keyDir, join(o.dataDir, 'certificates'), incident),
  })
  composition = joined
  const handlers = [...serverHandlers(store, o.version, reload, () => examine(store, current?.config ?? null, connectors)), ...joined.handlers]
  const app = createApp({ store, handlers, states: joined.states, metrics: createMetrics(store), log, ready: () => ready(store) })
  const listener = getRequestListener(app.fetch)
  const http = o.tls ? createTlsServer({ cert: readFileSync(o.tls.cert), key: readFileSync(o.tls.key) }, listener) : createServer(listener)
  undo.push(() => new Promise((done) => {
    http.close(() => done())
    http.closeAllConnections()
  }))
  url = await listen(http, o.tls ? 'https' : 'http', o.host ?? '127.0.0.1', o.port)
  const loops = await joined.start()
  undo.push(() => loops.stop())
  const firstAdminToken = await firstToken(store)
  log.info({ url, store: store.kind, postgres: store.serverVersion }, 'serving')
  return { url, firstAdminToken, store, routes: handlers.map((h) => h.route), stop }
}

async function ready(store: Store): Promise<string | null> {
  const now = await inForce(store)
  return now ? null : 'no configuration is in force'
}

function listen(http: ReturnType<typeof createServer> | ReturnType<typeof createTlsServer>, scheme: string, host: string, port: number): Promise<string> {
  return new Promise((done, fail) => {
    http.once('error', (error: NodeJS.ErrnoException) => fail(error.code === 'EADDRINUSE' ? new ReglazeError(SERVER.PORT_BUSY, `${host}:${port} is taken by another program`) : error))
    http.listen(port, host, () => {
      const at = http.address() as AddressInfo
      done(`${scheme}://${host.includes(':') ? `[${host}]` : host}:${at.port}`)
    })
  })
}

/** Key from which per-grant secrets are derived, so that none is stored. Made at first start. */
function secretKey(keyDir: string): Buffer {
  const path = join(keyDir, 'secret.key')
  if (!existsSync(path)) {
    mkdirSync(keyDir, { recursive: true, mode: 0o700 })
    const draft = `${path}.${process.pid}`
    writeFileSync(draft, randomBytes(32).toString('hex'), { mode: 0o600 })
    try {
      // Whole or not at all, and the first of two processes wins.
      linkSync(draft, path)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    } finally {
      rmSync(draft, { force: true })
    }
  }
  return Buffer.from(readFileSync(path, 'utf8').trim(), 'hex')
}
