import { configSchema, type Config } from '../../config/index.ts'
import { defineErrors, type Caller, type Handler, type Message, type Notifier } from '../../core/index.ts'
import { newId, silent, sql, type Db, type Store, type Tx } from '../../store/index.ts'
import { oncallPart, type IncidentPort, type OncallPart } from '../index.ts'

/** A small organization, an incident port on a real table, and a notifier that keeps what it gets: for tests of on-call. */

export const TOKEN = 's3cr3t'

export function testConfig(change: (c: Record<string, unknown>) => void = () => {}): Config {
  const person = (id: string) => ({ id, name: id, email: `${id}@tailwind.example` })
  const layer = (id: string, members: string[]) => ({ id, zone: 'UTC', start: '2020-01-06', handoff: { at: '09:00' }, rotation: { kind: 'weekly' }, members })
  const raw: Record<string, unknown> = {
    organization: { name: 'Tailwind Traders', catch_all_team: 'platform' },
    people: ['ann', 'ben', 'cat', 'dan', 'zoe'].map(person),
    schedules: [
      { id: 'shop', layers: [layer('primary', ['ann', 'ben'])], fallback: 'zoe' },
      { id: 'platform', layers: [layer('primary', ['cat'])] },
    ],
    escalations: [
      { id: 'usual', steps: [{ after: '0s', notify: [{ schedule: 'shop' }] }, { after: '5m', notify: [{ schedule: 'platform' }, { person: 'dan' }] }, { after: '15m', notify: [{ person: 'zoe' }] }], repeat: 1 },
      { id: 'short', steps: [{ after: '0s', notify: [{ schedule: 'platform' }] }], repeat: 0 },
    ],
    teams: [
      { id: 'shop', name: 'Shop', members: ['ann', 'ben'], schedule: 'shop', escalation: 'usual' },
      { id: 'platform', name: 'Platform', members: ['cat', 'dan'], schedule: 'platform', escalation: 'short' },
    ],
    services: [
      { id: 'checkout', name: 'Checkout', team: 'shop', criticality: 1, alerts: [{ service: 'checkout' }], runbook: 'https://runbooks.example/checkout', resources: ['sandbox_instance/web'], depends_on: ['orders-db'] },
      { id: 'orders-db', name: 'Orders database', team: 'platform', criticality: 1, alerts: [{ service: 'checkout', alertname: 'DatabaseDown' }] },
    ],
    alert_sources: [{ id: 'prometheus', kind: 'alertmanager', token: 'env:AM_TOKEN' }],
  }
  change(raw)
  return configSchema.parse(raw)
}

export interface Incidents extends IncidentPort {
  readonly calls: string[]
}

/** One open incident per service, in a table of the test's database, so that several processes see the same. */
export async function incidentPort(store: Store): Promise<Incidents> {
  await sql`create table if not exists test_incidents (id text primary key, number int generated always as identity, title text, service text unique, team text, severity int, dri text, acknowledged_by text, resolved boolean default false)`.execute(store.db)
  const calls: string[] = []
  return {
    calls,
    async onAlert(tx: Tx, alert, more) {
      calls.push(`alert ${alert.title} +${more.length}`)
      const { rows } = await sql<{ id: string }>`select id from test_incidents where service = ${alert.service}`.execute(tx)
      if (rows[0]) return rows[0].id
      const id = newId('incident')
      await sql`insert into test_incidents (id, title, service, team, severity) values (${id}, ${alert.title}, ${alert.service}, ${alert.team}, ${alert.severity})`.execute(tx)
      return id
    },
    async onResolved(tx, alert, left) {
      calls.push(`resolved ${left.resolved.length} firing ${left.firing}`)
      await sql`update test_incidents set resolved = ${left.firing === 0} where id = ${alert.incident}`.execute(tx)
    },
    async onDri(tx, incident, person) {
      await sql`update test_incidents set dri = ${person} where id = ${incident}`.execute(tx)
    },
    async onAcknowledged(tx, incident, person, page) {
      calls.push(`acknowledged by ${person} on ${page.slice(0, 5)}`)
      await sql`update test_incidents set acknowledged_by = ${person}, dri = ${person} where id = ${incident}`.execute(tx)
    },
    async find(db: Db | Tx, idOrLabel) {
      const number = /^INC-(\d+)$/.exec(idOrLabel)?.[1]
      const { rows } = await sql<{ id: string; number: number; title: string; service: string; team: string; severity: number }>`
        select * from test_incidents where id = ${idOrLabel} or number = ${Number(number ?? 0)}`.execute(db)
      return rows[0] ?? null
    },
  }
}

export class Mailbox implements Notifier {
  readonly sent: Message[] = []
  /** What the next sends do instead of succeeding. */
  readonly failures: Error[] = []
  async send(message: Message): Promise<{ receipt: string }> {
    const failure = this.failures.shift()
    if (failure) throw failure
    this.sent.push(message)
    return { receipt: `kept ${message.id}` }
  }
}

export interface World {
  readonly part: OncallPart
  readonly incidents: Incidents
  readonly mail: Mailbox
  config: Config
  /** Calls a route by its id, as the server would after its checks. */
  call(id: string, o?: { params?: object; query?: object; body?: unknown; caller?: Partial<Caller>; headers?: Record<string, string>; raw?: Uint8Array | string }): Promise<any>
  deliver(raw: Uint8Array | string, headers?: Record<string, string>): Promise<string>
}

export async function world(store: Store, config: Config = testConfig()): Promise<World> {
  const incidents = await incidentPort(store)
  const mail = new Mailbox()
  const w = { config, incidents, mail } as unknown as { -readonly [K in keyof World]: World[K] }
  w.part = oncallPart({ store, config: () => w.config, incidents, notifier: () => mail, publicUrl: () => 'https://reglaze.example/', secret: () => TOKEN, log: silent })
  w.call = async (id, o = {}) => {
    const handler = w.part.routes.find((h) => h.route.id === id) as Handler
    const { route } = handler
    const parsed = <T>(schema: { parse(v: unknown): T } | undefined, value: unknown) => (schema ? schema.parse(value) : value)
    const raw = typeof o.raw === 'string' ? new TextEncoder().encode(o.raw) : (o.raw ?? new Uint8Array())
    const answer = await handler.handle({
      params: parsed(route.params, o.params ?? {}), query: parsed(route.query, o.query ?? {}), body: parsed(route.body, o.body),
      caller: { name: 'ann', role: 'responder', person: 'ann', tokenId: null, ...o.caller },
      request: { headers: o.headers ?? {}, rawBody: raw },
    })
    return route.response.parse(answer)
  }
  w.deliver = async (raw, headers = { authorization: `Bearer ${TOKEN}` }) => (await w.call('intake.alertmanager', { params: { source: 'prometheus' }, raw, headers })).delivery
  return w
}

/** Resolves when the condition holds; the limit of the test ends it otherwise. */
export async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await new Promise((r) => setTimeout(r, 5))
}
/** What a notifier throws for an address that does not exist: asking again would not help. */
export const TEST_REFUSED = defineErrors({ TEST_NOTIFIER_REFUSED: { kind: 'outside', about: 'test', hint: 'test' } }).TEST_NOTIFIER_REFUSED
