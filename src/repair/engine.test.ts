import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { list, quarantine, release, replace, resume } from './engine.ts'
import { killedCall } from './testing/child.ts'
import { hasTerraform, startWorld, type World } from '../reconcile/testing/world.ts'

const MAIN = `terraform {
  required_providers {
    sandbox = { source = "sandbox.test/cloud/sandbox", version = "1.0.0" }
  }
}

# takes the checkout
resource "sandbox_instance" "web" {
  name   = "web"
  image  = "v1"
  size   = "small" # enough
  policy = jsonencode({ a = 1 })

  disk {
    device  = "/dev/sda"
    size_gb = 40
  }
}

resource "sandbox_route" "shop" {
  name      = "shop"
  target_id = sandbox_instance.web.id
}

resource "sandbox_instance" "batch" {
  name     = "batch"
  image    = "v1"
  password = "s3cret-of-batch"

  lifecycle {
    ignore_changes = [user_data]
  }
}

resource "sandbox_instance" "many" {
  count = 2
  name  = "many-\${count.index}"
  image = "v1"
}`

describe.skipIf(!hasTerraform())('repair plays on a folder', () => {
  let w: World
  let journalDir: string
  const o = () => ({ env: w.env, terraform: w.runner, journalDir, incident: 'INC-7' })
  const planExit = (): string => {
    try {
      return w.terraform('plan', '-no-color', '-input=false')
    } catch (e) {
      return String((e as { stdout: string }).stdout) + String((e as { stderr: string }).stderr)
    }
  }
  beforeAll(async () => {
    w = await startWorld({ files: { 'main.tf': MAIN } })
    journalDir = join(w.root, 'journal')
  }, 120_000)
  afterAll(async () => w?.close())

  it('soft: Terraform leaves it alone, drift stays visible, release gives every byte back', async () => {
    const q = await quarantine(w.infra, 'sandbox_instance.web', { ...o(), kind: 'soft' })
    expect(q).toMatchObject({ kind: 'soft', proof: { complete: true, because: null }, alsoAffects: [] })
    await w.call('PATCH', '/v1/instances/name:web', { size: 'large' })
    expect(planExit()).toContain('No changes')
    expect(await list(w.infra, o())).toMatchObject([{ address: 'sandbox_instance.web', play: 'soft', step: 'quarantined' }])
    expect(await quarantine(w.infra, 'sandbox_instance.web', { ...o(), kind: 'soft' })).toMatchObject({ kind: 'soft' })
    // Killed before it was told to the server: the same call does the rest.
    const lost = release(w.infra, 'sandbox_instance.web', { ...o(), released: () => Promise.reject(new Error('no server')) })
    await expect(lost).rejects.toThrow('no server')
    expect(await release(w.infra, 'sandbox_instance.web', o())).toMatchObject({ kind: 'soft', exact: true })
    expect(w.read('main.tf')).toBe(MAIN)
    await expect(release(w.infra, 'sandbox_instance.web', o())).rejects.toMatchObject({ code: 'REPAIR_NOT_QUARANTINED' })
    await w.call('PATCH', '/v1/instances/name:web', { size: 'small' })
  })

  it('soft: a lifecycle that is there already is kept and given back; shared code is said', async () => {
    const q = await quarantine(w.infra, 'sandbox_instance.batch', { ...o(), kind: 'soft' })
    expect(q.proof.complete).toBe(true)
    const many = await quarantine(w.infra, 'sandbox_instance.many[0]', { ...o(), kind: 'soft' })
    expect(many.alsoAffects).toEqual(['sandbox_instance.many[1]'])
    await quarantine(w.infra, 'sandbox_instance.many[1]', { ...o(), kind: 'soft' })
    await release(w.infra, 'sandbox_instance.many[0]', o())
    expect(w.read('main.tf')).toContain('soft sandbox_instance.many[0]')
    await release(w.infra, 'sandbox_instance.many[1]', o())
    await release(w.infra, 'sandbox_instance.batch', o())
    expect(w.read('main.tf')).toBe(MAIN)
  })

  it('hard: refused where others refer to it or the code is shared', async () => {
    await expect(quarantine(w.infra, 'sandbox_instance.web', { ...o(), kind: 'hard' })).rejects.toMatchObject({ code: 'REPAIR_HAS_DEPENDENTS', data: { dependents: ['sandbox_route.shop'] } })
    await expect(quarantine(w.infra, 'sandbox_instance.many[0]', { ...o(), kind: 'hard' })).rejects.toMatchObject({ code: 'REPAIR_SHARED_CODE' })
    await expect(quarantine(w.infra, 'sandbox_instance.none', { ...o(), kind: 'hard' })).rejects.toMatchObject({ code: 'REPAIR_NO_CODE' })
    expect(w.read('main.tf')).toBe(MAIN)
  })

  it('hard: out of state and code, back with the same id and the same bytes', async () => {
    const before = (await w.call('GET', '/v1/instances/name:batch')) as { id: string }
    const q = await quarantine(w.infra, 'sandbox_instance.batch', { ...o(), kind: 'hard' })
    expect(q).toMatchObject({ id: before.id, kind: 'hard', proof: { complete: true } })
    expect(w.terraform('state', 'list')).not.toContain('batch')
    expect(planExit()).toContain('No changes')
    const r = await release(w.infra, 'sandbox_instance.batch', o())
    expect(r).toMatchObject({ id: before.id, exact: true, secretsSet: ['password'] })
    expect(w.read('main.tf')).toBe(MAIN)
    expect(existsSync(join(w.infra, 'reglaze_import.tf'))).toBe(false)
    expect(planExit()).toContain('No changes')
  })

  it('release refuses to change or destroy the object, and leaves it quarantined', async () => {
    await quarantine(w.infra, 'sandbox_instance.batch', { ...o(), kind: 'hard' })
    await w.call('PATCH', '/v1/instances/name:batch', { size: 'large', tags: { by: 'hand' } })
    await expect(release(w.infra, 'sandbox_instance.batch', o())).rejects.toMatchObject({ code: 'REPAIR_WOULD_CHANGE' })
    expect(planExit()).toContain('No changes')
    expect(await list(w.infra, o())).toMatchObject([{ address: 'sandbox_instance.batch', step: 'quarantined' }])
    const r = await release(w.infra, 'sandbox_instance.batch', { ...o(), acceptUpdate: true })
    expect(r.exact).toBe(true)
    expect(r.differs).toContain('tags')
  })

  it('replace: only the address is made anew, its dependents follow', async () => {
    const before = (await w.call('GET', '/v1/instances/name:web')) as { id: string }
    const looked = await replace(w.infra, 'sandbox_instance.web', { ...o(), review: () => false })
    expect(looked).toMatchObject({ applied: false, oldId: before.id, newId: before.id, dependents: ['sandbox_route.shop'] })
    const r = await replace(w.infra, 'sandbox_instance.web', o())
    expect(r.changes.map((c) => [c.address, c.actions.join('+')]).sort()).toEqual([['sandbox_instance.web', 'delete+create'], ['sandbox_route.shop', 'update']])
    expect(r.newId).not.toBe(before.id)
    expect(await w.call('GET', '/v1/routes/name:shop')).toMatchObject({ target_id: r.newId })
    expect(planExit()).toContain('No changes')
  })

  it.each(['commenting out', 'taking', 'checking'])('hard quarantine killed at "%s": nothing would be destroyed, and it is finished', async (at) => {
    const args = [w.infra, 'sandbox_instance.batch', { env: w.env, journalDir, incident: 'INC-7', kind: 'hard' }]
    const run = await killedCall(w.root, { engine: 'repair/engine.js', call: 'quarantine', args, env: w.env, at })
    expect(run).toMatchObject({ killed: true })
    await expect.poll(() => planExit(), { timeout: 10_000 }).not.toMatch(/lock/)
    expect(planExit()).not.toMatch(/[1-9]\d* to add|[1-9]\d* to destroy/)
    await resume(w.infra, o())
    expect(await list(w.infra, o())).toMatchObject([{ address: 'sandbox_instance.batch', step: 'quarantined' }])
    expect(w.terraform('state', 'list')).not.toContain('batch')
    const back = await killedCall(w.root, { engine: 'repair/engine.js', call: 'release', args: [w.infra, 'sandbox_instance.batch', { env: w.env, journalDir }], env: w.env, at: 'importing' })
    expect(back.killed).toBe(true)
    expect(planExit()).not.toMatch(/[1-9]\d* to add|[1-9]\d* to destroy/)
    expect(await resume(w.infra, o())).toMatchObject([{ kind: 'hard', exact: true }])
    expect(w.read('main.tf')).toBe(MAIN)
    expect(planExit()).toContain('No changes')
  })

  it('soft quarantine killed after the edit: finished by the next run', async () => {
    const args = [w.infra, 'sandbox_instance.web', { env: w.env, journalDir, incident: 'INC-7', kind: 'soft' }]
    expect((await killedCall(w.root, { engine: 'repair/engine.js', call: 'quarantine', args, env: w.env, at: 'checking' })).killed).toBe(true)
    expect(await resume(w.infra, o())).toMatchObject([{ kind: 'soft', proof: { complete: true } }])
    await release(w.infra, 'sandbox_instance.web', o())
    expect(w.read('main.tf')).toBe(MAIN)
  })
})
