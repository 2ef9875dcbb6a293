import { CORE, ReglazeError, type Notifier } from '../core/index.ts'
import type { Config } from '../config/index.ts'
import { append } from '../ledger/index.ts'
import { newId, poke, sql, startWorker, type Store, type Tx, type Worker } from '../store/index.ts'

const SEND = 'alarm.send'

export interface AlarmDeps {
  readonly store: Store
  readonly config: () => Config
  readonly notifier: () => Notifier | null
  /** Who is responsible for a service now. */
  readonly dri: (service: string) => Promise<{ person: string }>
}
interface Row {
  id: string
  incident_id: string | null
  subject: string
  body: string
  sent_at: Date | null
  dri: string | null
  service: string | null
}

/** Alarms of the loops as durable mails: raised in the transaction that found the reason, sent until they are handed over. */
export class Alarms {
  readonly #deps: AlarmDeps
  constructor(deps: AlarmDeps) {
    this.#deps = deps
  }

  /** Stores the alarm; the same subject of the same incident that is not sent yet is not stored twice. */
  async raise(tx: Tx, incidentId: string | null, subject: string, text: string): Promise<void> {
    const { rows } = await sql`select 1 from alarms where sent_at is null and subject = ${subject} and incident_id is not distinct from ${incidentId}`.execute(tx)
    if (rows.length > 0) return
    const id = newId('event')
    await sql`insert into alarms (id, incident_id, subject, body) values (${id}, ${incidentId}, ${subject}, ${text})`.execute(tx)
    await append(tx, { kind: 'alarm', incident: incidentId, subject: id, actor: 'reglaze', data: { subject, text } })
    await poke(tx, SEND, id)
  }

  start(): Worker {
    return startWorker(this.#deps.store, {
      kind: SEND,
      handle: async (id) => {
        await this.#send(id)
        return 'done'
      },
    })
  }

  async #send(id: string): Promise<void> {
    const { store } = this.#deps
    const { rows } = await sql<Row>`select a.id, a.incident_id, a.subject, a.body, a.sent_at, i.dri, i.service from alarms a left join incidents i on i.id = a.incident_id where a.id = ${id}`.execute(store.db)
    const alarm = rows[0]
    if (!alarm || alarm.sent_at !== null) return
    const notifier = this.#deps.notifier()
    if (!notifier) throw new ReglazeError(CORE.WRONG_STATE, 'nobody can be told: no paging connector is configured')
    const to = await this.#recipient(alarm)
    // The same id each time: a mail that went out before a kill is the same mail, not a second one.
    const { receipt } = await notifier.send({ id: alarm.id, to: to.email, subject: `[Reglaze] ${alarm.subject}`, text: alarm.body })
    await sql`update alarms set sent_at = reglaze.now(), sent_to = ${to.id}, receipt = ${receipt} where id = ${id} and sent_at is null`.execute(store.db)
  }

  /** The DRI of the incident, else who is on call for the catch-all team, else for the first service: an alarm always has one person. */
  async #recipient(alarm: Row): Promise<{ id: string; email: string }> {
    const config = this.#deps.config()
    const catchAll = config.services.find((s) => s.team === config.organization.catch_all_team) ?? config.services[0]
    const service = alarm.service ?? catchAll?.id
    const id = alarm.dri ?? (service ? (await this.#deps.dri(service)).person : undefined)
    const person = config.people.find((p) => p.id === id) ?? config.people[0]
    if (!person) throw new ReglazeError(CORE.WRONG_STATE, 'nobody can be told: the configuration has no people')
    return { id: person.id, email: person.email }
  }
}
