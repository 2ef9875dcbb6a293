import { readFileSync } from 'node:fs'
import pg from 'pg'
import { serverRoutes } from '../../src/client/index.ts'
import { incidentRoutes } from '../../src/incident/contract.ts'
import { accessRoutes } from '../../src/access/contract.ts'
import { Narrator } from '../../src/cli/demo/narrator.ts'
import { freePorts } from '../../src/cli/demo/processes.ts'
import { Cast } from '../../src/cli/demo/story.ts'
import { World } from '../../src/cli/demo/world.ts'
import { canonical, type Json } from '../../src/core/index.ts'
import { checkLedger } from '../../src/ledger/index.ts'
import { openStore } from '../../src/store/index.ts'
import { removeWorld, worldFolder } from './folder.ts'
import { noneLeft } from './processes.ts'

// eslint-disable-next-line @typescript-eslint/no-explicit-any
type Any = any
export const QUIET = { env: process.env, cwd: process.cwd(), colour: false, out: () => {}, err: () => {} }

/** One world of the demo for the tests of a file, with its person, and what its ledger has shown so far. */
export class Stage {
  readonly world: World
  readonly cast: Cast
  readonly ledger: LedgerWatch
  constructor(world: World, narrator: Narrator) {
    this.world = world
    this.cast = new Cast(world, narrator)
    this.ledger = new LedgerWatch(this)
  }
  /** Kill -9 of the server, and a new one on what it left behind; nothing that the ledger showed may be gone. */
  async crash(): Promise<void> {
    await this.ledger.look()
    await this.world.killServer('SIGKILL')
    await this.world.startServer()
    await this.ledger.holdsAll()
  }
  async stop(): Promise<void> {
    await this.cast.ordersClient?.end().catch(() => {})
    await this.world.stop()
  }
}

export async function raiseStage(name: string, narrator: (s: () => Stage) => Narrator = () => new Narrator(QUIET, true)): Promise<Stage> {
  const [port] = (await freePorts(1)) as [number]
  let stage: Stage | null = null
  const world = new World({ dir: worldFolder(name), port, say: () => {} })
  stage = new Stage(world, narrator(() => stage as Stage))
  try {
    await world.raise()
  } catch (error) {
    await lowerStage(stage)
    throw error
  }
  return stage
}

/** Ends the world; throws when something of it still runs. */
export async function lowerStage(stage: Stage): Promise<void> {
  await stage.stop().catch(() => {})
  const left = await noneLeft(stage.world.dir)
  for (const p of left) process.kill(p.pid, 'SIGKILL')
  await removeWorld(stage.world.dir)
  if (left.length > 0) throw new Error(`still running after the end: ${left.map((p) => p.command).join('; ')}`)
}

/** What the ledger of the incident has shown; each entry has to be there ever after, unchanged, and keep its number. */
export class LedgerWatch {
  readonly seen = new Map<string, { seq: number | null; text: string }>()
  readonly #stage: Stage
  constructor(stage: Stage) {
    this.#stage = stage
  }
  /** Kinds of the entries that are new since the last look. */
  async look(): Promise<string[]> {
    const entries = await this.#read()
    const fresh = entries.filter((e) => !this.seen.has(e.id)).map((e) => e.kind)
    for (const { seq, ...rest } of entries) this.seen.set(rest.id, { seq: this.seen.get(rest.id)?.seq ?? seq, text: canonical(rest as Json) })
    return fresh
  }
  async holdsAll(): Promise<void> {
    const now = new Map((await this.#read()).map(({ seq, ...rest }) => [rest.id, { seq, text: canonical(rest as Json) }]))
    for (const [id, was] of this.seen) {
      const is = now.get(id)
      if (!is) throw new Error(`ledger entry ${id} is lost: ${was.text.slice(0, 300)}`)
      if (is.text !== was.text || (was.seq !== null && is.seq !== was.seq)) throw new Error(`ledger entry ${id} was changed: ${was.seq} ${was.text.slice(0, 200)} → ${is.seq} ${is.text.slice(0, 200)}`)
    }
  }
  async #read() {
    const { world, cast } = this.#stage
    const known = await world.admin().call(incidentRoutes.list, { query: { all: 'true' } })
    if (!known.incidents.some((i) => i.label === cast.incident)) return []
    return (await world.admin().call(incidentRoutes.timeline, { params: { id: cast.incident } })).entries
  }
}

/** The end that every way through the story has to reach: everybody out, at each target read back without Reglaze; nothing held; nothing open. */
export async function nobodyInside(stage: Stage): Promise<void> {
  const { world } = stage
  const status = await world.admin().call(serverRoutes.status)
  const wrong: string[] = []
  const must = (what: string, is: unknown) => void (canonical(is as Json) === '0' || canonical(is as Json) === '[]' ? null : wrong.push(`${what}: ${canonical(is as Json)}`))
  must('live grants', status.live_grants)
  must('grants past their end', status.overdue_grants)
  must('holds', status.holds)
  must('inside, says Reglaze', (await world.admin().call(accessRoutes.list, { query: {} })).grants.map((g) => g.id))
  const marked = async (path: string) => ((await world.cloud('GET', path))['items'] as Any[]).filter((x) => x.source_identity?.startsWith('gr_') && !x.expired).map((x) => x.source_identity)
  must('memberships at the cloud', await marked('/v1/memberships'))
  must('role assignments at the cloud', await marked('/v1/role-assignments'))
  must('sessions at the cloud', await marked('/v1/sessions'))
  must('locks at the cloud', ((await world.cloud('GET', '/v1/locks'))['items'] as Any[]).map((l) => l.name))
  must('roles in the orders database', await ordersRoles(world))
  if (wrong.length > 0) throw new Error(wrong.join('\n'))
}
export async function ordersRoles(world: World): Promise<string[]> {
  const root = new pg.Client({ connectionString: world.orders.url })
  root.on('error', () => {})
  await root.connect()
  try {
    return (await root.query<{ rolname: string }>(`select rolname from pg_roles where rolname like 'rg_%'`)).rows.map((r) => r.rolname)
  } finally {
    await root.end()
  }
}

/** Stops the server and recomputes the whole ledger from its database; everything seen is in it, numbered without a gap. */
export async function ledgerIsWhole(stage: Stage): Promise<{ size: number }> {
  await stage.ledger.look()
  await stage.ledger.holdsAll()
  await stage.world.killServer('SIGTERM')
  const store = await openStore({ dataDir: stage.world.path('reglaze') })
  try {
    const check = await checkLedger(store.db)
    if (!check.ok) throw new Error(check.problems.join('\n'))
    return { size: check.size }
  } finally {
    await store.close()
  }
}

export function keyOf(world: World, name: string): string {
  return readFileSync(world.path('keys', `${name}.key`), 'utf8').trim()
}
