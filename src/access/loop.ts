import { append } from '../ledger/index.ts'
import { sql, startWorker, type TimerHandler, type Tx } from '../store/index.ts'
import { overall, type GrantState } from './model.ts'
import { CONVERGE, type Access } from './service.ts'
import * as rows from './store.ts'
import { startSweep } from './sweep.ts'
import { TargetWork } from './targets.ts'

/** The loop that carries every grant to what it should be: granted while in force, revoked and proven gone after. It never gives up on a revocation. */
export function startAccessLoop(access: Access): { stop(): Promise<void>; poke(): void } {
  const worker = startWorker(access.deps.store, { kind: CONVERGE, handle: converge(access), concurrency: 32, pollMs: 100 })
  const sweep = startSweep(access)
  return { poke: () => worker.poke(), stop: async () => void (await Promise.all([worker.stop(), sweep.stop()])) }
}

/** `patienceMs`: how long one look waits for one target. */
export function converge(access: Access, patienceMs?: number): TimerHandler {
  const work = new TargetWork(access, patienceMs)
  return async (id) => {
    const g = await rows.find(access.deps.store.db, id)
    if (!g || ['revoked', 'denied', 'withdrawn', 'requested'].includes(g.state)) return 'done'
    if (await access.deps.observeOnly()) return { again: 5000 }
    if (g.overdue && !g.end_asked_at) await access.end(id, 'deadline', 'clock')
    const ending = g.overdue || g.end_asked_at !== null
    if (g.state === 'approved') return ending ? withdraw(access, g) : prepare(access, g)
    const targets = await rows.targets(access.deps.store.db, id)
    const waits = await Promise.all(targets.map((t) => work.step(g, t, ending)))
    return settle(access, id, ending, Math.min(...waits))
  }
}

async function withdraw(access: Access, g: rows.Grant): Promise<'done'> {
  await access.deps.store.db.transaction().execute(async (tx) => {
    if (await rows.move(tx, g.id, 'approved', 'withdrawn')) await append(tx, { kind: 'grant.withdrawn', incident: g.incident_id, subject: g.id, actor: 'loop', data: { reason: g.end_reason ?? 'deadline' } })
  })
  return 'done'
}

/** Looks up what an undo will need and stores it as the intent, before the first change outside. */
async function prepare(access: Access, g: rows.Grant): Promise<{ again: number }> {
  const person = access.person(g.person)
  const wanted = g.role_text.targets
  const prepared = await Promise.all(wanted.map((t) => access.deps.grantable(t.connector).prepare(person, t.right)))
  await access.deps.store.db.transaction().execute(async (tx) => {
    if (!(await rows.move(tx, g.id, 'approved', 'intended'))) return
    for (const [n, t] of wanted.entries()) {
      const p = prepared[n] as (typeof prepared)[number]
      await rows.addTarget(tx, { grant: g.id, n, connector: t.connector, right: t.right, principal: p.principal, prior: p.prior })
    }
    await append(tx, { kind: 'grant.intended', incident: g.incident_id, subject: g.id, actor: 'loop', data: { expires_at: g.expires_at?.toISOString() ?? null, targets: wanted.map((t, n) => ({ connector: t.connector, right: t.right, principal: prepared[n]?.principal ?? '', prior: prepared[n]?.prior ?? {} })) } })
  })
  return { again: 0 }
}

/** Moves the grant itself as far as its targets are. */
async function settle(access: Access, id: string, ending: boolean, wait: number): Promise<{ again: number } | 'done'> {
  return access.deps.store.db.transaction().execute(async (tx) => {
    const g = await rows.find(tx, id)
    if (!g) return 'done'
    const targets = await rows.targets(tx, id)
    const want = overall(targets.map((t) => t.state), ending)
    if (want === 'revoked') {
      await walk(tx, g, 'revoking')
      if (await rows.revoked(tx, id, (await rows.find(tx, id))?.state ?? 'revoking', 'proven')) {
        await append(tx, { kind: 'grant.revoked', incident: g.incident_id, subject: id, actor: 'observer', data: { level: 'proven', reason: g.end_reason ?? 'deadline', person: g.person, role: g.role, active_at: g.active_at?.toISOString() ?? null, targets: targets.map((t) => ({ connector: t.connector, read_back: t.observed })) } })
      }
      return 'done'
    }
    if (want !== g.state) {
      await walk(tx, g, want)
      if (want === 'active') await rows.activated(tx, id)
      await append(tx, { kind: `grant.${want}`, incident: g.incident_id, subject: id, actor: 'loop', data: { targets: targets.map((t) => ({ connector: t.connector, state: t.state, error: t.error })) } })
    }
    const left = g.ms_left === null || ending ? wait : Math.min(wait, Math.max(0, g.ms_left))
    return { again: left }
  })
}

/** Reaches a state over allowed transitions: intended → active goes over granting. */
async function walk(tx: Tx, g: rows.Grant, to: GrantState): Promise<void> {
  const { rows: direct } = await sql`select 1 from grant_transitions where from_state = ${g.state} and to_state = ${to}`.execute(tx)
  if (g.state === to) return
  if (direct.length === 0) {
    const via: GrantState = to === 'stuck' ? 'revoking' : 'granting'
    await rows.move(tx, g.id, g.state, via)
    await rows.move(tx, g.id, via, to)
  } else {
    await rows.move(tx, g.id, g.state, to)
  }
}
