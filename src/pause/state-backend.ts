import { randomUUID } from 'node:crypto'
import { mkdir, open, rename } from 'node:fs/promises'
import { join } from 'node:path'
import type { Caller, HoldSpec, Json, Observation, Pausable, PauseState } from '../core/index.ts'
import { append } from '../ledger/index.ts'
import { observeOnly, sql, type Store, type Tx } from '../store/index.ts'

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
  readonly #files = new Map<string, Promise<void>>()
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
    // What came out of a backup may be older than what is real: a run on it would make things twice.
    if ((await observeOnly(this.#store.db)) !== null) return { status: 423, body: JSON.stringify(restoredInfo(r.name)) }
    const broken = malformed(r)
    if (broken !== null) return { status: 400, body: broken }
    if (r.method === 'GET') return readOnly ? this.#get(this.#store.db, r.name) : this.#unlessHeld(r, (tx) => this.#get(tx, r.name))
    if (r.method === 'POST') return this.#post(r)
    if (r.method === 'LOCK') return this.#unlessHeld(r, (tx) => this.#lock(tx, r))
    if (r.method === 'UNLOCK') return this.#unlock(r)
    return { status: 405, body: 'GET, POST, LOCK and UNLOCK are served; a state is never deleted here' }
  }

  /** Decides and acts in one turn with whoever sets a hold: nothing slips in between the look and the write. */
  async #unlessHeld(r: StateRequest, act: (tx: Tx) => Promise<StateAnswer>): Promise<StateAnswer> {
    // Asked before the transaction, which must not wait for further connections.
    const before = await this.hold(r.name)
    const passes = before !== null && (await this.#passes(before, r.caller))
    return this.#store.db.transaction().execute(async (tx) => {
      if (r.method !== 'GET') await inTurn(tx, r.name)
      const hold = await holdOf(tx, r.name)
      const may = !hold || (passes && before?.hold_id === hold.hold_id) || named(hold.passes, r.caller) || (await inFlight(tx, hold, r))
      return may ? act(tx) : { status: 423, body: JSON.stringify(this.#holdInfo(hold)) }
    })
  }

  async hold(name: string): Promise<HoldRow | null> {
    return holdOf(this.#store.db, name)
  }
  async #passes(hold: HoldRow, caller: Caller): Promise<boolean> {
    // An incident that shares the hold has holders of its own.
    const { rows } = await sql<{ incident_id: string; passes: string[] }>`select incident_id, passes from holds where state <> 'resumed' and coalesce(lead, id) = ${hold.hold_id}`.execute(this.#store.db)
    if (named([...hold.passes, ...rows.flatMap((h) => h.passes)], caller)) return true
    for (const incident of new Set([hold.incident_id, ...rows.map((h) => h.incident_id)])) if (named(await this.#alsoPasses(incident), caller)) return true
    return false
  }
  /** Terraform up to 1.14 prints only the ID to the person who is stopped, so the reason stands there. */
  #holdInfo(hold: HoldRow): LockInfo {
    return { ID: hold.reason, Operation: 'hold', Info: hold.reason, Who: hold.incident_id, Version: 'reglaze', Created: hold.at.toISOString(), Path: hold.name }
  }

  async #get(db: Store['db'] | Tx, name: string): Promise<StateAnswer> {
    const { rows } = await sql<{ body: string }>`select body from tf_states where name = ${name}`.execute(db)
    return rows[0] ? { status: 200, body: rows[0].body } : { status: 204 }
  }

  async #post(r: StateRequest): Promise<StateAnswer> {
    const parsed = JSON.parse(r.body) as { serial: number; lineage: string }
    const answer = await this.#unlessHeld(r, async (tx) => {
      const lock = await lockOf(tx, r.name)
      // The id of a lock is shown to everybody whom it stops, so it proves nothing alone.
      if (lock && (lock.lock_id !== r.lockId || lock.by_whom !== r.caller.name)) return { status: 423, body: JSON.stringify(lock.info) }
      const present = (await sql<{ body: string; serial: string | null; lineage: string | null }>`select body, serial, lineage from tf_states where name = ${r.name}`.execute(tx)).rows[0]
      if (present?.body === r.body) return { status: 200 }
      const older = present && r.caller.role !== 'admin' ? whyOlder(present, parsed) : null
      if (older) return { status: 409, body: older }
      await sql`insert into tf_states (name, body, serial, lineage, updated_by) values (${r.name}, ${r.body}, ${parsed.serial}, ${parsed.lineage}, ${r.caller.name})
        on conflict (name) do update set body = excluded.body, serial = excluded.serial, lineage = excluded.lineage, updated_by = excluded.updated_by, updated_at = reglaze.now()`.execute(tx)
      await sql`insert into tf_state_versions (name, body, serial, lineage, by_whom) values (${r.name}, ${r.body}, ${parsed.serial}, ${parsed.lineage}, ${r.caller.name})`.execute(tx)
      await append(tx, { kind: 'terraform.state-written', subject: r.name, actor: r.caller.name, data: { serial: parsed.serial, lineage: parsed.lineage } })
      return { status: 200 }
    })
    if (answer.status === 200) await this.#fileOf(r.name)
    return answer
  }
  /** The file gets what the database has now, one writer after the other: two answers that cross leave the later state. */
  async #fileOf(name: string): Promise<void> {
    const mine = (this.#files.get(name) ?? Promise.resolve()).catch(() => undefined).then(async () => {
      const now = await this.latest(name)
      if (now) await this.writeFile(name, now.body)
    })
    this.#files.set(name, mine)
    await mine.finally(() => this.#files.get(name) === mine && this.#files.delete(name))
  }

  async #lock(tx: Tx, r: StateRequest): Promise<StateAnswer> {
    const info = JSON.parse(r.body) as LockInfo
    const lock = await lockOf(tx, r.name)
    // The answer to the first try may have been lost: the same lock again is "already so".
    if (lock) return lock.lock_id === info.ID && lock.by_whom === r.caller.name ? { status: 200 } : { status: 423, body: JSON.stringify(lock.info) }
    await sql`insert into tf_locks (name, lock_id, info, by_whom) values (${r.name}, ${info.ID}, ${JSON.stringify(info)}::jsonb, ${r.caller.name})`.execute(tx)
    return { status: 200 }
  }

  /** `terraform force-unlock` sends an empty body, so who calls decides: the lock's own caller, or an admin. A hold never keeps a lock from being given back. */
  #unlock(r: StateRequest): Promise<StateAnswer> {
    return this.#store.db.transaction().execute(async (tx) => {
      await inTurn(tx, r.name)
      const lock = await lockOf(tx, r.name)
      if (!lock) return { status: 200 }
      const id = r.body.trim() ? (JSON.parse(r.body) as LockInfo).ID : null
      const own = id !== null ? id === lock.lock_id && lock.by_whom === r.caller.name : lock.by_whom === r.caller.name || r.caller.role === 'admin'
      if (!own) return { status: 423, body: JSON.stringify(lock.info) }
      await sql`delete from tf_locks where name = ${r.name} and lock_id = ${lock.lock_id}`.execute(tx)
      if (id === null) await append(tx, { kind: 'terraform.force-unlock', subject: r.name, actor: r.caller.name, data: { lock: lock.info } })
      return { status: 200 }
    })
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

const named = (names: readonly string[], caller: Caller) => names.includes(caller.name) || (caller.person !== null && names.includes(caller.person))

/** One caller at a time for a state, holds included. */
async function inTurn(tx: Tx, name: string): Promise<void> {
  await sql`select pg_advisory_xact_lock(hashtextextended(${`terraform state ${name}`}, 0))`.execute(tx)
}
async function holdOf(db: Store['db'] | Tx, name: string): Promise<HoldRow | null> {
  return (await sql<HoldRow>`select * from tf_state_holds where name = ${name}`.execute(db)).rows[0] ?? null
}
/** A run that had the lock before the hold may end: refusing its write would lose the state of what it has already changed. */
async function inFlight(tx: Tx, hold: HoldRow, r: StateRequest): Promise<boolean> {
  const lock = await lockOf(tx, r.name)
  if (!lock || lock.by_whom !== r.caller.name || lock.at >= hold.at) return false
  // The answer to its LOCK may have been lost: a no to the same lock asked for again would leave it there for ever.
  if (r.method === 'LOCK') return (JSON.parse(r.body) as LockInfo).ID === lock.lock_id
  return r.method !== 'POST' || lock.lock_id === r.lockId
}

/** What is wrong with a body, null when nothing is. */
function malformed(r: StateRequest): string | null {
  if (r.method === 'UNLOCK' && r.body.trim() === '') return null
  if (r.method !== 'POST' && r.method !== 'LOCK' && r.method !== 'UNLOCK') return null
  const what = r.method === 'POST' ? 'state' : 'lock info'
  let v: { serial?: unknown; lineage?: unknown; ID?: unknown } | null
  try {
    v = JSON.parse(r.body) as typeof v
  } catch {
    return `the ${what} is not JSON`
  }
  if (typeof v !== 'object' || v === null || Array.isArray(v)) return `the ${what} is not a JSON object`
  if (r.method === 'POST') return Number.isSafeInteger(v.serial) && (v.serial as number) >= 0 && typeof v.lineage === 'string' ? null : 'the state has no serial and lineage: it is not a Terraform state of version 4'
  if (typeof v.ID !== 'string' || v.ID === '' || v.ID.length > 500) return 'the lock info has no ID'
  return r.body.includes('\\u0000') ? 'the lock info has a NUL character' : null
}

/** A write that would take back what somebody else wrote meanwhile. An admin may (recovery with `state push -force`). */
function whyOlder(present: { serial: string | null; lineage: string | null }, next: { serial: number; lineage: string }): string | null {
  if (present.lineage !== null && present.lineage !== next.lineage) return `the stored state has another lineage (${present.lineage}); only an admin may replace it`
  if (present.serial !== null && next.serial <= Number(present.serial)) return `the stored state is at serial ${present.serial}, yours at ${next.serial}: somebody wrote meanwhile`
  return null
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
      await store.db.transaction().execute(async (tx) => {
        await inTurn(tx, name(spec))
        // Later than a lock that is there: its run was first and may end.
        await sql`insert into tf_state_holds (name, hold_id, incident_id, reason, passes, at)
          select ${name(spec)}, ${spec.holdId}, incident_id, ${spec.reason}, ${JSON.stringify(spec.passes)}::jsonb,
            greatest(reglaze.now(), (select at + interval '1 millisecond' from tf_locks where name = ${name(spec)})) from holds where id = ${spec.holdId}
          on conflict (name) do update set passes = excluded.passes where tf_state_holds.hold_id = excluded.hold_id`.execute(tx)
      })
    },
    resume: async (spec) => {
      await sql`delete from tf_state_holds where name = ${name(spec)} and hold_id = ${spec.holdId}`.execute(store.db)
    },
    manual: (spec) => `reglaze resume ${spec.incident}`,
  }
}

/** What Terraform shows while a restored server only observes. */
function restoredInfo(name: string): LockInfo {
  const why = 'restored from a backup: compare it with the newest state that you have, then `reglaze restore confirm`'
  return { ID: why, Operation: 'hold', Info: why, Who: 'reglaze', Version: 'reglaze', Created: new Date().toISOString(), Path: name }
}
