import { readSecret, type Config } from '../config/index.ts'
import { checkLedger } from '../ledger/index.ts'
import { sql, type Store } from '../store/index.ts'
import type { Connectors } from './connectors.ts'

export interface Finding {
  readonly check: string
  readonly ok: boolean
  readonly what: string
  /** What to do; empty when all is well. */
  readonly hint: string
}
const well = (check: string, what: string): Finding => ({ check, ok: true, what, hint: '' })
const ill = (check: string, what: string, hint: string): Finding => ({ check, ok: false, what, hint })

/** Looks at everything that a running server depends on; changes nothing. */
export async function examine(store: Store, config: Config | null, connectors: Connectors): Promise<Finding[]> {
  const findings: Finding[] = [well('database', `${store.kind} PostgreSQL ${store.serverVersion}`)]
  const ledger = await checkLedger(store.db).catch((e: unknown) => ({ ok: false, size: 0, problems: [(e as Error).message] }))
  findings.push(ledger.ok ? well('ledger', `${ledger.size} entries, recomputed from their bytes`) : ill('ledger', ledger.problems.join('; '), 'Keep the database as it is, and see the runbook "ledger inconsistent".'))
  if (!config) return [...findings, ill('configuration', 'none is in force', 'reglaze config apply reglaze.yaml')]
  findings.push(well('configuration', `${config.services.length} services, ${config.automations.length} automations, ${config.roles.length} roles`))
  findings.push(...(await overdue(store)), ...secrets(config), ...(await automations(config, connectors)), ...(await audits(store, connectors)))
  if (!config.paging) findings.push(ill('paging', 'nobody can be paged: `paging` is not configured', 'Add a connector of kind smtp and `paging: { connector: … }`.'))
  return findings
}

async function overdue(store: Store): Promise<Finding[]> {
  const { rows } = await sql<{ overdue: number; stuck: number; holds: number }>`select
    (select count(*)::int from grants where state not in ('revoked','denied','withdrawn') and expires_at < reglaze.now() - interval '5 seconds') as overdue,
    (select count(*)::int from grants where state = 'stuck') as stuck,
    (select count(*)::int from holds where state in ('unknown','reverted','stuck')) as holds`.execute(store.db)
  const r = rows[0] ?? { overdue: 0, stuck: 0, holds: 0 }
  return [
    r.overdue === 0 ? well('grants', 'none is past its end') : ill('grants', `${r.overdue} are past their end and not revoked (${r.stuck} stuck)`, 'reglaze access list; a stuck grant shows the command that revokes it by hand.'),
    r.holds === 0 ? well('holds', 'all are as asked') : ill('holds', `${r.holds} cannot be observed or were switched on again`, 'reglaze holds'),
  ]
}

function secrets(config: Config): Finding[] {
  const references = new Set<string>()
  const collect = (value: unknown): void => {
    if (typeof value === 'string' && /^(env|file):/.test(value)) references.add(value)
    else if (value && typeof value === 'object') Object.values(value).forEach(collect)
  }
  collect(config.connectors)
  collect(config.alert_sources)
  const missing = [...references].filter((r) => {
    try {
      readSecret(r)
      return false
    } catch {
      return true
    }
  })
  return [missing.length === 0 ? well('secrets', `${references.size} references resolve`) : ill('secrets', `missing: ${missing.join(', ')}`, 'Set the variables for the server process, or write the files.')]
}

async function automations(config: Config, connectors: Connectors): Promise<Finding[]> {
  return Promise.all(
    config.automations.map(async (a) => {
      const spec = { holdId: '', incident: '', reason: '', passes: [], expiresAt: '', target: a.target as never }
      const seen = await Promise.resolve()
        .then(() => connectors.pausable(a.connector).observe(spec))
        .catch((e: unknown) => ({ status: 'unknown' as const, at: '', reason: (e as Error).message }))
      return seen.status === 'known' ? well(`automation ${a.id}`, seen.value.paused ? 'paused' : 'running') : ill(`automation ${a.id}`, `cannot be observed: ${seen.reason}`, `Check connector ${a.connector}: address, token and its least permissions (README of its folder).`)
    }),
  )
}

async function audits(store: Store, connectors: Connectors): Promise<Finding[]> {
  const { rows } = await sql<{ source: string; error: string | null; age: number | null }>`select source, error, extract(epoch from reglaze.now() - read_at)::float8 as age from audit_cursors`.execute(store.db).catch(() => ({ rows: [] }))
  const names = Object.keys(connectors.auditSources())
  return names.map((name) => {
    const row = rows.find((r) => r.source === name)
    if (!row) return ill(`audit log ${name}`, 'was never read', 'It is read within 15 s of a start; if this stays, see the server log.')
    return row.error ? ill(`audit log ${name}`, row.error, 'Manual changes cannot be attributed; incidents cannot be closed until it is readable.') : well(`audit log ${name}`, `read ${Math.round(row.age ?? 0)} s ago`)
  })
}
