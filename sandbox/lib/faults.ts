import { ApiError } from './http.ts'
import type { Answer, Call, Handler, Json } from './http.ts'

export const FAULT_MODES = ['429', '401', '500', 'hang', 'lost-answer'] as const
export type FaultMode = (typeof FAULT_MODES)[number]

/** One planned misbehaviour: the next `times` matching calls are treated so. */
export interface Fault {
  readonly method: string | null
  readonly path_prefix: string
  readonly mode: FaultMode
  times: number
}

/** Reads a fault from a request body; throws 400 for anything else. */
export function readFault(body: Json | undefined): Fault {
  const b = (body ?? {}) as Record<string, Json>
  const mode = b['mode'] as FaultMode
  const times = b['times'] ?? 1
  if (!FAULT_MODES.includes(mode)) throw new ApiError(400, 'Invalid', `mode must be one of ${FAULT_MODES.join(', ')}`)
  if (typeof times !== 'number' || !Number.isInteger(times) || times < 1) throw new ApiError(400, 'Invalid', 'times must be a whole number above 0')
  return { method: typeof b['method'] === 'string' ? b['method'].toUpperCase() : null, path_prefix: typeof b['path_prefix'] === 'string' ? b['path_prefix'] : '/', mode, times }
}

/**
 * Puts planned faults before a handler. `refuse` makes the answer in the API's own error shape. `hang` never answers and
 * has no effect; `lost-answer` lets the effect happen and destroys the connection. Faults live in memory only.
 */
export class Faults {
  #planned: Fault[] = []
  add(fault: Fault): void {
    this.#planned.push(fault)
  }
  clear(): void {
    this.#planned = []
  }
  list(): readonly Fault[] {
    return this.#planned
  }
  async around(call: Call, next: Handler, refuse: (status: number, call: Call) => Answer): Promise<Answer> {
    const fault = this.#planned.find((f) => (f.method === null || f.method === call.method) && call.path.startsWith(f.path_prefix))
    if (fault === undefined) return next(call)
    fault.times -= 1
    this.#planned = this.#planned.filter((f) => f.times > 0)
    if (fault.mode === 'hang') return { status: 0, instead: 'hang' }
    if (fault.mode === 'lost-answer') {
      await next(call)
      return { status: 0, instead: 'cut' }
    }
    const status = Number(fault.mode)
    const answer = refuse(status, call)
    return status === 429 ? { ...answer, headers: { ...answer.headers, 'retry-after': '1' } } : answer
  }
}
