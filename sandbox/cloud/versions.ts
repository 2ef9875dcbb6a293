import type { Json } from '../lib/index.ts'
import type { Resource } from './model.ts'
import { conflict, invalid } from './store.ts'

/** How long a version change takes, in milliseconds. */
export const UPGRADE_MS = 300

/** The database as it is at this moment: while an upgrade runs it shows the old version and the status `upgrading`. */
export function settled(db: Resource, now: Date): Resource {
  const upgrade = db['_upgrade'] as { until: string; from: Record<string, Json> } | undefined
  if (!upgrade || Date.parse(upgrade.until) <= now.getTime()) return db
  return { ...db, ...upgrade.from, status: 'upgrading' }
}

/** Marks the change from `before` to `after` as an upgrade that ends after {@link UPGRADE_MS}. */
export function beginUpgrade(before: Resource, after: Resource, now: Date): Resource {
  const from = { engine_version: before['engine_version'] ?? null, parameter_group: before['parameter_group'] ?? null }
  return { ...after, status: 'available', _upgrade: { until: new Date(now.getTime() + UPGRADE_MS).toISOString(), from } }
}

/** Refuses a change during an upgrade (409), a downgrade, and a major change without permission (400). */
export function checkVersion(db: Resource, wanted: Record<string, Json>, allowMajor: boolean, now: Date): void {
  if (settled(db, now)['status'] === 'upgrading') throw conflict(`${db.name} is upgrading: try again when its status is available`)
  const next = wanted['engine_version']
  if (typeof next !== 'string' || next === db['engine_version']) return
  const present = String(db['engine_version'])
  if (!/^\d+(\.\d+)*$/.test(next)) throw invalid(`engine_version "${next}" is not a version`)
  if (compareVersions(next, present) < 0) throw invalid(`engine_version cannot go back from ${present} to ${next}: restore a snapshot into a new database`)
  if (next.split('.')[0] !== present.split('.')[0] && !allowMajor) {
    throw invalid(`engine_version ${present} to ${next} is a major upgrade: it needs allow_major_version_upgrade, or the action upgrade`)
  }
}

function compareVersions(a: string, b: string): number {
  const [x, y] = [a.split('.').map(Number), b.split('.').map(Number)]
  for (let i = 0; i < Math.max(x.length, y.length); i++) {
    const d = (x[i] ?? 0) - (y[i] ?? 0)
    if (d !== 0) return d
  }
  return 0
}
