import { ApiError, asAnswer, bodyObject, readFault, router, type Answer, type Call, type Faults, type Handler, type Journal, type Tokens, type User } from '../lib/index.ts'
import { PROCESSES, type Entry, type Group, type Process, type State } from './model.ts'

export interface ApiOptions {
  readonly journal: Journal<State, Entry>
  readonly tokens: Tokens
  readonly faults: Faults
  changed(): void
}

/** `GET /v1/groups[/:name]`, `POST /v1/groups/:name/suspend|resume`. */
export function autoscalerApi(o: ApiOptions): Handler {
  const routes = router({
    'GET /v1/groups': () => ({ status: 200, body: { items: Object.values(o.journal.state.groups).map(view) } }),
    'GET /v1/groups/:name': (call) => ({ status: 200, body: view(find(o, call)) }),
    'POST /v1/groups/:name/suspend': (call) => change(o, call, 'suspend'),
    'POST /v1/groups/:name/resume': (call) => change(o, call, 'resume'),
  })
  return async (call) => {
    try {
      if (call.path === '/healthz') return { status: 200, body: { status: 'ok' } }
      const user = o.tokens.find(call.bearer)
      if (user === null) throw new ApiError(401, 'Unauthenticated', 'no valid token')
      if (call.path === '/_sandbox/faults') return faults(o.faults, user, call)
      if (call.method !== 'GET' && user.groups.includes('readers')) throw new ApiError(403, 'Forbidden', `${user.name} may only read`)
      return await o.faults.around(call, routes, (status) => asAnswer(new ApiError(status, FAULT_CODE[status] ?? 'Internal', 'planned fault')))
    } catch (e) {
      return asAnswer(e)
    }
  }
}
const FAULT_CODE: Record<number, string> = { 401: 'Unauthenticated', 429: 'Throttled' }

function faults(planned: Faults, user: User, call: Call): Answer {
  if (!user.groups.includes('admins')) throw new ApiError(403, 'Forbidden', `${user.name} may not plan faults`)
  if (call.method === 'POST') planned.add(readFault(call.body))
  if (call.method === 'DELETE') planned.clear()
  return { status: 200, body: { faults: planned.list() } }
}
function find(o: ApiOptions, call: Call): Group {
  const group = o.journal.state.groups[call.params['name'] ?? '']
  if (group === undefined) throw new ApiError(404, 'NotFound', `there is no group "${call.params['name']}"`)
  return group
}

async function change(o: ApiOptions, call: Call, what: 'suspend' | 'resume'): Promise<Answer> {
  const group = find(o, call)
  // AWS takes an omitted list as "all processes"; that trap is not copied: the list is always explicit here.
  const processes = bodyObject(call)['processes']
  if (!Array.isArray(processes) || processes.length === 0) throw new ApiError(400, 'Invalid', 'processes must be a list with at least one process')
  const unknown = processes.find((p) => !PROCESSES.includes(p as Process))
  if (unknown !== undefined) throw new ApiError(400, 'Invalid', `there is no process "${String(unknown)}"; processes are ${PROCESSES.join(', ')}`)
  const by = o.tokens.find(call.bearer)?.name ?? 'unknown'
  const at = new Date().toISOString()
  const reason = typeof bodyObject(call)['reason'] === 'string' ? String(bodyObject(call)['reason']) : `User suspended at ${at}`
  if (what === 'resume') await o.journal.commit({ t: 'resume', name: group.name, processes: processes as Process[], by, at })
  else await o.journal.commit({ t: 'suspend', name: group.name, suspensions: (processes as Process[]).map((process) => ({ process, reason, by, at })) })
  o.changed()
  return { status: 200, body: view(find(o, call)) }
}

function view(g: Group): unknown {
  return {
    name: g.name,
    match: g.match,
    suspended_processes: g.suspended.map((s) => ({ process_name: s.process, suspension_reason: s.reason, suspended_by: s.by, suspended_at: s.at })),
    changed_by: g.changed_by,
    evaluated_at: g.evaluated_at,
    activities: g.activities.map((a) => ({ ...a, replace: undefined })),
  }
}
