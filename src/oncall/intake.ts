import { createHash, timingSafeEqual } from 'node:crypto'
import { CORE, ReglazeError, type Json } from '../core/index.ts'
import { append } from '../ledger/index.ts'
import { newId, poke, sql, transaction, type Tx } from '../store/index.ts'
import { parseDelivery, routeAlert, shorten } from './alertmanager.ts'
import { ONCALL } from './errors.ts'
import { GroupCommit } from './group-commit.ts'
import type { Alert } from './model.ts'
import type { Pagings } from './paging.ts'
import type { OncallDeps } from './ports.ts'
import * as rows from './store.ts'

export const PROCESS = 'delivery.process'

/** Alerts in: store the delivery as it came, answer, process it later in one transaction. */
export class Intake {
  readonly #deps: OncallDeps
  readonly #pagings: Pagings
  readonly #arrivals: GroupCommit<rows.NewDelivery>
  constructor(deps: OncallDeps, pagings: Pagings) {
    this.#deps = deps
    this.#pagings = pagings
    this.#arrivals = new GroupCommit((list) => rows.insertDeliveries(deps.store.db, PROCESS, list), (d) => d.body.byteLength)
  }

  /** Stores a delivery durably and returns its id; nothing of it is looked at. Throws INTAKE_UNAUTHENTICATED. */
  async receive(source: string, headers: Readonly<Record<string, string>>, body: Uint8Array): Promise<string> {
    this.#authenticate(source, headers)
    const id = newId('delivery')
    await this.#arrivals.add({ id, source, body, contentType: headers['content-type'] ?? null, userAgent: headers['user-agent'] ?? null })
    return id
  }

  #authenticate(source: string, headers: Readonly<Record<string, string>>): void {
    const refuse = () => new ReglazeError(ONCALL.INTAKE_UNAUTHENTICATED, `the token for alert source "${source}" is missing or wrong, or there is no such source`)
    const configured = this.#deps.config().alert_sources.find((s) => s.id === source)
    const given = tokenOf(headers['authorization'])
    if (!configured || given === null) throw refuse()
    let token: string
    try {
      token = this.#deps.secret(configured.token)
    } catch (cause) {
      throw new ReglazeError(ONCALL.INTAKE_SECRET_UNREADABLE, `the token of alert source "${source}" cannot be read`, { cause, place: configured.token })
    }
    if (!timingSafeEqual(sha256(given), sha256(token))) throw refuse()
  }

  /** Understands a stored delivery: alerts, incidents, pages and ledger entries, all or nothing. Repeatable: a processed one is left alone. */
  async process(id: string): Promise<'done'> {
    await transaction(this.#deps.store.db, async (tx) => {
      const delivery = await rows.lockDelivery(tx, id)
      if (delivery?.state !== 'stored') return
      const config = this.#deps.config()
      const { alerts, truncated, problems } = parseDelivery(delivery.body)
      const routed = alerts.map((a) => ({ ...a, ...routeAlert(config, a.labels) }))
      const { began, resolved } = await rows.upsertAlerts(tx, delivery, routed)
      for (const [service, some] of groups(began, (a) => a.service)) await this.#begin(tx, delivery.id, service, some)
      for (const [incident, some] of groups(resolved, (a) => a.incident ?? '')) await this.#resolve(tx, delivery.id, incident, some)
      const reason = problems.length === 0 ? null : `${problems.length} not understood; ${shorten(problems.slice(0, 5).join(' | '), 2_000)}`
      await rows.finishDelivery(tx, id, { state: reason === null ? 'processed' : 'dead', alerts: alerts.length, truncated, reason })
      if (reason !== null) await append(tx, { kind: 'delivery.dead', subject: id, actor: delivery.source, data: { source: delivery.source, reason, understood: alerts.length } })
    })
    return 'done'
  }

  async #begin(tx: Tx, delivery: string, service: string, alerts: readonly Alert[]): Promise<void> {
    // Two deliveries at once for one service open one incident: the second waits here until the first is committed.
    await sql`select pg_advisory_xact_lock(hashtextextended(${`reglaze.oncall.${service}`}, 0))`.execute(tx)
    const [worst, ...more] = alerts.toSorted((a, b) => (a.severity ?? 9) - (b.severity ?? 9)) as [Alert, ...Alert[]]
    const incident = await this.#deps.incidents.onAlert(tx, worst, more.slice(0, SUMMARIZED))
    await rows.attach(tx, alerts.map((a) => a.id), incident)
    await append(tx, { kind: 'alert.firing', incident, subject: worst.id, actor: worst.source, data: { delivery, service, team: worst.team, routed_by: worst.routedBy as Json, alerts: summary(alerts) } })
    const known = await this.#deps.incidents.find(tx, incident)
    if (!known) throw new ReglazeError(CORE.INTERNAL, `incident ${incident} was opened for an alert, but cannot be found`)
    await this.#pagings.page(tx, { ...known, team: known.team ?? worst.team })
  }

  async #resolve(tx: Tx, delivery: string, incident: string, alerts: readonly Alert[]): Promise<void> {
    const [first] = alerts as [Alert]
    await append(tx, { kind: 'alert.resolved', incident: incident || null, subject: first.id, actor: first.source, data: { delivery, alerts: summary(alerts) } })
    // Resolved before we ever heard that it fires: nothing was opened for it.
    if (!incident) return
    const firing = await rows.stillFiring(tx, incident)
    await this.#deps.incidents.onResolved(tx, first, { resolved: alerts, firing })
    if (firing === 0) await this.#pagings.stop(tx, incident, 'every alert of the incident has resolved')
  }

  /** Processes a dead letter again, with the present program and configuration. */
  async replay(id: string, by: string): Promise<void> {
    await transaction(this.#deps.store.db, async (tx) => {
      if (!(await rows.reviveDelivery(tx, id))) {
        const found = await rows.findDelivery(this.#deps.store.db, id)
        throw found ? new ReglazeError(CORE.WRONG_STATE, `delivery ${id} is no dead letter, it is ${found.state}`) : new ReglazeError(CORE.NOT_FOUND, `there is no delivery ${id}`)
      }
      await poke(tx, PROCESS, id)
      await append(tx, { kind: 'delivery.replayed', subject: id, actor: by, data: {} })
    })
  }
}

const SUMMARIZED = 50

/** What the ledger keeps of a group: the first fifty by name (an entry has 64 KiB), of the rest the number. */
function summary(alerts: readonly Alert[]): Json {
  const named = alerts.slice(0, SUMMARIZED).map((a) => ({ id: a.id, fingerprint: a.fingerprint, starts_at: a.startsAt, title: shorten(a.title, 100), severity: a.severity }))
  return { count: alerts.length, named }
}

function groups(alerts: readonly Alert[], key: (a: Alert) => string): [string, Alert[]][] {
  const found = new Map<string, Alert[]>()
  for (const alert of alerts) {
    const group = found.get(key(alert))
    if (group) group.push(alert)
    else found.set(key(alert), [alert])
  }
  return [...found.entries()].sort(([a], [b]) => (a < b ? -1 : 1))
}

function sha256(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}

/** The token of `Bearer TOKEN`, or the password of basic auth. */
function tokenOf(authorization: string | undefined): string | null {
  const [scheme, value] = (authorization ?? '').split(' ', 2)
  if (!value) return null
  if (scheme?.toLowerCase() === 'bearer') return value
  if (scheme?.toLowerCase() !== 'basic') return null
  const pair = Buffer.from(value, 'base64').toString()
  return pair.includes(':') ? pair.slice(pair.indexOf(':') + 1) : null
}
