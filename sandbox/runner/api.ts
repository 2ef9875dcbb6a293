// HCP Terraform's v2 calls for one organization with one workspace.
import { existsSync, readFileSync } from 'node:fs'
import { ApiError, type Faults, asAnswer, readFault, router, type Answer, type Call, type Handler, type Journal, type Json, type Tokens, type User } from '../lib/index.ts'
import { JsonApiError, conflict, notFound, planDocument, runDocument, unprocessable, workspaceDocument } from './documents.ts'
import { ACTIVE, FINAL, runsOf, type Entry, type Run, type State, type Workspace } from './model.ts'
import type { Worker } from './worker.ts'

export interface ApiOptions {
  readonly journal: Journal<State, Entry>
  readonly worker: Worker
  readonly tokens: Tokens
  readonly faults: Faults
  readonly workingDirectory: string
  /** As HCP Terraform does: a run locks its workspace while it works, so that nobody else can. */
  readonly runsLock: boolean
  changed(): void
}
type Known = ApiOptions & { user: User }

export function runnerApi(o: ApiOptions): Handler {
  return async (call) => {
    try {
      if (call.path === '/healthz' || call.path === '/api/v2/ping') return { status: 200, body: { status: 'ok' } }
      const user = o.tokens.find(call.bearer)
      if (user === null) throw new JsonApiError(401, 'unauthorized')
      if (call.path === '/_sandbox/faults') return faults(o.faults, user, call)
      if (call.path.startsWith('/_archivist/')) return archive(o, call)
      return await o.faults.around(call, routes({ ...o, user }), (status) => answerOf(new JsonApiError(status, TITLE[status] ?? 'internal server error', 'planned fault')))
    } catch (e) {
      return answerOf(e)
    }
  }
}
const TITLE: Record<number, string> = { 401: 'unauthorized', 429: 'too many requests' }

function answerOf(e: unknown): Answer {
  if (e instanceof JsonApiError) return { status: e.status, body: e.body() }
  if (e instanceof ApiError) return { status: e.status, body: new JsonApiError(e.status, e.status === 404 ? 'not found' : e.code.toLowerCase(), e.status === 404 ? '' : e.message).body(), headers: e.headers }
  return asAnswer(e)
}
function faults(planned: Faults, user: User, call: Call): Answer {
  if (!user.groups.includes('admins')) throw notFound()
  if (call.method === 'POST') planned.add(readFault(call.body))
  if (call.method === 'DELETE') planned.clear()
  return { status: 200, body: { faults: planned.list() } }
}

function routes(o: Known): Handler {
  return router({
    'GET /api/v2/account/details': () => ok({ id: `user-${o.user.uid}`, type: 'users', attributes: { username: o.user.name, 'is-service-account': true } }),
    'GET /api/v2/organizations/:org/workspaces': (c) => (c.params['org'] === ws(o).organization ? { status: 200, body: { data: [view(o)], meta: pagination(1, 1, 1) } } : gone()),
    'GET /api/v2/organizations/:org/workspaces/:name': (c) => (c.params['org'] === ws(o).organization && c.params['name'] === ws(o).name ? ok(view(o)) : gone()),
    'GET /api/v2/workspaces/:id': (c) => ok(view(named(o, c))),
    'PATCH /api/v2/workspaces/:id': (c) => patch(writer(named(o, c)), c),
    'POST /api/v2/workspaces/:id/actions/lock': (c) => lock(writer(named(o, c)), c),
    'POST /api/v2/workspaces/:id/actions/unlock': (c) => unlock(writer(named(o, c)), false),
    'POST /api/v2/workspaces/:id/actions/force-unlock': (c) => unlock(writer(named(o, c)), true),
    'GET /api/v2/workspaces/:id/runs': (c) => listRuns(named(o, c), c),
    'POST /api/v2/runs': (c) => createRun(writer(o), c),
    'GET /api/v2/runs/:run': (c) => ok(runDocument(runOf(o, c), ws(o))),
    'GET /api/v2/runs/:run/plan': (c) => ok(planDocument(runOf(o, c), 'plans')),
    'GET /api/v2/runs/:run/apply': (c) => ok(planDocument(runOf(o, c), 'applies')),
    'GET /api/v2/plans/:plan': (c) => ok(planDocument(runOf(o, c), 'plans')),
    'GET /api/v2/plans/:plan/json-output': (c) => planJson(o, runOf(o, c)),
    'GET /api/v2/applies/:apply': (c) => ok(planDocument(runOf(o, c), 'applies')),
    'POST /api/v2/runs/:run/actions/apply': (c) => act(writer(o), runOf(o, c), 'apply'),
    'POST /api/v2/runs/:run/actions/discard': (c) => act(writer(o), runOf(o, c), 'discard'),
    'POST /api/v2/runs/:run/actions/cancel': (c) => act(writer(o), runOf(o, c), 'cancel'),
  })
}

const ok = (data: unknown): Answer => ({ status: 200, body: { data } })
function gone(): never {
  throw notFound()
}
function ws(o: ApiOptions): Workspace {
  return o.worker.workspace
}
function named(o: Known, c: Call): Known {
  return c.params['id'] === ws(o).id ? o : gone()
}
/** HCP Terraform answers 404, not 403, to who may not. */
function writer(o: Known): Known {
  return o.user.groups.includes('readers') ? gone() : o
}
function runOf(o: Known, c: Call): Run {
  const id = `run-${String(c.params['run'] ?? c.params['plan'] ?? c.params['apply']).replace(/^(run|plan|apply)-/, '')}`
  return o.journal.state.runs[id] ?? gone()
}
function activeRun(o: ApiOptions): Run | undefined {
  return runsOf(o.journal.state).find((r) => ACTIVE.includes(r.status))
}
function view(o: Known): unknown {
  const held = ws(o).locked_by ?? (o.runsLock ? holderRun(o) : null)
  return workspaceDocument({ ...ws(o), locked_by: held }, o.user, o.workingDirectory, runsOf(o.journal.state)[0])
}
function holderRun(o: ApiOptions): Workspace['locked_by'] {
  const run = activeRun(o)
  return run === undefined ? null : { type: 'runs', id: run.id, name: run.id }
}

async function patch(o: Known, c: Call): Promise<Answer> {
  const attributes = attributesOf(c)
  const set: { auto_apply?: boolean; description?: string | null } = {}
  if ('auto-apply' in attributes) {
    if (typeof attributes['auto-apply'] !== 'boolean') throw unprocessable('Auto apply must be a boolean')
    set.auto_apply = attributes['auto-apply']
  }
  if ('description' in attributes) set.description = attributes['description'] === null ? null : String(attributes['description'])
  await o.journal.commit({ t: 'settings', at: now(), set })
  o.changed()
  return ok(view(o))
}

async function lock(o: Known, c: Call): Promise<Answer> {
  const run = o.runsLock ? activeRun(o) : undefined
  if (run !== undefined) throw conflict(`Unable to lock workspace. The workspace is locked by Run ${run.id}.`)
  if (ws(o).locked_by !== null) throw conflict('Unable to lock workspace. The workspace is already locked.')
  const reason = (c.body as { reason?: Json } | undefined)?.reason
  await o.journal.commit({ t: 'lock', at: now(), by: { type: 'users', id: `user-${o.user.uid}`, name: o.user.name }, reason: typeof reason === 'string' ? reason : '' })
  return ok(view(o))
}

async function unlock(o: Known, force: boolean): Promise<Answer> {
  if (force && !o.user.groups.includes('admins')) throw notFound()
  const holder = ws(o).locked_by
  if (holder === null) throw conflict('Unable to unlock workspace. The workspace is already unlocked.')
  if (!force && holder.id !== `user-${o.user.uid}`) throw conflict(`Unable to unlock workspace. The workspace is locked by User ${holder.name} and may not be unlocked except by them.`)
  await o.journal.commit({ t: 'unlock', at: now() })
  o.changed()
  return ok(view(o))
}

function listRuns(o: Known, c: Call): Answer {
  const size = Math.min(Math.max(Number(c.query.get('page[size]') ?? 20) || 20, 1), 100)
  const page = Math.max(Number(c.query.get('page[number]') ?? 1) || 1, 1)
  const wanted = c.query.get('filter[status]')?.split(',')
  const all = runsOf(o.journal.state).filter((r) => wanted === undefined || wanted.includes(r.status))
  return { status: 200, body: { data: all.slice((page - 1) * size, page * size).map((r) => runDocument(r, ws(o))), meta: pagination(page, size, all.length) } }
}
function pagination(page: number, size: number, total: number): unknown {
  const pages = Math.max(1, Math.ceil(total / size))
  return { pagination: { 'current-page': page, 'page-size': size, 'prev-page': page > 1 ? page - 1 : null, 'next-page': page < pages ? page + 1 : null, 'total-pages': pages, 'total-count': total } }
}

async function createRun(o: Known, c: Call): Promise<Answer> {
  const a = attributesOf(c)
  const data = (c.body as { data?: { relationships?: { workspace?: { data?: { id?: string } } } } }).data
  if (data?.relationships?.workspace?.data?.id !== ws(o).id) throw notFound()
  const run = await o.worker.create({
    message: typeof a['message'] === 'string' ? a['message'] : 'Queued manually via API',
    source: 'tfe-api',
    trigger_reason: 'manual',
    created_by: `user-${o.user.uid}`,
    is_destroy: a['is-destroy'] === true,
    plan_only: a['plan-only'] === true,
    refresh_only: a['refresh-only'] === true,
    ...(typeof a['auto-apply'] === 'boolean' ? { auto_apply: a['auto-apply'] } : {}),
  })
  o.changed()
  return { status: 201, body: { data: runDocument(run, ws(o)) } }
}

async function act(o: Known, run: Run, what: 'apply' | 'discard' | 'cancel'): Promise<Answer> {
  if (what === 'cancel') {
    if (FINAL.includes(run.status)) throw conflict('transition not allowed')
    void o.worker.cancel(run)
    return { status: 202 }
  }
  if (run.status !== 'planned') throw conflict('transition not allowed')
  if (what === 'discard') await o.worker.discard(run, 'discarded by a user')
  else if (ws(o).locked_by !== null && ws(o).locked_by?.id !== `user-${o.user.uid}`) throw conflict('The workspace is locked.')
  else void o.worker.confirm(run)
  return { status: 202 }
}

function planJson(o: ApiOptions, run: Run): Answer {
  if (run.plan === null) return { status: 204 }
  return existsSync(o.worker.planJsonOf(run.id)) ? { status: 307, headers: { location: `/_archivist/${run.id}.plan.json` } } : gone()
}
function archive(o: ApiOptions, call: Call): Answer {
  const [, id = '', kind = ''] = /^\/_archivist\/(run-[0-9a-f]+)\.(log|plan\.json)$/.exec(call.path) ?? []
  const file = kind === 'log' ? o.worker.logOf(id) : o.worker.planJsonOf(id)
  if (kind === '' || !existsSync(file)) return gone()
  const text = readFileSync(file, 'utf8')
  return { status: 200, body: kind === 'log' ? { log: text } : JSON.parse(text) }
}
function attributesOf(c: Call): Record<string, Json> {
  const data = (c.body as { data?: { attributes?: Record<string, Json> } } | undefined)?.data
  if (data === undefined || data === null || typeof data !== 'object') throw unprocessable('the document has no "data"')
  return data.attributes ?? {}
}
function now(): string {
  return new Date().toISOString()
}
