import { ReglazeError, type Message } from '../core/index.ts'
import { append } from '../ledger/index.ts'
import { observeOnly, startWorker, transaction, type TimerHandler, type Worker } from '../store/index.ts'
import { ONCALL } from './errors.ts'
import { PROCESS, type Intake } from './intake.ts'
import * as pages from './page-store.ts'
import { ESCALATE, SEND, type Pagings } from './paging.ts'
import type { OncallDeps } from './ports.ts'
import { listAlerts } from './store.ts'
import { pageText } from './text.ts'

/** The three loops of this part, each with its own worker so that a slow mail server delays nothing else. */
export function startLoops(deps: OncallDeps, intake: Intake, pagings: Pagings): { stop(): Promise<void> } {
  const { store, log } = deps
  const workers: Worker[] = [
    startWorker(store, { kind: PROCESS, handle: (id) => intake.process(id), concurrency: 4, log }),
    startWorker(store, { kind: SEND, handle: unlessObserving(deps, (id) => sendPage(deps, id)), concurrency: 8, log }),
    startWorker(store, { kind: ESCALATE, handle: unlessObserving(deps, (id) => pagings.escalate(id)), concurrency: 2, log }),
  ]
  return {
    async stop() {
      await Promise.all(workers.map((w) => w.stop()))
    },
  }
}

const LOOK_AGAIN_MS = 2_000

/** A restored or moved store pages nobody until a person has compared it with the world; what is due waits. */
function unlessObserving(deps: OncallDeps, handle: (id: string) => ReturnType<TimerHandler>): TimerHandler {
  return async (id) => ((await observeOnly(deps.store.db)) ? { again: LOOK_AGAIN_MS } : handle(id))
}

/**
 * One try to send one page. A failure that may pass is thrown: the worker tries again with backoff, for ever, until the page
 * is acknowledged or superseded. The message id is the page's, so a mail whose outcome is unknown may be handed over again:
 * it is the same mail. A refusal that will not pass fails the page, and the next step of the escalation is due at once.
 */
export async function sendPage(deps: OncallDeps, id: string): Promise<'done'> {
  const { db } = deps.store
  const page = await pages.findPage(db, { id })
  if (page?.state !== 'queued') return 'done'
  const notifier = deps.notifier()
  if (!notifier) {
    await pages.noteAttempt(db, id, 'no notifier is configured')
    throw new ReglazeError(ONCALL.PAGE_NO_NOTIFIER, `page ${id} cannot be sent: no notifier is configured`)
  }
  const to = deps.config().people.find((p) => p.id === page.person)?.email
  if (!to) return fail(deps, page, `${page.person} has no address in the configuration in force`)
  const { message, stored } = await compose(deps, page, to)
  let receipt: string
  try {
    receipt = (await notifier.send(message)).receipt
  } catch (error) {
    if (isFinal(error)) return fail(deps, page, (error as Error).message)
    await pages.noteAttempt(db, id, String((error as Error).message ?? error).slice(0, 1_000))
    throw error
  }
  await transaction(db, async (tx) => {
    const moved = await pages.markSent(tx, id, { subject: message.subject, body: stored, receipt })
    // Acknowledged while it was under way: it went out all the same, and the ledger says so.
    await append(tx, { kind: 'page.sent', incident: page.incident_id, subject: id, actor: 'reglaze', data: { person: page.person, receipt, attempts: page.attempts + 1, ...(moved ? {} : { note: 'no longer needed when it went out' }) } })
  })
  return 'done'
}

/** The provider said no in a way that will not change by asking again. */
function isFinal(error: unknown): boolean {
  return error instanceof ReglazeError && error.kind === 'outside' && !error.retryable
}

async function fail(deps: OncallDeps, page: pages.Page, reason: string): Promise<'done'> {
  deps.log.error({ page: page.id, person: page.person, reason }, 'a page could not be delivered')
  await transaction(deps.store.db, async (tx) => {
    const paging = await pages.lockPaging(tx, { incident: page.incident_id })
    if (!(await pages.markFailed(tx, page.id, reason))) return
    await append(tx, { kind: 'page.failed', incident: page.incident_id, subject: page.id, actor: 'reglaze', data: { person: page.person, reason } })
    if (paging?.state !== 'running') return
    const step = (await pages.listPages(tx, { incident: page.incident_id, limit: 1000 })).filter((p) => p.round === paging.round && p.step === paging.step)
    if (!step.every((p) => p.state === 'failed')) return
    await pages.hurryPaging(tx, paging, ESCALATE)
  })
  return 'done'
}

async function compose(deps: OncallDeps, page: pages.Page, to: string): Promise<{ message: Message; stored: string }> {
  const { db } = deps.store
  const incident = await deps.incidents.find(db, page.incident_id)
  if (!incident) throw new ReglazeError(ONCALL.PAGE_NOBODY, `incident ${page.incident_id} of page ${page.id} cannot be found`)
  const alerts = await listAlerts(db, { incident: page.incident_id, limit: 1000 })
  const others = (await pages.listPages(db, { incident: page.incident_id, limit: 100 })).filter((p) => p.person !== page.person)
  const latest = new Map(others.toReversed().map((p) => [p.person, p.state]))
  const facts = { incident, person: page.person, responsible: page.responsible, alerts, others: [...latest].map(([person, state]) => `${person} (${state})`), round: page.round, step: page.step }
  const base = deps.publicUrl().replace(/\/+$/, '')
  const { subject, text } = pageText(deps.config(), { ...facts, ackUrl: `${base}/ack/${page.ack_token}` })
  return { message: { id: page.id, to, subject, text }, stored: text.replaceAll(`/ack/${page.ack_token}`, '/ack/…') }
}
