import type { Handler } from '../core/index.ts'
import { serverRoutes as r } from '../client/server-contract.ts'
import { append, latestCheckpoint, publicKeyText } from '../ledger/index.ts'
import { leaveObserveOnly, observeOnly, sql, type Store } from '../store/index.ts'
import { applyConfig, checkConfig, differences, inForce, refusals } from './config-versions.ts'
import type { Finding } from './doctor.ts'
import { createToken, listTokens, revokeToken } from './tokens.ts'

/** Routes of the server itself. */
export function serverHandlers(store: Store, version: string, configChanged: () => Promise<void>, doctor: () => Promise<Finding[]>): Handler[] {
  return [
    { route: r.whoami, handle: async ({ caller }) => ({ name: caller.name, role: caller.role, person: caller.person, scopes: [...(caller.scopes ?? [])] }) },
    { route: r.tokenCreate, handle: ({ body, caller }) => createToken(store, body, caller.name) },
    { route: r.tokenList, handle: async () => ({ tokens: await listTokens(store) }) },
    {
      route: r.tokenRevoke,
      handle: async ({ params, caller }) => {
        await revokeToken(store, params.id, caller.name)
        return { ok: true as const }
      },
    },
    {
      route: r.config,
      handle: async () => {
        const now = await inForce(store)
        return { version: now?.version ?? null, digest: now?.digest ?? null, applied_at: now?.appliedAt.toISOString() ?? null, applied_by: now?.appliedBy ?? null, config: now?.config ?? null }
      },
    },
    {
      route: r.configPlan,
      handle: async ({ body }) => {
        const { config, digest } = checkConfig(body.files)
        const now = await inForce(store)
        return { base: now?.version ?? null, digest, changes: differences(now?.config ?? null, config), refused: await refusals(store.db, now?.config ?? null, config) }
      },
    },
    {
      route: r.configApply,
      handle: async ({ body, caller }) => {
        const applied = await applyConfig(store, body.files, body.base, caller.name)
        await configChanged()
        return applied
      },
    },
    { route: r.checkpoint, handle: async () => ({ checkpoint: (await latestCheckpoint(store.db))?.note ?? null, key: (await publicKeyText(store.db)) ?? '' }) },
    { route: r.status, handle: () => status(store, version) },
    { route: r.doctor, handle: async () => ({ findings: await doctor() }) },
    {
      route: r.confirmRestore,
      handle: async ({ body, caller }) => {
        await leaveObserveOnly(store.db, { actor: caller.name, note: body.reason })
        await store.db.transaction().execute(async (tx) => {
          await append(tx, { kind: 'restore.confirmed', subject: 'reglaze', actor: caller.name, data: { reason: body.reason } })
        })
        return { ok: true as const }
      },
    },
  ]
}

interface Counts {
  live_grants: number
  overdue_grants: number
  holds: number
  open_incidents: number
  unsent_pages: number
}
async function status(store: Store, version: string) {
  const { rows } = await sql<Counts>`select
    (select count(*)::int from grants where state in ('intended','granting','unknown','active','revoking','stuck')) as live_grants,
    (select count(*)::int from grants where state not in ('revoked','denied','withdrawn') and expires_at < reglaze.now() - interval '5 seconds') as overdue_grants,
    (select count(*)::int from holds where state <> 'resumed') as holds,
    (select count(*)::int from incidents where state = 'open') as open_incidents,
    (select count(*)::int from pages where state = 'queued') as unsent_pages`.execute(store.db)
  const now = await inForce(store)
  return { version, store: `${store.kind} PostgreSQL ${store.serverVersion}`, config_version: now?.version ?? null, observe_only: (await observeOnly(store.db)) !== null, ...(rows[0] as Counts) }
}
