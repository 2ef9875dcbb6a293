import type { Schedule } from '../config/schema.ts'
import { CORE, ReglazeError, type Caller, type Handler } from '../core/index.ts'
import { append } from '../ledger/index.ts'
import { dbNow, transaction } from '../store/index.ts'
import { askPage, tellPage } from './ack-page.ts'
import { oncallRoutes as r, type RawResponse } from './contract.ts'
import { evalSchedules, view } from './engine.ts'
import { ONCALL } from './errors.ts'
import type { Intake } from './intake.ts'
import * as pages from './page-store.ts'
import type { Acknowledgement, Pagings } from './paging.ts'
import type { OncallDeps } from './ports.ts'
import { onCall } from './schedule.ts'
import * as rows from './store.ts'

const LONGEST_WINDOW_MS = 400 * 86_400_000

/** The handlers of all routes of this part. */
export function oncallHandlers(deps: OncallDeps, intake: Intake, pagings: Pagings): Handler[] {
  return [...intakeHandlers(deps, intake), ...scheduleHandlers(deps), ...pageHandlers(deps, pagings)]
}

function intakeHandlers(deps: OncallDeps, intake: Intake): Handler[] {
  const { db } = deps.store
  const shape = (d: rows.DeliveryRow) => ({ id: d.id, source: d.source, received_at: d.received_at.toISOString(), reason: d.reason ?? '', bytes: d.body.length, understood: d.alerts ?? 0 })
  return [
    { route: r.intake, handle: async ({ params, request }) => ({ delivery: await intake.receive(params.source, request.headers, request.rawBody) }) },
    { route: r.alerts, handle: async ({ query }) => ({ alerts: await rows.listAlerts(db, { ...query, incident: await incidentId(deps, query.incident) }) }) },
    {
      route: r.alert,
      handle: async ({ params }) => {
        const found = await rows.findAlert(db, params.id)
        if (!found) throw new ReglazeError(CORE.NOT_FOUND, `there is no alert ${params.id}`)
        return found
      },
    },
    { route: r.deadLetters, handle: async ({ query }) => ({ dead_letters: (await rows.deadLetters(db, query.limit)).map(shape) }) },
    {
      route: r.deadLetter,
      handle: async ({ params }) => {
        const found = await rows.findDelivery(db, params.id)
        if (found?.state !== 'dead') throw new ReglazeError(CORE.NOT_FOUND, `there is no dead letter ${params.id}`)
        return { ...shape(found), body: found.body.toString('utf8') }
      },
    },
    {
      route: r.replay,
      handle: async ({ params, caller }) => {
        await intake.replay(params.id, caller.name)
        return { delivery: params.id, state: 'stored' }
      },
    },
  ]
}

function scheduleHandlers(deps: OncallDeps): Handler[] {
  const { db } = deps.store
  const schedule = (id: string): Schedule => {
    const found = deps.config().schedules.find((s) => s.id === id)
    if (!found) throw new ReglazeError(ONCALL.SCHEDULE_NOT_FOUND, `there is no schedule "${id}"`, { hint: `Known schedules: ${deps.config().schedules.map((s) => s.id).join(', ')}` })
    return found
  }
  return [
    {
      route: r.now,
      handle: async ({ query }) => {
        const at = query.at ? new Date(query.at) : await dbNow(db)
        const all = await rows.overrides(db)
        return { at: at.toISOString(), shifts: evalSchedules(deps.config(), at, (s) => all.filter((o) => o.schedule === s)) }
      },
    },
    {
      route: r.shifts,
      handle: async ({ params, query }) => {
        const found = schedule(params.schedule)
        const window = windowOf(query)
        return { shifts: onCall(found, window, await rows.overrides(db, { schedule: found.id })).map((s) => view(found, s)) }
      },
    },
    { route: r.overrides, handle: async ({ params }) => ({ overrides: (await rows.overrides(db, { schedule: schedule(params.schedule).id, endsAfter: await dbNow(db) })).map(overrideView) }) },
    { route: r.override, handle: ({ params, body, caller }) => createOverride(deps, schedule(params.schedule), body, caller) },
    { route: r.deleteOverride, handle: ({ params, caller }) => deleteOverride(deps, params.id, caller) },
  ]
}

interface OverrideBody {
  readonly person: string
  readonly replaces: string | null
  readonly from: string
  readonly to: string
  readonly reason: string
}

async function createOverride(deps: OncallDeps, schedule: Schedule, body: OverrideBody, caller: Caller) {
  const window = windowOf(body)
  for (const person of [body.person, body.replaces]) {
    if (person !== null && !deps.config().people.some((p) => p.id === person)) throw new ReglazeError(CORE.INVALID_INPUT, `there is no person "${person}"`)
  }
  if (caller.role !== 'admin' && (caller.person === null || ![body.person, body.replaces].includes(caller.person))) throw new ReglazeError(ONCALL.OVERRIDE_REFUSED, 'only the two people of a trade, or an admin, may make it')
  const made = await transaction(deps.store.db, async (tx) => {
    const present = await rows.overrides(tx, { schedule: schedule.id })
    const wanted = { schedule: schedule.id, person: body.person, replaces: body.replaces, ...window, reason: body.reason, createdBy: caller.name }
    const changes = onCall(schedule, window, [...present, { ...wanted, id: '' }]).filter((s) => s.why.kind === 'override' && s.why.override === '')
    if (changes.length === 0) throw new ReglazeError(ONCALL.OVERRIDE_WITHOUT_EFFECT, `nobody would be replaced by ${body.person} in that window of ${schedule.id}`)
    const override = await rows.insertOverride(tx, wanted)
    const named = changes.map((s) => view(schedule, s.why.kind === 'override' ? { ...s, why: { ...s.why, override: override.id } } : s))
    await append(tx, { kind: 'oncall.override-created', subject: override.id, actor: caller.name, data: { ...overrideView(override) } })
    return { ...overrideView(override), changes: named }
  })
  return made
}

async function deleteOverride(deps: OncallDeps, id: string, caller: Caller) {
  return transaction(deps.store.db, async (tx) => {
    const found = (await rows.overrides(tx)).find((o) => o.id === id)
    if (!found) throw new ReglazeError(CORE.NOT_FOUND, `there is no override ${id} in force`)
    if (caller.role !== 'admin' && caller.name !== found.createdBy && ![found.person, found.replaces].includes(caller.person)) throw new ReglazeError(ONCALL.OVERRIDE_REFUSED, 'only the people of a trade, who made it, or an admin may take it back')
    const deleted = await rows.deleteOverride(tx, id, caller.name)
    if (deleted) await append(tx, { kind: 'oncall.override-deleted', subject: id, actor: caller.name, data: { schedule: found.schedule } })
    return { id, deleted }
  })
}

function overrideView({ from, to, createdBy, ...o }: rows.OverrideRow) {
  const { id, schedule, person, replaces, reason } = o
  return { id, schedule, person, replaces, from: new Date(from).toISOString(), to: new Date(to).toISOString(), reason, created_by: createdBy }
}

function windowOf(o: { from: string; to: string }): { from: number; to: number } {
  const from = Date.parse(o.from)
  const to = Date.parse(o.to)
  if (!(from < to)) throw new ReglazeError(CORE.INVALID_INPUT, '"to" must be later than "from"', { place: 'to' })
  if (to - from > LONGEST_WINDOW_MS) throw new ReglazeError(CORE.INVALID_INPUT, 'a window may be 400 days long at most', { place: 'to' })
  return { from, to }
}

async function incidentId(deps: OncallDeps, idOrLabel: string | undefined): Promise<string | undefined> {
  if (idOrLabel === undefined) return undefined
  const found = await deps.incidents.find(deps.store.db, idOrLabel)
  if (!found) throw new ReglazeError(CORE.NOT_FOUND, `there is no incident ${idOrLabel}`)
  return found.id
}

function pageView(p: pages.Page) {
  const iso = (d: Date | null) => d?.toISOString() ?? null
  return {
    id: p.id, incident: p.incident_id, person: p.person, responsible: p.responsible, state: p.state, round: p.round, step: p.step, why: p.why,
    attempts: p.attempts, error: p.error, receipt: p.receipt, subject: p.subject,
    created_at: p.created_at.toISOString(), sent_at: iso(p.sent_at), acknowledged_at: iso(p.acknowledged_at), acknowledged_by: p.acknowledged_by,
  }
}

/** Whom a call acknowledges for: the caller; only an admin may name somebody else. */
function acknowledger(deps: OncallDeps, caller: Caller, named: string | undefined): string {
  if (named !== undefined && named !== caller.person) {
    if (caller.role !== 'admin') throw new ReglazeError(CORE.REFUSED, 'only an admin may acknowledge for somebody else')
    if (!deps.config().people.some((p) => p.id === named)) throw new ReglazeError(CORE.INVALID_INPUT, `there is no person "${named}"`, { place: 'person' })
    return named
  }
  if (caller.person === null) throw new ReglazeError(ONCALL.PAGE_NEEDS_PERSON, `token "${caller.name}" belongs to no person`)
  return caller.person
}

function pageHandlers(deps: OncallDeps, pagings: Pagings): Handler[] {
  const { db } = deps.store
  const acknowledge = (o: { incident: string; person: string; page: string | null; via: 'api' | 'link' }): Promise<Acknowledgement> => transaction(db, (tx) => pagings.acknowledge(tx, o))
  return [
    { route: r.pages, handle: async ({ query }) => ({ pages: (await pages.listPages(db, { ...query, incident: await incidentId(deps, query.incident) })).map(pageView) }) },
    {
      route: r.ackPage,
      handle: async ({ params, body, caller }) => {
        const page = await pages.findPage(db, { id: params.id })
        if (!page) throw new ReglazeError(CORE.NOT_FOUND, `there is no page ${params.id}`)
        return acknowledge({ incident: page.incident_id, person: acknowledger(deps, caller, body?.person), page: page.id, via: 'api' })
      },
    },
    {
      route: r.ackIncident,
      handle: async ({ params, body, caller }) => {
        const incident = (await incidentId(deps, params.id)) as string
        return acknowledge({ incident, person: acknowledger(deps, caller, body?.person), page: null, via: 'api' })
      },
    },
    { route: r.ackForm, handle: ({ params }) => ackForm(deps, params.token) },
    {
      route: r.ackLink,
      handle: async ({ params }) => {
        const page = await pages.findPage(db, { token: params.token })
        if (!page) return tellPage(404, 'Unknown link', 'This link is not one of ours. Use the link of the newest mail.')
        const { label } = await about(deps, page)
        const done = await acknowledge({ incident: page.incident_id, person: page.person, page: page.id, via: 'link' })
        return told(label, done)
      },
    },
  ]
}

async function about(deps: OncallDeps, page: pages.Page): Promise<{ label: string; title: string }> {
  const incident = await deps.incidents.find(deps.store.db, page.incident_id)
  return { label: incident ? `INC-${incident.number}` : page.incident_id, title: incident?.title ?? '' }
}

async function ackForm(deps: OncallDeps, token: string): Promise<RawResponse> {
  const page = await pages.findPage(deps.store.db, { token })
  if (!page) return tellPage(404, 'Unknown link', 'This link is not one of ours. Use the link of the newest mail.')
  const { label, title } = await about(deps, page)
  const paging = await pages.findPaging(deps.store.db, page.incident_id)
  if (paging?.state === 'acknowledged') return tellPage(200, label, `${paging.acknowledged_by} has acknowledged at ${paging.acknowledged_at?.toISOString()}.`)
  return askPage({ label, title, person: page.person })
}

function told(label: string, a: Acknowledgement): RawResponse {
  return a.already ? tellPage(200, label, `${a.acknowledged_by} had acknowledged already, at ${a.acknowledged_at}.`) : tellPage(200, label, `Acknowledged. ${a.acknowledged_by}, you are the responsible person now.`)
}
