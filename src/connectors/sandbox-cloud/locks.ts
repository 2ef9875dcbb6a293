import { z } from 'zod'
import { CORE, ReglazeError } from '../../core/errors.ts'
import { sameJson } from '../../core/json.ts'
import type { Json } from '../../core/json.ts'
import type { HoldSpec, Observation, Pausable, PauseState } from '../../core/ports.ts'
import { CONNECTOR } from '../errors.ts'
import { observed } from '../observed.ts'
import { readTarget } from '../target.ts'
import { SandboxCloudClient, seg } from './client.ts'
import type { SandboxCloudOptions } from './client.ts'
import * as schema from './schema.ts'
import type { LockSetting } from './schema.ts'

type Target = z.output<typeof schema.lockTarget>

/**
 * A control-plane lock as a hold (`target`: `{ lock, level, scope }`): it stops every writer of its scope but those in
 * `passes`. It blocks the removal of access too (as Azure does), so our own revoker must be among them.
 */
export function cloudLocks(o: SandboxCloudOptions): Pausable {
  return new CloudLocks(o)
}

class CloudLocks implements Pausable {
  #cloud: SandboxCloudClient

  constructor(o: SandboxCloudOptions) {
    this.#cloud = new SandboxCloudClient(o)
  }

  async observe(spec: Omit<HoldSpec, 'prior'>): Promise<Observation<PauseState>> {
    const target = this.#target(spec)
    return observed(async () => {
      const found = await this.#lock(target)
      const setting = settingOf(found)
      const scope = await this.#scope(target.scope)
      const value: PauseState = { paused: setting !== null && holds(setting, { ...target, scope }, spec.passes), setting, changedBy: found ? (found.updated_by ?? null) : await this.#remover(target), running: [], parents: [] }
      return { value, evidence: this.#cloud.evidence(`GET ${pathOf(target)}`, found) }
    })
  }

  async pause(spec: HoldSpec): Promise<void> {
    const target = this.#target(spec)
    const scope = await this.#scope(target.scope)
    const present = settingOf(await this.#lock(target))
    if (present && holds(present, { ...target, scope }, spec.passes)) return
    if (present && present.scope !== scope && present.scope !== '/' && scope !== '/') {
      throw new ReglazeError(CONNECTOR.CONNECTOR_CONFLICT, `${this.#cloud.name}: there is a lock "${target.lock}" of ${present.owner} on ${present.scope} already`, { hint: 'Give the hold another lock name in the configuration.' })
    }
    // A lock of somebody else stays at least as strict and as wide as it was.
    const wanted: LockSetting = {
      level: present?.level === 'read-only' ? 'read-only' : target.level,
      scope: present?.scope === '/' ? '/' : scope,
      except: [...new Set([...(present?.except ?? []), ...spec.passes])],
      reason: spec.reason,
      owner: `${spec.incident} ${spec.holdId}`,
    }
    await this.#cloud.put(pathOf(target), wanted)
  }

  async resume(spec: HoldSpec): Promise<void> {
    const target = this.#target(spec)
    const before = readPrior(spec.prior)
    const present = settingOf(await this.#lock(target))
    if (sameJson(present, before)) return
    if (before) await this.#cloud.put(pathOf(target), before)
    else await this.#cloud.remove(pathOf(target))
  }

  manual(spec: HoldSpec): string {
    const target = this.#target(spec)
    const before = readPrior(spec.prior)
    const auth = '-H "Authorization: Bearer $SANDBOX_TOKEN"'
    const url = `'${this.#cloud.url}${pathOf(target)}'`
    return before ? `curl -fsS -X PUT ${auth} -d '${JSON.stringify(before).replaceAll("'", `'\\''`)}' ${url}` : `curl -fsS -X DELETE ${auth} ${url}`
  }

  #target(spec: { target: Record<string, Json> }): Target {
    return readTarget(schema.lockTarget, spec.target, this.#cloud.name)
  }
  #lock(target: Target) {
    return this.#cloud.find(pathOf(target), schema.lock)
  }
  // The cloud keeps ids, the configuration may say `instances/name:web`.
  async #scope(scope: string): Promise<string> {
    const [, collection, name] = /^([a-z-]+)\/(name:.+)$/.exec(scope) ?? []
    if (!collection || !name) return scope
    const { id } = await this.#cloud.get(`/v1/${seg(collection)}/${seg(name)}`, z.object({ id: z.string() }))
    return `${collection}/${id}`
  }
  async #remover(target: Target): Promise<string | null> {
    const page = await this.#cloud.get(`/v1/audit?writes=1&type=lock&id=${seg(target.lock)}&limit=5000`, schema.auditPage)
    return page.events.findLast((e) => e.status < 400 && e.action !== 'read')?.actor ?? null
  }
}

function pathOf(target: Target): string {
  return `/v1/locks/${seg(target.lock)}`
}
function settingOf(found: schema.Lock | null): LockSetting {
  if (!found) return null
  const { level, scope, except, reason, owner } = found
  return { level, scope, except, reason, owner }
}
/** Strict and wide enough, and everybody who must pass does. */
function holds(l: NonNullable<LockSetting>, target: { level: string; scope: string }, passes: readonly string[]): boolean {
  return (l.level === 'read-only' || l.level === target.level) && (l.scope === '/' || l.scope === target.scope) && passes.every((p) => l.except.includes(p))
}
function readPrior(prior: Json): LockSetting {
  const parsed = schema.lockSetting.safeParse(prior ?? null)
  if (!parsed.success) throw new ReglazeError(CORE.INVALID_INPUT, `the stored earlier lock is not one of this connector: ${parsed.error.issues[0]?.message}`)
  return parsed.data
}
