import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, type Server, type Socket, connect as netConnect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import type { Grantable, GrantSpec, GrantState } from '../../core/ports.ts'
import { type Cluster, removeCluster, startCluster } from '../../store/index.ts'
import { grantableContract } from '../contracts/grantable.suite.ts'
import { loginRole, postgresGrantable } from './index.ts'
import { faultyProxy } from './testing/proxy.ts'

const KEY = 'a key of the tests, long enough'
const HOSTILE = 'x"; drop table orders; --'

describe.each([['the system\'s PostgreSQL', undefined], ['PostgreSQL from npm', 'npm']])('%s', (_, pgBin) => {
  let cluster: Cluster
  let folder: string
  let admin: pg.Client
  let grantable: Grantable
  let url: string
  const clients: pg.Client[] = []
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'reglaze-pg-'))
    cluster = await startCluster({ dir: join(folder, 'c'), tcpPort: 0, password: 'super', withParent: true, ...(pgBin ? { pgBin } : {}) })
    admin = new pg.Client({ connectionString: cluster.socketUrl('postgres') })
    await admin.connect()
    await admin.query(`create role incident_admin nologin; create role ${pg.escapeIdentifier(HOSTILE)} nologin; create table orders (id int); grant all on orders to incident_admin;
      grant create on schema public to incident_admin; create role keeper login password 'keeper' createrole; grant pg_signal_backend to keeper; grant incident_admin to keeper with admin option`)
    await admin.query('create database other')
    url = cluster.url
    grantable = postgresGrantable({ url, name: 'orders-db', role: 'incident_admin', secretKey: KEY })
  })
  afterEach(async () => {
    for (const c of clients.splice(0)) await c.end().catch(() => undefined)
  })
  afterAll(async () => {
    await admin.end()
    await removeCluster(join(folder, 'c'))
    rmSync(folder, { recursive: true, force: true })
  })

  const spec = (grantId: string, o: Partial<GrantSpec> = {}): GrantSpec => ({ grantId, incident: 'inc_1', principal: 'alice', person: 'alice', right: {}, expiresAt: new Date(Date.now() + 3_600_000).toISOString(), prior: {}, ...o })
  const login = async (s: GrantSpec, database = 'postgres', with_ = grantable) => {
    const c = (await with_.credentials?.(s)) as Record<string, string>
    const client = new pg.Client({ host: '127.0.0.1', port: cluster.port, database, user: c['PGUSER'], password: c['PGPASSWORD'] })
    client.on('error', () => undefined)
    clients.push(client)
    await client.connect()
    return client
  }
  const state = async (s: GrantSpec, of = grantable): Promise<GrantState> => {
    const seen = await of.observe(s)
    if (seen.status === 'unknown') throw new Error(seen.reason)
    return seen.value
  }
  const exists = async (name: string) => (await admin.query('select from pg_roles where rolname = $1', [name])).rowCount === 1
  const end = async (s: GrantSpec, of = grantable) => {
    await of.revoke(s)
    await of.endSessions(s)
  }

  test('grant, use, revoke, sessions ended, read back; everything may be repeated', async () => {
    const s = spec('gr_01ABCdef')
    expect(await grantable.prepare({ id: 'alice', email: 'a@x', accounts: { postgres: 'alice.pg' } }, {})).toMatchObject({ principal: 'alice.pg' })
    expect(await state(s)).toEqual({ member: false, sessions: 0, backstopUntil: null })
    for (let i = 0; i < 3; i++) await grantable.grant(s)
    const session = await login(s)
    await session.query('insert into orders values (1); set role incident_admin; create table made_in_a_hurry (x int)')
    const seen = await state(s)
    expect(seen).toMatchObject({ member: true, sessions: 1 })
    expect(Date.parse(seen.backstopUntil as string) - Date.parse(s.expiresAt)).toBe(60_000)
    expect(await grantable.marked?.()).toMatchObject([{ grantId: 'gr_01ABCdef', principal: 'rg_gr_01abcdef' }])
    for (let i = 0; i < 2; i++) await grantable.revoke(s)
    expect(await state(s)).toMatchObject({ member: false, sessions: 1 })
    // Who did SET ROLE keeps the right until the session ends: that is why level 2 exists.
    await session.query('select * from orders')
    for (let i = 0; i < 2; i++) await grantable.endSessions(s)
    await expect(session.query('select 1')).rejects.toThrow()
    expect(await state(s)).toEqual({ member: false, sessions: 0, backstopUntil: null })
    expect(await exists(loginRole(s.grantId))).toBe(false)
    expect((await admin.query('select from made_in_a_hurry')).rowCount).toBe(0)
    await expect(login(s)).rejects.toThrow()
  })
  test('what it owns in any database goes to the break-glass role', async () => {
    const s = spec('gr_owner')
    await admin.query('grant create on database other to incident_admin')
    await grantable.grant(s)
    const there = await login(s, 'other')
    await there.query('create schema mine; create table mine.t (x int)')
    const here = await login(s)
    await here.query('create table public.own (x int)')
    await end(s)
    expect(await exists(loginRole(s.grantId))).toBe(false)
    expect((await admin.query("select tableowner from pg_tables where tablename = 'own'")).rows).toEqual([{ tableowner: 'incident_admin' }])
  })
  test('rights granted on are taken back, with the sessions that use them', async () => {
    const s = spec('gr_on')
    await grantable.grant(s)
    await admin.query(`create role mallory login password 'm'; grant incident_admin to ${loginRole(s.grantId)} with admin option`)
    const session = await login(s)
    await session.query('grant incident_admin to mallory')
    const mallory = new pg.Client({ host: '127.0.0.1', port: cluster.port, database: 'postgres', user: 'mallory', password: 'm' })
    mallory.on('error', () => undefined)
    clients.push(mallory)
    await mallory.connect()
    await mallory.query('set role incident_admin')
    await end(s)
    await expect(mallory.query('select 1')).rejects.toThrow()
    expect((await admin.query("select pg_has_role('mallory', 'incident_admin', 'member') as m")).rows).toEqual([{ m: false }])
    expect(await state(s)).toEqual({ member: false, sessions: 0, backstopUntil: null })
    await admin.query('drop role mallory')
  })
  test('hostile names of roles, persons and incidents stay names', async () => {
    const s = spec('gr_hostile', { right: { role: HOSTILE }, person: `o'brien"\n; drop table orders; --`, incident: "'; drop role incident_admin; --" })
    await grantable.prepare({ id: 'x', email: 'x', accounts: {} }, s.right)
    await grantable.grant(s)
    expect((await state(s)).member).toBe(true)
    await end(s)
    expect(await exists('incident_admin')).toBe(true)
    expect((await admin.query("select to_regclass('orders') is not null as there")).rows[0]).toEqual({ there: true })
    await expect(grantable.prepare({ id: 'x', email: 'x', accounts: {} }, { role: 'no such role' })).rejects.toMatchObject({ code: 'CONNECTOR_NOT_THERE' })
    await expect(grantable.grant(spec('x'.repeat(80)))).rejects.toMatchObject({ code: 'CONNECTOR_BAD_TARGET' })
  })
  test('the password is in no statement and no log, and nowhere stored', async () => {
    const s = spec('gr_secret')
    await admin.query("create extension if not exists pg_stat_statements").catch(() => undefined)
    await grantable.grant(s)
    const PGPASSWORD = (await grantable.credentials?.(s))?.['PGPASSWORD'] ?? ''
    expect(PGPASSWORD.length).toBeGreaterThan(30)
    const { rows } = await admin.query('select rolpassword from pg_authid where rolname = $1', [loginRole(s.grantId)])
    expect(rows[0].rolpassword).toMatch(/^SCRAM-SHA-256\$/)
    await login(s)
    await end(s)
  })
  test('a role of that name that is not ours is not touched by grant', async () => {
    await admin.query(`create role ${loginRole('gr_taken')} login`)
    await expect(grantable.grant(spec('gr_taken'))).rejects.toMatchObject({ code: 'CONNECTOR_CONFLICT' })
    await admin.query(`drop role ${loginRole('gr_taken')}`)
  })
  test('changed behind our back: role dropped, login given again', async () => {
    const s = spec('gr_behind')
    await grantable.grant(s)
    await admin.query(`drop role ${loginRole(s.grantId)}`)
    expect((await state(s)).member).toBe(false)
    await end(s)
    await grantable.grant(s)
    await grantable.revoke(s)
    await admin.query(`alter role ${loginRole(s.grantId)} login`)
    expect((await state(s)).member).toBe(true)
    await end(s)
    expect((await state(s)).member).toBe(false)
  })
  test('a session whose role was dropped under it is still seen and ended', async () => {
    const s = spec('gr_ghost')
    await grantable.grant(s)
    const ghost = await login(s)
    await admin.query(`drop role ${loginRole(s.grantId)}`)
    expect(await state(s)).toMatchObject({ member: false, sessions: 1 })
    await end(s)
    expect(await state(s)).toMatchObject({ member: false, sessions: 0 })
    await expect(ghost.query('select 1')).rejects.toThrow()
  })
  test('the rights of the README are enough: no superuser', async () => {
    const least = new URL(url)
    least.username = 'keeper'
    least.password = 'keeper'
    const keeper = postgresGrantable({ url: least.toString(), name: 'orders-db', role: 'incident_admin', secretKey: KEY })
    const s = spec('gr_least')
    await keeper.grant(s)
    const session = await login(s, 'postgres', keeper)
    await session.query('create table public.by_least (x int)')
    expect(await state(s, keeper)).toMatchObject({ member: true, sessions: 1 })
    await end(s, keeper)
    expect(await state(s)).toEqual({ member: false, sessions: 0, backstopUntil: null })
    expect(await exists(loginRole(s.grantId))).toBe(false)
  })

  grantableContract('postgres on a real server', async () => {
    const gate = await faultyProxy(cluster.port)
    const to = new URL(url)
    to.port = String(gate.port)
    const role = (s: GrantSpec) => loginRole(s.grantId)
    return {
      connector: () => postgresGrantable({ url: to.toString(), publicUrl: url, name: 'orders-db', role: 'incident_admin', secretKey: KEY, timeoutMs: 1000 }),
      person: { id: 'alice', email: 'alice@example.org', accounts: {} }, right: {},
      raw: async (s: GrantSpec) => (await admin.query("select from pg_roles r where r.rolname = $1 and r.rolcanlogin and pg_has_role(r.oid, 'incident_admin', 'member')", [role(s)])).rowCount === 1,
      memberBefore: 'every grant has a login of its own: there is no earlier right to keep',
      humanRevokes: async (s: GrantSpec) => void (await admin.query(`drop role ${role(s)}`)),
      humanKeeps: async (s: GrantSpec) => void (await admin.query(`alter role ${role(s)} valid until 'infinity'; comment on role ${role(s)} is null`)),
      async session(s: GrantSpec) {
        const client = await login(s)
        return { usable: () => client.query('select from orders').then(() => true, () => false), close: () => client.end().catch(() => undefined) }
      },
      fault: gate.fault, clearFaults: gate.clear, backstop: true, close: gate.close,
    }
  })

  describe('trouble on the way', () => {
    let proxy: Server
    const sockets = new Set<Socket>()
    afterEach(async () => {
      for (const s of sockets) s.destroy()
      await new Promise((r) => (proxy?.listening ? proxy.close(r) : r(null)))
    })
    /** Passes everything on until `lose` says that an answer to this text is lost. */
    const through = async (lose: (sent: string) => boolean) => {
      proxy = createServer((client) => {
        const server = netConnect(cluster.port, '127.0.0.1')
        let losing = false
        for (const s of [client, server]) {
          sockets.add(s)
          s.on('error', () => undefined)
        }
        client.on('data', (d) => {
          losing ||= lose(d.toString('latin1'))
          server.write(d)
        })
        server.on('data', (d) => (losing ? client.destroy() : client.write(d)))
        server.on('close', () => client.destroy())
        client.on('close', () => server.end())
      })
      await new Promise<void>((r) => proxy.listen(0, '127.0.0.1', r))
      const to = new URL(url)
      to.port = String((proxy.address() as { port: number }).port)
      return postgresGrantable({ url: to.toString(), name: 'orders-db', role: 'incident_admin', secretKey: KEY })
    }
    test('answer lost after the effect: outcome unknown, and the next look tells', async () => {
      const s = spec('gr_lost')
      const lossy = await through((sent) => sent.includes('commit'))
      await expect(lossy.grant(s)).rejects.toMatchObject({ code: 'OUTCOME_UNKNOWN' })
      expect((await state(s)).member).toBe(true)
      await end(s)
    })
    test('connection lost before the commit: unknown, and nothing is there', async () => {
      const s = spec('gr_early')
      const lossy = await through((sent) => sent.includes('comment on role'))
      await expect(lossy.grant(s)).rejects.toMatchObject({ code: 'OUTCOME_UNKNOWN' })
      expect((await state(s)).member).toBe(false)
    })
    test('not reachable: failed for certain, observation unknown', async () => {
      const away = postgresGrantable({ url: 'postgres://u:p@127.0.0.1:1/x', name: 'orders-db', role: 'incident_admin', secretKey: KEY })
      await expect(away.grant(spec('gr_away'))).rejects.toMatchObject({ code: 'OUTSIDE_FAILED' })
      expect(await away.observe(spec('gr_away'))).toMatchObject({ status: 'unknown' })
      expect(JSON.stringify(await away.observe(spec('gr_away')))).not.toContain('u:p')
    })
    test('observe loses its connection: unknown', async () => {
      const lossy = await through((sent) => sent.includes('pg_stat_activity'))
      expect(await lossy.observe(spec('gr_x'))).toMatchObject({ status: 'unknown' })
    })
  })
})
