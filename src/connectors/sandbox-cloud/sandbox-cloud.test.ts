import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { testCloud } from '../../../sandbox/cloud/testing/cloud.ts'
import type { TestCloud } from '../../../sandbox/cloud/testing/cloud.ts'
import type { GrantSpec, HoldSpec } from '../../core/ports.ts'
import { grantableContract } from '../contracts/grantable.suite.ts'
import type { GrantCall, GrantFault } from '../contracts/grantable.suite.ts'
import { pausableContract } from '../contracts/pausable.suite.ts'
import { cloudAudit, cloudGrantable, cloudInventory, cloudLocks } from './index.ts'

const PERSON = { id: 'alice', email: 'alice@tailwind.test', accounts: { cloud: 'alice-01' } }
const PATH: Record<GrantCall, [string, string]> = {
  grant: ['PUT', '/v1/memberships/'],
  observe: ['GET', '/v1/memberships/'],
  revoke: ['DELETE', '/v1/memberships/'],
  'end-sessions': ['DELETE', '/v1/sessions/'],
}

grantableContract('sandbox cloud membership', async () => {
  const cloud = await testCloud()
  const token = await cloud.key('svc-break-glass', 'access-admin')
  const key = await cloud.key('alice-01')
  await cloud.call('POST', '/v1/principals', { id: 'alice', kind: 'person' })
  const member = '/v1/memberships/operator/alice-01'
  const may = async (secret: string) => (await cloud.call('POST', '/v1/routes', {}, secret)).status === 400
  return {
    connector: () => cloudGrantable({ name: 'cloud', url: cloud.url, token, timeoutMs: 400 }),
    person: PERSON,
    right: { role: 'operator' },
    backstop: true,
    raw: () => may(key),
    async memberBefore() {
      const read = async () => {
        return JSON.stringify({ ...(await cloud.call('GET', member)).body, updated_at: '' })
      }
      await cloud.call('PUT', member, { note: 'has it always', expires_at: '2099-01-01T00:00:00Z' })
      const before = await read()
      return { same: async () => (await read()) === before }
    },
    humanRevokes: async () => void (await cloud.call('DELETE', member)),
    humanKeeps: async () => void (await cloud.call('PUT', member, {})),
    async session() {
      const { token: session } = (await cloud.call('POST', '/v1/sessions', {}, key)).body
      return { usable: () => may(session) }
    },
    async fault(mode: GrantFault, on: GrantCall, times = 1) {
      const [method, path_prefix] = PATH[on]
      await cloud.call('POST', '/v1/faults', { method, path_prefix, mode, times, principal: 'svc-break-glass' })
    },
    clearFaults: async () => void (await cloud.call('DELETE', '/v1/faults')),
    close: () => cloud.close(),
  }
})

pausableContract('sandbox cloud lock', async () => {
  const cloud = await testCloud()
  const token = await cloud.key('svc-hold', 'admin')
  const human = await cloud.key('olga', 'admin')
  const i = (await cloud.call('POST', '/v1/instances', { name: 'web', image: 'v1' })).body
  const passes = ['svc-break-glass', 'alice']
  const raw = async () => {
    const { body, status } = await cloud.call('GET', '/v1/locks/freeze')
    if (status === 404) return null
    const { level, scope, except, reason, owner } = body
    return { level, scope, except, reason, owner }
  }
  return {
    connector: () => cloudLocks({ name: 'cloud', url: cloud.url, token, timeoutMs: 400 }),
    spec: { holdId: 'hold_1', incident: 'INC-1', reason: 'INC-1 by alice until 21:30Z', passes, expiresAt: new Date(Date.now() + 60_000).toISOString(), target: { lock: 'freeze', level: 'no-delete', scope: 'instances/name:web' } },
    raw,
    humanPauses: async () => void (await cloud.call('PUT', '/v1/locks/freeze', { level: 'read-only', scope: `instances/${i.id}`, except: [...passes, 'olga'], reason: 'mine', owner: 'olga' }, human)),
    humanResumes: async () => void (await cloud.call('DELETE', '/v1/locks/freeze', undefined, human)),
    human: 'olga',
    async fault(mode, on, times = 1) {
      await cloud.call('POST', '/v1/faults', { method: on === 'read' ? 'GET' : 'write', path_prefix: '/v1/locks', mode, times, principal: 'svc-hold' })
    },
    clearFaults: async () => void (await cloud.call('DELETE', '/v1/faults')),
    close: () => cloud.close(),
  }
})

describe('sandbox cloud, beyond the contracts', () => {
  let cloud: TestCloud
  let o: { name: string; url: string; token: string }
  beforeEach(async () => {
    cloud = await testCloud()
    o = { name: 'cloud', url: cloud.url, token: await cloud.key('svc', 'access-admin') }
    await cloud.key('alice-01')
  })
  afterEach(() => cloud.close())
  const grant = async (grantId: string, minutes: number): Promise<GrantSpec> => {
    const { principal, prior } = await cloudGrantable(o).prepare(PERSON, { role: 'operator' })
    return { grantId, incident: null, principal, person: 'alice', right: { role: 'operator' }, expiresAt: new Date(Date.now() + minutes * 60_000).toISOString(), prior }
  }
  const member = async () => (await cloud.call('GET', '/v1/memberships/operator/alice-01')).body
  const state = async (spec: GrantSpec) => {
    const seen = await cloudGrantable(o).observe(spec)
    if (seen.status === 'unknown') throw new Error(seen.reason)
    return seen.value
  }

  test('the backstop is 60 s after the deadline', async () => {
    const g = await grant('gr_a', 10)
    await cloudGrantable(o).grant(g)
    expect(Date.parse((await member()).expires_at) - Date.parse(g.expiresAt)).toBe(60_000)
  })

  test('two grants of one role do not overwrite each other, and the end of one leaves the other its right', async () => {
    const c = cloudGrantable(o)
    const [a, b] = [await grant('gr_a', 10), await grant('gr_b', 20)]
    await c.grant(a)
    await c.grant(b)
    await c.grant(a)
    expect((await member()).source_identity).toBe('gr_b')
    expect([(await state(a)).member, (await state(b)).member]).toEqual([true, true])
    await c.revoke(a)
    expect((await state(b)).member).toBe(true)
    await c.revoke(b)
    expect((await member()).error.code).toBe('NotFound')
    const late = { ...(await grant('gr_c', 30)), prior: (await c.prepare(PERSON, { role: 'operator' })).prior }
    await c.grant(late)
    // What another grant put there is never "what the person had before".
    expect((await grant('gr_d', 40)).prior).toEqual({ membership: null })
  })

  test('a session that got its roles from two grants ends with either', async () => {
    const key = (await cloud.call('POST', '/v1/principals/alice-01/keys', {})).body.secret
    const c = cloudGrantable(o)
    const a = await grant('gr_a', 10)
    const b: GrantSpec = { ...(await grant('gr_b', 10)), right: { role: 'reader' } }
    await c.grant(a)
    await c.grant(b)
    await cloud.call('POST', '/v1/sessions', {}, key)
    expect([(await state(a)).sessions, (await state(b)).sessions]).toEqual([1, 1])
    await c.endSessions(a)
    expect([(await state(a)).sessions, (await state(b)).sessions]).toEqual([0, 0])
  })

  test('an unknown account and a wrong right are named, with the way out', async () => {
    await expect(cloudGrantable(o).prepare({ ...PERSON, accounts: { cloud: 'nobody' } }, { role: 'operator' })).rejects.toThrow(/no principal "nobody" for alice/)
    await expect(cloudGrantable(o).prepare(PERSON, { roll: 'operator' })).rejects.toMatchObject({ code: 'CONNECTOR_BAD_TARGET' })
  })

  test('the command for people works', async () => {
    const g = await grant('gr_a', 10)
    await cloudGrantable(o).grant(g)
    const key = (await cloud.call('POST', '/v1/principals/alice-01/keys', {})).body.secret
    await cloud.call('POST', '/v1/sessions', {}, key)
    await promisify(execFile)('sh', ['-c', cloudGrantable(o).manual(g)], { env: { ...process.env, SANDBOX_TOKEN: o.token, no_proxy: '*' } })
    expect(await state(g)).toMatchObject({ member: false, sessions: 0 })
  })

  test('a lock holds off others, never those who pass; a narrower lock of somebody else under the same name is not overwritten', async () => {
    const admin = { ...o, token: cloud.rootKey }
    const olga = await cloud.key('olga', 'operator')
    const spec: HoldSpec = { holdId: 'hold_1', incident: 'INC-1', reason: 'INC-1', passes: ['alice-01', 'svc'], expiresAt: '2099-01-01T00:00:00Z', target: { lock: 'freeze' }, prior: null }
    await cloudLocks(admin).pause(spec)
    expect((await cloud.call('POST', '/v1/instances', { name: 'x', image: '1' }, olga)).status).toBe(423)
    const g = await grant('gr_a', 10)
    await cloudGrantable(o).grant(g)
    await cloudGrantable(o).revoke(g)
    await cloudLocks(admin).resume(spec)
    const i = (await cloud.call('POST', '/v1/instances', { name: 'x', image: '1' }, olga)).body
    const j = (await cloud.call('POST', '/v1/instances', { name: 'y', image: '1' }, olga)).body
    await cloud.call('PUT', '/v1/locks/freeze', { level: 'read-only', scope: `instances/${i.id}` })
    await expect(cloudLocks(admin).pause({ ...spec, target: { lock: 'freeze', scope: `instances/${j.id}` } })).rejects.toMatchObject({ code: 'CONNECTOR_CONFLICT' })
  })

  test('audit: writes and refused attempts in order, by cursor, with the credential; inventory: what Terraform could manage', async () => {
    const audit = cloudAudit({ ...o })
    const start = (await audit.read(null)).cursor
    const i = (await cloud.call('POST', '/v1/instances', { name: 'web', image: 'v1', password: 'hunter2' })).body
    await cloud.call('POST', `/v1/instances/${i.id}/actions/stop`, {}, o.token)
    const { events, cursor, complete } = await audit.read(start)
    expect(events.map((e) => [e.actor, e.action, e.ok, e.resource.type])).toEqual([
      ['root', 'create', true, 'sandbox_instance'],
      ['svc', 'update', false, 'sandbox_instance'],
    ])
    expect(events[0]).toMatchObject({ credential: 'key-root', before: null, after: { name: 'web' }, request: expect.stringContaining('POST /v1/instances') })
    expect(JSON.stringify(events)).not.toContain('hunter2')
    expect(complete).toBe(true)
    expect((await audit.read(cursor)).events).toEqual([])
    const seen = await cloudInventory(o).list()
    expect(seen).toMatchObject({ status: 'known', value: [{ type: 'sandbox_instance', id: i.id, name: 'web' }] })
    await cloud.call('POST', '/v1/faults', { path_prefix: '/v1/routes', mode: '500', times: 1 })
    expect((await cloudInventory(o).list()).status).toBe('unknown')
  })
})
