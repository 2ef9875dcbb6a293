import { describe, expect, it } from 'vitest'
import type { Json } from '../core/json.ts'
import { formatAddress, parseAddress } from './address.ts'
import { textDiagnostics } from './diagnostics.ts'
import { differences, formatPath } from './drift.ts'
import { pruneGenerated } from './import.ts'
import { changeVerdict, parsePlan, planVerdict, type Change, type PlanDocument, type ResourceChange } from './plan.ts'
import { redactPlan, redactState } from './redact.ts'
import type { BlockSchema, ProviderSchemas } from './schema.ts'
import { indexState, parseState } from './state.ts'

const change = (address: string, c: Partial<Change>, more: Partial<ResourceChange> = {}): ResourceChange => ({
  address, mode: 'managed', type: 'sandbox_instance', name: 'x', provider_name: 'p', change: { actions: ['no-op'], before: {}, after: {}, ...c }, ...more,
})
const plan = (p: Partial<PlanDocument>): PlanDocument => ({ format_version: '1.2', terraform_version: '1.11.4', complete: true, errored: false, resource_changes: [], ...p })

describe('addresses', () => {
  it.each(['a.b', 'data.a.b', 'module.m.a.b', 'module.m["x.y]"].module.n[0].data.a.b["k\\"q"]', 'a.b[12]'])('%s is read and written back', (t) => {
    expect(formatAddress(parseAddress(t))).toBe(t)
  })
  it.each(['', 'a', 'a.b[x]', 'module.m', 'a.b["x]', 'a.b c', 'a..b'])('"%s" is refused', (t) => {
    expect(() => parseAddress(t)).toThrow(expect.objectContaining({ code: 'TERRAFORM_ADDRESS' }))
  })
})

describe('verdicts', () => {
  it('exactly one headline, the worst first', () => {
    const update = change('a.u', { actions: ['update'], before: { size: 's' }, after: { size: 'l' } })
    const cases: [Partial<PlanDocument>, string][] = [
      [{}, 'clean'],
      [{ errored: true }, 'incomplete'], [{ complete: false }, 'incomplete'], [{ complete: undefined }, 'incomplete'], [{ deferred_changes: [{}] }, 'incomplete'],
      [{ resource_changes: [update] }, 'would-revert'],
      [{ resource_changes: [update, change('a.d', { actions: ['delete'] })] }, 'would-destroy'],
      [{ resource_changes: [change('a.r', { actions: ['create', 'delete'] })] }, 'would-destroy'],
      [{ resource_changes: [change('a.c', { actions: ['create'] })] }, 'would-create'],
      [{ resource_changes: [change('a.f', { actions: ['forget'] })] }, 'forget'],
      [{ resource_changes: [change('a.i', { importing: { id: 'x' } })] }, 'needs-import-apply'],
      [{ resource_changes: [change('a.m', {}, { previous_address: 'a.old' })] }, 'pending-move'],
      [{ output_changes: { o: { actions: ['update'], before: 1, after: 2 } } }, 'needs-output-refresh'],
      [{ resource_changes: [change('a.w', { actions: ['update'], before: { password: null }, after: { password: 'x' }, after_sensitive: { password: true } })] }, 'needs-write-only-apply'],
      [{ resource_changes: [change('a.w', { actions: ['update'], before: { password: 'old' }, after: { password: 'x' }, after_sensitive: { password: true } })] }, 'would-revert'],
    ]
    for (const [p, verdict] of cases) expect(planVerdict(plan(p)).verdict, JSON.stringify(p)).toBe(verdict)
  })
  it('an import that also destroys is a destruction', () => {
    expect(changeVerdict(change('a.i', { actions: ['delete', 'create'], importing: { id: 'x' } })).verdict).toBe('would-destroy')
  })
  it('refuses what is no plan', () => {
    for (const t of ['', '{}', '[]', '{"format_version":"2.0"}']) expect(() => parsePlan(t)).toThrow(expect.objectContaining({ code: 'TERRAFORM_DOCUMENT' }))
  })
})

const schema: BlockSchema = {
  attributes: {
    size: { type: 'string', optional: true }, status: { type: 'string', computed: true }, policy: { type: 'string', optional: true }, labels: { type: ['set', 'string'], optional: true },
    tags: { type: ['map', 'string'], optional: true }, password: { type: 'string', optional: true, sensitive: true }, list: { type: ['list', 'string'], optional: true }, id: { type: 'string', computed: true },
  },
  block_types: { disk: { nesting_mode: 'list', block: { attributes: { gb: { type: 'number', required: true }, key: { type: 'string', optional: true, sensitive: true } } } } },
}

describe('drift classes', () => {
  it('real, computed, equal as JSON, equal as set, noise; as small as can be decided on', () => {
    const from = { size: 's', status: 'a', policy: '{"a":1,"b":2}', labels: ['x', 'y'], tags: { a: '1', b: '2' }, disk: [{ gb: 1 }, { gb: 2 }], etag: '1', list: ['x', 'y'] }
    const to = { size: 'l', status: 'b', policy: '{ "b": 2, "a": 1 }', labels: ['y', 'x'], tags: { a: '1', c: '3' }, disk: [{ gb: 1 }, { gb: 3 }], etag: '2', list: ['y', 'x'] }
    expect(differences('t', from, to, schema).map((d) => [formatPath(d.path), d.class])).toEqual([
      ['disk[1].gb', 'real'], ['etag', 'noise'], ['labels', 'equal-set'], ['list', 'real'], ['policy', 'equal-json'], ['size', 'real'], ['status', 'computed-only'], ['tags.b', 'real'], ['tags.c', 'real'],
    ])
  })
  it('a list of blocks of another length is one difference', () => {
    expect(differences('t', { disk: [{ gb: 1 }] }, { disk: [{ gb: 1 }, { gb: 2 }] }, schema)).toMatchObject([{ path: ['disk'], class: 'real' }])
  })
})

describe('secrets', () => {
  const schemas: ProviderSchemas = { provider_schemas: { p: { resource_schemas: { sandbox_instance: { block: schema } } } } }
  const seen: string[] = []
  const digest = (t: string): string => (seen.push(t), 'd')
  it('are in no place of a redacted plan', () => {
    const S = 'TOP-SECRET'
    const doc = plan({
      variables: { password: { value: S } }, configuration: { root_module: { resources: [{ expressions: { password: { constant_value: S } } }] } },
      resource_changes: [
        change('a.a', { before: { password: S, disk: [{ key: S }], size: 's' }, after: { password: S, user_data: S }, before_sensitive: {}, after_sensitive: { user_data: true }, generated_config: `password = "${S}"` }),
        change('a.b', { before: null, after: S, after_sensitive: true }),
      ],
      resource_drift: [change('a.a', { before: { password: S }, after: { password: `${S}2` } })],
      output_changes: { o: { actions: ['update'], before: S, after: S, before_sensitive: true, after_sensitive: true } },
      prior_state: { values: { root_module: { child_modules: [{ resources: [{ address: 'a.a', mode: 'managed', type: 'sandbox_instance', provider_name: 'p', values: { password: S, x: { y: S } }, sensitive_values: { x: { y: true } } }] }] }, outputs: { o: { value: S, sensitive: true } } } },
      planned_values: { root_module: { resources: [{ address: 'a.a', mode: 'managed', type: 'sandbox_instance', provider_name: 'p', values: { password: S } }] } },
    })
    const out = JSON.stringify(redactPlan(doc, schemas, digest))
    expect(out).not.toContain(S)
    expect(out).toContain('"size":"s"')
  })
  it('are in no place of a redacted state', () => {
    const S = 'TOP-SECRET'
    const state = { version: 4, terraform_version: '1', serial: 1, lineage: 'l', outputs: { o: { value: S, type: 'string', sensitive: true } }, resources: [{ mode: 'managed' as const, type: 'sandbox_instance', name: 'x', provider: 'provider["p"]', instances: [{ attributes: { password: S, deep: { list: [{ a: S }] }, map: { k: S } } as Record<string, Json>, private: S, sensitive_attributes: [[{ type: 'get_attr', value: 'deep' }, { type: 'get_attr', value: 'list' }], [{ type: 'get_attr', value: 'map' }, { type: 'index', value: { value: 'k', type: 'string' } }]] as unknown as Json[] }] }] }
    expect(JSON.stringify(redactState(state, schemas, digest))).not.toContain(S)
  })
})

describe('state', () => {
  it('knows ids, addresses and dependents', () => {
    const state = parseState(JSON.stringify({ version: 4, terraform_version: '1', serial: 3, lineage: 'l', resources: [
      { mode: 'managed', type: 't', name: 'a', provider: 'p', module: 'module.m["k"]', instances: [{ index_key: 0, attributes: { id: 'i-1' } }, { index_key: 1, deposed: 'x', attributes: { id: 'i-9' } }] },
      { mode: 'managed', type: 't', name: 'b', provider: 'p', instances: [{ attributes: { id: 'i-2' }, dependencies: ['module.m.t.a'] }] },
    ] }))
    const index = indexState(state)
    expect([...index.byAddress.keys()]).toEqual(['module.m["k"].t.a[0]', 't.b'])
    expect(index.byId.get('t/i-1')).toEqual(['module.m["k"].t.a[0]'])
    expect(index.dependents('module.m["k"].t.a[0]').map((e) => e.address)).toEqual(['t.b'])
    expect(() => parseState('{"version":3}')).toThrow(expect.objectContaining({ code: 'TERRAFORM_DOCUMENT' }))
    expect(parseState('').resources).toEqual([])
  })
})

describe('generated code', () => {
  it('is pruned of nulls, computed values, empty collections and secrets', () => {
    const text = `# __generated__ by Terraform\nresource "sandbox_instance" "web" {\n  size     = "small"\n  labels   = []\n  password = null # sensitive\n  policy = jsonencode({\n    a = 1\n  })\n  status = "running"\n  id = "i-1"\n  list = null\n  tags = {}\n  disk {\n    gb  = 5\n    key = null\n  }\n}\n`
    expect(pruneGenerated(text, 'sandbox_instance', 'web', schema)).toEqual({
      text: 'resource "sandbox_instance" "web" {\n  size = "small"\n  policy = jsonencode({\n    a = 1\n  })\n\n  disk {\n    gb = 5\n  }\n}\n', secrets: ['password', 'disk.key'],
    })
  })
})

describe('diagnostics', () => {
  it('reads the boxed text, colours and all', () => {
    expect(textDiagnostics('\u001b[31m╷\u001b[0m\n\u001b[31m│\u001b[0m Error: Reference to undeclared resource\n│ \n│   on main.tf line 12, in output "x":\n│   12:   value = a.b.c\n╵\n')).toMatchObject([{ severity: 'error', summary: 'Reference to undeclared resource', place: 'main.tf:12:1' }])
  })
})
