import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { parseHcl } from './testing/hcl.ts'
import type { AuditEvent } from '../core/ports.ts'
import { attribute, type AttributionContext, changedAttributes } from './attribute.ts'
import { modificationHcl } from './hcl.ts'
import { undoneBy } from './undone.ts'

const T = (s: number) => new Date(Date.UTC(2026, 0, 1, 12, 0, s)).toISOString()
const event = (o: Partial<AuditEvent> = {}): AuditEvent => ({
  id: 'evt-1', time: T(30), actor: 'alice', credential: 'ses-1', sourceIdentity: 'gr_1', action: 'update', resource: { type: 'sandbox_database', id: 'db-1', name: 'orders' },
  before: { engine_version: '13.11', parameter_group: 'default.postgres13', status: 'available' }, after: { engine_version: '14.9', parameter_group: 'default.postgres14', status: 'upgrading' }, ok: true, request: 'POST /v1/databases/db-1/actions/upgrade', ...o,
})
const context = (o: Partial<AttributionContext> = {}): AttributionContext => ({
  grants: [{ grantId: 'gr_1', person: 'alice.p', principal: 'alice', activeFrom: T(10), endedAt: T(60), incident: 'inc_1' }], automation: ['svc-gitops', 'svc-reglaze'],
  incidents: [{ id: 'inc_1', openedAt: T(0) }], addressOf: (r) => (r.id === 'db-1' ? 'module.data.sandbox_database.db["orders"]' : null), ...o,
})

describe('attribution', () => {
  test.each<[string, Partial<AuditEvent>, string, RegExp]>([
    ['by the mark of a grant in force', {}, 'attributed', /gr_1 of alice.p/],
    ['at the very end of the grant', { time: T(60) }, 'attributed', /mark/],
    ['a millisecond after its end', { time: new Date(Date.parse(T(60)) + 1).toISOString() }, 'unexplained', /had ended/],
    ['long before it began', { time: T(1) }, 'unexplained', /only from/],
    ['by another credential of the same person, while the grant is in force', { sourceIdentity: null, credential: 'key-9' }, 'unexplained', /belongs to no grant/],
    ['with the mark of a grant that nobody knows', { sourceIdentity: 'gr_x' }, 'unexplained', /no grant of ours/],
    ['by somebody else with the grant\'s mark', { actor: 'mallory' }, 'unexplained', /is alice.p's/],
    ['by known automation', { actor: 'svc-gitops', sourceIdentity: null }, 'automation', /known automation/],
  ])('%s', (_, o, verdict, why) => {
    const [m] = attribute([event(o)], context())
    expect(m).toMatchObject({ verdict, address: 'module.data.sandbox_database.db["orders"]', incident: 'inc_1' })
    expect(m?.why).toMatch(why)
    expect(m?.attributes).toEqual({ engine_version: { before: '13.11', after: '14.9' }, parameter_group: { before: 'default.postgres13', after: 'default.postgres14' }, status: { before: 'available', after: 'upgrading' } })
  })
  test('by a credential that was issued under the grant, where the target has no mark', () => {
    const grants = [{ grantId: 'gr_2', person: 'bob', principal: 'bob', activeFrom: T(10), endedAt: null, credentials: ['key-7'] }]
    expect(attribute([event({ actor: 'bob', sourceIdentity: null, credential: 'key-7' })], context({ grants }))[0]).toMatchObject({ verdict: 'attributed', grant: 'gr_2' })
  })
  test('reads, refused calls, logins, the machines\' access routine and changes before every incident are no modifications', () => {
    const none = [event({ action: 'read' }), event({ ok: false }), event({ resource: { type: 'session', id: 's', name: null }, action: 'create' }), event({ actor: 'svc-reglaze', sourceIdentity: null, resource: { type: 'membership', id: 'operator/alice', name: null } }), event({ action: 'other', after: event().before })]
    expect(attribute(none, context())).toEqual([])
    expect(attribute([event({ sourceIdentity: null, time: T(5) })], context({ incidents: [{ id: 'inc_1', openedAt: T(20) }] }))).toEqual([])
  })
  test('a person who changes access by hand is seen', () => {
    expect(attribute([event({ actor: 'mallory', sourceIdentity: null, resource: { type: 'membership', id: 'admin/mallory', name: null }, action: 'create' })], context())[0]?.verdict).toBe('unexplained')
  })
  test('attributed means: mark, account and time of one grant all fit', () => {
    fc.assert(fc.property(fc.constantFrom('gr_1', 'gr_2', null), fc.constantFrom('alice', 'mallory', 'svc-gitops'), fc.integer({ min: 0, max: 59 }), (mark, actor, second) => {
      const m = attribute([event({ sourceIdentity: mark, actor, time: T(second) })], context({ grants: [{ grantId: 'gr_1', person: 'p', principal: 'alice', activeFrom: T(20), endedAt: T(40) }] }))[0]
      expect(m?.verdict === 'attributed').toBe(mark === 'gr_1' && actor === 'alice' && second >= 18 && second <= 40)
    }))
  })
})

describe('undone', () => {
  const change = { at: T(30), event: 'evt-1', action: 'update', resource: event().resource, attributes: changedAttributes(event().before, event().after) }
  const machine = (o: Partial<AuditEvent>) => event({ id: 'evt-2', time: T(40), actor: 'svc-gitops', sourceIdentity: null, before: event().after, after: event().before, ...o })
  test.each<[string, Partial<AuditEvent>, string | null]>([
    ['the earlier value is back', {}, 'reverted'],
    ['only a part of it is back', { after: { engine_version: '13.11', parameter_group: 'default.postgres14', status: 'upgrading' } }, 'reverted'],
    ['another value', { after: { engine_version: '15.1', parameter_group: 'x', status: 'y' } }, 'overwritten'],
    ['deleted', { action: 'delete', after: null }, 'deleted'],
    ['something else changed', { before: event().after, after: { ...(event().after as object), storage_gb: 30 } }, null],
    ['by a person', { actor: 'bob' }, null],
    ['earlier', { time: T(20) }, null],
    ['refused', { ok: false }, null],
    ['another resource', { resource: { type: 'sandbox_database', id: 'db-2', name: 'other' } }, null],
    ['the person\'s value was gone already', { before: { engine_version: '15' }, after: { engine_version: '13.11' } }, null],
  ])('%s', (_, o, how) => {
    expect(undoneBy(change, [machine(o)], ['svc-gitops'])?.how ?? null).toBe(how)
  })
  test('a deleted thing that comes back under its name', () => {
    const deleted = { ...change, action: 'delete', attributes: changedAttributes(event().before, null) }
    expect(undoneBy(deleted, [machine({ action: 'create', before: null, resource: { type: 'sandbox_database', id: 'db-9', name: 'orders' } })], ['svc-gitops'])).toMatchObject({ how: 'made-again', by: 'svc-gitops', event: 'evt-2' })
  })
})

describe('as HCL', () => {
  test('changed attributes at their address; computed ones and secrets stay out', () => {
    const m = attribute([event({ after: { engine_version: '14.9', parameter_group: 'a "b" ${c}', status: 'x', password: 'p' } })], context())[0]
    const hcl = modificationHcl(m as NonNullable<typeof m>)
    expect(hcl).toContain('resource "sandbox_database" "db" {\n  engine_version  = "14.9"\n  parameter_group = "a \\"b\\" $${c}"\n')
    expect(hcl).toContain('module.data.sandbox_database.db["orders"]')
    expect(hcl).not.toMatch(/status|= "p"/)
    expect(parseHcl(hcl as string)).toBe('ok')
  })
  test('a new thing gets a whole block and an import; a stopped machine has nothing to say in code', () => {
    const made = event({ action: 'create', before: null, after: { id: 'fw-1', name: 'x y', rule: [{ port: 22, protocol: 'tcp', source: '10.0.0.0/8' }], tags: {}, note: null }, resource: { type: 'sandbox_firewall', id: 'fw-1', name: 'x y' } })
    const hcl = modificationHcl(attribute([made], context())[0] as never) as string
    expect(hcl).toContain('import {\n  to = sandbox_firewall.x_y\n  id = "fw-1"\n}')
    expect(hcl).toContain('  rule {\n    port     = 22\n')
    expect(parseHcl(hcl)).toBe('ok')
    const stopped = event({ before: { status: 'running' }, after: { status: 'stopped' } })
    expect(modificationHcl(attribute([stopped], context())[0] as never)).toBeNull()
  })
  test('whatever the values are, Terraform can read it', () => {
    const value = fc.oneof(fc.string(), fc.integer(), fc.boolean(), fc.array(fc.string(), { maxLength: 3 }), fc.dictionary(fc.string({ minLength: 1 }), fc.string(), { maxKeys: 3 }))
    fc.assert(fc.property(fc.array(value, { minLength: 1, maxLength: 4 }), (values) => {
      const after = Object.fromEntries(values.map((v, i) => [`a${i}`, v]))
      const hcl = modificationHcl(attribute([event({ before: {}, after })], context())[0] as never)
      return hcl === null || parseHcl(hcl) === 'ok'
    }), { numRuns: 15 })
  })
})
