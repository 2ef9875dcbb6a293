/** Reads audit logs, attributes the changes in them and notices what automation undid. The loop of record/. */
import { hash } from 'node:crypto'
import type { Json } from '../core/json.ts'
import type { AuditEvent, AuditSource } from '../core/ports.ts'
import { append } from '../ledger/index.ts'
import { dbNow, type Store, type TimerHandler, type Tx } from '../store/index.ts'
import { attribute, type AttributionContext, type GrantWindow } from './attribute.ts'
import { modificationHcl, type HclOptions } from './hcl.ts'
import type { Modification, Undone } from './model.ts'
import * as rows from './store.ts'
import { undoneBy } from './undone.ts'

export const COLLECT = 'audit.collect'
const BUSY_MS = 1000
const IDLE_MS = 15_000
/** At most so many pages in one turn; the rest follows at once in the next. */
const PAGES = 50
/** A source that answers no question for this long is not observed: that blocks the close. */
export const UNREAD_MS = 15_000

export interface UndoneFinding {
  readonly modification: string
  readonly incident: string | null
  readonly resource: Modification['resource']
  readonly address: string | null
  readonly person: string | null
  readonly undone: Undone
}
export interface CollectDeps {
  readonly store: Store
  readonly sources: () => Readonly<Record<string, AuditSource>>
  readonly grantsFor: (range: { from: string; to: string }) => Promise<readonly GrantWindow[]>
  readonly openIncidents: () => Promise<readonly { id: string; number: number; openedAt: string }[]>
  /** Accounts of known automation at this source: what they write can undo a person's change. */
  readonly automation: (source: string) => readonly string[]
  /** Accounts that Reglaze itself uses at this source: machine work that never counts as undoing. */
  readonly ours: (source: string) => readonly string[]
  readonly addressOf: (source: string, resource: Modification['resource']) => string | null
  readonly hclOptions?: (type: string) => HclOptions
  /** Once for each finding, in the transaction that stores it: only database work may be done here. */
  readonly onUndone: (tx: Tx, finding: UndoneFinding) => Promise<void>
  readonly isBusy: () => Promise<boolean> | boolean
}

export function collector(deps: CollectDeps): TimerHandler {
  return async (source) => {
    if (!Object.hasOwn(deps.sources(), source)) return 'done'
    const { more } = await collect(deps, source)
    return { again: more ? 0 : (await deps.isBusy()) ? BUSY_MS : IDLE_MS }
  }
}

/** One turn for one source; may be repeated and may run in several processes. A source that fails is remembered as unread. */
export async function collect(deps: CollectDeps, source: string): Promise<{ more: boolean }> {
  const reader = deps.sources()[source] as AuditSource
  for (let page = 0; page < PAGES; page++) {
    const before = (await rows.cursor(deps.store.db, source)).cursor
    let read: Awaited<ReturnType<AuditSource['read']>>
    try {
      read = await reader.read(before)
    } catch (error) {
      await rows.cursorFailed(deps.store.db, source, (error as Error).message)
      return { more: false }
    }
    await take(deps, source, before, read)
    if (read.events.length === 0 || read.cursor === before) return { more: false }
  }
  return { more: true }
}

async function take(deps: CollectDeps, source: string, before: string | null, read: Awaited<ReturnType<AuditSource['read']>>): Promise<void> {
  const { events } = read
  const late = await rows.maybeLate(deps.store.db, source)
  const times = [...events.map((e) => e.time), ...late.map((m) => m.at.toISOString())].sort()
  const grants = times.length === 0 ? [] : await deps.grantsFor({ from: times[0] as string, to: times.at(-1) as string })
  const context: AttributionContext = {
    grants, automation: [...deps.automation(source), ...deps.ours(source)], incidents: times.length === 0 ? [] : await deps.openIncidents(),
    addressOf: (resource) => deps.addressOf(source, resource),
  }
  await deps.store.db.transaction().execute(async (tx) => {
    // Another process may have taken the same page meanwhile.
    if ((await rows.cursor(tx, source, true)).cursor !== before) return
    for (const m of attribute(events, context)) await storeOne(deps, tx, source, m)
    for (const row of late) await again(tx, row, context)
    if (!read.complete) await storeGap(deps, tx, source, read.cursor, context)
    await findUndone(deps, tx, source, events)
    await rows.moveCursor(tx, source, read.cursor)
  })
}

async function storeOne(deps: CollectDeps, tx: Tx, source: string, m: Modification): Promise<void> {
  const row = await rows.insertModification(tx, source, m, modificationHcl(m, deps.hclOptions?.(m.resource.type)))
  if (!row || m.verdict === 'automation') return
  await append(tx, { kind: `modification.${m.verdict}`, incident: m.incident, subject: row.id, actor: m.actor, data: evidence(source, m) })
}
/** A ledger entry has at most 64 KB: of a larger change it keeps the digest, the row keeps the change. */
const LARGEST_CHANGE = 30_000

function evidence(source: string, m: Modification): Json {
  const changed = JSON.stringify(m.attributes)
  return {
    source, event: m.event, at: m.at, actor: m.actor, credential: m.credential, source_identity: m.sourceIdentity, request: m.request, resource: { ...m.resource }, address: m.address,
    changed: changed.length > LARGEST_CHANGE ? { sha256: hash('sha256', changed, 'hex'), bytes: changed.length } : (m.attributes as unknown as Json), grant: m.grant, person: m.person, why: m.why,
  }
}

/** The log itself says that it lost events: what they were, nobody knows, so somebody has to answer for it. */
async function storeGap(deps: CollectDeps, tx: Tx, source: string, cursor: string, context: AttributionContext): Promise<void> {
  const at = (await dbNow(tx)).toISOString()
  for (const incident of context.incidents) {
    await storeOne(deps, tx, source, {
      id: null, event: `gap:${incident.id}:${cursor}`, at, actor: 'unknown', credential: 'unknown', sourceIdentity: null, action: 'other', request: '', resource: { type: 'audit-log', id: source, name: source },
      address: null, before: null, after: null, attributes: {}, grant: null, incident: incident.id, person: null, verdict: 'unexplained', why: 'the audit log says that it lost events here',
    })
  }
}

/** Late knowledge of a grant: judges a change again that nothing explained. */
async function again(tx: Tx, row: rows.ModificationRow, context: AttributionContext): Promise<void> {
  const event = eventOf(row)
  const judged = attribute([event], context)[0]
  if (judged?.verdict !== 'attributed') return
  if (!(await rows.attributeLater(tx, row.id, judged))) return
  await append(tx, { kind: 'modification.attributed', incident: judged.incident, subject: row.id, actor: row.actor, data: { ...(evidence(row.source, judged) as object), late: true } as Json })
}

async function findUndone(deps: CollectDeps, tx: Tx, source: string, events: readonly AuditEvent[]): Promise<void> {
  const machines = deps.automation(source)
  if (!events.some((e) => machines.includes(e.actor) && e.ok && e.action !== 'read')) return
  for (const row of await rows.standing(tx, source)) {
    const change = { at: row.at.toISOString(), event: row.event_id, action: row.action, attributes: row.attributes, resource: eventOf(row).resource }
    const undone = undoneBy(change, events, machines)
    if (!undone || !(await rows.setUndone(tx, row.id, undone))) continue
    await append(tx, { kind: 'modification.undone', incident: row.incident_id, subject: row.id, actor: undone.by, data: { ...undone, attributes: [...undone.attributes], resource: change.resource, address: row.address } as unknown as Json })
    await deps.onUndone(tx, { modification: row.id, incident: row.incident_id, resource: change.resource, address: row.address, person: row.person, undone })
  }
}

function eventOf(row: rows.ModificationRow): AuditEvent {
  return {
    id: row.event_id, time: row.at.toISOString(), actor: row.actor, credential: row.credential, sourceIdentity: row.source_identity, action: row.action as AuditEvent['action'],
    resource: { type: row.resource_type, id: row.resource_id, name: row.resource_name }, before: row.before, after: row.after, ok: true, request: row.request,
  }
}
