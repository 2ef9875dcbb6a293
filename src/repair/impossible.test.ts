import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { quarantine, release, replace } from './engine.ts'
import { hasTerraform, startWorld, TAILWIND, type World } from '../reconcile/testing/world.ts'

/** The example world after its database was upgraded by hand: no plan of the whole workspace is possible any more. */
describe.skipIf(!hasTerraform())('repair while the workspace can not be planned', () => {
  let w: World
  const o = () => ({ env: w.env, terraform: w.runner, journalDir: join(w.root, 'journal'), incident: 'INC-9' })
  const web2 = 'module.web.sandbox_instance.this["web-2"]'
  beforeAll(async () => {
    const main = readFileSync(join(TAILWIND, 'infra/main.tf'), 'utf8')
    w = await startWorld({ copy: TAILWIND, files: { 'main.tf': main.replace(/ *backend "http" \{\}\n/, '') } })
    const db = (await w.call('GET', '/v1/databases/name:orders')) as { id: string }
    await w.call('POST', `/v1/databases/${db.id}/actions/upgrade`, { engine_version: '14.9', parameter_group: 'default.postgres14' })
    await vi.waitFor(async () => expect(await w.call('GET', `/v1/databases/${db.id}`)).toMatchObject({ status: 'available' }), { timeout: 10_000 })
  }, 120_000)
  afterAll(async () => w?.close())

  it('quarantines one of several machines softly, says what it covers, and releases it without a trace', async () => {
    const before = w.read('modules/web/main.tf')
    await w.call('PATCH', '/v1/instances/name:web-2', { size: 'large' })
    const q = await quarantine(w.infra, web2, { ...o(), kind: 'soft' })
    expect(q.proof).toMatchObject({ complete: false, because: expect.stringContaining('precondition') })
    expect(q.alsoAffects).toEqual(['module.web.sandbox_instance.this["web-1"]', 'module.web.sandbox_instance.this["web-3"]'])
    expect(w.read('modules/web/main.tf')).toContain('ignore_changes  = all')
    expect((await release(w.infra, web2, o())).exact).toBe(true)
    expect(w.read('modules/web/main.tf')).toBe(before)
    expect(w.git('status', '--porcelain')).toBe('')
  })

  it('replaces one machine and leaves the others and the database alone', async () => {
    const db = await w.call('GET', '/v1/databases/name:orders')
    const web1 = (await w.call('GET', '/v1/instances/name:web-1')) as { id: string }
    const r = await replace(w.infra, web2, o())
    expect(r.applied).toBe(true)
    expect(r.changes.map((c) => c.address)).toEqual([web2])
    expect(await w.call('GET', '/v1/databases/name:orders')).toEqual(db)
    expect(await w.call('GET', '/v1/instances/name:web-1')).toMatchObject({ id: web1.id })
    expect(await w.call('GET', '/v1/instances/name:web-2')).toMatchObject({ id: r.newId, size: 'medium' })
  })

  it('does not quarantine one of several machines the hard way', async () => {
    await expect(quarantine(w.infra, web2, { ...o(), kind: 'hard' })).rejects.toMatchObject({ code: 'REPAIR_SHARED_CODE' })
  })
})
