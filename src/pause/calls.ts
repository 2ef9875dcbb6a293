import { outcomeUnknown, type Observation, type PauseState } from '../core/index.ts'
import type { Pause } from './service.ts'
import type { Hold } from './store.ts'

/** No call to a target is waited for longer; after that its outcome is unknown. */
const CALL_MS = 15_000

/** A call to a target: its answer, or an error, but never an endless wait. */
export async function asked<T>(work: () => Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const limit = new Promise<never>((_, fail) => (timer = setTimeout(() => fail(outcomeUnknown(`no answer in ${CALL_MS / 1000} s`)), CALL_MS)))
  const call = Promise.resolve().then(work)
  call.catch(() => undefined)
  return Promise.race([call, limit]).finally(() => clearTimeout(timer))
}
export async function observe(pause: Pause, h: Hold, label: string): Promise<Observation<PauseState>> {
  return asked(() => pause.deps.pausable(h.connector).observe(pause.spec(h, label))).catch((error: unknown) => ({ status: 'unknown' as const, at: '', reason: (error as Error).message }))
}
