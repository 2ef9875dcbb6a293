import { ApiError, bodyObject } from '../lib/index.ts'
import type { Call } from '../lib/index.ts'
import { invalid, textField } from './store.ts'
import type { Context, Outcome } from './store.ts'

const MODES = ['429', '401', '500', 'hang', 'lost-answer'] as const
type Mode = (typeof MODES)[number]
interface Fault {
  /** A method, `write` for every one but GET, or null for all. */
  readonly method: string | null
  readonly path_prefix: string
  readonly principal: string | null
  readonly mode: Mode
  times: number
}

function meets(wanted: string | null, method: string): boolean {
  return wanted === null || wanted === method || (wanted === 'write' && method !== 'GET')
}

/** Faults for drills and tests. Kept in memory only: a restart ends them. */
export class Faults {
  #list: Fault[] = []

  add(ctx: Context): Outcome {
    const body = bodyObject(ctx.call)
    const mode = body['mode'] as Mode
    const times = body['times'] ?? 1
    if (!MODES.includes(mode)) throw invalid(`mode must be one of ${MODES.join(', ')}`)
    if (typeof times !== 'number' || times < 1) throw invalid('times must be 1 or more')
    const fault: Fault = { method: textField(body, 'method'), path_prefix: textField(body, 'path_prefix') ?? '/', principal: textField(body, 'principal'), mode, times }
    this.#list.push(fault)
    return { status: 201, body: fault, action: 'other', resource: null }
  }
  list(): Outcome {
    return { status: 200, body: { items: this.#list }, action: 'read', resource: null }
  }
  clear(): Outcome {
    this.#list = []
    return { status: 204, action: 'other', resource: null }
  }

  /** The fault that this call meets, used up by it; those that are errors are thrown. */
  take(call: Call, principal: string | null): 'hang' | 'lost-answer' | null {
    if (call.path.startsWith('/v1/faults')) return null
    const fault = this.#list.find((f) => meets(f.method, call.method) && call.path.startsWith(f.path_prefix) && (f.principal === null || f.principal === principal))
    if (!fault) return null
    if (--fault.times <= 0) this.#list = this.#list.filter((f) => f !== fault)
    switch (fault.mode) {
      case '429':
        throw new ApiError(429, 'Throttled', 'too many calls: slow down', { 'retry-after': '1' })
      case '401':
        throw new ApiError(401, 'Unauthenticated', 'the key is not accepted at the moment (a fault set for a drill)')
      case '500':
        throw new ApiError(500, 'Internal', 'internal error (a fault set for a drill)')
      default:
        return fault.mode
    }
  }
}
