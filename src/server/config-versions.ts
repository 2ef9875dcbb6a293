import { createHash } from 'node:crypto'
import { canonical, ReglazeError, sameJson, type Json } from '../core/index.ts'
import { CONFIG, configSchema, parseConfig, type Config, type Connector } from '../config/index.ts'
import { checkExpression } from '../access/index.ts'
import { append } from '../ledger/index.ts'
import { withDependencies } from '../pause/index.ts'
import { sql, type Db, type Store, type Tx } from '../store/index.ts'

export interface InForce {
  readonly version: number
  readonly digest: string
  readonly config: Config
  readonly appliedAt: Date
  readonly appliedBy: string
}
interface Row {
  version: number
  digest: string
  config: unknown
  applied_at: Date
  applied_by: string
}
export interface Difference {
  readonly kind: 'add' | 'change' | 'remove'
  readonly what: string
  readonly before: Json
  readonly after: Json
}

export async function inForce(store: Store): Promise<InForce | null> {
  const { rows } = await sql<Row>`select version, digest, config, applied_at, applied_by from config_versions order by version desc limit 1`.execute(store.db)
  const r = rows[0]
  return r ? { version: r.version, digest: r.digest, config: configSchema.parse(r.config), appliedAt: r.applied_at, appliedBy: r.applied_by } : null
}

/** Everything that checking alone can find: schema, references, CEL. */
export function checkConfig(files: readonly { file: string; text: string }[]): { config: Config; digest: string } {
  const config = parseConfig(files)
  config.roles.forEach((r, i) => {
    r.eligible.forEach((e, k) => checkExpression(e.when, `roles[${i}].eligible[${k}].when`))
    r.deny.forEach((d, k) => checkExpression(d.when, `roles[${i}].deny[${k}].when`))
    r.approval.forEach((a, k) => a.when !== undefined && checkExpression(a.when, `roles[${i}].approval[${k}].when`))
  })
  return { config, digest: createHash('sha256').update(canonical(config)).digest('hex') }
}

/** Differences by id, list by list. */
export function differences(before: Config | null, after: Config): Difference[] {
  const found: Difference[] = []
  for (const key of Object.keys(configSchema.shape) as (keyof Config)[]) {
    const a = (before?.[key] ?? null) as Json
    const b = (after[key] ?? null) as Json
    if (!Array.isArray(b) && !Array.isArray(a)) {
      if (!sameJson(a, b)) found.push({ kind: a === null ? 'add' : b === null ? 'remove' : 'change', what: key, before: a, after: b })
      continue
    }
    const old = byId(a)
    const fresh = byId(b)
    for (const [id, item] of fresh) {
      const was = old.get(id)
      if (was === undefined) found.push({ kind: 'add', what: `${key}/${id}`, before: null, after: item })
      else if (!sameJson(was, item)) found.push({ kind: 'change', what: `${key}/${id}`, before: was, after: item })
    }
    for (const [id, item] of old) if (!fresh.has(id)) found.push({ kind: 'remove', what: `${key}/${id}`, before: item, after: null })
  }
  return found
}
function byId(list: Json): Map<string, Json> {
  return new Map((Array.isArray(list) ? list : []).map((item, i) => [String((item as { id?: string } | null)?.id ?? i), item]))
}

/** A rotated secret is fine; an address, a kind or anything else that says which system it is would send the undo to the wrong place. */
const identity = (c: Connector): Json => Object.fromEntries(Object.entries(c).filter(([key]) => key !== 'token')) as Json

/** What live grants, holds and open incidents still need, and `after` would take away or point elsewhere. */
export async function refusals(db: Db | Tx, before: Config | null, after: Config): Promise<string[]> {
  const refused: string[] = []
  const grants = await sql<{ id: string; person: string; connectors: string[] }>`select id, person, (select coalesce(jsonb_agg(distinct t->>'connector'), '[]') from jsonb_array_elements(role_text->'targets') t) as connectors
    from grants where state not in ('revoked','denied','withdrawn')`.execute(db)
  const holds = await sql<{ id: string; automation: string; connector: string }>`select id, automation, connector from holds where state <> 'resumed'`.execute(db)
  const lost = (id: string): string | null => {
    const was = before?.connectors.find((c) => c.id === id)
    const is = after.connectors.find((c) => c.id === id)
    if (!is) return 'is removed'
    if (was && !sameJson(identity(was), identity(is))) return 'points elsewhere'
    return is.kind === 'terraform-grant' ? lost(is.observe_with) : null
  }
  for (const g of grants.rows) {
    for (const c of g.connectors) if (lost(c)) refused.push(`connector ${c} is needed to revoke ${g.id} and ${lost(c)}`)
    if (!after.people.some((p) => p.id === g.person)) refused.push(`${g.person} still has access (${g.id})`)
  }
  for (const h of holds.rows) if (lost(h.connector) || !after.automations.some((a) => a.id === h.automation)) refused.push(`automation ${h.automation} is held (${h.id})`)
  if (before) refused.push(...(await gateRefusals(db, before, after)))
  return refused
}
/** The close gate of an open incident asks for what the configuration names; it must not become easier by taking names out. */
async function gateRefusals(db: Db | Tx, before: Config, after: Config): Promise<string[]> {
  const refused: string[] = []
  const { rows } = await sql<{ number: number; service: string }>`select number, service from incidents where state = 'open'`.execute(db)
  for (const i of rows) {
    const [had, has] = [withDependencies(before.services, i.service), withDependencies(after.services, i.service)]
    for (const w of before.workspaces.filter((x) => x.services.some((s) => had.has(s)))) {
      const now = after.workspaces.find((x) => x.id === w.id)
      if (!now?.services.some((s) => has.has(s)) || now.state !== w.state) refused.push(`workspace ${w.id} has to be proven for INC-${i.number}`)
    }
    for (const c of before.connectors.filter((x) => x.kind === 'sandbox-cloud')) {
      const now = after.connectors.find((x) => x.id === c.id)
      if (!now || !sameJson(identity(c), identity(now))) refused.push(`the audit log of ${c.id} has to be read for INC-${i.number}`)
    }
  }
  return refused
}

/** Puts a configuration in force as the next version. The same configuration again is no new version. Throws CONFIG_INVALID, CONFIG_IN_USE, CONFIG_STALE. */
export async function applyConfig(store: Store, files: readonly { file: string; text: string }[], base: number | null | undefined, by: string): Promise<{ version: number; digest: string; changed: boolean }> {
  const { config, digest } = checkConfig(files)
  return store.db.transaction().execute(async (tx) => {
    await sql`lock table config_versions in share row exclusive mode`.execute(tx)
    const { rows } = await sql<Row>`select version, digest, config from config_versions order by version desc limit 1`.execute(tx)
    const last = rows[0]
    if (base !== undefined && base !== (last?.version ?? null)) throw new ReglazeError(CONFIG.CONFIG_STALE, `version ${last?.version ?? 'none'} is in force, the plan was made against ${base ?? 'none'}`)
    if (last?.digest === digest) return { version: last.version, digest, changed: false }
    const before = last ? configSchema.parse(last.config) : null
    // In the transaction that no other apply passes; what a grant needs is compared with the version that it was given under.
    const refused = await refusals(tx, before, config)
    if (refused.length > 0) throw new ReglazeError(CONFIG.CONFIG_IN_USE, refused.join('; '))
    const made = await sql<{ version: number }>`insert into config_versions (digest, source, config, applied_by) values (${digest}, ${files.map((f) => f.text).join('\n---\n')}, ${JSON.stringify(config)}::jsonb, ${by}) returning version`.execute(tx)
    const version = made.rows[0]?.version as number
    await append(tx, { kind: 'config.applied', subject: `config/${version}`, actor: by, data: { version, digest, changes: differences(before, config).map((d) => `${d.kind} ${d.what}`) } })
    return { version, digest, changed: true }
  })
}
