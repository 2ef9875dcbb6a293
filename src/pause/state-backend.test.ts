import { execFile } from 'node:child_process'
import { createServer, type Server } from 'node:http'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Caller, HoldSpec } from '../core/index.ts'
import { hasTerraform } from '../reconcile/testing/world.ts'
import { newId, sql } from '../store/index.ts'
import { useTestStore } from '../store/testing/index.ts'
import { StateBackend, stateHold } from './index.ts'

const t = useTestStore()
let dir: string
let states: StateBackend
let incident: string
let holdId: string
let inside: string[]
let server: Server | null = null
beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), 'reglaze-state-'))
  inside = []
  states = new StateBackend(t.store, join(dir, 'files'), async () => inside)
  incident = newId('incident')
  holdId = newId('hold')
  await sql`insert into incidents (id, title, service, severity, opened_by) values (${incident}, 'it burns', 'web', 1, 'x')`.execute(t.store.db)
  await sql`insert into holds (id, incident_id, automation, connector, target, place, reason, passes, held_for, period_ms, expires_at)
    values (${holdId}, ${incident}, 'state', 'state', '{"state":"prod"}', 0, 'frozen', '["alice"]', 'alice', 1000, now() + interval '1 h')`.execute(t.store.db)
})
afterEach(async () => {
  server?.closeAllConnections()
  await new Promise<void>((done) => (server ? server.close(() => done()) : done()))
  server = null
  rmSync(dir, { recursive: true, force: true })
})
const who = (name: string, more: Partial<Caller> = {}): Caller => ({ name, role: 'viewer', person: null, tokenId: null, scopes: ['state'], ...more })
const alice = who('alice', { person: 'alice', role: 'responder' })
const ci = who('ci')
const ask = (caller: Caller, method: string, body: unknown = '', lockId: string | null = null, name = 'prod') => states.answer({ method, name, lockId, caller, body: typeof body === 'string' ? body : JSON.stringify(body) })
const state = (serial: number, more = {}) => ({ version: 4, serial, lineage: 'l-1', ...more })
const lock = (ID: string) => ({ ID, Operation: 'OperationTypeApply', Info: '', Who: 'x', Version: '1', Created: '', Path: '' })
const spec = (): HoldSpec => ({ holdId, incident: 'INC-7', reason: 'INC-7 frozen: break-glass by alice (DRI)', passes: ['alice', 'reglaze'], expiresAt: '', target: { state: 'prod' }, prior: { held: null } })
const hold = () => stateHold(t.store).pause(spec())
const file = () => JSON.parse(readFileSync(join(dir, 'files', 'prod.tfstate'), 'utf8')) as { serial: number }

describe('the hold is decided by who calls', () => {
  test('others get 423 with a readable reason in the ID; holder, people inside and read-only tokens pass; it ends with the hold', async () => {
    await ask(ci, 'POST', state(1))
    await hold()
    for (const [method, body] of [['GET', ''], ['LOCK', lock('x')], ['POST', state(2)]] as const) expect((await ask(ci, method, body)).status).toBe(423)
    expect(JSON.parse((await ask(ci, 'LOCK', lock('x'))).body as string)).toMatchObject({ ID: expect.stringMatching(/^INC-7 frozen/) })
    expect((await ask(alice, 'POST', state(2))).status).toBe(200)
    expect((await ask(who('bob', { person: 'bob' }), 'GET')).status).toBe(423)
    inside = ['bob']
    expect((await ask(who('bob', { person: 'bob' }), 'POST', state(3))).status).toBe(200)
    expect((await ask(who('drift', { scopes: ['state-read'] }), 'GET')).status).toBe(200)
    expect((await ask(who('drift', { scopes: ['state-read'] }), 'LOCK', lock('d'))).status).toBe(403)
    await stateHold(t.store).resume(spec())
    expect((await ask(ci, 'LOCK', lock('y'))).status).toBe(200)
  })
  test('people of an incident that shares the hold pass too', async () => {
    await hold()
    const other = newId('incident')
    await sql`insert into incidents (id, title, service, severity, opened_by) values (${other}, 'x', 'db', 1, 'x')`.execute(t.store.db)
    await sql`insert into holds (id, incident_id, automation, connector, target, place, reason, passes, held_for, period_ms, expires_at, lead)
      values (${newId('hold')}, ${other}, 'state', 'state', '{"state":"prod"}', 0, 'r', '["carol"]', 'carol', 1000, now(), ${holdId})`.execute(t.store.db)
    expect((await ask(who('carol', { person: 'carol' }), 'LOCK', lock('c'))).status).toBe(200)
  })
  test('a run that had the lock before may end: it reads, writes, and gives the lock back; a new one may not begin', async () => {
    await ask(ci, 'LOCK', lock('run-1'))
    await hold()
    expect((await ask(ci, 'POST', state(1), null)).status).toBe(423)
    expect((await ask(ci, 'LOCK', lock('run-1'))).status).toBe(200)
    expect((await ask(ci, 'GET')).status).toBe(204)
    expect((await ask(ci, 'POST', state(1), 'run-1')).status).toBe(200)
    expect((await ask(ci, 'UNLOCK', lock('run-1'))).status).toBe(200)
    expect((await ask(ci, 'LOCK', lock('run-2'))).status).toBe(423)
    expect((await ask(ci, 'POST', state(2), 'run-1')).status).toBe(423)
  })
  test('lock and hold at the same moment: either the run is stopped before it begins, or it may write to its end', async () => {
    for (let i = 0; i < 12; i++) {
      const [locked] = await Promise.all([ask(ci, 'LOCK', lock(`run-${i}`)), hold()])
      const wrote = await ask(ci, 'POST', state(i + 1), `run-${i}`)
      expect(wrote.status).toBe(locked.status)
      await ask(ci, 'UNLOCK', lock(`run-${i}`))
      await stateHold(t.store).resume(spec())
    }
  })
})

describe('locks and writes', () => {
  test('one lock at a time; the same lock again is already so, for its own caller only', async () => {
    expect((await ask(ci, 'LOCK', lock('a'))).status).toBe(200)
    expect((await ask(ci, 'LOCK', lock('a'))).status).toBe(200)
    expect(await ask(alice, 'LOCK', lock('b'))).toMatchObject({ status: 423, body: expect.stringContaining('"ID":"a"') })
    expect((await ask(alice, 'LOCK', lock('a'))).status).toBe(423)
    expect((await ask(alice, 'POST', state(1))).status).toBe(423)
    expect((await ask(alice, 'POST', state(1), 'a')).status).toBe(423)
    expect((await ask(alice, 'UNLOCK', lock('a'))).status).toBe(423)
    expect((await ask(alice, 'UNLOCK', '')).status).toBe(423)
    expect((await ask(who('root', { role: 'admin' }), 'UNLOCK', '')).status).toBe(200)
    expect((await ask(ci, 'UNLOCK', lock('a'))).status).toBe(200)
    const { rows } = await sql<{ bytes: string }>`select bytes from ledger_entries where bytes like '%force-unlock%'`.execute(t.store.db)
    expect(rows).toHaveLength(1)
  })
  test('a write that would take back what somebody wrote meanwhile is refused; the same again is already so; an admin may recover', async () => {
    expect((await ask(ci, 'POST', state(5))).status).toBe(200)
    expect((await ask(ci, 'POST', state(5))).status).toBe(200)
    expect(await ask(ci, 'POST', state(5, { outputs: {} }))).toMatchObject({ status: 409, body: expect.stringContaining('serial 5') })
    expect((await ask(ci, 'POST', state(4))).status).toBe(409)
    expect((await ask(ci, 'POST', state(9, { lineage: 'l-2' }))).status).toBe(409)
    expect(file().serial).toBe(5)
    expect((await ask(who('root', { role: 'admin' }), 'POST', state(4))).status).toBe(200)
    expect(file().serial).toBe(4)
  })
  test('writers at the same moment: one order, and the file has the last one', async () => {
    const answers = await Promise.all(Array.from({ length: 8 }, (_, i) => ask(ci, 'POST', state(i + 1))))
    expect(answers.every((a) => a.status === 200 || a.status === 409)).toBe(true)
    expect((await states.latest('prod'))?.serial).toBe(file().serial)
    expect(readdirSync(join(dir, 'files'))).toEqual(['prod.tfstate'])
  })
  test.each(['nonsense', '', 'null', '[]', '5', '{}', '{"serial":"x","lineage":"l"}', '{"serial":-1,"lineage":"l"}', '{"serial":1}'])('the state %j is 400 and changes nothing', async (body) => {
    expect((await ask(ci, 'POST', body)).status).toBe(400)
    expect(await states.latest('prod')).toBeNull()
  })
  test.each(['nonsense', 'null', '[]', '{}', '{"ID":5}', '{"ID":""}', '{"ID":"a\\u0000"}'])('the lock info %j is 400', async (body) => {
    expect((await ask(ci, 'LOCK', body)).status).toBe(400)
    expect((await ask(ci, 'UNLOCK', body)).status).toBe(400)
  })
  test.each(['../etc', '..', '.hidden', 'a/b', 'a\\b', '', 'a\0b', `${'a'.repeat(101)}`, 'ä', 'a\n'])('the name %j is none', async (name) => {
    expect((await ask(ci, 'POST', state(1), null, name)).status).toBe(404)
    expect((await ask(ci, 'GET', '', null, name)).status).toBe(404)
  })
  test('no scope is 403; a state is never deleted', async () => {
    expect((await ask(who('x', { scopes: ['api'], role: 'admin' }), 'GET')).status).toBe(403)
    await ask(ci, 'POST', state(1))
    for (const method of ['DELETE', 'PUT', 'HEAD', 'PATCH']) expect((await ask(ci, method)).status).toBe(405)
    expect((await ask(ci, 'GET')).status).toBe(200)
  })
})

describe.skipIf(!hasTerraform())('with the real Terraform', () => {
  const serve = async (): Promise<string> => {
    server = createServer((req, res) => {
      const chunks: Buffer[] = []
      req.on('data', (c: Buffer) => chunks.push(c)).on('end', () => {
        const [name = ''] = Buffer.from((req.headers.authorization ?? '').slice(6), 'base64').toString().split(':')
        const url = new URL(req.url ?? '', 'http://x')
        void states.answer({ method: req.method ?? '', name: 'prod', lockId: url.searchParams.get('ID'), body: Buffer.concat(chunks).toString(), caller: who(name, name === 'drift' ? { scopes: ['state-read'] } : name === 'root' ? { role: 'admin' } : {}) })
          .then((a) => res.writeHead(a.status, { 'content-type': 'application/json' }).end(a.body ?? ''))
      })
    })
    await new Promise<void>((done) => server?.listen(0, '127.0.0.1', done))
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}/state`
  }
  const terraform = (user: string, address: string, ...args: string[]): Promise<{ code: number; out: string }> =>
    new Promise((done) => execFile('terraform', [...args, '-no-color'], {
      cwd: dir, env: { ...process.env, TF_HTTP_ADDRESS: address, TF_HTTP_LOCK_ADDRESS: address, TF_HTTP_UNLOCK_ADDRESS: address, TF_HTTP_USERNAME: user, TF_HTTP_PASSWORD: 'x', TF_IN_AUTOMATION: '1', CHECKPOINT_DISABLE: '1' },
    }, (error, stdout, stderr) => done({ code: error ? Number(error.code ?? 1) : 0, out: stdout + stderr })))

  test('apply, hold, drift run, run in flight, -lock=false, force-unlock', async () => {
    const address = await serve()
    const write = (value: string) => writeFileSync(join(dir, 'main.tf'), `terraform {\n  backend "http" {}\n}\nresource "terraform_data" "a" {\n  input = "${value}"\n  provisioner "local-exec" {\n    command = "while [ -e wait ]; do sleep 0.05; done; touch began"\n  }\n  triggers_replace = "${value}"\n}\n`)
    write('one')
    expect((await terraform('ci', address, 'init', '-input=false')).code).toBe(0)
    expect(await terraform('ci', address, 'apply', '-auto-approve', '-input=false')).toMatchObject({ code: 0 })
    expect(file().serial).toBeGreaterThan(0)

    // A run that is in the middle when the hold comes saves its state.
    write('two')
    writeFileSync(join(dir, 'wait'), '')
    const inFlight = terraform('ci', address, 'apply', '-auto-approve', '-input=false')
    for (let i = 0; i < 400 && (await sql`select 1 from tf_locks`.execute(t.store.db)).rows.length === 0; i++) await new Promise((done) => setTimeout(done, 25))
    await hold()
    rmSync(join(dir, 'wait'))
    expect(await inFlight).toMatchObject({ code: 0 })
    expect(readFileSync(join(dir, 'files', 'prod.tfstate'), 'utf8')).toContain('"two"')

    // Everybody else is stopped, and reads why.
    write('three')
    const stopped = await terraform('ci', address, 'apply', '-auto-approve', '-input=false')
    expect(stopped.code).toBe(1)
    expect(stopped.out.replaceAll(/[\s│]+/g, ' ')).toContain('INC-7 frozen: break-glass by alice (DRI)')
    expect((await terraform('ci', address, 'apply', '-auto-approve', '-input=false', '-lock=false')).code).toBe(1)
    expect((await terraform('drift', address, 'plan', '-input=false', '-lock=false', '-detailed-exitcode')).code).toBe(2)
    expect((await terraform('drift', address, 'plan', '-input=false')).code).toBe(1)
    expect(await terraform('alice', address, 'apply', '-auto-approve', '-input=false')).toMatchObject({ code: 0 })

    // A lock that a dead run left: its own caller or an admin takes it off.
    await stateHold(t.store).resume(spec())
    await ask(who('ci'), 'LOCK', lock('left-behind'))
    expect((await terraform('bob', address, 'force-unlock', '-force', 'left-behind')).code).toBe(1)
    expect((await terraform('root', address, 'force-unlock', '-force', 'left-behind')).code).toBe(0)
    expect((await terraform('bob', address, 'plan', '-input=false')).code).toBe(0)
  })
})
