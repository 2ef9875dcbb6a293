import { beforeEach } from 'vitest'
import type { Caller, PolicyFacts } from '../../core/index.ts'
import type { Config, Role } from '../../config/index.ts'
import { newId, sql } from '../../store/index.ts'
import type { TestStore } from '../../store/testing/index.ts'
import { Access, TERMINAL } from '../index.ts'
import { converge } from '../loop.ts'
import { FakeTarget } from './fake-target.ts'

export const as = (person: string, role: Caller['role'] = 'responder'): Caller => ({ name: person, role, person, tokenId: 'tok_1', scopes: ['api'] })

export interface Bench {
  readonly access: Access
  readonly targets: { one: FakeTarget; two: FakeTarget }
  readonly incident: string
  readonly alarms: { subject: string; text: string }[]
  facts: PolicyFacts
  roles: Role[]
  missing: Set<string>
  observeOnly: boolean
  request(person?: string, o?: { duration?: string; role?: string; on?: Access }): Promise<Awaited<ReturnType<Access['view']>>>
  /** Runs the loop by hand until it wants to wait; returns the last wait in ms (null = done). */
  run(id: string, o?: { times?: number; on?: Access }): Promise<number | null>
  grant(person?: string, o?: { duration?: string; role?: string }): Promise<string>
}

const role = (id: string, more: Partial<Role> = {}): Role => ({
  id, about: 'for tests', max_duration: '2h', eligible: [{ when: 'true' }], deny: [], approval: [{ approvals: 0, approvers: [] }],
  targets: [{ connector: 'one', right: { role: 'operator' } }, { connector: 'two', right: { role: 'operator' } }], ...more,
}) as Role

/** Access on a real database with two fake targets; a new one for each test. */
export function useBench(t: TestStore): Bench {
  let b: { -readonly [K in keyof Bench]: Bench[K] }
  beforeEach(async () => {
    const targets = { one: new FakeTarget(), two: new FakeTarget() }
    const people = ['alice', 'bob', 'carol', 'dave'].map((id) => ({ id, name: id, email: `${id}@test.test`, accounts: {} }))
    const incident = newId('incident')
    await sql`insert into incidents (id, title, service, severity, opened_by) values (${incident}, 'it burns', 'web', 1, 'alice')`.execute(t.store.db)
    const loops = new Map<Access, ReturnType<typeof converge>>()
    b = {
      targets, incident, alarms: [], facts: { oncall: { primary: true } }, missing: new Set(), observeOnly: false,
      roles: [role('repair'), role('short', { default_duration: '10m' } as never), role('voted', { approval: [{ approvals: 2, approvers: ['alice', 'bob', 'carol', 'dave'] }] } as never)],
      access: new Access({
        store: t.store, config: () => ({ roles: b.roles, people, connectors: [{ id: 'one' }, { id: 'two' }, { id: 'mail' }] }) as unknown as Config,
        grantable: (c) => {
          if (b.missing.has(c) || !(c in targets)) throw new Error(`no connector ${c}`)
          return targets[c as 'one']
        },
        incident: async (id) => {
          const { rows } = await sql<{ id: string; number: number; state: string }>`select id, number, state from incidents where id = ${id} or 'INC-' || number = ${id}`.execute(t.store.db)
          if (!rows[0]) throw new Error(`no incident ${id}`)
          return { id: rows[0].id, label: `INC-${rows[0].number}`, open: rows[0].state === 'open' }
        },
        stillOpen: async (tx, id) => (await sql`select 1 from incidents where id = ${id} and state = 'open' for share`.execute(tx)).rows.length > 0,
        facts: async () => b.facts, alarm: async (_incident, subject, text) => void b.alarms.push({ subject, text }), observeOnly: async () => b.observeOnly,
      }),
      request: (person = 'alice', o = {}) => (o.on ?? b.access).request({ role: o.role ?? 'repair', incident, reason: 'it burns', duration: o.duration }, as(person)),
      async run(id, o = {}) {
        const on = o.on ?? b.access
        const loop = loops.get(on) ?? loops.set(on, converge(on, 150)).get(on)
        for (let i = 0; i < (o.times ?? 20); i++) {
          const again = await loop?.(id, { attempts: 1, signal: new AbortController().signal })
          if (again === 'done' || again === undefined) return null
          if (again.again > 0) return again.again
        }
        return 0
      },
      async grant(person = 'alice', o = {}) {
        const g = await b.request(person, o)
        await b.run(g.id)
        return g.id
      },
    }
  })
  return new Proxy({} as Bench, { get: (_, k) => b[k as keyof Bench], set: (_, k, v) => ((b as unknown as Record<PropertyKey, unknown>)[k] = v, true) })
}

/** True when nobody is in who should be out: every right at the targets belongs to a grant that is not terminal. */
export async function nobodyLeftIn(b: Bench): Promise<boolean> {
  for (const target of Object.values(b.targets)) for (const id of target.members.keys()) if (TERMINAL.includes((await b.access.view(id)).state)) return false
  return true
}
