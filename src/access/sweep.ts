import type { Grantable, Json } from '../core/index.ts'
import { append } from '../ledger/index.ts'
import { poke, startWorker, type TimerHandler } from '../store/index.ts'
import { CONVERGE, type Access } from './service.ts'
import * as rows from './store.ts'
import { safely, takeAway } from './targets.ts'

export const SWEEP = 'access.sweep'
/** Subject of the look that starts the others and wakes grants that no timer looks after. */
const ALL = '*'
const ALL_MS = 30_000
const EVERY_MS = 60_000
/** More than this many in one look at one target is no leftover but a mistake (a lost table, a wrong database): nothing is removed. */
export const BRAKE = 5

interface Mark {
  readonly grantId: string
  readonly principal: string
  readonly detail: Json
}

/** Compares the rights that carry our mark with the grants that we know (reference access.md §4.3, step 7). */
export function startSweep(access: Access): { stop(): Promise<void> } {
  const { store } = access.deps
  const worker = startWorker(store, { kind: SWEEP, handle: sweep(access), concurrency: 4, pollMs: 500 })
  void poke(store.db, SWEEP, ALL).catch(() => undefined)
  return { stop: () => worker.stop() }
}

/** One subject per connector, so that one that hangs does not keep the others from being looked at. */
export function sweep(access: Access): TimerHandler {
  const reported = new Set<string>()
  return async (subject) => {
    const { store } = access.deps
    if (await access.deps.observeOnly()) return { again: ALL_MS }
    if (subject === ALL) {
      for (const id of await rows.unattended(store.db, CONVERGE)) await poke(store.db, CONVERGE, id)
      for (const c of access.deps.config().connectors) await poke(store.db, SWEEP, c.id, { inMs: EVERY_MS })
      return { again: ALL_MS }
    }
    const connector = grantableOrNull(access, subject)
    if (!connector?.marked) return 'done'
    await compare(access, subject, connector, await connector.marked(), reported)
    return { again: EVERY_MS }
  }
}

/** Most connectors give no access; one that should and cannot be made is reported by every grant that needs it. */
function grantableOrNull(access: Access, connector: string): Grantable | null {
  try {
    return access.deps.grantable(connector)
  } catch {
    return null
  }
}

async function compare(access: Access, name: string, connector: Grantable, marks: readonly Mark[], reported: Set<string>): Promise<void> {
  const { store, alarm } = access.deps
  const once = async (key: string, incident: string | null, kind: string, data: Json, subject: string, text: string) => {
    if (reported.has(key)) return
    reported.add(key)
    await append(store.db, { kind, incident, subject: name, actor: 'sweep', data })
    await alarm(incident, subject, text).catch(() => undefined)
  }
  const leftover: { g: rows.Grant; t: rows.Target }[] = []
  for (const mark of marks) {
    const g = await rows.find(store.db, mark.grantId)
    const t = g ? (await rows.targets(store.db, g.id)).find((x) => x.connector === name) : undefined
    if (g && t && t.state === 'revoked' && g.state === 'revoked') leftover.push({ g, t })
    else if (!g || !t) {
      await once(`unknown ${name} ${mark.grantId}`, null, 'sweep.unknown', { grant: mark.grantId, principal: mark.principal, detail: mark.detail },
        `${name} has a right of ${mark.grantId} that nobody knows`, `It carries our mark, but there is no such grant here. It is left as it is; remove it by hand if it should not be there: ${JSON.stringify(mark)}`)
    }
  }
  if (leftover.length > BRAKE) {
    const list = leftover.map(({ g, t }) => `${g.id} ${t.principal}: ${safely(() => connector.manual(access.spec(g, t)))}`)
    await once(`brake ${name} ${leftover.map((l) => l.g.id).sort().join()}`, null, 'sweep.braked', { count: leftover.length, limit: BRAKE, grants: leftover.map((l) => l.g.id) },
      `${leftover.length} rights at ${name} look like leftovers; none is removed`, `More than ${BRAKE} at once is more likely a mistake of ours. By hand, after a look:\n${list.join('\n')}`)
    return
  }
  for (const { g, t } of leftover) await remove(access, name, connector, g, t, reported)
}

/** A right of a grant that ended: somebody put it back, or a call came through after it was given up. */
async function remove(access: Access, name: string, connector: Grantable, g: rows.Grant, t: rows.Target, reported: Set<string>): Promise<void> {
  const { store, alarm } = access.deps
  const before = await connector.observe(access.spec(g, t))
  // Unknown: the next look. Not there any more: it was being removed while we looked.
  if (before.status === 'unknown' || (!before.value.member && before.value.sessions === 0)) return
  try {
    const after = await takeAway(connector, access.spec(g, t), name)
    const others = await rows.regrantBeside(store.db, t)
    for (const id of others) await poke(store.db, CONVERGE, id)
    await append(store.db, { kind: 'sweep.removed', incident: g.incident_id, subject: g.id, actor: 'sweep', data: { connector: name, found: before as unknown as Json, read_back: after as unknown as Json } })
    await alarm(g.incident_id, `A right of ${g.person} at ${name} was there after its grant had ended`, `${g.id} ended ${g.revoked_at?.toISOString() ?? ''}; the sweep took the right away again.`).catch(() => undefined)
  } catch (error) {
    const key = `failing ${name} ${g.id}`
    if (!reported.has(key)) await alarm(g.incident_id, `A right of ${g.person} at ${name} is there although its grant ended, and cannot be removed`, `${(error as Error).message}\nIt is tried again. By hand: ${safely(() => connector.manual(access.spec(g, t)))}`).catch(() => undefined)
    reported.add(key)
    throw error
  }
}
