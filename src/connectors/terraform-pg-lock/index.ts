/**
 * A hold on Terraform state in the `pg` backend: the same advisory lock that Terraform takes, held on a connection of our
 * own (terraform-and-gitops.md §3.3). The lock lives exactly as long as its connection, so a lost one is taken again
 * at once, and read back through another connection.
 */
import pg from 'pg'
import { CORE, ReglazeError } from '../../core/errors.ts'
import type { Json } from '../../core/json.ts'
import type { HoldSpec, Observation, Pausable, PauseState } from '../../core/ports.ts'
import { CONNECTOR } from '../errors.ts'
import { withLockSession } from './session.ts'

export interface PgLockOptions {
  /** The same database that the backend uses; any role that may read its `states` table. */
  readonly url: string
  readonly name: string
  /** Schema of the backend; default `terraform_remote_state`. `target.schema` comes before it. */
  readonly schema?: string
  /**
   * Asked before a lost lock is taken again: another process may have resumed this hold meanwhile. Without it, a lock whose
   * connection somebody ended on purpose is not taken again here; the caller's loop sees that it is gone and decides.
   */
  readonly stillWanted?: (holdId: string) => Promise<boolean>
  readonly log?: (message: string) => void
}
export interface PgLockHold extends Pausable {
  /** Closes every connection that holds a lock here: the locks are gone. For the end of the process. */
  close(): Promise<void>
}

/** Names of applications have at most 63 bytes. */
const NAME_BYTES = 63
/** admin_shutdown: pg_terminate_backend, or the server is being stopped. */
const ENDED_ON_PURPOSE = '57P01'
const REASSERT_MS = [100, 250, 500, 1000, 2000, 5000]

interface Held {
  client: pg.Client | null
  spec: HoldSpec
  timer: NodeJS.Timeout | null
  losses: number
}
interface Holder {
  readonly pid: number
  readonly application: string
  readonly user: string | null
  readonly since: Date | null
}

/** What shows up in pg_stat_activity: the hold first, so that we know our own, then as much of the reason as fits. */
export function applicationName(spec: Pick<HoldSpec, 'holdId' | 'incident' | 'reason'>): string {
  const full = `reglaze ${spec.holdId} ${spec.incident}: ${spec.reason}`.replace(/[^\x20-\x7e]/g, '?')
  return full.slice(0, NAME_BYTES)
}

export function terraformPgLock(options: PgLockOptions): PgLockHold {
  return new PgLock(options)
}

class PgLock implements PgLockHold {
  readonly #o: PgLockOptions
  readonly #held = new Map<string, Held>()
  constructor(options: PgLockOptions) {
    this.#o = options
  }

  async observe(spec: Omit<HoldSpec, 'prior'>): Promise<Observation<PauseState>> {
    const asked = `pg_locks of the state ${this.#place(spec.target).text}`
    try {
      const holders = await withLockSession(this.#o, async (query) => this.#holders(query, await this.#stateId(query, spec.target)))
      const ours = holders.find((h) => isOurs(h, spec))
      const other = holders.find((h) => h !== ours)
      const setting: Json = { locked: holders.length > 0, by: holders[0]?.application ?? null }
      return {
        status: 'known', at: new Date().toISOString(),
        value: {
          paused: ours !== undefined || (other !== undefined && isHold(other)), setting, changedBy: other ? `${other.application || 'unnamed'} (${other.user ?? 'unknown user'}, backend ${other.pid})` : null,
          running: other && !isHold(other) ? [`a Terraform run of ${other.user ?? 'somebody'} since ${other.since?.toISOString() ?? 'an unknown time'}`] : [], parents: [],
        },
        evidence: { source: `${this.#o.name} (PostgreSQL)`, request: asked, answer: { holders: holders.map((h) => ({ pid: h.pid, application_name: h.application, user: h.user })) } },
      }
    } catch (error) {
      return { status: 'unknown', at: new Date().toISOString(), reason: (error as Error).message }
    }
  }

  /** Takes the lock and keeps it. A running apply holds it first: OUTSIDE_FAILED, and the caller's loop tries again. */
  async pause(spec: HoldSpec): Promise<void> {
    const held = this.#held.get(spec.holdId) ?? { client: null, spec, timer: null, losses: 0 }
    held.spec = spec
    this.#held.set(spec.holdId, held)
    if (held.client) return
    await this.#take(held)
  }
  async resume(spec: HoldSpec): Promise<void> {
    const held = this.#held.get(spec.holdId)
    this.#held.delete(spec.holdId)
    if (held) await this.#letGo(held)
    // A process of ours that died without closing its connection, or another one that holds it: end that connection.
    await withLockSession(this.#o, async (query) => {
      const id = await this.#stateId(query, spec.target)
      for (const h of await this.#holders(query, id)) {
        if (isOurs(h, spec)) await query('select pg_terminate_backend($1, 5000)', [h.pid])
      }
      const left = (await this.#holders(query, id)).some((h) => isOurs(h, spec))
      if (left) throw new ReglazeError(CORE.OUTSIDE_FAILED, `the hold on ${this.#place(spec.target).text} is still there`)
    })
  }
  manual(spec: HoldSpec): string {
    return `psql -c "select pg_terminate_backend(pid) from pg_stat_activity where application_name like 'reglaze ${spec.holdId} %'"`
  }
  async close(): Promise<void> {
    const all = [...this.#held.values()]
    this.#held.clear()
    await Promise.all(all.map((held) => this.#letGo(held)))
  }

  async #take(held: Held): Promise<void> {
    const client = new pg.Client({ connectionString: this.#o.url, application_name: applicationName(held.spec), connectionTimeoutMillis: 5000, query_timeout: 10_000, keepAlive: true, keepAliveInitialDelayMillis: 5000 })
    client.on('error', (error: Error & { code?: string }) => this.#lost(held, client, error.code === ENDED_ON_PURPOSE))
    client.on('end', () => this.#lost(held, client, false))
    const query: Query = async (text, values) => (await client.query(text, values)).rows
    try {
      await client.connect()
      const id = await this.#stateId(query, held.spec.target)
      const [got] = await query<{ locked: boolean }>('select pg_try_advisory_lock($1) as locked', [id])
      if (!got?.locked) {
        const [holder] = await this.#holders(query, id)
        await client.end()
        // Another process of ours holds it for this same hold, or a person or another incident holds it: already so.
        if (holder && (isOurs(holder, held.spec) || isHold(holder))) return
        throw new ReglazeError(CONNECTOR.CONNECTOR_LOCKED, `the state ${this.#place(held.spec.target).text} is locked by ${holder?.application || 'a Terraform run'} (${holder?.user ?? 'unknown user'})`, { hint: 'A run that goes on is waited for; it is tried again.' })
      }
    } catch (error) {
      client.removeAllListeners('end')
      await client.end().catch(() => undefined)
      if (error instanceof ReglazeError) throw error
      throw new ReglazeError(CORE.OUTSIDE_FAILED, `the lock of ${this.#place(held.spec.target).text} could not be taken: ${(error as Error).message}`, { cause: error })
    }
    // Resumed while the lock was on its way.
    if (this.#held.get(held.spec.holdId) !== held) return client.end()
    held.client = client
    held.losses = 0
  }
  /** The connection is gone and with it the lock: take it again until resume. */
  #lost(held: Held, client: pg.Client, onPurpose: boolean): void {
    if (held.client !== client) return
    held.client = null
    this.#o.log?.(`the connection that held ${this.#place(held.spec.target).text} was lost`)
    if (onPurpose && !this.#o.stillWanted) this.#held.delete(held.spec.holdId)
    else this.#again(held)
  }
  #again(held: Held): void {
    if (this.#held.get(held.spec.holdId) !== held || held.timer) return
    const wait = REASSERT_MS[Math.min(held.losses, REASSERT_MS.length - 1)] as number
    held.losses += 1
    held.timer = setTimeout(() => {
      held.timer = null
      void this.#retake(held)
    }, wait)
    held.timer.unref()
  }
  async #retake(held: Held): Promise<void> {
    try {
      if (this.#held.get(held.spec.holdId) !== held || held.client) return
      if ((await this.#o.stillWanted?.(held.spec.holdId)) === false) this.#held.delete(held.spec.holdId)
      else await this.#take(held)
    } catch (error) {
      this.#o.log?.((error as Error).message)
      this.#again(held)
    }
  }
  async #letGo(held: Held): Promise<void> {
    if (held.timer) clearTimeout(held.timer)
    held.timer = null
    const { client } = held
    held.client = null
    await client?.end().catch(() => undefined)
  }

  #place(target: Record<string, Json>): { schema: string; workspace: string; text: string } {
    const schema = typeof target['schema'] === 'string' ? target['schema'] : (this.#o.schema ?? 'terraform_remote_state')
    const workspace = typeof target['workspace'] === 'string' ? target['workspace'] : 'default'
    return { schema, workspace, text: `${this.#o.name}/${schema}/${workspace}` }
  }
  async #stateId(query: Query, target: Record<string, Json>): Promise<string> {
    const { schema, workspace, text } = this.#place(target)
    let rows: { id: string }[]
    try {
      rows = await query<{ id: string }>(`select id::text from ${pg.escapeIdentifier(schema)}.states where name = $1`, [workspace])
    } catch (error) {
      if ((error as { code?: string }).code !== '42P01') throw error
      rows = []
    }
    if (!rows[0]) throw new ReglazeError(CONNECTOR.CONNECTOR_NOT_THERE, `there is no state ${text}`, { hint: 'The workspace has no state yet: run `terraform init` and a first apply, or correct schema and workspace.' })
    return rows[0].id
  }
  /** Who has the lock, over all connections of the server; a bigint lock is in classid (high half) and objid (low half). */
  #holders(query: Query, id: string): Promise<Holder[]> {
    return query<Holder & pg.QueryResultRow>(
      `select a.pid, coalesce(a.application_name, '') as application, a.usename as user, a.query_start as since
       from pg_locks l left join pg_stat_activity a on a.pid = l.pid
       where l.locktype = 'advisory' and l.granted and l.objsubid = 1 and l.database = (select oid from pg_database where datname = current_database())
         and ((l.classid::bigint << 32) | l.objid::bigint) = $1::bigint`, [id])
  }
}

function isOurs(holder: Holder, spec: Pick<HoldSpec, 'holdId'>): boolean {
  return holder.application.startsWith(`reglaze ${spec.holdId} `)
}
/** A hold, not a run: Terraform's own connections have no application name (or what somebody set it to for Terraform). */
function isHold(holder: Holder): boolean {
  return holder.application !== '' && !/terraform|tofu/i.test(holder.application)
}

type Query = <T extends pg.QueryResultRow>(text: string, values?: unknown[]) => Promise<T[]>
