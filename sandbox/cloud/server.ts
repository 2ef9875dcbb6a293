import { asAnswer, routeTable, serveJson } from '../lib/index.ts'
import type { Answer, Call, Listening } from '../lib/index.ts'
import * as access from './access.ts'
import { runAction } from './actions.ts'
import { eventOf, readAudit } from './audit.ts'
import { allow, authenticate } from './authorize.ts'
import type { Need } from './authorize.ts'
import { Faults } from './faults.ts'
import * as locks from './locks.ts'
import * as resources from './resources.ts'
import { COLLECTIONS } from './schema.ts'
import type { Collection } from './schema.ts'
import type { Caller, CloudJournal, Context, Outcome } from './store.ts'

interface Route {
  readonly need: Need
  readonly collection?: Collection
  run(ctx: Context): Outcome
}

/** Serves the cloud on a journal that {@link openCloud} opened. */
export async function serveCloud(journal: CloudJournal, o: { host?: string; port?: number } = {}): Promise<Listening> {
  const cloud = new Cloud(journal)
  return serveJson((call) => cloud.handle(call), o)
}

class Cloud {
  #journal: CloudJournal
  #faults = new Faults()
  #match: (call: Call) => { value: Route; params: Record<string, string> }

  constructor(journal: CloudJournal) {
    this.#journal = journal
    this.#match = routeTable(routes(this.#faults))
  }

  // From the look at the state to the commit there is no await: each call sees and leaves a whole state.
  async handle(call: Call): Promise<Answer> {
    if (call.path === '/healthz') return { status: 200, body: { ok: true } }
    const now = new Date()
    let caller: Caller | null = null
    let outcome: Outcome | null = null
    let fault: 'hang' | 'lost-answer' | null = null
    let answer: Answer
    try {
      let refused: unknown = null
      try {
        caller = authenticate(this.#journal.state, call, now)
      } catch (e) {
        refused = e
      }
      fault = this.#faults.take(call, caller?.principal ?? null)
      if (refused) throw refused
      if (fault === 'hang') {
        answer = { status: 0, instead: 'hang' }
      } else {
        outcome = this.#run(call, caller as Caller, now)
        answer = { status: outcome.status, body: outcome.body }
      }
    } catch (e) {
      answer = asAnswer(e)
    }
    await this.#record(call, caller, outcome, answer.status, now)
    return fault === 'lost-answer' ? { status: 0, instead: 'cut' } : answer
  }

  #run(call: Call, caller: Caller, now: Date): Outcome {
    const { value: route, params } = this.#match(call)
    allow(caller, route.need, `${call.method} ${call.path}`, this.#scopes(route, params))
    return route.run({ state: this.#journal.state, call: { ...call, params }, caller, now })
  }

  // Both spellings of a scope that may name the resource of this call.
  #scopes(route: Route, params: Record<string, string>): string[] {
    if (!route.collection || !params['id']) return []
    const { id } = params
    const rows = this.#journal.state.tables[route.collection]
    const found = id.startsWith('name:') ? Object.values(rows).find((r) => r.name === id.slice(5)) : rows[id]
    return found ? [found.id, `${route.collection}/${found.id}`, `${route.collection}/${found.name}`] : []
  }

  async #record(call: Call, caller: Caller | null, outcome: Outcome | null, status: number, now: Date): Promise<void> {
    const { state } = this.#journal
    const event = eventOf({ seq: state.seq + 1, now, call, caller, status, outcome })
    if (event.action !== 'read') return this.#journal.commit({ changes: outcome?.changes ?? [], event })
    // A reader is not told of a write before that write is on the disk; the record of the read itself may be lost in a power cut.
    const settled = this.#journal.settled()
    this.#journal.note({ changes: [], event })
    await settled
  }
}

function routes(faults: Faults): Record<string, Route> {
  const table: Record<string, Route> = {
    'GET /v1/whoami': { need: 'self', run: access.whoami },
    'GET /v1/principals': { need: 'read', run: access.listPrincipals },
    'POST /v1/principals': { need: 'admin', run: access.createPrincipal },
    'GET /v1/principals/:id': { need: 'read', run: access.getPrincipal },
    'DELETE /v1/principals/:id': { need: 'admin', run: access.deletePrincipal },
    'GET /v1/principals/:id/keys': { need: 'read', run: access.listKeys },
    'POST /v1/principals/:id/keys': { need: 'admin', run: access.createKey },
    'DELETE /v1/principals/:id/keys/:key': { need: 'admin', run: access.deleteKey },
    'GET /v1/memberships': { need: 'read', run: access.listMemberships },
    'GET /v1/memberships/:role/:principal': { need: 'read', run: access.getMembership },
    'PUT /v1/memberships/:role/:principal': { need: 'access', run: access.putMembership },
    'DELETE /v1/memberships/:role/:principal': { need: 'access', run: access.deleteMembership },
    'POST /v1/sessions': { need: 'self', run: access.createSession },
    'GET /v1/sessions': { need: 'read', run: access.listSessions },
    'DELETE /v1/sessions/:id': { need: 'self', run: access.deleteSession },
    'GET /v1/locks': { need: 'read', run: locks.listLocks },
    'GET /v1/locks/:name': { need: 'read', run: locks.getLock },
    'PUT /v1/locks/:name': { need: 'admin', run: locks.putLock },
    'DELETE /v1/locks/:name': { need: 'admin', run: locks.deleteLock },
    'GET /v1/audit': { need: 'read', run: readAudit },
    'POST /v1/faults': { need: 'admin', run: (ctx) => faults.add(ctx) },
    'GET /v1/faults': { need: 'admin', run: () => faults.list() },
    'DELETE /v1/faults': { need: 'admin', run: () => faults.clear() },
  }
  for (const collection of Object.keys(COLLECTIONS) as Collection[]) {
    const write: Need = collection === 'role-assignments' ? 'access' : 'write'
    table[`GET /v1/${collection}`] = { need: 'read', run: (ctx) => resources.listResources(ctx, collection) }
    table[`POST /v1/${collection}`] = { need: write, run: (ctx) => resources.createResource(ctx, collection) }
    table[`GET /v1/${collection}/:id`] = { need: 'read', collection, run: (ctx) => resources.getResource(ctx, collection) }
    table[`PATCH /v1/${collection}/:id`] = { need: write, collection, run: (ctx) => resources.patchResource(ctx, collection) }
    table[`DELETE /v1/${collection}/:id`] = { need: write, collection, run: (ctx) => resources.deleteResource(ctx, collection) }
    table[`POST /v1/${collection}/:id/actions/:action`] = { need: write, collection, run: (ctx) => runAction(ctx, collection) }
  }
  return table
}
