/** The life of a hold. `reverted` = somebody or something un-paused it; it is held again and reported. */
export const HOLD_STATES = ['requested', 'held', 'reverted', 'unknown', 'resuming', 'stuck', 'resumed'] as const
export type HoldState = (typeof HOLD_STATES)[number]
export const HOLD_TRANSITIONS: readonly (readonly [HoldState, HoldState])[] = [
  ['requested', 'held'], ['requested', 'unknown'], ['requested', 'reverted'], ['requested', 'resuming'],
  ['held', 'reverted'], ['held', 'unknown'], ['held', 'resuming'],
  ['reverted', 'held'], ['reverted', 'unknown'], ['reverted', 'resuming'],
  ['unknown', 'held'], ['unknown', 'reverted'], ['unknown', 'resuming'],
  ['resuming', 'resumed'], ['resuming', 'stuck'], ['resuming', 'held'], ['stuck', 'resumed'], ['stuck', 'held'], ['stuck', 'resuming'],
]

interface Node {
  readonly id: string
  readonly parents: readonly string[]
  readonly services: readonly string[]
}

/**
 * Which automations to hold for a service, outermost first: those that act on it or on what it depends on, and all
 * their parents (a parent that is not held writes its child's setting back: argo-cd#4808, flux2#3462).
 */
export function holdOrder(automations: readonly Node[], services: ReadonlySet<string>, only?: ReadonlySet<string>): string[] {
  const byId = new Map(automations.map((a) => [a.id, a]))
  const order: string[] = []
  // A circle of parents is refused by `config check`; here it must only not go on for ever.
  const visited = new Set<string>()
  const visit = (id: string): void => {
    const node = byId.get(id)
    if (!node || visited.has(id)) return
    visited.add(id)
    node.parents.forEach(visit)
    order.push(id)
  }
  for (const a of automations) if (only ? only.has(a.id) : a.services.some((s) => services.has(s))) visit(a.id)
  return order
}

/** A service and everything it depends on, itself included. */
export function withDependencies(services: readonly { id: string; depends_on: readonly string[] }[], start: string): Set<string> {
  const byId = new Map(services.map((s) => [s.id, s]))
  const seen = new Set<string>()
  const walk = (id: string): void => {
    if (seen.has(id)) return
    seen.add(id)
    byId.get(id)?.depends_on.forEach(walk)
  }
  walk(start)
  return seen
}
