import type { z } from 'zod'
import { CORE, ReglazeError } from '../../core/errors.ts'
import type { Json } from '../../core/json.ts'
import type { HoldSpec, Observation, Pausable, PauseState } from '../../core/ports.ts'
import { callHttp, readAnswer } from '../http.ts'
import { bearer, observed, type FirstRun, type Secret } from '../observed.ts'
import { readTarget } from '../target.ts'
import { group, setting, target, type Group } from './schema.ts'

export interface AutoscalerOptions {
  readonly url: string
  readonly token: Secret
  readonly timeoutMs?: number
}
const SYSTEM = 'autoscaler'

/** Holds an autoscaling group by suspending exactly the processes that were not suspended before. */
export class Autoscaler implements Pausable {
  #o: AutoscalerOptions
  constructor(o: AutoscalerOptions) {
    this.#o = o
  }

  async observe(spec: Omit<HoldSpec, 'prior'>): Promise<Observation<PauseState>> {
    const at = readTarget(target, spec.target, SYSTEM)
    return observed(async () => {
      const g = await this.#get(at.group)
      const suspended = suspendedOf(g, at.processes)
      const running = g.activities.filter((a) => a.status === 'InProgress').map((a) => a.description)
      const value: PauseState = { paused: suspended.length === at.processes.length, setting: { suspended }, changedBy: g.changed_by ?? null, running, parents: [] }
      return { value, evidence: { source: `autoscaler ${this.#o.url}`, request: `GET /v1/groups/${at.group}`, answer: { suspended_processes: g.suspended_processes as Json, running } } }
    })
  }

  async pause(spec: HoldSpec): Promise<void> {
    const at = readTarget(target, spec.target, SYSTEM)
    const suspended = suspendedOf(await this.#get(at.group), at.processes)
    await this.#change(at.group, 'suspend', at.processes.filter((p) => !suspended.includes(p)), `${spec.reason} [${spec.holdId}]`)
  }

  async resume(spec: HoldSpec): Promise<void> {
    const at = readTarget(target, spec.target, SYSTEM)
    const prior = readSetting(spec.prior)
    const now = suspendedOf(await this.#get(at.group), at.processes)
    await this.#change(at.group, 'resume', now.filter((p) => !prior.includes(p)))
    await this.#change(at.group, 'suspend', prior.filter((p) => !now.includes(p)), `as before ${spec.incident}`)
  }

  async firstRun(spec: HoldSpec, since: string): Promise<FirstRun> {
    const at = readTarget(target, spec.target, SYSTEM)
    return observed(async () => {
      const g = await this.#get(at.group)
      const later = g.activities.filter((a) => Date.parse(a.start_time) >= Date.parse(since))
      const ran = g.evaluated_at != null && Date.parse(g.evaluated_at) >= Date.parse(since) && !later.some((a) => a.status === 'InProgress')
      const detail: Json = { evaluated_at: g.evaluated_at ?? null, activities: later.map((a) => ({ id: a.activity_id, what: a.description, status: a.status })) }
      return { value: { ran, changed: later.map((a) => a.description), detail }, evidence: { source: `autoscaler ${this.#o.url}`, request: `GET /v1/groups/${at.group}`, answer: detail } }
    })
  }

  manual(spec: HoldSpec): string {
    const at = readTarget(target, spec.target, SYSTEM)
    const prior = readSetting(spec.prior)
    const processes = at.processes.filter((p) => !prior.includes(p))
    return `curl -X POST -H "Authorization: Bearer $TOKEN" ${this.#base()}/v1/groups/${encodeURIComponent(at.group)}/resume -d '${JSON.stringify({ processes })}'`
  }

  #base(): string {
    return this.#o.url.replace(/\/$/, '')
  }
  async #get(name: string): Promise<Group> {
    const path = `/v1/groups/${encodeURIComponent(name)}`
    const answer = await callHttp({ system: SYSTEM, method: 'GET', url: `${this.#base()}${path}`, headers: await bearer(this.#o.token), ...this.#deadline() })
    return readAnswer(group, answer, { system: SYSTEM, what: `GET ${path}` })
  }
  async #change(name: string, what: 'suspend' | 'resume', processes: readonly string[], reason?: string): Promise<void> {
    // Never an empty list: where it is allowed (AWS) it means all processes.
    if (processes.length === 0) return
    await callHttp({ system: SYSTEM, method: 'POST', url: `${this.#base()}/v1/groups/${encodeURIComponent(name)}/${what}`, headers: await bearer(this.#o.token), body: { processes, ...(reason === undefined ? {} : { reason }) }, ...this.#deadline() })
  }
  #deadline(): { timeoutMs?: number } {
    return this.#o.timeoutMs === undefined ? {} : { timeoutMs: this.#o.timeoutMs }
  }
}

function suspendedOf(g: Group, processes: z.output<typeof target>['processes']): string[] {
  return processes.filter((p) => g.suspended_processes.some((s) => s.process_name === p)).sort()
}
function readSetting(prior: Json): string[] {
  const parsed = setting.safeParse(prior)
  if (!parsed.success) throw new ReglazeError(CORE.INVALID_INPUT, `autoscaler: the stored earlier setting is not one of this connector: ${parsed.error.issues[0]?.message}`)
  return parsed.data.suspended
}
