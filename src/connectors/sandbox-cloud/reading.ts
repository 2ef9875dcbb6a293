import { CORE, ReglazeError } from '../../core/errors.ts'
import type { Json } from '../../core/json.ts'
import type { AuditEvent, AuditSource, Inventory, InventoryItem, Observation } from '../../core/ports.ts'
import { observed } from '../observed.ts'
import { SandboxCloudClient } from './client.ts'
import type { SandboxCloudOptions } from './client.ts'
import * as schema from './schema.ts'

const PAGE = 1000

/** The cloud's audit log: every write and every attempt at one, with the credential that was used. */
export function cloudAudit(o: SandboxCloudOptions): AuditSource {
  const cloud = new SandboxCloudClient(o)
  return {
    async read(cursor) {
      if (cursor !== null && !/^\d+$/.test(cursor)) throw new ReglazeError(CORE.INVALID_INPUT, `"${cursor}" is not a cursor of ${o.name}`)
      const page = await cloud.get(`/v1/audit?writes=1&after=${cursor ?? '0'}&limit=${PAGE}`, schema.auditPage)
      // Without a cursor nothing was expected, so nothing that is no longer kept was lost.
      return { events: page.events.map(eventOf), cursor: page.cursor, complete: page.complete || cursor === null }
    },
  }
}

function eventOf(e: (typeof schema.auditPage)['_output']['events'][number]): AuditEvent {
  return {
    id: e.id,
    time: e.time,
    actor: e.actor,
    credential: e.credential,
    sourceIdentity: e.source_identity,
    action: e.action,
    resource: e.resource ?? { type: 'other', id: e.path, name: null },
    before: e.before,
    after: e.after,
    // 0 = the cloud itself gave no answer (a fault set for a drill), and did nothing.
    ok: e.status >= 200 && e.status < 400,
    request: e.request === null ? `${e.method} ${e.path}` : `${e.method} ${e.path} ${JSON.stringify(e.request)}`,
  }
}

/** Collections with a Terraform type. Snapshots have none: there is no code that could describe them. */
const MANAGEABLE = {
  instances: 'sandbox_instance',
  databases: 'sandbox_database',
  routes: 'sandbox_route',
  firewalls: 'sandbox_firewall',
  'role-assignments': 'sandbox_role_assignment',
} as const

/** Everything in the cloud that Terraform could manage. One collection that cannot be read makes the whole answer unknown. */
export function cloudInventory(o: SandboxCloudOptions): Inventory {
  const cloud = new SandboxCloudClient(o)
  return {
    list(): Promise<Observation<InventoryItem[]>> {
      return observed(async () => {
        const collections = Object.entries(MANAGEABLE)
        const lists = await Promise.all(collections.map(([collection]) => cloud.get(`/v1/${collection}`, schema.listOf(schema.resource))))
        const value = lists.flatMap((list, i) =>
          list.items.map((item): InventoryItem => ({ type: (collections[i] as [string, string])[1], id: item.id, name: item.name, attributes: item as Record<string, Json> })),
        )
        return { value, evidence: cloud.evidence(collections.map(([c]) => `GET /v1/${c}`).join(', '), { objects: value.length }) }
      })
    },
  }
}
