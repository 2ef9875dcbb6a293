/** Whose change was it? Pure. Attribution rests on the credential that the outside system logged, never on overlap in time alone. */
import { canonical, sameJson, type Json } from '../core/json.ts'
import type { AuditEvent } from '../core/ports.ts'
import type { ChangedAttribute, Modification, Verdict } from './model.ts'

/** One grant and the time in which its credential was good. */
export interface GrantWindow {
  readonly grantId: string
  readonly person: string
  /** The person's account at the outside system. */
  readonly principal: string
  /** More accounts of the same grant, at other systems. */
  readonly principals?: readonly string[]
  readonly activeFrom: string
  /** When it was read back as gone; null: in force. */
  readonly endedAt: string | null
  readonly incident?: string | null
  /** Keys or sessions that were issued under this grant, where the system has no mark of its own. */
  readonly credentials?: readonly string[]
}
export interface AttributionContext {
  readonly grants: readonly GrantWindow[]
  /** Accounts of known automation, Reglaze's own included. */
  readonly automation: readonly string[]
  /** Open incidents, for changes that no grant explains. */
  readonly incidents: readonly { readonly id: string; readonly openedAt: string }[]
  addressOf(resource: { type: string; id: string; name: string | null }): string | null
}

/** Things that log in or out are not changes of what people run. */
const NOT_A_CHANGE = new Set(['session'])
/** What Reglaze and other machines do to access and locks all day; for people it counts. */
const MACHINE_ROUTINE = new Set(['membership', 'lock', 'principal', 'session'])
/** Clocks of two systems differ a little: a grant counts from this much earlier. Its end has no such grace. */
const SKEW_MS = 2000

/** The changes among the events, each with its verdict. Reads, refused calls and changes outside every incident and grant are left out. */
export function attribute(events: readonly AuditEvent[], context: AttributionContext): Modification[] {
  return events.flatMap((event) => {
    if (!isChange(event)) return []
    const automation = context.automation.includes(event.actor)
    if (automation && MACHINE_ROUTINE.has(event.resource.type)) return []
    const { verdict, why, grant } = verdictOf(event, context, automation)
    const incident = grant?.incident ?? incidentAt(event.time, context)
    if (incident === null && !grant) return []
    return [{
      id: null, event: event.id, at: event.time, actor: event.actor, credential: event.credential, sourceIdentity: event.sourceIdentity,
      action: event.action, request: event.request, resource: event.resource, address: context.addressOf(event.resource),
      before: event.before, after: event.after, attributes: changedAttributes(event.before, event.after),
      grant: grant?.grantId ?? null, incident, person: grant?.person ?? null, verdict, why,
    }]
  })
}

export function isChange(event: AuditEvent): boolean {
  if (!event.ok || event.action === 'read' || NOT_A_CHANGE.has(event.resource.type)) return false
  return event.action !== 'other' || !sameJson(event.before, event.after)
}

function verdictOf(event: AuditEvent, context: AttributionContext, automation: boolean): { verdict: Verdict; why: string; grant: GrantWindow | null } {
  const grant = context.grants.find((g) => (event.sourceIdentity !== null ? g.grantId === event.sourceIdentity : (g.credentials?.includes(event.credential) ?? false)))
  const no = (why: string) => ({ verdict: 'unexplained' as const, why, grant: null })
  if (!grant) {
    if (automation) return { verdict: 'automation', why: `${event.actor} is known automation`, grant: null }
    if (event.sourceIdentity !== null) return no(`the credential names ${event.sourceIdentity}, which is no grant of ours`)
    return no(`${event.actor} used ${event.credential}, which belongs to no grant`)
  }
  if (event.actor !== grant.principal && !grant.principals?.includes(event.actor)) return no(`${event.actor} used the credential of ${grant.grantId}, which is ${grant.person}'s`)
  const at = Date.parse(event.time)
  if (at < Date.parse(grant.activeFrom) - SKEW_MS) return no(`${grant.grantId} was in force only from ${grant.activeFrom}`)
  if (grant.endedAt !== null && at > Date.parse(grant.endedAt)) return no(`${grant.grantId} had ended at ${grant.endedAt}`)
  const by = event.sourceIdentity !== null ? 'its mark on the session' : `credential ${event.credential}`
  return { verdict: 'attributed', why: `${grant.grantId} of ${grant.person}, by ${by}`, grant }
}

/** The incident that was opened last before the change; a change before all open incidents belongs to none. */
function incidentAt(time: string, context: AttributionContext): string | null {
  const before = context.incidents.filter((i) => Date.parse(i.openedAt) <= Date.parse(time) + SKEW_MS)
  before.sort((a, b) => Date.parse(b.openedAt) - Date.parse(a.openedAt))
  return before[0]?.id ?? null
}

/** What differs between two objects, by attribute. A create or delete shows every attribute. */
export function changedAttributes(before: Json, after: Json): Record<string, ChangedAttribute> {
  const a = asObject(before)
  const b = asObject(after)
  const changed: Record<string, ChangedAttribute> = {}
  for (const key of [...new Set([...Object.keys(a), ...Object.keys(b)])].sort()) {
    const from = a[key] ?? null
    const to = b[key] ?? null
    if (canonical(from) !== canonical(to)) changed[key] = { before: from, after: to }
  }
  return changed
}
function asObject(value: Json): Record<string, Json> {
  return value !== null && typeof value === 'object' && !Array.isArray(value) ? value : {}
}
