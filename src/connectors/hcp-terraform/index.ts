import { CORE, ReglazeError } from '../../core/errors.ts'
import type { Json } from '../../core/json.ts'
import type { HoldSpec, Observation, Pausable, PauseState } from '../../core/ports.ts'
import { CONNECTOR } from '../errors.ts'
import { callHttp, readAnswer, type HttpAnswer, type HttpCall } from '../http.ts'
import { bearer, observed, type FirstRun, type Secret } from '../observed.ts'
import { readTarget } from '../target.ts'
import { plan, planJson, runs, setting, target, workspace, type Run, type Setting, type Workspace } from './schema.ts'

export interface HcpTerraformOptions {
  /** `https://app.terraform.io`, or a Terraform Enterprise host. */
  readonly url: string
  readonly token: Secret
  readonly organization: string
  readonly timeoutMs?: number
}

const SYSTEM = 'hcp-terraform'
const FINISHED: readonly string[] = ['applied', 'planned_and_finished', 'errored', 'discarded', 'canceled', 'force_canceled', 'policy_soft_failed', 'planned_and_saved']
const COMPLETE: readonly string[] = ['applied', 'planned_and_finished', 'planned', 'cost_estimated', 'policy_checked', 'policy_override']

/** Holds an HCP Terraform (or Terraform Enterprise) workspace: locked with the reason, auto-apply off. */
export class HcpTerraform implements Pausable {
  #o: HcpTerraformOptions
  constructor(o: HcpTerraformOptions) {
    this.#o = o
  }

  async observe(spec: Omit<HoldSpec, 'prior'>): Promise<Observation<PauseState>> {
    const at = this.#target(spec)
    return observed(async () => {
      const ws = await this.#workspace(at)
      const now = settingOf(ws)
      const running = (await this.#runs(ws.id)).filter((r) => !FINISHED.includes(r.attributes.status)).map((r) => `${r.id} ${r.attributes.status}: ${r.attributes.message ?? ''}`.trim())
      // A workspace document tells who holds the lock; who took it off, or set auto-apply, it does not tell.
      const value: PauseState = { paused: now.locked && !now.autoApply, setting: now, changedBy: now.lockedBy, running, parents: [] }
      return { value, evidence: { source: `hcp-terraform ${this.#o.url}`, request: `GET ${where(at)}`, answer: { ...now, reason: ws.attributes['locked-reason'] ?? null, running } } }
    })
  }

  async pause(spec: HoldSpec): Promise<void> {
    const at = this.#target(spec)
    const ws = await this.#workspace(at)
    // The lock first: it stops new runs at once, while a run that was made earlier keeps the auto-apply it was made with.
    const busy = settingOf(ws).locked ? null : await this.#lock(ws, spec)
    if (ws.attributes['auto-apply']) await this.#setAutoApply(ws.id, false)
    if (busy !== null) throw busy
  }

  async resume(spec: HoldSpec): Promise<void> {
    const at = this.#target(spec)
    const prior = readSetting(spec.prior)
    const ws = await this.#workspace(at)
    // Auto-apply before the lock: the first run after the unlock has to be made as before.
    if (ws.attributes['auto-apply'] !== prior.autoApply) await this.#setAutoApply(ws.id, prior.autoApply)
    const now = settingOf(ws)
    if (!now.locked || (prior.locked && now.lockedBy === prior.lockedBy)) return
    if (isOurs(ws, spec)) return this.#unlock(ws, at)
    if (!prior.locked) throw lockedByOther(at, now.lockedBy, ws.attributes['locked-reason'] ?? '')
  }

  /** Runs made after `since`, up to the first that came to a good end; `changed` is what all of them changed or (not yet confirmed) would change. */
  async firstRun(spec: HoldSpec, since: string): Promise<FirstRun> {
    const at = this.#target(spec)
    return observed(async () => {
      const ws = await this.#workspace(at)
      const { locked, lockedBy } = settingOf(ws)
      // Given back under a lock that others had before: no run can start, so there is none to wait for.
      if (locked && !isOurs(ws, spec)) {
        const detail: Json = { locked_as_before_by: lockedBy }
        const value: { ran: boolean; changed: string[]; detail: Json } = { ran: true, changed: [], detail }
        return { value, evidence: { source: `hcp-terraform ${this.#o.url}`, request: `GET ${where(at)}`, answer: detail } }
      }
      const after = (await this.#runs(ws.id)).filter((r) => Date.parse(r.attributes['created-at']) >= Date.parse(since) && !r.attributes['plan-only']).reverse()
      const changed: string[] = []
      const seen: Json[] = []
      let ran = false
      for (const r of after) {
        const { status } = r.attributes
        seen.push({ run: r.id, status, message: r.attributes.message ?? null, hasChanges: r.attributes['has-changes'] ?? false })
        if (r.attributes['has-changes'] && (FINISHED.includes(status) || COMPLETE.includes(status))) changed.push(...(await this.#changedBy(r)))
        // A planned run that applies by itself is still on its way.
        ran = COMPLETE.includes(status) && !(status !== 'applied' && status !== 'planned_and_finished' && r.attributes['auto-apply'] === true)
        if (ran) break
      }
      const value: { ran: boolean; changed: string[]; detail: Json } = { ran, changed: [...new Set(changed)], detail: { runs: seen } }
      return { value, evidence: { source: `hcp-terraform ${this.#o.url}`, request: `GET /api/v2/workspaces/${ws.id}/runs`, answer: value.detail } }
    })
  }

  /** A lock that others had before us and have taken off or handed on since cannot be put back in their name. */
  givenUp(spec: HoldSpec, now: Json): string | null {
    const prior = readSetting(spec.prior)
    const present = readSetting(now)
    if (!prior.locked || present.autoApply !== prior.autoApply || (present.locked && present.lockedBy === prior.lockedBy)) return null
    return `${prior.lockedBy ?? 'somebody'} had locked it before the hold; ${present.locked ? `now it is locked by ${present.lockedBy ?? 'somebody else'}` : 'that lock is gone'}`
  }

  manual(spec: HoldSpec): string {
    const at = this.#target(spec)
    const prior = readSetting(spec.prior)
    const header = `-H "Authorization: Bearer $TOKEN" -H 'Content-Type: application/vnd.api+json'`
    const id = `WS=$(curl -s ${header} ${this.#base()}${where(at)} | jq -r .data.id)`
    const patch = `curl ${header} -X PATCH ${this.#base()}/api/v2/workspaces/$WS -d '${JSON.stringify(autoApplyBody(prior.autoApply))}'`
    const unlock = `curl ${header} -X POST ${this.#base()}/api/v2/workspaces/$WS/actions/unlock`
    return [id, patch, ...(prior.locked ? [] : [unlock])].join(' && ')
  }

  #target(spec: Pick<HoldSpec, 'target'>): { organization: string; workspace: string } {
    const t = readTarget(target, spec.target, SYSTEM)
    return { organization: t.organization ?? this.#o.organization, workspace: t.workspace }
  }
  #base(): string {
    return this.#o.url.replace(/\/$/, '')
  }
  async #call(method: HttpCall['method'], path: string, o: { body?: unknown; accept?: readonly number[] } = {}): Promise<HttpAnswer> {
    return callHttp({
      system: SYSTEM,
      method,
      url: `${this.#base()}${path}`,
      headers: { ...(await bearer(this.#o.token)), accept: 'application/vnd.api+json', ...(o.body === undefined ? {} : { 'content-type': 'application/vnd.api+json' }) },
      ...o,
      ...(this.#o.timeoutMs === undefined ? {} : { timeoutMs: this.#o.timeoutMs }),
    })
  }
  async #workspace(at: { organization: string; workspace: string }): Promise<Workspace> {
    return readAnswer(workspace, await this.#call('GET', where(at)), { system: SYSTEM, what: `GET ${where(at)}` }).data
  }
  /** The newest runs, newest first. */
  async #runs(workspaceId: string): Promise<Run[]> {
    const path = `/api/v2/workspaces/${workspaceId}/runs?page%5Bsize%5D=100`
    return readAnswer(runs, await this.#call('GET', path), { system: SYSTEM, what: `GET ${path}` }).data
  }
  async #setAutoApply(workspaceId: string, on: boolean): Promise<void> {
    await this.#call('PATCH', `/api/v2/workspaces/${workspaceId}`, { body: autoApplyBody(on) })
  }

  /** Locks. Locked by somebody meanwhile is recorded by the next observation and not taken over; a run's own lock is returned as the error to throw. */
  async #lock(ws: Workspace, spec: HoldSpec): Promise<ReglazeError | null> {
    const answer = await this.#call('POST', `/api/v2/workspaces/${ws.id}/actions/lock`, { body: { reason: `${spec.reason} [${spec.holdId}]` }, accept: [409] })
    if (answer.status !== 409) return null
    const now = await this.#workspace(this.#target(spec))
    if (settingOf(now).locked) return null
    const holder = now.relationships?.['locked-by']?.data?.id ?? 'a run'
    return new ReglazeError(CONNECTOR.CONNECTOR_LOCKED, `hcp-terraform: ${ws.attributes.name} cannot be locked yet: ${holder} holds it until it ends`, { hint: 'The lock is tried again by itself; cancel or discard the run to have it sooner.' })
  }

  async #unlock(ws: Workspace, at: { organization: string; workspace: string }): Promise<void> {
    const answer = await this.#call('POST', `/api/v2/workspaces/${ws.id}/actions/unlock`, { accept: [409] })
    if (answer.status !== 409) return
    const now = await this.#workspace(at)
    if (settingOf(now).locked) throw lockedByOther(at, settingOf(now).lockedBy, now.attributes['locked-reason'] ?? '')
  }

  /** Addresses from the plan's JSON where the token may read it, else the plan's counters. */
  async #changedBy(r: Run): Promise<string[]> {
    const id = r.relationships?.plan?.data?.id
    if (id === undefined) return [`${r.id}: changes`]
    const answer = await this.#call('GET', `/api/v2/plans/${id}/json-output`, { accept: [307, 401, 403, 404] })
    const body = answer.status === 307 ? await this.#follow(answer) : answer
    const parsed = body !== null && body.status === 200 ? planJson.safeParse(body.body) : null
    if (parsed?.success) return (parsed.data.resource_changes ?? []).filter((c) => !['no-op', 'read'].includes(c.change.actions.join())).map((c) => c.address)
    const counts = readAnswer(plan, await this.#call('GET', `/api/v2/plans/${id}`), { system: SYSTEM, what: `GET /api/v2/plans/${id}` }).data.attributes
    return [`${r.id}: ${counts['resource-additions'] ?? 0} added, ${counts['resource-changes'] ?? 0} changed, ${counts['resource-destructions'] ?? 0} destroyed`]
  }
  /** The token goes to our own host only; HCP Terraform's archive link carries its own right. */
  async #follow(answer: HttpAnswer): Promise<HttpAnswer | null> {
    const location = answer.headers['location']
    if (location === undefined) return null
    const url = new URL(location, this.#base())
    const headers: Record<string, string> = url.origin === new URL(this.#base()).origin ? { ...(await bearer(this.#o.token)) } : {}
    return callHttp({ system: SYSTEM, method: 'GET', url: url.href, headers, accept: [401, 403, 404] })
  }
}

function where(at: { organization: string; workspace: string }): string {
  return `/api/v2/organizations/${encodeURIComponent(at.organization)}/workspaces/${encodeURIComponent(at.workspace)}`
}
function settingOf(ws: Workspace): Setting {
  const by = ws.relationships?.['locked-by']?.data ?? null
  // A working run locks its workspace for itself; that ends with the run and is not ours to give back.
  const locked = ws.attributes.locked && by?.type !== 'runs'
  return { autoApply: ws.attributes['auto-apply'], locked, lockedBy: locked ? (by === null ? 'unknown' : `${by.type}/${by.id}`) : null }
}
/** The hold's id stands in the reason: also after a crash, and whoever's token was used, we know our own lock. */
function isOurs(ws: Workspace, spec: Pick<HoldSpec, 'holdId'>): boolean {
  return ws.attributes['locked-reason']?.includes(`[${spec.holdId}]`) === true
}
function lockedByOther(at: { workspace: string }, by: string | null, reason: string): ReglazeError {
  return new ReglazeError(CONNECTOR.CONNECTOR_LOCKED, `hcp-terraform: ${at.workspace} is locked by ${by ?? 'somebody else'}${reason === '' ? '' : ` ("${reason}")`}; a lock of others is not taken off`, { hint: 'Ask the holder to unlock the workspace; auto-apply is already as before.' })
}
function autoApplyBody(on: boolean): Json {
  return { data: { type: 'workspaces', attributes: { 'auto-apply': on } } }
}
function readSetting(prior: Json): Setting {
  const parsed = setting.safeParse(prior)
  if (!parsed.success) throw new ReglazeError(CORE.INVALID_INPUT, `hcp-terraform: the stored earlier setting is not one of this connector: ${parsed.error.issues[0]?.message}`)
  return parsed.data
}
