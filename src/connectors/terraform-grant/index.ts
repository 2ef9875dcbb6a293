/**
 * Access that Terraform gives: one small configuration and state of its own for each grant, applied to grant and
 * destroyed to revoke. Whether the right exists is read from the target itself, never from an exit code or the state.
 */
import * as fs from 'node:fs'
import * as path from 'node:path'
import { CORE, outcomeUnknown, ReglazeError } from '../../core/errors.ts'
import type { Json } from '../../core/json.ts'
import type { Grantable, GrantSpec, GrantState, Observation, PersonRef } from '../../core/ports.ts'
import { init, isInitialised, parseState, pullState, type Runner, stateEntries } from '../../terraform/index.ts'
import { CONNECTOR } from '../errors.ts'
import { endRunsIn } from './orphans.ts'

/** What the target says about the rights that carry this grant's mark. */
export interface RealState {
  /** Ids of the marked objects, as Terraform imports them. */
  readonly ids: readonly string[]
  readonly sessions: number
  readonly backstopUntil: string | null
}
export interface TerraformGrantOptions {
  readonly name: string
  /** One folder for each grant is made below. */
  readonly dir: string
  /** The text of main.tf; templateOf() makes one from configuration. Exactly one managed resource, marked with the grant's id. */
  readonly template: (spec: GrantSpec) => string
  /** Address of that resource; default `sandbox_role_assignment.grant`. */
  readonly address?: string
  readonly env: Readonly<Record<string, string | undefined>>
  readonly runner: Runner
  readonly pluginDir?: string
  /** Reads the real objects from the target: those with the grant's mark, and those of `ids` (from the state: somebody may have taken the mark off). */
  readonly observeWith: (spec: GrantSpec, ids: readonly string[]) => Promise<Observation<RealState>>
  /** Looks the person's immutable id up at the target; default: the account `cloud`, else the person's id. */
  readonly principalOf?: (person: PersonRef) => Promise<string>
  /** Removes one object over the target's API: when Terraform cannot. */
  readonly removeWith?: (spec: GrantSpec, id: string) => Promise<void>
  readonly endSessionsWith?: (spec: GrantSpec) => Promise<void>
  /** Marked objects at the target, for the sweep. */
  readonly markedWith?: () => Promise<{ grantId: string; principal: string; detail: Json }[]>
  readonly credentialsWith?: (spec: GrantSpec) => Promise<Record<string, string>>
  /** How long a grant waits for another run on its own state (ms); a revocation ends that run instead. */
  readonly lockWaitMs?: number
  readonly timeoutMs?: number
}

export function terraformGrant(options: TerraformGrantOptions): Grantable {
  return new TerraformGrant(options)
}

class TerraformGrant implements Grantable {
  readonly #o: TerraformGrantOptions
  readonly #address: string
  /** One run at a time for each grant in this process. */
  readonly #turn = new Map<string, Promise<unknown>>()
  readonly credentials?: (spec: GrantSpec) => Promise<Record<string, string>>
  constructor(options: TerraformGrantOptions) {
    this.#o = options
    this.#address = options.address ?? 'sandbox_role_assignment.grant'
    if (options.credentialsWith) this.credentials = options.credentialsWith
    fs.mkdirSync(options.dir, { recursive: true, mode: 0o700 })
  }

  async prepare(person: PersonRef): Promise<{ principal: string; prior: Record<string, Json> }> {
    return { principal: this.#o.principalOf ? await this.#o.principalOf(person) : (person.accounts['cloud'] ?? person.id), prior: {} }
  }
  grant(spec: GrantSpec): Promise<void> {
    return this.#inTurn(spec, async (dir) => {
      const real = await this.#real(spec, this.#inState(dir))
      await this.#ready(spec, dir)
      await this.#adopt(dir, real.ids)
      const wait = Math.round((this.#o.lockWaitMs ?? 20_000) / 1000)
      await this.#run(dir, ['apply', '-auto-approve', '-input=false', '-no-color', `-lock-timeout=${wait}s`]).catch((error: Error) => this.#afterFailure(spec, dir, error))
    })
  }
  async observe(spec: GrantSpec): Promise<Observation<GrantState>> {
    try {
      const seen = await this.#o.observeWith(spec, this.#inState(this.#folder(spec.grantId)))
      if (seen.status === 'unknown') return seen
      const { ids, sessions, backstopUntil } = seen.value
      return { ...seen, value: { member: ids.length > 0, sessions, backstopUntil } }
    } catch (error) {
      return { status: 'unknown', at: new Date().toISOString(), reason: (error as Error).message }
    }
  }

  /** A failed apply may have had its effect all the same (the answer was lost): then it is no certain failure. */
  async #afterFailure(spec: GrantSpec, dir: string, error: Error): Promise<never> {
    const real = await this.#real(spec, this.#inState(dir)).catch(() => null)
    if (real === null || real.ids.length > 0) throw outcomeUnknown(`${error.message}; ${real === null ? 'what is there could not be read' : `${real.ids.join(', ')} is there`}`, error)
    throw error
  }

  /**
   * Destroys, then looks. What is left (created by a run that was killed before it saved its state) is imported and
   * destroyed, or removed over the API. A run that still goes on in the folder is ended first: it could create the right again.
   */
  revoke(spec: GrantSpec): Promise<void> {
    return this.#inTurn(spec, async (dir) => {
      const there = fs.existsSync(dir)
      if (there) await endRunsIn(dir)
      const failures: string[] = []
      const attempt = (what: string, work: () => Promise<void>) => work().catch((error: Error) => void failures.push(`${what}: ${error.message}`))
      const known = this.#inState(dir)
      // From here on something may have been changed: when nobody tells, the outcome is unknown.
      const look = () => this.#real(spec, known).then((real) => real.ids, (error: Error) => { throw outcomeUnknown([error.message, ...failures].join('; '), error) })
      if (there && fs.existsSync(path.join(dir, 'terraform.tfstate'))) await attempt('destroy', () => this.#destroy(spec, dir))
      let ids = await look()
      if (ids.length === 1) {
        await attempt('import and destroy', async () => {
          await this.#ready(spec, dir)
          await this.#adopt(dir, ids)
          await this.#destroy(spec, dir)
        })
        ids = await look()
      }
      for (const id of ids) await attempt(`remove ${id}`, () => this.#remove(spec, id))
      if (ids.length > 0) ids = await look()
      if (ids.length > 0) throw new ReglazeError(CORE.OUTSIDE_FAILED, `${this.#o.name} still has ${ids.join(', ')}: ${failures.join('; ')}`)
      fs.rmSync(dir, { recursive: true, force: true })
    })
  }
  async #remove(spec: GrantSpec, id: string): Promise<void> {
    if (!this.#o.removeWith) throw new ReglazeError(CORE.OUTSIDE_FAILED, `${this.#o.name} has no other way to remove ${id} than Terraform`)
    await this.#o.removeWith(spec, id)
  }
  async endSessions(spec: GrantSpec): Promise<void> {
    await this.#o.endSessionsWith?.(spec)
  }
  manual(spec: GrantSpec): string {
    return `terraform -chdir=${quoted(this.#folder(spec.grantId))} destroy -auto-approve`
  }
  async marked(): Promise<{ grantId: string; principal: string; detail: Json }[]> {
    const real = (await this.#o.markedWith?.()) ?? []
    const known = new Set(real.map((r) => r.grantId))
    const folders = fs.readdirSync(this.#o.dir, { withFileTypes: true }).filter((d) => d.isDirectory() && !known.has(d.name))
    return [...real, ...folders.map((d) => ({ grantId: d.name, principal: '', detail: { folder: d.name } }))]
  }

  #folder(grantId: string): string {
    if (!/^[A-Za-z0-9_-]{1,64}$/.test(grantId)) throw new ReglazeError(CONNECTOR.CONNECTOR_BAD_TARGET, `"${grantId}" cannot be the name of a folder`)
    return path.join(this.#o.dir, grantId)
  }
  async #inTurn<T>(spec: GrantSpec, work: (dir: string) => Promise<T>): Promise<T> {
    const before = this.#turn.get(spec.grantId) ?? Promise.resolve()
    const mine = before.catch(() => undefined).then(() => work(this.#folder(spec.grantId)))
    this.#turn.set(spec.grantId, mine)
    try {
      return await mine
    } finally {
      if (this.#turn.get(spec.grantId) === mine) this.#turn.delete(spec.grantId)
    }
  }
  /** Ids that the grant's own state knows, read from its file without starting Terraform. */
  #inState(dir: string): string[] {
    try {
      return stateEntries(parseState(fs.readFileSync(path.join(dir, 'terraform.tfstate'), 'utf8'))).flatMap((e) => (e.mode === 'managed' && e.id !== null ? [e.id] : []))
    } catch {
      // No state yet, or a damaged one: the mark finds the object.
      return []
    }
  }
  async #real(spec: GrantSpec, ids: readonly string[]): Promise<RealState> {
    const seen = await this.#o.observeWith(spec, ids)
    if (seen.status === 'unknown') throw new ReglazeError(CORE.OUTSIDE_FAILED, `${this.#o.name} does not tell what is there: ${seen.reason}`)
    return seen.value
  }
  /** The folder with its configuration, written whole or not at all, and initialised. */
  async #ready(spec: GrantSpec, dir: string): Promise<void> {
    fs.mkdirSync(dir, { recursive: true, mode: 0o700 })
    const file = path.join(dir, 'main.tf')
    const text = this.#o.template(spec)
    if (!fs.existsSync(file) || fs.readFileSync(file, 'utf8') !== text) {
      fs.writeFileSync(`${file}.new`, text, { mode: 0o600, flush: true })
      fs.renameSync(`${file}.new`, file)
    }
    if (!isInitialised(dir) || !fs.existsSync(path.join(dir, '.terraform.lock.hcl'))) {
      await this.#guard(() => init({ runner: this.#o.runner, dir, env: this.#o.env, timeoutMs: this.#o.timeoutMs ?? 120_000 }, this.#o.pluginDir ? { pluginDir: this.#o.pluginDir } : {}))
    }
  }
  /** An object that exists but is not in the state would be created a second time: take it in first. */
  async #adopt(dir: string, ids: readonly string[]): Promise<void> {
    const id = ids[0]
    if (id === undefined) return
    const { state } = await pullState({ runner: this.#o.runner, dir, env: this.#o.env })
    if (stateEntries(state).some((e) => e.id === id)) return
    if (stateEntries(state).some((e) => e.address === this.#address)) await this.#run(dir, ['state', 'rm', this.#address])
    await this.#run(dir, ['import', '-input=false', '-no-color', this.#address, id])
  }
  async #destroy(spec: GrantSpec, dir: string): Promise<void> {
    await this.#ready(spec, dir)
    await this.#run(dir, ['apply', '-destroy', '-auto-approve', '-input=false', '-no-color', '-lock-timeout=5s'])
  }
  async #run(dir: string, args: readonly string[]): Promise<void> {
    await this.#guard(() => this.#o.runner.run(args, { cwd: dir, env: this.#o.env, timeoutMs: this.#o.timeoutMs ?? 120_000 }))
  }
  /** A run that was stopped may have had its effect; one that failed may too, so only looking helps. */
  async #guard(work: () => Promise<unknown>): Promise<void> {
    try {
      await work()
    } catch (error) {
      const code = error instanceof ReglazeError ? error.code : ''
      if (code === 'TERRAFORM_TIMEOUT' || code === 'TERRAFORM_STOPPED') throw outcomeUnknown(`${this.#o.name}: ${(error as Error).message}`, error)
      throw new ReglazeError(CORE.OUTSIDE_FAILED, `${this.#o.name}: ${(error as Error).message}`, { cause: error })
    }
  }
}

function quoted(text: string): string {
  return /^[\w./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`
}
export { templateOf, type TemplateOptions } from './template.ts'
