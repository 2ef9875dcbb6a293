import { spawn, type ChildProcess } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { testCloud, type TestCloud } from '../../../sandbox/cloud/testing/cloud.ts'
import { outcomeUnknown } from '../../core/errors.ts'
import type { Grantable, GrantSpec, Observation } from '../../core/ports.ts'
import { createRunner, type Runner } from '../../terraform/index.ts'
import { grantableContract } from '../contracts/grantable.suite.ts'
import { type RealState, templateOf, terraformGrant, type TerraformGrantOptions } from './index.ts'

let runner: Runner
let cloud: TestCloud
let folder: string
let dir: string
let env: Record<string, string>
let grantable: Grantable
const children: ChildProcess[] = []

const template = templateOf({
  provider: { name: 'sandbox', source: 'sandbox.test/cloud/sandbox', version: '1.0.0' }, type: 'sandbox_role_assignment',
  attributes: { principal: '{principal}', role: '{right.role}', scope: '{right.scope}', expires_at: '{expires_at}', source_identity: '{grant}', name: null },
})
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'reglaze-tfgrant-'))
  runner = await createRunner()
  // The provider is started as Terraform starts it: as a compiled program.
  const { installProvider } = (await import(join(process.cwd(), 'dist/sandbox/provider/install.js'))) as { installProvider(dir: string): { cliConfig: string } }
  env = { TF_CLI_CONFIG_FILE: installProvider(folder).cliConfig }
})
beforeEach(async () => {
  cloud = await testCloud()
  dir = join(folder, `grants-${Math.random().toString(36).slice(2)}`)
  const key = await cloud.key('svc-terraform', 'access-admin', 'operator')
  await cloud.key('alice')
  env = { ...env, SANDBOX_URL: cloud.url, SANDBOX_TOKEN: key, SANDBOX_TIMEOUT_MS: '12000' }
  grantable = make()
})
afterEach(async () => {
  for (const c of children.splice(0)) c.kill('SIGKILL')
  await cloud.close()
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

interface Assignment {
  id: string
  principal: string
  source_identity: string | null
  expires_at: string | null
}
const assignments = async (grantId: string): Promise<Assignment[]> => ((await cloud.call('GET', '/v1/role-assignments')).body.items as Assignment[]).filter((a) => a.source_identity === grantId)
/** Reads as a connector does: with a deadline and its own credential, which faults hit. */
const ask = async <T>(path: string): Promise<T> => {
  const res = await fetch(cloud.url + path, { headers: { authorization: `Bearer ${env['SANDBOX_TOKEN']}` }, signal: AbortSignal.timeout(1000) })
  if (!res.ok) throw outcomeUnknown(`${res.status}`)
  return ((await res.json()) as { items: T }).items
}
/** After the object is gone, nobody tells so. */
let blind = false
const observeWith = async (spec: GrantSpec, ids: readonly string[]): Promise<Observation<RealState>> => {
  if (blind && (await assignments(spec.grantId)).length === 0) throw outcomeUnknown('the answer was lost')
  const found = (await ask<Assignment[]>('/v1/role-assignments')).filter((a) => a.source_identity === spec.grantId || ids.includes(a.id))
  const sessions = await ask<unknown[]>(`/v1/sessions?source_identity=${spec.grantId}`)
  return {
    status: 'known', at: new Date().toISOString(), value: { ids: found.map((a) => a.id), sessions: sessions.length, backstopUntil: found[0]?.expires_at ?? null },
    evidence: { source: `sandbox-cloud ${cloud.url}`, request: 'GET /v1/role-assignments', answer: { ids: found.map((a) => a.id) } },
  }
}
const make = (o: Partial<TerraformGrantOptions> = {}) => terraformGrant({
  name: 'infra-access', dir, template, env, runner, observeWith,
  removeWith: async (_spec, id) => void (await cloud.call('DELETE', `/v1/role-assignments/${id}`)),
  endSessionsWith: async (spec) => {
    for (const s of (await cloud.call('GET', `/v1/sessions?source_identity=${spec.grantId}`)).body.items as { session_id: string }[]) await cloud.call('DELETE', `/v1/sessions/${s.session_id}`)
  },
  ...o,
})
const spec = (grantId = 'gr_01ABC', o: Partial<GrantSpec> = {}): GrantSpec => ({ grantId, incident: 'inc_1', principal: 'alice', person: 'alice', right: { role: 'operator', scope: '/' }, expiresAt: new Date(Date.now() + 3_600_000).toISOString(), prior: {}, ...o })
const state = async (s: GrantSpec, of = grantable) => {
  const seen = await of.observe(s)
  if (seen.status === 'unknown') throw new Error(seen.reason)
  return seen.value
}
const until = async (what: string, check: () => Promise<boolean> | boolean) => {
  for (let i = 0; i < 400; i++) {
    if (await check()) return
    await new Promise((r) => setTimeout(r, 25))
  }
  throw new Error(`${what} did not happen`)
}

test('granted by a real apply, read back at the target, destroyed, read back; all repeated', async () => {
  const s = spec()
  expect(await grantable.prepare({ id: 'alice', email: 'a@x', accounts: { cloud: 'alice' } }, s.right)).toMatchObject({ principal: 'alice' })
  expect(await state(s)).toEqual({ member: false, sessions: 0, backstopUntil: null })
  for (let i = 0; i < 2; i++) await grantable.grant(s)
  expect(await assignments(s.grantId)).toHaveLength(1)
  expect(await state(s)).toEqual({ member: true, sessions: 0, backstopUntil: s.expiresAt })
  expect(await grantable.marked?.()).toMatchObject([{ grantId: s.grantId }])
  for (let i = 0; i < 2; i++) await grantable.revoke(s)
  await grantable.endSessions(s)
  expect(await state(s)).toEqual({ member: false, sessions: 0, backstopUntil: null })
  expect(existsSync(join(dir, s.grantId))).toBe(false)
  expect(await grantable.marked?.()).toEqual([])
  expect(grantable.manual(s)).toContain('destroy')
})

describe('crashes', () => {
  /** A server that is killed while its Terraform runs leaves that Terraform behind. */
  const orphan = (s: GrantSpec) => {
    const child = spawn('terraform', ['apply', '-auto-approve', '-input=false', '-no-color'], { cwd: join(dir, s.grantId), env: { ...process.env, ...env, TF_IN_AUTOMATION: '1', CHECKPOINT_DISABLE: '1' }, stdio: 'ignore', detached: true })
    children.push(child)
    return child
  }
  const prepared = async (s: GrantSpec) => {
    await grantable.grant(s)
    await grantable.revoke(s)
    mkdirSync(join(dir, s.grantId), { recursive: true })
    writeFileSync(join(dir, s.grantId, 'main.tf'), template(s))
    await runner.run(['init', '-input=false', '-no-color'], { cwd: join(dir, s.grantId), env })
  }
  test('created, then killed before the state was saved: found by its mark, imported and destroyed', async () => {
    const s = spec('gr_nostate')
    await grantable.grant(s)
    for (const f of readdirSync(join(dir, s.grantId)).filter((x) => x.startsWith('terraform.tfstate'))) rmSync(join(dir, s.grantId, f))
    await make().revoke(s)
    expect(await assignments(s.grantId)).toEqual([])
  })
  test('the same with the whole folder gone, and with a grant again instead of a revoke: never two', async () => {
    const s = spec('gr_nofolder')
    await grantable.grant(s)
    rmSync(join(dir, s.grantId), { recursive: true })
    await make().grant(s)
    expect(await assignments(s.grantId)).toHaveLength(1)
    rmSync(join(dir, s.grantId), { recursive: true })
    await make().revoke(s)
    expect(await assignments(s.grantId)).toEqual([])
  })
  test('several marked objects (somebody copied one): all are removed', async () => {
    const s = spec('gr_twice')
    await grantable.grant(s)
    await cloud.call('POST', '/v1/role-assignments', { principal: 'alice', role: 'reader', scope: '/', source_identity: s.grantId })
    expect(await assignments(s.grantId)).toHaveLength(2)
    await grantable.revoke(s)
    expect(await assignments(s.grantId)).toEqual([])
  })
  test('a Terraform left behind by a killed server is ended before the revocation looks, and cannot grant afterwards', async () => {
    const s = spec('gr_orphan')
    await prepared(s)
    // The create hangs at the target; the orphan waits in it with the state locked.
    await cloud.call('POST', '/v1/faults', { method: 'POST', path_prefix: '/v1/role-assignments', mode: 'hang', times: 1 })
    const child = orphan(s)
    await until('the orphan holds the state lock', () => existsSync(join(dir, s.grantId, '.terraform.tfstate.lock.info')))
    const from = performance.now()
    await make().revoke(s)
    expect(performance.now() - from).toBeLessThan(15_000)
    expect(await assignments(s.grantId)).toEqual([])
    await until('the orphan ended', () => child.exitCode !== null || child.signalCode !== null)
    await cloud.call('DELETE', '/v1/faults')
    expect(await assignments(s.grantId)).toEqual([])
  }, 60_000)
  test('a stale lock file and half-written files are no obstacle', async () => {
    const s = spec('gr_stale')
    await grantable.grant(s)
    writeFileSync(join(dir, s.grantId, '.terraform.tfstate.lock.info'), '{"ID":"x","Operation":"OperationTypeApply","Who":"dead@host"}')
    writeFileSync(join(dir, s.grantId, 'main.tf'), 'resource "sandbox_ro')
    await make().revoke(s)
    expect(await assignments(s.grantId)).toEqual([])
  })
  test('a damaged state: the API removes what Terraform cannot', async () => {
    const s = spec('gr_damaged')
    await grantable.grant(s)
    writeFileSync(join(dir, s.grantId, 'terraform.tfstate'), '{"version": 4, "broken')
    await make().revoke(s)
    expect(await assignments(s.grantId)).toEqual([])
  })
})

describe('the target', () => {
  test('does not tell: unknown, and revoke is no success', async () => {
    const s = spec('gr_dark')
    await grantable.grant(s)
    const dark = make({ observeWith: () => Promise.resolve({ status: 'unknown', at: '', reason: '401' }) })
    expect(await dark.observe(s)).toMatchObject({ status: 'unknown' })
    await expect(dark.revoke(s)).rejects.toMatchObject({ code: 'OUTCOME_UNKNOWN' })
    const throws = make({ observeWith: () => Promise.reject(outcomeUnknown('hang')) })
    expect(await throws.observe(s)).toMatchObject({ status: 'unknown', reason: 'hang' })
    await grantable.revoke(s)
  })
  test('refuses: an error, nothing granted, and the repetition succeeds', async () => {
    const s = spec('gr_refused')
    await cloud.call('POST', '/v1/faults', { method: 'POST', path_prefix: '/v1/role-assignments', mode: '401', times: 5 })
    await expect(grantable.grant(s)).rejects.toMatchObject({ code: 'OUTSIDE_FAILED' })
    await cloud.call('DELETE', '/v1/faults')
    expect((await state(s)).member).toBe(false)
    await grantable.grant(s)
    expect((await state(s)).member).toBe(true)
  })
  test('answer lost after the effect: the error is no success, the object is found and not made twice', async () => {
    const s = spec('gr_lostanswer')
    await cloud.call('POST', '/v1/faults', { method: 'POST', path_prefix: '/v1/role-assignments', mode: 'lost-answer', times: 1 })
    await grantable.grant(s).catch(() => undefined)
    await cloud.call('DELETE', '/v1/faults')
    await grantable.grant(s)
    expect(await assignments(s.grantId)).toHaveLength(1)
    await grantable.revoke(s)
    expect(await assignments(s.grantId)).toEqual([])
  })
  test('removed by a human: revoke is success, grant makes it again', async () => {
    const s = spec('gr_human')
    await grantable.grant(s)
    const [a] = await assignments(s.grantId)
    await cloud.call('DELETE', `/v1/role-assignments/${a?.id}`)
    expect((await state(s)).member).toBe(false)
    await grantable.grant(s)
    expect((await state(s)).member).toBe(true)
    await cloud.call('DELETE', `/v1/role-assignments/${(await assignments(s.grantId))[0]?.id}`)
    await grantable.revoke(s)
    expect((await state(s)).member).toBe(false)
  })
})

grantableContract('terraform-grant with the real Terraform and the sandbox cloud', async () => {
  const right = { role: 'operator', scope: '/' }
  const all = async () => ((await cloud.call('GET', '/v1/role-assignments')).body.items as (Assignment & { role: string })[]).filter((a) => a.principal === 'alice' && a.role === 'operator')
  const mine = async (s: GrantSpec) => (await assignments(s.grantId))[0]?.id as string
  const fault = (method: string, path_prefix: string, mode: string, times: number) => cloud.call('POST', '/v1/faults', { method, path_prefix, mode, times })
  return {
    connector: () => make({ timeoutMs: 10_000, endSessionsWith: async (s) => {
      for (const x of await ask<{ session_id: string }[]>(`/v1/sessions?source_identity=${s.grantId}`)) {
        const res = await fetch(`${cloud.url}/v1/sessions/${x.session_id}`, { method: 'DELETE', headers: { authorization: `Bearer ${cloud.rootKey}` } })
        if (!res.ok) throw outcomeUnknown(`${res.status}`)
      }
    }, removeWith: async (_s, id) => {
      const res = await fetch(`${cloud.url}/v1/role-assignments/${id}`, { method: 'DELETE', headers: { authorization: `Bearer ${cloud.rootKey}` } })
      if (!res.ok) throw outcomeUnknown(`${res.status}`)
    } }),
    person: { id: 'alice', email: 'alice@example.org', accounts: { cloud: 'alice' } }, right,
    raw: async () => (await all()).length > 0,
    async memberBefore() {
      const { body } = await cloud.call('POST', '/v1/role-assignments', { principal: 'alice', ...right })
      return { same: async () => (await all()).some((a) => a.id === body.id && a.source_identity === null) }
    },
    humanRevokes: async (s: GrantSpec) => void (await cloud.call('DELETE', `/v1/role-assignments/${await mine(s)}`)),
    humanKeeps: async (s: GrantSpec) => void (await cloud.call('PATCH', `/v1/role-assignments/${await mine(s)}`, { source_identity: null, expires_at: null })),
    async session() {
      const key = (await cloud.call('POST', '/v1/principals/alice/keys', {})).body.secret as string
      const { token } = (await cloud.call('POST', '/v1/sessions', {}, key)).body as { token: string }
      return { usable: async () => (await cloud.call('GET', '/v1/whoami', undefined, token)).body.roles?.includes('operator') ?? false }
    },
    async fault(mode, on, times = 1) {
      // One call of ours is several of Terraform's, and then a look: the fault has to last for all of them.
      if (on === 'observe') await fault('GET', '/v1/role-assignments', mode, times)
      if (on === 'grant') await fault('POST', '/v1/role-assignments', mode, mode === 'lost-answer' || mode === 'hang' ? 1 : 99)
      if (on === 'end-sessions') await fault('DELETE', '/v1/sessions', mode, 99)
      if (on !== 'revoke') return
      await fault('DELETE', '/v1/role-assignments', mode, mode === 'lost-answer' ? 1 : 99)
      blind = mode === 'lost-answer'
    },
    async clearFaults() {
      blind = false
      await cloud.call('DELETE', '/v1/faults')
    },
    backstop: true,
    close: async () => void (blind = false),
  }
})

test('values cannot become code; a grant id cannot leave its folder', async () => {
  const hostile = spec('gr_x', { principal: 'a"\n}\nresource "terraform_data" "x" { input = "${file("/etc/passwd")}" }\n#', right: { role: 'operator', scope: '%{ for x in y }' } })
  const text = template(hostile)
  expect(text.match(/^resource /gm)).toHaveLength(1)
  expect(text).not.toMatch(/[^$]\$\{/)
  expect(text).not.toMatch(/[^%]%\{/)
  expect(() => grantable.manual(spec('../../etc'))).toThrow(/folder/)
  expect(readFileSync(join(import.meta.dirname, 'template.ts'), 'utf8')).toContain('toHcl')
})
