import { randomUUID } from 'node:crypto'
import { mkdir, open, rename } from 'node:fs/promises'
import { join } from 'node:path'
import type { Caller, HoldSpec, Json, Observation, Pausable, PauseState } from '../core/index.ts'
import { append } from '../ledger/index.ts'
import { sql, type Store, type Tx } from '../store/index.ts'

/** Server side of Terraform's `http` backend (contract: reference terraform-and-gitops.md §3.2). A hold is decided by who calls, never by a lock id. */
export interface StateRequest {
  readonly method: string
  readonly name: string
  /** `?ID=` of a POST: the lock under which it writes; absent with -lock=false. */
  readonly lockId: string | null
  readonly body: string
  readonly caller: Caller
}
export interface StateAnswer {
  readonly status: number
  readonly body?: string
}
interface LockInfo {
  ID: string
  Operation: string
  Info: string
  Who: string
  Version: string
  Created: string
  Path: string
}
interface HoldRow {
  name: string
  hold_id: string
  incident_id: string
  reason: string
  passes: string[]
  at: Date
}
const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/

export class StateBackend {
  readonly #store: Store
  readonly #dir: string
  readonly #alsoPasses: (incidentId: string) => Promise<readonly string[]>
  /** `dir` gets the latest state of every name as a plain file. `alsoPasses`: people with access in force in the incident. */
  constructor(store: Store, dir: string, alsoPasses: (incidentId: string) => Promise<readonly string[]>) {
    this.#store = store
    this.#dir = dir
    this.#alsoPasses = alsoPasses
  }

  async answer(r: StateRequest): Promise<StateAnswer> {
    if (!NAME.test(r.name)) return { status: 404, body: 'not the name of a state' }
    const scopes = r.caller.scopes ?? []
    if (!scopes.includes('state') && !scopes.includes('state-read')) return { status: 403, body: 'this token has no state scope' }
    const readOnly = !scopes.includes('state')
    if (readOnly && r.method !== 'GET') return { status: 403, body: 'this token may only read state (use -lock=false)' }
    const hold = await this.hold(r.name)
    if (hold && !readOnly && !(await this.#passes(hold, r.caller)) && !(await this.#inFlight(hold, r))) return r.method === 'UNLOCK' ? this.#unlock(r) : { status: 423, body: JSON.stringify(this.#holdInfo(hold)) }
    if (r.method === 'GET') return this.#get(r.name)
    if (r.method === 'POST') return this.#post(r)
    if (r.method === 'LOCK') return this.#lock(r)
    if (r.method === 'UNLOCK') return this.#unlock(r)
    return { status: 405, body: 'GET, POST, LOCK and UNLOCK are served; a state is never deleted here' }
  }

  async hold(name: string): Promise<HoldRow | null> {
    return (await sql<HoldRow>`select * from tf_state_holds where name = ${name}`.execute(this.#store.db)).rows[0] ?? null
  }
  async #passes(hold: HoldRow, caller: Caller): Promise<boolean> {
    const names = [caller.name, ...(caller.person ? [caller.person] : [])]
    if (names.some((n) => hold.passes.includes(n))) return true
    const also = await this.#alsoPasses(hold.incident_id)
    return names.some((n) => also.includes(n))
  }
  /** A run that had the lock before the hold may end: refusing its write would lose the state of what it has already changed. */
  async #inFlight(hold: HoldRow, r: StateRequest): Promise<boolean> {
    const lock = await lockOf(this.#store.db, r.name)
    if (!lock || lock.by_whom !== r.caller.name || lock.at >= hold.at) return false
    // The answer to its LOCK may have been lost: a no to the same lock asked for again would leave it there for ever.
    if (r.method === 'LOCK') return lockId(r.body) === lock.lock_id
    return r.method !== 'POST' || lock.lock_id === r.lockId
  }
  /** Terraform up to 1.14 prints only the ID to the person who is stopped, so the reason stands there. */
  #holdInfo(hold: HoldRow): LockInfo {
    return { ID: hold.reason, Operation: 'hold', Info: hold.reason, Who: hold.incident_id, Version: 'reglaze', Created: hold.at.toISOString(), Path: hold.name }
  }

  async #get(name: string): Promise<StateAnswer> {
    const { rows } = await sql<{ body: string }>`select body from tf_states where name = ${name}`.execute(this.#store.db)
    return rows[0] ? { status: 200, body: rows[0].body } : { status: 204 }
  }

  async #post(r: StateRequest): Promise<StateAnswer> {
    let parsed: { serial?: number; lineage?: string }
    try {
      parsed = JSON.parse(r.body) as typeof parsed
    } catch {
      return { status: 400, body: 'the state is not JSON' }
    }
    const refused = await this.#store.db.transaction().execute(async (tx) => {
      const lock = await lockOf(tx, r.name)
      if (lock && lock.lock_id !== r.lockId) return { status: 423, body: JSON.stringify(lock.info) }
      await sql`insert into tf_states (name, body, serial, lineage, updated_by) values (${r.name}, ${r.body}, ${parsed.serial ?? null}, ${parsed.lineage ?? null}, ${r.caller.name})
        on conflict (name) do update set body = excluded.body, serial = excluded.serial, lineage = excluded.lineage, updated_by = excluded.updated_by, updated_at = reglaze.now()`.execute(tx)
      await sql`insert into tf_state_versions (name, body, serial, lineage, by_whom) values (${r.name}, ${r.body}, ${parsed.serial ?? null}, ${parsed.lineage ?? null}, ${r.caller.name})`.execute(tx)
      await append(tx, { kind: 'terraform.state-written', subject: r.name, actor: r.caller.name, data: { serial: parsed.serial ?? null, lineage: parsed.lineage ?? null } })
      return null
    })
    if (refused) return refused
    await this.writeFile(r.name, r.body)
    return { status: 200 }
  }

  async #lock(r: StateRequest): Promise<StateAnswer> {
    let info: LockInfo
    try {
      info = JSON.parse(r.body) as LockInfo
    } catch {
      return { status: 400, body: 'the lock info is not JSON' }
    }
    const { rows } = await sql`insert into tf_locks (name, lock_id, info, by_whom) values (${r.name}, ${info.ID}, ${JSON.stringify(info)}::jsonb, ${r.caller.name}) on conflict do nothing returning name`.execute(this.#store.db)
    if (rows.length > 0) return { status: 200 }
    const lock = await lockOf(this.#store.db, r.name)
    // The answer to the first try may have been lost: the same lock again is "already so".
    if (!lock) return this.#lock(r)
    return lock.lock_id === info.ID ? { status: 200 } : { status: 423, body: JSON.stringify(lock.info) }
  }

  /** `terraform force-unlock` sends an empty body, so who calls decides: the lock's own caller, or an admin. */
  async #unlock(r: StateRequest): Promise<StateAnswer> {
    const lock = await lockOf(this.#store.db, r.name)
    if (!lock) return { status: 200 }
    let id: string | null = null
    try {
      id = r.body.trim() ? (JSON.parse(r.body) as LockInfo).ID : null
    } catch {
      return { status: 400, body: 'the lock info is not JSON' }
    }
    const own = id !== null ? id === lock.lock_id && lock.by_whom === r.caller.name : lock.by_whom === r.caller.name || r.caller.role === 'admin'
    if (!own) return { status: 423, body: JSON.stringify(lock.info) }
    await this.#store.db.transaction().execute(async (tx) => {
      await sql`delete from tf_locks where name = ${r.name} and lock_id = ${lock.lock_id}`.execute(tx)
      if (id === null) await append(tx, { kind: 'terraform.force-unlock', subject: r.name, actor: r.caller.name, data: { lock: lock.info } })
    })
    return { status: 200 }
  }

  /** The latest state as a plain file, whole or not at all: what people need when Reglaze is gone. */
  async writeFile(name: string, body: string): Promise<void> {
    await mkdir(this.#dir, { recursive: true, mode: 0o700 })
    const temporary = join(this.#dir, `.${name}.${randomUUID()}`)
    const file = await open(temporary, 'w', 0o600)
    await file.writeFile(body)
    await file.sync()
    await file.close()
    await rename(temporary, join(this.#dir, `${name}.tfstate`))
  }
  /** Writes every state's file anew: after a start, because a kill may have come between commit and file. */
  async writeAllFiles(): Promise<void> {
    const { rows } = await sql<{ name: string; body: string }>`select name, body from tf_states`.execute(this.#store.db)
    for (const r of rows) await this.writeFile(r.name, r.body)
  }
  /** State versions in the order in which they were written, at most 200 at once. */
  async versionsAfter(n: number): Promise<{ n: number; name: string; body: string }[]> {
    const { rows } = await sql<{ n: string; name: string; body: string }>`select n, name, body from tf_state_versions where n > ${n} order by n limit 200`.execute(this.#store.db)
    return rows.map((r) => ({ n: Number(r.n), name: r.name, body: r.body }))
  }
  async latest(name: string): Promise<{ name: string; serial: number | null; lineage: string | null; body: string } | null> {
    const { rows } = await sql<{ name: string; serial: string | null; lineage: string | null; body: string }>`select name, serial, lineage, body from tf_states where name = ${name}`.execute(this.#store.db)
    const r = rows[0]
    return r ? { name: r.name, serial: r.serial === null ? null : Number(r.serial), lineage: r.lineage, body: r.body } : null
  }
}

function lockId(body: string): string | null {
  try {
    return (JSON.parse(body) as LockInfo).ID
  } catch {
    return null
  }
}
interface LockRow {
  lock_id: string
  info: Json
  by_whom: string
  at: Date
}
async function lockOf(db: Store['db'] | Tx, name: string): Promise<LockRow | null> {
  return (await sql<LockRow>`select lock_id, info, by_whom, at from tf_locks where name = ${name}`.execute(db)).rows[0] ?? null
}

/** The hold on a state that we serve ourselves, as one more Pausable. Target: `{ state: NAME }`. */
export function stateHold(store: Store): Pausable {
  const name = (spec: { target: Record<string, Json> }) => String(spec.target['state'])
  const read = async (spec: Omit<HoldSpec, 'prior'>): Promise<Observation<PauseState>> => {
    const { rows } = await sql<HoldRow>`select * from tf_state_holds where name = ${name(spec)}`.execute(store.db)
    const lock = await lockOf(store.db, name(spec))
    const hold = rows[0]
    const setting: Json = { held: hold ? hold.hold_id : null }
    return {
      status: 'known', at: new Date().toISOString(),
      // Asked without a hold of its own (assess, doctor): whether anybody holds it.
      value: { paused: spec.holdId === '' ? hold !== undefined : hold?.hold_id === spec.holdId, setting, changedBy: hold?.incident_id ?? null, running: lock ? [`${lock.by_whom} holds the state lock`] : [], parents: [] },
      evidence: { source: 'reglaze state backend', request: `hold of state ${name(spec)}`, answer: setting },
    }
  }
  return {
    observe: read,
    pause: async (spec) => {
      await sql`insert into tf_state_holds (name, hold_id, incident_id, reason, passes)
        select ${name(spec)}, ${spec.holdId}, incident_id, ${spec.reason}, ${JSON.stringify(spec.passes)}::jsonb from holds where id = ${spec.holdId}
        on conflict (name) do nothing`.execute(store.db)
    },
    resume: async (spec) => {
      await sql`delete from tf_state_holds where name = ${name(spec)} and hold_id = ${spec.holdId}`.execute(store.db)
    },
    manual: (spec) => `reglaze resume ${spec.incident}`,
  }
}
