import type { Automation, Config, Service } from '../config/schema.ts'
import type { Observation, PauseState } from '../core/ports.ts'
import type { StateEntry } from '../terraform/pure.ts'
import type { ActingAutomation, AssessedResource, Assessment, DependentResource, DependentService, Flag, Job } from './model.ts'

/** The four questions about a failed resource, answered from what was gathered. Pure. */

export interface Gathered {
  readonly config: Pick<Config, 'services' | 'automations'>
  readonly service: string
  readonly wanted: readonly string[]
  readonly states: readonly WorkspaceState[]
  readonly observed: readonly { readonly id: string; readonly observed: Observation<PauseState> }[]
  readonly jobs: Observation<readonly Job[]> | null
  /** Addresses (without instance keys) that the code protects by prevent_destroy, by workspace; absent = the code was not read. */
  readonly preventDestroy?: Readonly<Record<string, readonly string[]>>
}
export type WorkspaceState =
  | { readonly workspace: string; readonly status: 'known'; readonly entries: readonly StateEntry[] }
  | { readonly workspace: string; readonly status: 'unknown'; readonly reason: string }

export function assess(g: Gathered): Assessment {
  const resources = g.wanted.map((given) => resolve(g, given))
  const services = [...new Set([g.service, ...resources.flatMap((r) => r.services)])]
  const automations = actingAutomations(g, resources, services)
  const dependents = { services: walk(g.config.services, services, (s, id) => s.depends_on.includes(id)), resources: dependentResources(g, resources) }
  const needs = walk(g.config.services, services, (s, id) => g.config.services.find((x) => x.id === id)?.depends_on.includes(s.id) ?? false)
  const known = g.config.services.filter((s) => services.includes(s.id) || dependents.services.some((d) => d.id === s.id))
  const worst = known.toSorted((a, b) => a.criticality - b.criticality)[0]
  const flags = resources.flatMap((r) => flagsOf(g, r))
  return {
    service: g.service, resources, automations, dependents, needs,
    loops: automations.filter((a) => a.state !== 'held').map((a) => a.id),
    criticality: { level: worst?.criticality ?? null, of: worst?.id ?? null, flags, data_loss: known.filter((s) => services.includes(s.id)).flatMap((s) => s.data_loss) },
    jobs: g.jobs?.status === 'known' ? g.jobs.value.filter((j) => j.acts_on.some((pattern) => resources.some((r) => matches(pattern, r)) || services.includes(pattern))) : [],
    unknown: unknowns(g, resources, automations, flags),
  }
}

function resolve(g: Gathered, given: string): AssessedResource {
  for (const state of g.states) {
    if (state.status !== 'known') continue
    const found = state.entries.filter((e) => e.mode === 'managed' && namesOf(e).includes(given))
    const [first] = found
    if (!first) continue
    const resource = { given, addresses: found.map((e) => e.address), workspace: state.workspace, type: first.type, id: first.id, name: textOf(first.attributes['name']) }
    return { ...resource, services: servicesOf(g.config.services, resource) }
  }
  const [type, ...rest] = given.split('/')
  const plain = given.includes('.') || rest.length === 0
  const resource = { given, addresses: [], workspace: null, type: plain ? null : (type ?? null), id: null, name: plain ? null : rest.join('/') }
  return { ...resource, services: servicesOf(g.config.services, resource) }
}

function textOf(value: unknown): string | null {
  return typeof value === 'string' ? value : null
}
function namesOf(e: StateEntry): string[] {
  return [e.address, e.config, ...(e.id === null ? [] : [`${e.type}/${e.id}`, e.id]), ...(typeof e.attributes['name'] === 'string' ? [`${e.type}/${e.attributes['name']}`] : [])]
}
type Named = Pick<AssessedResource, 'given' | 'addresses' | 'type' | 'id' | 'name'>

/** Whether a pattern (`*` = anything) of the configuration names the resource: by address, `type/id` or `type/name`. */
export function matches(pattern: string, r: Named): boolean {
  const names = [r.given, ...r.addresses, ...r.addresses.map(withoutKeys), ...(r.type && r.id ? [`${r.type}/${r.id}`] : []), ...(r.type && r.name ? [`${r.type}/${r.name}`] : [])]
  const expression = new RegExp(`^${pattern.split('*').map((part) => part.replace(/[.+?^${}()|[\]\\]/g, '\\$&')).join('.*')}$`)
  return names.some((name) => expression.test(name))
}
function withoutKeys(address: string): string {
  return address.replace(/\[(?:\d+|"(?:[^"\\]|\\.)*")\]/g, '')
}
function servicesOf(services: readonly Service[], r: Named): string[] {
  return services.filter((s) => s.resources.some((pattern) => matches(pattern, r))).map((s) => s.id)
}

function actingAutomations(g: Gathered, resources: readonly AssessedResource[], services: readonly string[]): ActingAutomation[] {
  const found = new Map<string, ActingAutomation>()
  const add = (a: Automation, how: ActingAutomation['how'], because: string) => {
    if (!found.has(a.id)) found.set(a.id, { id: a.id, connector: a.connector, how, because, period: a.period, ...stateOf(g, a.id) })
  }
  for (const a of g.config.automations) {
    const pattern = a.acts_on.find((p) => resources.some((r) => matches(p, r)))
    const service = a.services.find((s) => services.includes(s))
    if (pattern) add(a, 'direct', `acts on ${pattern}`)
    else if (service && a.acts_on.length === 0) add(a, 'service', `acts on service ${service}`)
    else if (service) add(a, 'beside', `acts on ${a.acts_on.join(', ')} of service ${service}`)
  }
  // A parent switches its child on again, so it belongs to the list; parents of parents too.
  for (let before = -1; before !== found.size; ) {
    before = found.size
    const children = [...found.keys()]
    for (const child of children) {
      for (const parent of g.config.automations.find((a) => a.id === child)?.parents ?? []) {
        const a = g.config.automations.find((x) => x.id === parent)
        const how = found.get(parent)?.how
        if (a && (how === undefined || how === 'service' || how === 'beside')) {
          found.delete(parent)
          add(a, 'parent', `writes the settings of ${child}`)
        }
      }
    }
  }
  const order = { direct: 0, parent: 1, service: 2, beside: 3 }
  return [...found.values()].sort((a, b) => order[a.how] - order[b.how] || (a.id < b.id ? -1 : 1))
}

function stateOf(g: Gathered, id: string): Pick<ActingAutomation, 'state' | 'working' | 'changedBy' | 'reason'> {
  const seen = g.observed.find((o) => o.id === id)?.observed
  if (seen?.status === 'known') return { state: seen.value.paused ? 'held' : 'running', working: seen.value.running, changedBy: seen.value.changedBy, reason: null }
  return { state: 'unknown', working: [], changedBy: null, reason: seen?.reason ?? 'it was not observed' }
}

/** Services reached from `start` over an edge, breadth first, with the path back. */
function walk(services: readonly Service[], start: readonly string[], leads: (candidate: Service, to: string) => boolean): DependentService[] {
  const paths = new Map<string, string[]>(start.map((id) => [id, [id]]))
  const queue = [...start]
  for (let to = queue.shift(); to !== undefined; to = queue.shift()) {
    for (const s of services) {
      if (paths.has(s.id) || !leads(s, to)) continue
      paths.set(s.id, [s.id, ...(paths.get(to) ?? [])])
      queue.push(s.id)
    }
  }
  return services.filter((s) => paths.has(s.id) && !start.includes(s.id)).map((s) => ({ id: s.id, criticality: s.criticality, path: paths.get(s.id) ?? [] }))
}

function dependentResources(g: Gathered, resources: readonly AssessedResource[]): DependentResource[] {
  const own = new Set(resources.flatMap((r) => r.addresses))
  const configs = new Map<string, Set<string>>()
  for (const r of resources) if (r.workspace) configs.set(r.workspace, new Set([...(configs.get(r.workspace) ?? []), ...r.addresses.map(withoutKeys)]))
  return g.states.flatMap((state) => {
    const wanted = configs.get(state.workspace)
    if (state.status !== 'known' || !wanted) return []
    // State version 4 lists dependencies transitively already.
    const found = state.entries.filter((e) => e.mode === 'managed' && !own.has(e.address) && e.dependencies.some((d) => wanted.has(withoutKeys(d))))
    return found.map((e) => ({ address: e.address, workspace: state.workspace, type: e.type, id: e.id }))
  })
}

function flagsOf(g: Gathered, r: AssessedResource): Flag[] {
  const state = g.states.find((s) => s.workspace === r.workspace)
  const entry = state?.status === 'known' ? state.entries.find((e) => e.address === r.addresses[0]) : undefined
  const flags: Flag[] = []
  for (const [name, yes, no] of [
    ['deletion_protection', 'the cloud refuses to delete it; a replacement has to switch this off first', 'nothing at the cloud stops a deletion'],
    ['skip_final_snapshot', 'a deletion leaves no snapshot behind: its data are lost', 'a deletion takes a last snapshot first'],
  ] as const) {
    const value = entry?.attributes[name]
    if (typeof value === 'boolean') flags.push({ resource: r.given, name, value, source: `state of ${r.workspace}`, means: value ? yes : no })
  }
  const code = r.workspace === null ? undefined : g.preventDestroy?.[r.workspace]
  const guarded = code && r.addresses.some((a) => code.includes(withoutKeys(a)))
  const means = guarded === undefined ? 'the code was not read' : guarded ? 'Terraform refuses to destroy or replace it' : 'Terraform would destroy or replace it when a plan says so'
  flags.push({ resource: r.given, name: 'prevent_destroy', value: guarded ?? 'unknown', source: `code of ${r.workspace ?? 'an unknown workspace'}`, means })
  return flags
}

function unknowns(g: Gathered, resources: readonly AssessedResource[], automations: readonly ActingAutomation[], flags: readonly Flag[]): string[] {
  const unguarded = flags.filter((f) => f.value === 'unknown').map((f) => f.resource)
  return [
    ...g.states.flatMap((s) => (s.status === 'unknown' ? [`state of workspace ${s.workspace}: ${s.reason}`] : [])),
    ...resources.filter((r) => r.addresses.length === 0).map((r) => `${r.given}: in no state that could be read; what depends on it is known from the configuration only`),
    ...automations.filter((a) => a.state === 'unknown').map((a) => `automation ${a.id}: ${a.reason}`),
    ...(g.jobs === null ? ['scheduled jobs: no directory is configured'] : g.jobs.status === 'unknown' ? [`scheduled jobs: ${g.jobs.reason}`] : []),
    ...(unguarded.length > 0 ? [`prevent_destroy of ${unguarded.join(', ')}: the code was not read`] : []),
  ]
}
