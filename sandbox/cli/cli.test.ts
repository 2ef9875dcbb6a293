import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { testCloud } from '../cloud/testing/cloud.ts'
import type { TestCloud } from '../cloud/testing/cloud.ts'
import { runSandboxCli } from './index.ts'

let cloud: TestCloud
beforeEach(async () => {
  cloud = await testCloud()
})
afterEach(() => cloud.close())

async function run(line: string, env: Record<string, string> = {}) {
  let [out, err] = ['', '']
  const argv = [...line.matchAll(/'([^']*)'|(\S+)/g)].map((m) => m[1] ?? m[2] ?? '')
  const code = await runSandboxCli(argv, { out: (t) => (out += t), err: (t) => (err += t), env: { SANDBOX_URL: cloud.url, SANDBOX_TOKEN: cloud.rootKey, ...env } })
  return { code, out, err }
}

test('a repair by hand, from login to audit', async () => {
  await cloud.call('POST', '/v1/instances', { name: 'web', image: 'v1', tags: { env: 'prod' } })
  await cloud.call('POST', '/v1/databases', { name: 'orders', engine: 'postgres', engine_version: '13.11' })
  const key = await cloud.key('alice', 'operator')
  const dir = mkdtempSync(join(tmpdir(), 'sandbox-cli-'))
  const file = join(dir, 'session')
  expect((await run(`login --save ${file}`, { SANDBOX_TOKEN: key })).out).toMatch(/session sess-\w+ of alice, roles operator/)
  expect(statSync(file).mode & 0o777).toBe(0o600)
  const token = /SANDBOX_TOKEN=(\S+)/.exec(readFileSync(file, 'utf8'))?.[1] as string
  rmSync(dir, { recursive: true })
  const me = (line: string) => run(line, { SANDBOX_TOKEN: token })
  expect((await me('whoami')).out).toMatch(/principal +alice/)
  expect((await me('list instances')).out).toMatch(/^NAME +ID +STATUS.*\nweb +i-\w+ +running/)
  expect((await me('set instance web size=large tags.team=shop')).out).toMatch(/size: small → large; tags: .*→ \{"env":"prod","team":"shop"\}/)
  expect((await me('instance mend web')).err).toMatch(/stop it before it is mended/)
  for (const line of ['instance fail web', 'instance stop web', 'instance mend web', 'instance start web']) expect((await me(line)).code).toBe(0)
  expect((await me('database snapshot orders --name before')).code).toBe(0)
  expect((await me('database upgrade orders --engine-version 14.9 --parameter-group pg14')).out).toMatch(/orders is available at 14.9/)
  expect(JSON.parse((await me('show database orders --json')).out)).toMatchObject({ engine_version: '14.9', parameter_group: 'pg14' })
  const log = (await run('audit')).out
  expect(log).toMatch(/alice \(sess-\w+\) {2}update sandbox_instance web {2}tags: .*; size: small → large/)
  expect(log).toMatch(/update sandbox_instance web refused 409/)
  expect(log).toMatch(/engine_version: 13.11 → 14.9/)
})

test('locks, members, sessions', async () => {
  const key = await cloud.key('alice')
  expect((await run('members add operator alice --until 2099-01-01T00:00:00Z')).code).toBe(0)
  expect((await run('members')).out).toMatch(/operator +alice +2099/)
  const s = JSON.parse((await run('login --json', { SANDBOX_TOKEN: key })).out)
  expect((await run('sessions --principal alice')).out).toContain(s.session_id)
  expect((await run("lock freeze --reason 'INC-1 upgrade' --owner carol --except root")).code).toBe(0)
  const locked = await run('create instance name=x image=v1', { SANDBOX_TOKEN: s.token })
  expect(locked).toMatchObject({ code: 5 })
  expect(locked.err).toMatch(/locked by carol: INC-1 upgrade/)
  expect((await run('locks')).out).toMatch(/freeze +read-only +\/ +carol +root +INC-1 upgrade/)
  expect((await run('unlock freeze')).code).toBe(0)
  expect((await run('members remove operator alice')).code).toBe(0)
  expect((await run(`sessions end ${s.session_id}`)).code).toBe(0)
  expect((await run('whoami', { SANDBOX_TOKEN: s.token })).code).toBe(3)
})

test('every mistake has its exit code and a way out', async () => {
  const cases: [string, Record<string, string>, number, RegExp][] = [
    ['jump', {}, 2, /unknown command "jump"/],
    ['list planets', {}, 2, /Collections: instances/],
    ['show instance nope', {}, 4, /does not exist\n {2}See what exists/],
    ['set instance nope size', {}, 4, /does not exist/],
    ['list instances --wat', {}, 2, /usage: sandbox list/],
    ['whoami', { SANDBOX_URL: '' }, 2, /SANDBOX_URL is not set/],
    ['whoami', { SANDBOX_TOKEN: '' }, 3, /eval "\$\(sandbox login\)"/],
    ['whoami', { SANDBOX_URL: 'http://127.0.0.1:9' }, 6, /cannot be reached/],
    ['database upgrade orders', {}, 2, /--engine-version is missing/],
  ]
  for (const [line, env, code, text] of cases) {
    const got = await run(line, env)
    expect([line, got.code]).toEqual([line, code])
    expect(got.err).toMatch(text)
  }
  expect((await run('set --help')).out).toMatch(/Examples:\n {2}sandbox set instance/)
  expect((await run('')).out).toMatch(/The sandbox cloud, by hand/)
})
