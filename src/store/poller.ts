import { sql } from 'kysely'
import type { Db } from './connect.ts'
import { LEASE_MS } from './nodes.ts'

/** True for a timer that nobody works on: never claimed, or claimed by a process whose beat has stopped. */
export const FREE = sql`(t.owner is null or not exists (
  select 1 from reglaze.nodes n where n.key = t.owner and n.beat_at > pg_catalog.now() - interval '${sql.raw(String(LEASE_MS))} milliseconds'))`

export interface Poller {
  /** Calls `wake` whenever work of the kind is due. Returns the way to leave. */
  join(kind: string, everyMs: number, wake: () => void): () => void
}

/** One small query for all kinds of a process, instead of one loop per kind that mostly finds nothing. */
export function startPoller(db: Db, onError: (error: unknown) => void): Poller {
  const members = new Set<{ kind: string; everyMs: number; wake: () => void }>()
  let timer: NodeJS.Timeout | null = null
  let failures = 0

  const look = async (): Promise<void> => {
    const kinds = [...new Set([...members].map((m) => m.kind))]
    const { rows } = await sql<{ kind: string }>`
      select k.kind from unnest(${kinds}::text[]) as k(kind) where exists (
        select 1 from reglaze.timers t where t.kind = k.kind and t.due_at <= reglaze.now() and ${FREE})`.execute(db)
    const due = new Set(rows.map((r) => r.kind))
    for (const member of members) if (due.has(member.kind)) member.wake()
  }
  const schedule = (): void => {
    if (timer !== null || members.size === 0) return
    const everyMs = Math.min(...[...members].map((m) => m.everyMs))
    timer = setTimeout(() => {
      void look()
        .then(() => (failures = 0), (error: unknown) => {
          failures++
          if (members.size > 0) onError(error)
        })
        .finally(() => {
          timer = null
          schedule()
        })
    }, failures === 0 ? everyMs : Math.min(2_000, 100 * 2 ** failures))
  }
  return {
    join(kind, everyMs, wake) {
      const member = { kind, everyMs, wake }
      members.add(member)
      schedule()
      return () => {
        members.delete(member)
        if (members.size === 0 && timer !== null) {
          clearTimeout(timer)
          timer = null
        }
      }
    },
  }
}
