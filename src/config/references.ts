import type { Config } from './schema.ts'

interface Dangling {
  readonly path: (string | number)[]
  readonly message: string
}

/** Names that point to nothing, names given twice, and circles: what a schema cannot see. */
export function checkReferences(c: Config): Dangling[] {
  const found: Dangling[] = []
  const known = {
    person: names(c.people, 'people', found),
    team: names(c.teams, 'teams', found),
    schedule: names(c.schedules, 'schedules', found),
    escalation: names(c.escalations, 'escalations', found),
    service: names(c.services, 'services', found),
    connector: names(c.connectors, 'connectors', found),
    automation: names(c.automations, 'automations', found),
    role: names(c.roles, 'roles', found),
    workspace: names(c.workspaces, 'workspaces', found),
  }
  const want = (kind: keyof typeof known, name: string, ...path: (string | number)[]) => {
    if (!known[kind].has(name)) found.push({ path, message: `there is no ${kind} "${name}" (known: ${[...known[kind]].sort().join(', ') || 'none'})` })
  }
  c.teams.forEach((t, i) => {
    t.members.forEach((m, k) => want('person', m, 'teams', i, 'members', k))
    want('schedule', t.schedule, 'teams', i, 'schedule')
    want('escalation', t.escalation, 'teams', i, 'escalation')
  })
  c.schedules.forEach((s, i) => {
    if (s.fallback) want('person', s.fallback, 'schedules', i, 'fallback')
    s.layers.forEach((l, k) => l.members.forEach((m, n) => want('person', m, 'schedules', i, 'layers', k, 'members', n)))
  })
  c.escalations.forEach((e, i) =>
    e.steps.forEach((s, k) =>
      s.notify.forEach((n, m) => ('schedule' in n ? want('schedule', n.schedule, 'escalations', i, 'steps', k, 'notify', m) : want('person', n.person, 'escalations', i, 'steps', k, 'notify', m))),
    ),
  )
  c.services.forEach((s, i) => {
    want('team', s.team, 'services', i, 'team')
    s.depends_on.forEach((d, k) => want('service', d, 'services', i, 'depends_on', k))
  })
  c.automations.forEach((a, i) => {
    want('connector', a.connector, 'automations', i, 'connector')
    a.parents.forEach((p, k) => want('automation', p, 'automations', i, 'parents', k))
    a.services.forEach((s, k) => want('service', s, 'automations', i, 'services', k))
  })
  c.roles.forEach((r, i) => {
    r.targets.forEach((t, k) => want('connector', t.connector, 'roles', i, 'targets', k, 'connector'))
    r.approval.forEach((a, k) => {
      a.approvers.forEach((p, n) => want('person', p, 'roles', i, 'approval', k, 'approvers', n))
      const people = new Set(a.approvers).size
      if (a.approvals > people) found.push({ path: ['roles', i, 'approval', k, 'approvals'], message: `${a.approvals} approvals are asked for, but only ${people} people may approve: nobody could ever get this role` })
    })
  })
  c.workspaces.forEach((w, i) => w.services.forEach((s, k) => want('service', s, 'workspaces', i, 'services', k)))
  if (c.paging) want('connector', c.paging.connector, 'paging', 'connector')
  if (c.organization.catch_all_team) want('team', c.organization.catch_all_team, 'organization', 'catch_all_team')
  c.connectors.forEach((k, i) => {
    if (k.kind === 'terraform-grant') want('connector', k.observe_with, 'connectors', i, 'observe_with')
  })
  circle(c.automations.map((a) => [a.id, a.parents]), 'automations', 'parents', found)
  return found
}

function names(list: readonly { id: string }[], path: string, found: Dangling[]): Set<string> {
  const seen = new Set<string>()
  list.forEach((item, i) => {
    if (seen.has(item.id)) found.push({ path: [path, i, 'id'], message: `"${item.id}" is given twice in ${path}` })
    seen.add(item.id)
  })
  return seen
}

function circle(edges: [string, readonly string[]][], list: string, key: string, found: Dangling[]): void {
  const next = new Map(edges)
  edges.forEach(([start], i) => {
    const seen = new Set<string>()
    const walk = (name: string): boolean => (next.get(name) ?? []).some((n) => n === start || (!seen.has(n) && (seen.add(n), walk(n))))
    if (walk(start)) found.push({ path: [list, i, key], message: `"${start}" is its own parent, in a circle` })
  })
}
