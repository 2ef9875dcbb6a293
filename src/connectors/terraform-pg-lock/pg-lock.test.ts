import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import type { Json } from '../../core/json.ts'
import type { HoldSpec, PauseState } from '../../core/ports.ts'
import { type Cluster, removeCluster, startCluster } from '../../store/index.ts'
import { pausableContract } from '../contracts/pausable.suite.ts'
import { type PgLockHold, terraformPgLock } from './index.ts'

let cluster: Cluster
let folder: string
let admin: pg.Client
let lock: PgLockHold
let dir: string
const made: PgLockHold[] = []

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'reglaze-pglock-'))
  cluster = await startCluster({ dir: join(folder, 'c'), tcpPort: 0, password: 'super', withParent: true })
  admin = new pg.Client({ connectionString: cluster.socketUrl('postgres') })
  admin.on('error', () => undefined)
  await admin.connect()
  dir = join(folder, 'tf')
  await import('node:fs').then((fs) => fs.mkdirSync(dir))
  writeFileSync(join(dir, 'main.tf'), `terraform {\n  backend "pg" {\n    conn_str = "${cluster.url}?sslmode=disable"\n  }\n}\nresource "terraform_data" "x" {\n  input = "1"\n}\n`)
  expect(await terraform('init', '-input=false')).toMatchObject({ code: 0 })
  expect(await terraform('apply', '-auto-approve', '-input=false')).toMatchObject({ code: 0 })
})
beforeEach(() => {
  lock = hold()
})
afterEach(async () => {
  for (const l of made.splice(0)) await l.close()
})
afterAll(async () => {
  await admin.end().catch(() => undefined)
  await removeCluster(join(folder, 'c'))
  rmSync(folder, { recursive: true, force: true })
})

const hold = (stillWanted?: () => Promise<boolean>) => {
  const l = terraformPgLock({ url: cluster.url, name: 'infra-state', ...(stillWanted ? { stillWanted } : {}) })
  made.push(l)
  return l
}
const terraform = (...args: string[]) =>
  new Promise<{ code: number | null; text: string }>((resolve) => {
    const child = spawn('terraform', [...args, '-no-color'], { cwd: dir, env: { ...process.env, CHECKPOINT_DISABLE: '1', TF_IN_AUTOMATION: '1' } })
    let text = ''
    child.stdout.on('data', (d: Buffer) => (text += d.toString()))
    child.stderr.on('data', (d: Buffer) => (text += d.toString()))
    child.on('close', (code) => resolve({ code, text }))
  })
const spec: HoldSpec = { holdId: 'hold_0123456789', incident: 'INC-42', reason: 'alice repairs orders-db until 14:00; ask #inc-42', passes: [], expiresAt: new Date(Date.now() + 3_600_000).toISOString(), target: {}, prior: { locked: false, by: null } }
const state = async (l = lock): Promise<PauseState> => {
  const seen = await l.observe(spec)
  if (seen.status === 'unknown') throw new Error(seen.reason)
  return seen.value
}
const until = async (check: () => Promise<boolean>) => {
  for (let i = 0; i < 200; i++) {
    if (await check()) return
    await new Promise((r) => setTimeout(r, 25))
  }
  throw new Error('did not happen')
}

test('while held, a real plan and apply are refused; after resume they pass; all may be repeated', async () => {
  expect(await state()).toMatchObject({ paused: false, setting: { locked: false } })
  for (let i = 0; i < 2; i++) await lock.pause(spec)
  expect(await state()).toMatchObject({ paused: true, setting: { locked: true, by: expect.stringMatching(/^reglaze hold_0123456789 INC-42: alice rep/) as string } })
  const refused = await terraform('plan', '-input=false')
  expect(refused.code).toBe(1)
  expect(refused.text).toMatch(/already locked/)
  expect((await terraform('apply', '-auto-approve', '-input=false')).code).toBe(1)
  // The gap that the README names: only a denial of writes closes it.
  expect((await terraform('plan', '-input=false', '-lock=false')).code).toBe(0)
  for (let i = 0; i < 2; i++) await lock.resume(spec)
  expect(await state()).toMatchObject({ paused: false, setting: { locked: false } })
  expect((await terraform('plan', '-input=false')).code).toBe(0)
})
test('a lost connection is a lost lock: it is seen, and taken again', async () => {
  lock = hold(() => Promise.resolve(true))
  await lock.pause(spec)
  const before = (await admin.query("select pid from pg_stat_activity where application_name like 'reglaze hold_%'")).rows[0] as { pid: number }
  await admin.query('select pg_terminate_backend($1, 5000)', [before.pid])
  await until(async () => (await state()).paused)
  const after = (await admin.query("select pid from pg_stat_activity where application_name like 'reglaze hold_%'")).rows[0] as { pid: number }
  expect(after.pid).not.toBe(before.pid)
  await lock.resume(spec)
  expect((await state()).paused).toBe(false)
})
test('a run that goes on is not broken: pause says who it is, observe names it, and the next try takes the lock', async () => {
  const run = new pg.Client({ connectionString: cluster.url })
  await run.connect()
  await run.query('select pg_advisory_lock(id) from terraform_remote_state.states where name = $1', ['default'])
  await expect(lock.pause(spec)).rejects.toMatchObject({ code: 'CONNECTOR_LOCKED' })
  const seen = await state()
  expect(seen.paused).toBe(false)
  expect(seen.running).toHaveLength(1)
  await run.end()
  await until(async () => lock.pause(spec).then(() => true, () => false))
  expect((await state()).paused).toBe(true)
})
test('another process of ours sees the hold, counts it as done, and can resume it', async () => {
  let wanted = true
  const first = hold(() => Promise.resolve(wanted))
  await first.pause(spec)
  const second = hold()
  await second.pause(spec)
  expect((await state(second)).paused).toBe(true)
  wanted = false
  const from = performance.now()
  await second.resume(spec)
  expect(performance.now() - from).toBeLessThan(3000)
  await new Promise((r) => setTimeout(r, 400))
  expect((await state(second)).paused).toBe(false)
})
test('ended on purpose: not taken again here, seen, and the caller may pause again', async () => {
  await lock.pause(spec)
  await admin.query("select pg_terminate_backend(pid, 5000) from pg_stat_activity where application_name like 'reglaze hold_%'")
  await new Promise((r) => setTimeout(r, 400))
  expect((await state()).paused).toBe(false)
  await lock.pause(spec)
  expect((await state()).paused).toBe(true)
  await lock.resume(spec)
})
test('the database restarts: the lock is taken again', async () => {
  lock = hold(() => Promise.resolve(true))
  await lock.pause(spec)
  const port = cluster.port
  await cluster.stop()
  expect(await lock.observe(spec)).toMatchObject({ status: 'unknown' })
  cluster = await startCluster({ dir: join(folder, 'c'), tcpPort: port, password: 'super', withParent: true })
  admin = new pg.Client({ connectionString: cluster.socketUrl('postgres') })
  admin.on('error', () => undefined)
  await admin.connect()
  await until(async () => (await state()).paused)
  await lock.resume(spec)
})
test('no such state, no database: clear answers', async () => {
  await expect(lock.pause({ ...spec, target: { workspace: 'nope' } })).rejects.toMatchObject({ code: 'CONNECTOR_NOT_THERE' })
  await expect(lock.pause({ ...spec, target: { schema: 'no"such' } })).rejects.toMatchObject({ code: 'CONNECTOR_NOT_THERE' })
  const away = terraformPgLock({ url: 'postgres://u:p@127.0.0.1:1/x', name: 'infra-state' })
  await expect(away.pause(spec)).rejects.toMatchObject({ code: 'OUTSIDE_FAILED' })
  expect(await away.observe(spec)).toMatchObject({ status: 'unknown' })
})

const byHand: pg.Client[] = []
pausableContract('terraform-pg-lock on a real PostgreSQL', async () => {
  const stop = async () => {
    for (const c of byHand.splice(0)) await c.end().catch(() => undefined)
    for (const l of made.splice(0)) await l.close()
  }
  const contract: HoldSpec = { ...spec, target: { workspace: 'default' } }
  return {
    connector: () => hold(),
    spec: contract,
    raw: async () => (await admin.query("select count(*)::int as locks, max(a.application_name) as by from pg_locks l join pg_stat_activity a using (pid) where l.locktype = 'advisory'")).rows[0] as Json,
    async humanPauses() {
      const client = new pg.Client({ connectionString: cluster.url, application_name: 'psql' })
      client.on('error', () => undefined)
      byHand.push(client)
      await client.connect()
      await client.query("select pg_advisory_lock(id) from terraform_remote_state.states where name = 'default'")
    },
    humanResumes: async () => void (await admin.query("select pg_terminate_backend(l.pid, 5000) from pg_locks l where l.locktype = 'advisory'")),
    human: null,
    close: stop,
  }
})
