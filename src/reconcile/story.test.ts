import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { apply, check, codify, prove, recheck, tidy, type CheckResult, type Decision, type Proof } from './engine.ts'
import { startStateServer, type StateServer } from './testing/state-server.ts'
import { hasTerraform, startWorld, TAILWIND, type World } from './testing/world.ts'

/** The production code of the example world as it is, its state behind the `http` backend. */
describe.skipIf(!hasTerraform())('after the night: the example world, repaired by hand', () => {
  let w: World
  const o = (): Record<string, unknown> & { env: Record<string, string> } => ({ env: w.env, terraform: w.runner, digestKey: 'test' })
  let states: StateServer
  let seen: CheckResult
  let proof: Proof
  const by = (address: string) => seen.resources.find((r) => r.address === address)

  beforeAll(async () => {
    states = await startStateServer()
    w = await startWorld({ copy: TAILWIND, env: states.env })
  }, 120_000)
  afterAll(async () => {
    await w?.close()
    await states?.close()
  })

  it('is clean before', async () => {
    const p = await prove(w.infra, o())
    expect(p.open).toEqual([])
    expect(p.verdict).toBe('clean')
  })

  it('sees what was done by hand although no normal plan is possible', async () => {
    const db = (await w.call('GET', '/v1/databases/name:orders')) as { id: string }
    await w.call('POST', `/v1/databases/${db.id}/actions/upgrade`, { engine_version: '14.9', parameter_group: 'default.postgres14' })
    await expect.poll(async () => ((await w.call('GET', `/v1/databases/${db.id}`)) as { status: string }).status, { timeout: 10_000 }).toBe('available')
    await w.call('PATCH', '/v1/instances/name:web-1', { size: 'large' })
    await w.call('PATCH', '/v1/instances/name:web-2', { size: 'huge' })
    await w.call('DELETE', '/v1/instances/name:web-3')
    await w.call('POST', '/v1/firewalls', { name: 'emergency', rule: [{ port: 8443, protocol: 'tcp', source: '10.9.0.0/16' }] })
    seen = await check(w.infra, { ...o(), inventory: await w.inventory() })
    expect(seen.verdict).toBe('incomplete')
    expect(seen.blind.join()).toContain('precondition')
    const database = by('module.orders_db.sandbox_database.this')
    expect(database?.differences.filter((d) => d.class === 'real').map((d) => [d.attribute, d.expected, d.actual, d.suggested, d.place])).toEqual([
      ['engine_version', '13.11', '14.9', 'codify', 'terraform.tfvars:2'],
      ['parameter_group', 'default.postgres13', 'default.postgres14', 'codify', 'terraform.tfvars:3'],
    ])
    expect(by('module.web.sandbox_instance.this["web-1"]')?.differences[0]).toMatchObject({ attribute: 'size', expected: 'medium', actual: 'large', class: 'real' })
    expect(by('module.web.sandbox_instance.this["web-3"]')).toMatchObject({ class: 'gone', suggested: 'forget' })
    expect(by('sandbox_firewall.emergency')).toMatchObject({ class: 'unmanaged', suggested: 'import' })
    expect(JSON.stringify(seen)).not.toContain('a secret of the test')
    expect(seen.effort.invocations).toBe(6)
  })

  const decisions: Decision[] = [
    { address: 'module.orders_db.sandbox_database.this', action: 'codify' },
    { address: 'module.web.sandbox_instance.this["web-1"]', action: 'codify' },
    { address: 'module.web.sandbox_instance.this["web-2"]', action: 'revert' },
    { address: 'module.web.sandbox_instance.this["web-3"]', action: 'forget' },
    { address: 'sandbox_firewall.emergency', action: 'import' },
  ]

  it('edits the code at the origins, on a branch, and nothing else', async () => {
    w.write('notes.txt', 'left alone')
    const before = { tfvars: w.read('terraform.tfvars'), main: w.read('main.tf') }
    const r = await codify(w.infra, decisions, { ...o(), incident: 'INC-1', inventory: await w.inventory() })
    expect(r.refused).toEqual([])
    expect(r.branch).toBe('reglaze/INC-1')
    expect(r.files).toEqual(['infra/main.tf', 'infra/terraform.tfvars'])
    expect(w.read('terraform.tfvars')).toBe(
      before.tfvars.replace('"13.11"', '"14.9"').replace('default.postgres13', 'default.postgres14').replace('web-1 = { size = "medium" }', 'web-1 = { size = "large" }').replace('  web-3 = { size = "medium" }\n', ''),
    )
    const main = w.read('main.tf')
    expect(main.startsWith(before.main)).toBe(true)
    expect(main.slice(before.main.length)).toContain('resource "sandbox_firewall" "emergency" {\n  name = "emergency"\n\n  rule {\n    port     = 8443\n    protocol = "tcp"\n    source   = "10.9.0.0/16"\n  }\n}\n')
    expect(w.git('status', '--porcelain')).toBe('?? infra/notes.txt\n')
    expect(w.git('branch', '--show-current').trim()).toBe('reglaze/INC-1')
    expect(r.effort.invocations).toBe(11)
  })

  it('does nothing more when it is run again', async () => {
    const head = w.git('rev-parse', 'HEAD')
    const r = await codify(w.infra, decisions, { ...o(), incident: 'INC-1', inventory: await w.inventory() })
    expect(r.unchanged).toBe(true)
    expect(w.git('rev-parse', 'HEAD')).toBe(head)
    expect(r.files).toEqual(['infra/main.tf', 'infra/terraform.tfvars'])
  })

  it('refuses to apply what nobody decided, then applies what was', async () => {
    await expect(apply(w.infra, decisions.filter((d) => d.action !== 'revert'), o())).rejects.toMatchObject({ code: 'RECONCILE_UNDECIDED' })
    const r = await apply(w.infra, decisions, o())
    expect(r.applied.map((c) => [c.address, c.verdict])).toEqual([['sandbox_firewall.emergency', 'needs-import-apply'], ['module.web.sandbox_instance.this["web-2"]', 'would-revert']])
    expect(r.effort.invocations).toBe(6)
    expect((await w.call('GET', '/v1/instances/name:web-2')) as { size: string }).toMatchObject({ size: 'medium' })
  })

  it('is proven equal, and notices when the proof has become stale', async () => {
    proof = await prove(w.infra, o())
    expect(proof.open).toEqual([])
    expect(proof).toMatchObject({ verdict: 'clean', branch: 'reglaze/INC-1', dirty: false })
    expect(proof.effort.invocations).toBe(5)
    expect(proof.planDigest).toMatch(/^[0-9a-f]{64}$/)
    expect(await recheck(w.infra, proof, o())).toEqual({ stale: false, reasons: [] })
    await w.call('PATCH', '/v1/instances/name:web-1', { size: 'small' })
    await apply(w.infra, [{ address: 'module.web.sandbox_instance.this["web-1"]', action: 'revert' }], o())
    expect((await recheck(w.infra, proof, o())).stale).toBe(true)
  })

  it('takes the import block away once the state has the object', async () => {
    const r = await tidy(w.infra, { ...o(), incident: 'INC-1' })
    expect(r).toMatchObject({ removed: ['import sandbox_firewall.emergency'], kept: [] })
    expect(w.read('main.tf')).not.toContain('reglaze:')
    expect(w.read('main.tf')).toMatch(/\}\n\}\n$/)
    expect((await tidy(w.infra, { ...o(), incident: 'INC-1' })).commit).toBeNull()
    expect((await prove(w.infra, o())).verdict).toBe('clean')
  })
})
