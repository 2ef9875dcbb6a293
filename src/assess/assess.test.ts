import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { configSchema, type Config } from '../config/index.ts'
import type { Handler, Observation, PauseState } from '../core/index.ts'
import { sql } from '../store/index.ts'
import { useTestStore } from '../store/testing/index.ts'
import { stateEntries, type StateDocument } from '../terraform/pure.ts'
import { matches } from './decide.ts'
import { assess, assessPart, type AssessDeps, type Assessment, type Gathered } from './index.ts'

const service = (id: string, criticality: number, depends_on: string[], resources: string[], data_loss: string[] = []) => ({ id, name: id, team: 't', criticality, depends_on, resources, data_loss })
const config: Config = configSchema.parse({
  organization: { name: 'x' },
  people: [{ id: 'ann', name: 'ann', email: 'ann@x.example' }],
  teams: [{ id: 't', name: 't', members: ['ann'], schedule: 's', escalation: 'e' }],
  schedules: [{ id: 's', layers: [{ id: 'l', zone: 'UTC', start: '2026-01-05', handoff: { at: '09:00' }, rotation: { kind: 'weekly' }, members: ['ann'] }] }],
  escalations: [{ id: 'e', steps: [{ after: '0s', notify: [{ schedule: 's' }] }] }],
  services: [
    service('shop', 2, ['api'], []),
    service('api', 3, ['orders-db', 'mail'], ['module.web.sandbox_instance.this["web-2"]', 'sandbox_firewall.edge']),
    service('orders-db', 1, [], ['module.orders_db.sandbox_database.this'], ['an old snapshot loses every order since']),
    service('mail', 5, [], []),
  ],
  connectors: [],
  automations: [
    { id: 'root', connector: 'gitops', target: {}, services: ['api'] },
    { id: 'app', connector: 'gitops', target: {}, parents: ['root'], services: ['api'], acts_on: ['module.web.*'] },
    { id: 'runner', connector: 'tf', target: {}, services: ['api', 'orders-db'], acts_on: ['module.*'] },
    { id: 'edge', connector: 'gitops', target: {}, services: ['api'], acts_on: ['sandbox_route.storefront'] },
    { id: 'other', connector: 'gitops', target: {}, services: ['mail'] },
  ],
  workspaces: [{ id: 'production', repository: 'r', state: 'production' }, { id: 'elsewhere', repository: 'r' }],
})
const state: StateDocument = {
  version: 4, terraform_version: '1.11.4', serial: 3, lineage: 'x',
  resources: [
    { mode: 'managed', type: 'sandbox_database', name: 'this', module: 'module.orders_db', provider: 'p', instances: [{ attributes: { id: 'db-1', name: 'orders', deletion_protection: true } }] },
    { mode: 'managed', type: 'sandbox_instance', name: 'this', module: 'module.web', provider: 'p', instances: ['web-1', 'web-2'].map((key, i) => ({ index_key: key, attributes: { id: `i-${i + 1}`, name: key }, dependencies: ['module.orders_db.sandbox_database.this'] })) },
    { mode: 'managed', type: 'sandbox_route', name: 'storefront', provider: 'p', instances: [{ attributes: { id: 'rt-1', name: 'storefront' }, dependencies: ['module.orders_db.sandbox_database.this', 'module.web.sandbox_instance.this'] }] },
    { mode: 'data', type: 'sandbox_database', name: 'check', provider: 'p', instances: [{ attributes: { id: 'db-1' }, dependencies: ['module.orders_db.sandbox_database.this'] }] },
  ],
}
const seen = (paused: boolean, more: Partial<PauseState> = {}): Observation<PauseState> => ({ status: 'known', value: { paused, setting: null, changedBy: null, running: [], parents: [], ...more }, at: '', evidence: { source: 's', request: 'r', answer: null } })
const jobs: Observation<{ id: string; runs_as: string; schedule: string; acts_on: string[] }[]> = {
  status: 'known', at: '', evidence: { source: 's', request: 'r', answer: null },
  value: [{ id: 'nightly', runs_as: 'svc-report', schedule: '0 3 * * *', acts_on: ['sandbox_database/orders'] }, { id: 'unrelated', runs_as: 'x', schedule: '@daily', acts_on: ['sandbox_instance/mail'] }],
}
const gathered = (o: Partial<Gathered> = {}): Gathered => ({
  config, service: 'orders-db', wanted: ['module.orders_db.sandbox_database.this'], jobs,
  states: [{ workspace: 'production', status: 'known', entries: stateEntries(state) }, { workspace: 'elsewhere', status: 'unknown', reason: 'its state is not kept here' }],
  observed: [{ id: 'root', observed: seen(false) }, { id: 'app', observed: seen(true, { changedBy: 'reglaze' }) }, { id: 'runner', observed: { status: 'unknown', at: '', reason: 'connection refused' } }],
  ...o,
})

describe('the four questions', () => {
  it('for the database: who acts, what depends, what runs, how critical', () => {
    const a = assess(gathered())
    expect(a.resources).toEqual([{ given: 'module.orders_db.sandbox_database.this', addresses: ['module.orders_db.sandbox_database.this'], workspace: 'production', type: 'sandbox_database', id: 'db-1', name: 'orders', services: ['orders-db'] }])
    expect(a.automations).toMatchObject([{ id: 'runner', how: 'direct', because: 'acts on module.*', state: 'unknown', reason: 'connection refused' }])
    expect(a.dependents.services).toEqual([{ id: 'shop', criticality: 2, path: ['shop', 'api', 'orders-db'] }, { id: 'api', criticality: 3, path: ['api', 'orders-db'] }])
    expect(a.dependents.resources.map((r) => r.address)).toEqual(['module.web.sandbox_instance.this["web-1"]', 'module.web.sandbox_instance.this["web-2"]', 'sandbox_route.storefront'])
    expect(a.needs).toEqual([])
    expect(a.loops).toEqual(['runner'])
    expect(a.criticality).toMatchObject({ level: 1, of: 'orders-db', data_loss: ['an old snapshot loses every order since'], flags: [{ name: 'deletion_protection', value: true }, { name: 'prevent_destroy', value: 'unknown' }] })
    expect(a.jobs.map((j) => j.id)).toEqual(['nightly'])
    expect(a.unknown).toEqual(['state of workspace elsewhere: its state is not kept here', 'automation runner: connection refused', 'prevent_destroy of module.orders_db.sandbox_database.this: the code was not read'])
  })

  it('for a machine by its id: the parent belongs to the list, held is not running, beside is told apart', () => {
    const a = assess(gathered({ service: 'api', wanted: ['sandbox_instance/i-2'], preventDestroy: { production: ['module.web.sandbox_instance.this'] } }))
    expect(a.resources[0]).toMatchObject({ addresses: ['module.web.sandbox_instance.this["web-2"]'], services: ['api'] })
    expect(a.automations.map((x) => [x.id, x.how, x.state])).toEqual([['app', 'direct', 'held'], ['runner', 'direct', 'unknown'], ['root', 'parent', 'running'], ['edge', 'beside', 'unknown']])
    expect(a.loops).toEqual(['runner', 'root', 'edge'])
    expect(a.dependents.resources.map((r) => r.address)).toEqual(['sandbox_route.storefront'])
    expect(a.needs.map((s) => s.id)).toEqual(['orders-db', 'mail'])
    expect(a.criticality).toMatchObject({ level: 2, of: 'shop', flags: [{ name: 'prevent_destroy', value: true, means: 'Terraform refuses to destroy or replace it' }] })
  })

  it('never takes unknown for absent', () => {
    const a = assess(gathered({ states: [{ workspace: 'production', status: 'unknown', reason: 'timeout' }], observed: [], jobs: { status: 'unknown', at: '', reason: '503' }, wanted: ['module.web.sandbox_instance.this["web-2"]'] }))
    expect(a.automations.every((x) => x.state === 'unknown')).toBe(true)
    expect(a.loops).toEqual(a.automations.map((x) => x.id))
    expect(a.unknown.join('\n')).toMatch(/state of workspace production: timeout\n.*in no state that could be read[^]*it was not observed[^]*scheduled jobs: 503/)
    expect(assess(gathered({ jobs: null })).unknown).toContain('scheduled jobs: no directory is configured')
  })

  it('says so when nothing is known of a resource', () => {
    const a = assess(gathered({ service: 'unrouted', wanted: ['vm/lost'] }))
    expect(a.resources).toEqual([{ given: 'vm/lost', addresses: [], workspace: null, type: 'vm', id: null, name: 'lost', services: [] }])
    expect(a).toMatchObject({ automations: [], criticality: { level: null } })
  })

  it('reads patterns as text but for the star', () => {
    const r = { given: 'a.b["x(1)"]', addresses: [], type: null, id: null, name: null }
    expect(['a.b["x(1)"]', 'a.*', '*', 'a?b*', 'a.b', ''].map((p) => matches(p, r))).toEqual([true, true, true, false, false, false])
    fc.assert(fc.property(fc.string(), (text) => {
      expect(matches(text.replaceAll('*', ''), { ...r, given: text.replaceAll('*', '') })).toBe(true)
    }))
  })

  it('ends with any graph of services and parents, also in circles', () => {
    const ids = ['a', 'b', 'c', 'd', 'e']
    const some = fc.subarray(ids)
    fc.assert(
      fc.property(fc.tuple(some, some, some, some, some), some, (edges, start) => {
        const services = ids.map((id, i) => ({ ...config.services[0], id, depends_on: edges[i] ?? [], resources: start.includes(id) ? ['r'] : [] })) as Config['services']
        const automations = ids.map((id, i) => ({ ...config.automations[0], id, parents: edges[i] ?? [], services: [id], acts_on: [] })) as unknown as Config['automations']
        const a = assess(gathered({ config: { services, automations }, service: 'a', wanted: ['r'] }))
        for (const d of a.dependents.services) for (const [i, id] of d.path.slice(0, -1).entries()) expect(services.find((s) => s.id === id)?.depends_on).toContain(d.path[i + 1])
        for (const x of a.automations) for (const p of automations.find((y) => y.id === x.id)?.parents ?? []) expect(a.automations.map((y) => y.id)).toContain(p)
      }),
    )
  })
})

describe('kept', () => {
  const t = useTestStore()
  const part = (o: Partial<AssessDeps> = {}) => {
    const made = assessPart({
      store: t.store, config: () => config, incident: async () => ({ id: 'inc_1', label: 'INC-1', service: 'orders-db' }),
      automations: async () => gathered().observed, stateOf: async () => JSON.stringify(state), directory: () => ({ jobs: async () => jobs }), ...o,
    })
    const call = async (id: string, body?: unknown) => {
      const { route, handle } = made.routes.find((r) => r.route.id === id) as Handler
      const answer = await handle({ params: { id: 'INC-1' }, query: {}, body: route.body ? route.body.parse(body) : undefined, caller: { name: 'ann', role: 'responder', person: 'ann', tokenId: null }, request: { headers: {}, rawBody: new Uint8Array() } })
      return route.response.parse(answer) as { assessment: Assessment; text: string; digest: string; id: string; assessments: unknown[] }
    }
    return call
  }

  it('with its text, and in the ledger by digest', async () => {
    const call = part()
    const made = await call('assess.run')
    expect(made.assessment.resources.map((r) => r.given)).toEqual(['module.orders_db.sandbox_database.this'])
    expect(made.text).toBe(`Assessment of INC-1 (orders-db)

What it is about
  module.orders_db.sandbox_database.this  sandbox_database db-1, workspace production, service orders-db

1  Which automations act on it
  runner (direct): acts on module.*; unknown

2  What depends on it
  service shop (criticality 2): shop → api → orders-db
  service api (criticality 3): api → orders-db
  module.web.sandbox_instance.this["web-1"] (sandbox_instance i-1)
  module.web.sandbox_instance.this["web-2"] (sandbox_instance i-2)
  sandbox_route.storefront (sandbox_route rt-1)

3  Which control loops are running now
  runner: unknown (connection refused)

4  How critical it is
  criticality 1 of 5 (1 is the most critical), because of orders-db
  module.orders_db.sandbox_database.this: deletion_protection = true: the cloud refuses to delete it; a replacement has to switch this off first
  data loss: an old snapshot loses every order since

Scheduled jobs that act on it
  nightly: 0 3 * * *, runs as svc-report

NOT KNOWN, so the answers above are not complete
  state of workspace elsewhere: its state is not kept here
  automation runner: connection refused
  prevent_destroy of module.orders_db.sandbox_database.this: the code was not read
`)
    await call('assess.run', { resources: ['sandbox_instance/i-2'] })
    const { assessments } = await call('assess.list')
    expect(assessments).toHaveLength(2)
    expect(assessments[1]).toEqual(made)
    const { rows } = await sql<{ bytes: string }>`select bytes from ledger_entries order by id`.execute(t.store.db)
    expect(rows.map((r) => JSON.parse(r.bytes))).toMatchObject([{ kind: 'assess.done', incident: 'inc_1', subject: made.id, data: { digest: made.digest, criticality: 1 } }, { kind: 'assess.done' }])
  })

  it('also when everything outside is silent', async () => {
    const made = await part({ stateOf: async () => { throw new Error('disk') }, directory: () => { throw new Error('no secret') }, automations: async () => [] })('assess.run')
    expect(made.assessment.unknown).toEqual(expect.arrayContaining([expect.stringContaining('disk'), 'scheduled jobs: no secret', 'automation runner: it was not observed']))
  })

  it('not about nothing', async () => {
    await expect(part({ incident: async () => ({ id: 'i', label: 'INC-1', service: 'mail' }) })('assess.run')).rejects.toMatchObject({ code: 'ASSESS_NOTHING' })
  })
})
