/** Did automation undo what a person did? Pure. */
import { canonical, type Json } from '../core/json.ts'
import type { AuditEvent } from '../core/ports.ts'
import { isChange } from './attribute.ts'
import type { Modification, Undone } from './model.ts'

/** Attributes that change by themselves: their change undoes nothing. */
const RESTLESS = new Set(['id', 'updated_at', 'created_at', 'version', 'ip', 'endpoint'])

type Changed = Pick<Modification, 'at' | 'event' | 'action' | 'resource' | 'attributes'>

/** Finds, for one change by a person, the first later automation write among the events (oldest first) that took it back. */
export function undoneBy(change: Changed, events: readonly AuditEvent[], automation: readonly string[]): Undone | null {
  for (const event of events) {
    if (!automation.includes(event.actor) || !isChange(event) || !isLater(event, change)) continue
    const undone = undoes(change, event)
    if (undone) return { by: event.actor, at: event.time, event: event.id, ...undone }
  }
  return null
}

function isLater(event: AuditEvent, change: Changed): boolean {
  if (event.id === change.event) return false
  const difference = Date.parse(event.time) - Date.parse(change.at)
  // Two events of one millisecond: ids of one source grow.
  return difference > 0 || (difference === 0 && event.id > change.event)
}

function undoes(change: Changed, event: AuditEvent): Pick<Undone, 'how' | 'attributes'> | null {
  if (event.resource.type !== change.resource.type) return null
  const same = event.resource.id === change.resource.id
  const sameName = event.resource.name !== null && event.resource.name === change.resource.name
  if (change.action === 'delete') return event.action === 'create' && (same || sameName) ? { how: 'made-again', attributes: [] } : null
  if (!same) return null
  if (event.action === 'delete') return { how: 'deleted', attributes: [] }
  const before = asObject(event.before)
  const after = asObject(event.after)
  const touched = Object.entries(change.attributes).filter(([key, value]) => {
    if (RESTLESS.has(key)) return false
    // Only what still had the person's value and has another one now.
    return equal(before[key], value.after) && !equal(after[key], value.after)
  })
  if (touched.length === 0) return null
  const back = touched.every(([key, value]) => equal(after[key], value.before))
  return { how: back ? 'reverted' : 'overwritten', attributes: touched.map(([key]) => key) }
}
function equal(a: Json | undefined, b: Json | undefined): boolean {
  return canonical(a ?? null) === canonical(b ?? null)
}
function asObject(value: Json): Record<string, Json> {
  return value !== null && typeof value === 'object' && !Array.isArray(value) ? value : {}
}
