import { join } from 'node:path'
import { ReglazeError, type AuditSource, type Grantable, type Inventory, type Json, type Notifier, type Pausable } from '../core/index.ts'
import { readSecret, readSetting, type Config, type Connector } from '../config/index.ts'
import { ArgoCd } from '../connectors/argocd/index.ts'
import { Autoscaler } from '../connectors/autoscaler/index.ts'
import { directoryClient } from '../connectors/directory/index.ts'
import { HcpTerraform } from '../connectors/hcp-terraform/index.ts'
import { postgresGrantable } from '../connectors/postgres/index.ts'
import { cloudAudit, cloudGrantable, cloudInventory, cloudLocks } from '../connectors/sandbox-cloud/index.ts'
import { cloudAssignments } from './assignments.ts'
import { smtpNotifier } from '../connectors/smtp/index.ts'
import { templateOf, terraformGrant } from '../connectors/terraform-grant/index.ts'
import { terraformPgLock } from '../connectors/terraform-pg-lock/index.ts'
import { stateHold } from '../pause/index.ts'
import { sql, type Store } from '../store/index.ts'
import type { Runner } from '../terraform/index.ts'
import { SERVER } from './errors.ts'

/** What each configured connector can do, made once per configuration version. The registry is this one switch: no connector knows another. */
export class Connectors {
  readonly #config: () => Config
  readonly #store: Store
  readonly #dataDir: string
  readonly #secretKey: Buffer
  readonly #runner: () => Promise<Runner>
  readonly #open: (() => Promise<void>)[] = []
  #made = new Map<string, unknown>()
  #madeFor: Config | null = null
  constructor(o: { config: () => Config; store: Store; dataDir: string; secretKey: Buffer; runner: () => Promise<Runner> }) {
    this.#config = o.config
    this.#store = o.store
    this.#dataDir = o.dataDir
    this.#secretKey = o.secretKey
    this.#runner = o.runner
  }

  #connector(id: string): Connector {
    const found = this.#config().connectors.find((c) => c.id === id)
    if (!found) throw new ReglazeError(SERVER.NO_SUCH_CAPABILITY, `the configuration in force has no connector "${id}"`)
    return found
  }
  #once<T>(capability: string, id: string, make: (c: Connector) => T | null): T {
    if (this.#madeFor !== this.#config()) {
      this.#made = new Map()
      this.#madeFor = this.#config()
    }
    const key = `${capability}:${id}`
    const present = this.#made.get(key) as T | undefined
    if (present) return present
    const made = make(this.#connector(id))
    if (!made) throw new ReglazeError(SERVER.NO_SUCH_CAPABILITY, `connector "${id}" of kind ${this.#connector(id).kind} cannot be used for ${capability}`)
    this.#made.set(key, made)
    return made
  }

  grantable(id: string): Grantable {
    return this.#once('access', id, (c) => {
      if (c.kind === 'sandbox-cloud') return cloudGrantable(cloud(c))
      if (c.kind === 'postgres') return postgresGrantable({ name: c.id, url: readSecret(c.url), role: c.role, secretKey: this.#secretKey })
      if (c.kind === 'terraform-grant') return this.#terraformGrant(c)
      return null
    })
  }
  #terraformGrant(c: Extract<Connector, { kind: 'terraform-grant' }>): Grantable {
    const observed = this.#connector(c.observe_with)
    if (observed.kind !== 'sandbox-cloud') throw new ReglazeError(SERVER.NO_SUCH_CAPABILITY, `connector "${c.observe_with}" cannot read assignments back for "${c.id}"`)
    const env = Object.fromEntries(Object.entries(c.env).map(([k, v]) => [k, readSetting(v)]))
    const template = templateOf({ provider: c.provider, type: c.resource, attributes: c.attributes as Record<string, Json> })
    const assignments = cloudAssignments(cloud(observed))
    return lazily(async () => terraformGrant({
      name: c.id, dir: join(this.#dataDir, 'grants', c.id), template, address: `${c.resource}.grant`, env, runner: await this.#runner(),
      observeWith: (spec, ids) => assignments.observe(spec, ids), removeWith: (_spec, id) => assignments.remove(id), endSessionsWith: (spec) => assignments.endSessions(spec), markedWith: () => assignments.marked(),
      principalOf: async (person) => person.accounts[c.observe_with] ?? person.id,
    }), () => assignments.marked())
  }

  pausable(id: string): Pausable {
    return this.#once('pause', id, (c) => {
      if (c.kind === 'argocd') return new ArgoCd({ url: readSetting(c.url), token: readSecret(c.token), namespace: c.namespace })
      if (c.kind === 'hcp-terraform') return new HcpTerraform({ url: readSetting(c.url), token: readSecret(c.token), organization: c.organization })
      if (c.kind === 'autoscaler') return new Autoscaler({ url: readSetting(c.url), token: readSecret(c.token) })
      if (c.kind === 'sandbox-cloud') return cloudLocks(cloud(c))
      if (c.kind === 'terraform-state') return stateHold(this.#store)
      if (c.kind === 'terraform-pg-lock') return this.#pgLock(c.id, readSecret(c.url))
      return null
    })
  }
  #pgLock(name: string, url: string): Pausable {
    const lock = terraformPgLock({
      name, url,
      stillWanted: async (holdId) => (await sql`select 1 from holds where id = ${holdId} and state in ('requested','held','reverted','unknown')`.execute(this.#store.db)).rows.length > 0,
    })
    this.#open.push(() => lock.close())
    return lock
  }
  /** Closes what connectors keep open: a lock on a connection ends with it, and is taken again at the next start. */
  async close(): Promise<void> {
    await Promise.all(this.#open.splice(0).map((end) => end()))
  }
  /** Every audit log that is configured, by connector id. */
  auditSources(): Record<string, AuditSource> {
    const list = this.#config().connectors.filter((c) => c.kind === 'sandbox-cloud')
    // Made at the first read, so that a missing secret shows as an unreadable log and stops nothing else.
    const make = (id: string): AuditSource => this.#once('audit', id, (k) => (k.kind === 'sandbox-cloud' ? cloudAudit(cloud(k)) : null))
    return Object.fromEntries(list.map((c) => [c.id, { read: async (cursor: string | null) => make(c.id).read(cursor) }]))
  }
  inventory(id: string): Inventory {
    return this.#once('inventory', id, (c) => (c.kind === 'sandbox-cloud' ? cloudInventory(cloud(c)) : null))
  }
  notifier(): Notifier | null {
    const id = this.#config().paging?.connector
    return id ? this.#once('paging', id, (c) => (c.kind === 'smtp' ? smtpNotifier({ url: readSetting(c.url), from: c.from }) : null)) : null
  }
  directory() {
    const c = this.#config().connectors.find((x) => x.kind === 'directory')
    return c?.kind === 'directory' ? directoryClient({ name: c.id, url: readSetting(c.url), token: readSecret(c.token) }) : null
  }
}

const cloud = (c: Extract<Connector, { kind: 'sandbox-cloud' }>) => ({ name: c.id, url: readSetting(c.url), token: readSecret(c.token) })

/** A Grantable that is made at its first use: what it needs (the version of Terraform) is not asked for at every start. */
function lazily(make: () => Promise<Grantable>, marked: NonNullable<Grantable['marked']>): Grantable {
  let made: Promise<Grantable> | null = null
  const it = (): Promise<Grantable> => {
    const now = (made ??= make())
    // A failure (no Terraform on PATH) is asked again next time.
    now.catch(() => (made = null))
    return now
  }
  return {
    prepare: async (person, right) => (await it()).prepare(person, right),
    grant: async (spec) => (await it()).grant(spec),
    observe: async (spec) => (await it()).observe(spec),
    revoke: async (spec) => (await it()).revoke(spec),
    endSessions: async (spec) => (await it()).endSessions(spec),
    manual: (spec) => `in the folder of ${spec.grantId} below the data folder's grants/: terraform destroy`,
    marked,
  }
}
