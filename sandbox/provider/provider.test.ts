import { existsSync, readFileSync } from 'node:fs'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { testCloud } from '../cloud/testing/cloud.ts'
import type { TestCloud } from '../cloud/testing/cloud.ts'
import { selfSigned } from './certificate.ts'
import { actionsOf, hasTerraform, terraformFor } from './testing/terraform.ts'
import type { Terraform } from './testing/terraform.ts'

const MAIN = `
resource "sandbox_instance" "web" {
  name      = "web"
  image     = "v1"
  user_data = "#!/bin/sh\\necho \${upper("hi")}\\n"
  password  = "hunter2"
  tags      = { env = "prod", team = "shop" }
  labels    = ["x", "a", "m"]
  policy    = jsonencode({ a = 1, b = { c = 2, d = [1, 2] } })
  disk {
    device  = "sda"
    size_gb = 10
  }
  disk {
    device  = "sdb"
    size_gb = 200
  }
}
resource "sandbox_database" "orders" {
  name           = "orders"
  engine         = "postgres"
  engine_version = "13.11"
}
resource "sandbox_route" "front" {
  name      = "front"
  target_id = sandbox_instance.web.id
}
resource "sandbox_firewall" "fw" {
  name = "fw"
  rule {
    port     = 443
    protocol = "tcp"
    source   = "0.0.0.0/0"
  }
}
`

describe.skipIf(!hasTerraform())('real Terraform (skipped without terraform on PATH: https://developer.hashicorp.com/terraform/install)', () => {
  let cloud: TestCloud
  let terraform: Terraform
  beforeAll(async () => {
    cloud = await testCloud()
    terraform = terraformFor(cloud)
  })
  afterAll(async () => {
    terraform.close()
    await cloud.close()
  })
  beforeEach(async () => {
    await cloud.call('DELETE', '/v1/faults')
    for (const lock of (await cloud.call('GET', '/v1/locks')).body.items) await cloud.call('DELETE', `/v1/locks/${lock.name}`)
    for (const collection of ['instances', 'databases', 'routes', 'firewalls', 'role-assignments', 'snapshots']) {
      for (const r of (await cloud.call('GET', `/v1/${collection}`)).body.items) await cloud.call('DELETE', `/v1/${collection}/${r.id}`)
    }
  })
  const seen = async (collection: string, name: string) => (await cloud.call('GET', `/v1/${collection}?name=${name}`)).body.items[0]

  test('apply, then a plan without any change, although the cloud writes policy and labels in its own order', async () => {
    const w = await terraform.workspace(MAIN)
    await w.apply()
    expect(await seen('instances', 'web')).toMatchObject({ labels: ['x', 'm', 'a'], policy: '{"b":{"d":[1,2],"c":2},"a":1}', disk: [{ device: 'sda', size_gb: 10 }, { device: 'sdb', size_gb: 200 }] })
    const { json } = await w.plan()
    expect(actionsOf(json)).toEqual({})
    expect(json.resource_drift ?? []).toEqual([])
    expect(json).toMatchObject({ errored: false, complete: true })
    expect((await w.state('sandbox_instance.web')).password).toBe('hunter2')
    expect((await w.state('sandbox_database.orders')).parameter_group).toBe('default.postgres13')
  })

  test('drift made by hand is seen by refresh; a computed-only drift is no change; both are told apart', async () => {
    const w = await terraform.workspace(MAIN)
    await w.apply()
    await cloud.call('PATCH', '/v1/instances/name:web', { size: 'large', policy: '{"a":2}', disk: [{ device: 'sda', size_gb: 50 }] })
    await cloud.call('POST', '/v1/instances/name:web/actions/stop', {})
    const first = await w.plan()
    expect(actionsOf(first.json)).toEqual({ 'sandbox_instance.web': 'update' })
    const drift = first.json.resource_drift.find((d: any) => d.address === 'sandbox_instance.web').change
    expect(drift.after).toMatchObject({ size: 'large', policy: '{"a":2}', status: 'stopped' })
    const only = await w.plan('-refresh-only')
    expect(only.json.resource_drift).toHaveLength(1)
    await w.apply()
    expect(await seen('instances', 'web')).toMatchObject({ size: 'small', status: 'stopped', policy: '{"b":{"d":[1,2],"c":2},"a":1}' })
    await cloud.call('POST', '/v1/instances/name:web/actions/start', {})
    const second = await w.plan()
    expect(actionsOf(second.json)).toEqual({})
    expect(second.json.resource_drift[0].change).toMatchObject({ before: { status: 'stopped' }, after: { status: 'running' } })
  })

  test('deletion by hand: planned anew', async () => {
    const w = await terraform.workspace(MAIN)
    await w.apply()
    const old = await seen('instances', 'web')
    await cloud.call('DELETE', `/v1/instances/${old.id}`)
    expect(actionsOf((await w.plan()).json)).toEqual({ 'sandbox_instance.web': 'create', 'sandbox_route.front': 'update' })
    await w.apply()
    expect((await seen('routes', 'front')).target_id).toBe((await seen('instances', 'web')).id)
  })

  test('a changed image forces replacement, -replace asks for it', async () => {
    const w = await terraform.workspace(MAIN)
    await w.apply()
    w.write('main.tf', MAIN.replace('"v1"', '"v2"'))
    const { json } = await w.plan()
    expect(actionsOf(json)['sandbox_instance.web']).toBe('delete/create')
    expect(json.resource_changes.find((c: any) => c.address === 'sandbox_instance.web').change.replace_paths).toEqual([['image']])
    await w.apply()
    const id = (await seen('instances', 'web')).id
    expect(actionsOf((await w.plan('-replace=sandbox_instance.web')).json)['sandbox_instance.web']).toBe('delete/create')
    await w.apply('-replace=sandbox_instance.web')
    expect((await seen('instances', 'web')).id).not.toBe(id)
  })

  test('state rm, import by block and by command, generated configuration', async () => {
    const w = await terraform.workspace(MAIN)
    await w.apply()
    const i = await seen('instances', 'web')
    await w.run('state', 'rm', 'sandbox_instance.web')
    expect((await w.run('import', 'sandbox_instance.web', i.id)).code).toBe(0)
    // Only the password, which no cloud tells, is missing.
    const { json } = await w.plan()
    expect(actionsOf(json)).toEqual({ 'sandbox_instance.web': 'update' })
    const change = json.resource_changes.find((c: any) => c.address === 'sandbox_instance.web').change
    expect(Object.keys(change.after).filter((k) => JSON.stringify(change.before[k]) !== JSON.stringify(change.after[k]))).toEqual(['password'])
    expect((await w.run('import', 'sandbox_route.nope', 'rt-404')).code).toBe(1)

    const scratch = await terraform.workspace(`import {\n  to = sandbox_instance.found\n  id = "${i.id}"\n}\nimport {\n  to = sandbox_database.found\n  id = "${(await seen('databases', 'orders')).id}"\n}\n`)
    const generated = await scratch.plan('-generate-config-out=gen.tf')
    expect(generated.out).not.toMatch(/Error/)
    expect(generated.json.resource_changes.map((c: any) => c.change.actions.join())).toEqual(['no-op', 'no-op'])
    const text = readFileSync(join(scratch.dir, 'gen.tf'), 'utf8')
    for (const part of ['device  = "sdb"', 'engine_version', 'labels   = ["a", "m", "x"]', 'env  = "prod"', 'policy = jsonencode({']) expect(text).toContain(part)
  })

  test('data sources: a database that is missing is no error, a missing snapshot is one', async () => {
    const source = 'data "sandbox_database" "d" {\n  name = "orders"\n}\noutput "d" {\n  value = data.sandbox_database.d\n}\n'
    const w = await terraform.workspace(source)
    await w.apply()
    expect(JSON.parse((await w.run('output', '-json', 'd')).out)).toEqual({ name: 'orders', exists: false, id: null, engine: null, engine_version: null, parameter_group: null, status: null, endpoint: null })
    await cloud.call('POST', '/v1/databases', { name: 'orders', engine: 'postgres', engine_version: '13.11' })
    await w.apply()
    expect(JSON.parse((await w.run('output', '-json', 'd')).out)).toMatchObject({ exists: true, engine_version: '13.11', status: 'available' })

    w.write('main.tf', 'data "sandbox_snapshot" "s" {\n  database = "orders"\n}\noutput "s" {\n  value = data.sandbox_snapshot.s.name\n}\n')
    const none = await w.plan()
    expect(none).toMatchObject({ code: 1 })
    expect(none.out).toMatch(/No snapshot[\s\S]*main.tf line 2[\s\S]*database = "orders"[\s\S]*has no snapshot/)
    for (const name of ['one', 'two']) await cloud.call('POST', '/v1/databases/name:orders/actions/snapshot', { name })
    await w.apply()
    expect((await w.run('output', '-json', 's')).out.trim()).toBe('"two"')
  })

  test('the cloud’s refusals are readable: lock, major upgrade, name taken, wrong attribute', async () => {
    const w = await terraform.workspace(MAIN)
    await w.apply()
    await cloud.call('PUT', '/v1/locks/inc', { level: 'read-only', scope: '/', reason: 'INC-42 break-glass by alice', owner: 'alice' })
    w.write('main.tf', MAIN.replace('"13.11"', '"14.9"'))
    const locked = await w.run('apply', '-auto-approve')
    expect(locked.out).toMatch(/Cannot change sandbox_database orders: locked[\s\S]*locked by alice: INC-42 break-glass by alice \(lock "inc", read-only, scope \/\)/)
    await cloud.call('DELETE', '/v1/locks/inc')
    const major = await w.run('apply', '-auto-approve')
    expect(major.out).toMatch(/on main.tf line \d+, in resource "sandbox_database" "orders"/)
    expect(major.out.replace(/\s+/g, ' ')).toMatch(/engine_version 13.11 to 14.9 is a major upgrade/)
    w.write('main.tf', MAIN.replace('"13.11"', '"13.13"'))
    await w.apply()
    expect((await w.state('sandbox_database.orders')).engine_version).toBe('13.13')
    w.write('more.tf', 'resource "sandbox_instance" "twin" {\n  name = "web"\n  image = "v1"\n  policy = "{"\n}\n')
    expect((await w.plan()).out).toMatch(/more.tf line 4[\s\S]*policy must be JSON text/)
    w.write('more.tf', 'resource "sandbox_instance" "twin" {\n  name = "web"\n  image = "v1"\n}\n')
    expect((await w.run('apply', '-auto-approve')).out).toMatch(/conflict[\s\S]*instances has "web" already/)
  })

  test('a role assignment by Terraform gives the role and its end', async () => {
    const key = await cloud.key('alice')
    const end = '2099-01-01T00:00:00Z'
    const w = await terraform.workspace(`resource "sandbox_role_assignment" "a" {\n  principal = "alice"\n  role = "reader"\n  scope = "/"\n  expires_at = "${end}"\n  source_identity = "gr_7"\n}\n`)
    expect((await cloud.call('GET', '/v1/routes', undefined, key)).status).toBe(403)
    await w.apply()
    expect((await cloud.call('GET', '/v1/routes', undefined, key)).status).toBe(200)
    expect((await cloud.call('POST', '/v1/sessions', {}, key)).body).toMatchObject({ roles: ['reader'], source_identity: 'gr_7' })
    expect(actionsOf((await w.plan()).json)).toEqual({})
    await w.run('destroy', '-auto-approve')
    expect((await cloud.call('GET', '/v1/routes', undefined, key)).status).toBe(403)
  })

  test('destroy removes everything; what is gone already is no error; protection holds', async () => {
    const w = await terraform.workspace(MAIN.replace('engine_version = "13.11"', 'engine_version = "13.11"\n  deletion_protection = true'))
    await w.apply()
    expect((await w.run('destroy', '-auto-approve')).out).toMatch(/deletion_protection: switch it off/)
    w.write('main.tf', MAIN)
    await w.apply()
    await w.run('destroy', '-auto-approve')
    expect((await cloud.call('GET', '/v1/databases')).body.items).toEqual([])
    expect((await w.run('state', 'list')).out.trim()).toBe('')
  })

  test('several runs at once do not disturb each other; a throttling cloud is waited for', async () => {
    const three = await Promise.all([1, 2, 3].map((n) => terraform.workspace(`resource "sandbox_instance" "i" {\n  count = 3\n  name = "w${n}-\${count.index}"\n  image = "v1"\n}\n`)))
    await cloud.call('POST', '/v1/faults', { path_prefix: '/v1/instances', mode: '429', times: 2 })
    await Promise.all(three.map((w) => w.apply()))
    expect((await cloud.call('GET', '/v1/instances')).body.items).toHaveLength(9)
    expect(new Set(three.map((w) => readFileSync(join(w.dir, '.terraform.lock.hcl'), 'utf8'))).size).toBe(1)
  })

  test.skipIf(process.platform !== 'linux')('a provider whose Terraform was killed ends by itself (looked up in /proc)', async () => {
    const w = await terraform.workspace('data "sandbox_database" "d" {\n  name = "x"\n}\n')
    await cloud.call('POST', '/v1/faults', { path_prefix: '/v1/databases', mode: 'hang', times: 1 })
    const { child, providers } = w.start('plan', '-input=false')
    await expect.poll(async () => (await cloud.call('GET', '/v1/faults')).body.items, { timeout: 10_000 }).toEqual([])
    const pids = providers()
    expect(pids.length).toBeGreaterThan(0)
    child.kill('SIGKILL')
    const alive = () => pids.filter((pid) => existsSync(`/proc/${pid}/cmdline`) && readFileSync(`/proc/${pid}/cmdline`).length > 0)
    await expect.poll(alive, { timeout: 10_000 }).toEqual([])
  })

  test('a cloud behind https with a private authority: NODE_EXTRA_CA_CERTS still counts', async () => {
    const { key, cert } = selfSigned()
    const server = createServer({ key, cert }, (_, res) => res.end('{"items":[]}'))
    await new Promise<void>((resolve) => server.listen(0, 'localhost', resolve))
    try {
      const w = await terraform.workspace(`provider "sandbox" {\n  url = "https://localhost:${(server.address() as AddressInfo).port}"\n}\ndata "sandbox_database" "d" {\n  name = "x"\n}\n`)
      w.write('ca.pem', cert)
      w.env['NODE_EXTRA_CA_CERTS'] = join(w.dir, 'ca.pem')
      expect(await w.plan()).toMatchObject({ code: 0 })
      delete w.env['NODE_EXTRA_CA_CERTS']
      expect((await w.plan()).out).toMatch(/gave no answer.*\n?.*SELF_SIGNED|DEPTH_ZERO/)
    } finally {
      server.closeAllConnections()
      server.close()
    }
  })

  test('a missing token and an unreachable cloud are said plainly', async () => {
    const w = await terraform.workspace('provider "sandbox" {\n  url = "http://127.0.0.1:9"\n}\ndata "sandbox_database" "d" {\n  name = "x"\n}\n')
    expect((await w.plan()).out).toMatch(/the cloud at http:\/\/127.0.0.1:9 gave no answer[\s\S]*Check SANDBOX_URL/)
    w.write('main.tf', 'provider "sandbox" {\n  token = ""\n}\ndata "sandbox_database" "d" {\n  name = "x"\n}\n')
    expect((await w.plan()).out).toMatch(/token is missing[\s\S]*Set SANDBOX_TOKEN/)
  })
})
