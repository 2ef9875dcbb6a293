import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { apply, check, codify, prove, type Decision } from './engine.ts'
import { killedCall } from '../repair/testing/child.ts'
import { hasTerraform, startWorld, type World } from './testing/world.ts'

const HEAD = `terraform {
  required_providers {
    sandbox = { source = "sandbox.test/cloud/sandbox", version = "1.0.0" }
  }
}
`
const MAIN = `${HEAD}
# one literal
resource "sandbox_instance" "literal" {
  name  = "literal"
  image = "v1"
  size  = "small" # enough for now

  tags = {
    env   = "prod" # keep
    team  = "web"
    "a b" = "1"
  }
  labels = ["one", "two"]

  disk {
    device  = "/dev/sda"
    size_gb = 40
  }

  disk {
    device  = "/dev/sdb" # data
    size_gb = 200
  }
}

resource "sandbox_instance" "texts" {
  name      = "texts"
  image     = "v1"
  user_data = <<-EOT
    #!/bin/sh
    echo "$\${HOME}"
  EOT
  policy = jsonencode({
    Version = "1" # of the language
    Statement = [
      { Effect = "Allow", Action = ["logs:write"] },
    ]
  })
}

resource "sandbox_instance" "indirect" {
  name   = "indirect"
  image  = var.image
  size   = var.size
  subnet = local.net.subnet
  tags   = merge(local.tags, { role = "indirect" })
}

resource "sandbox_instance" "each" {
  for_each = local.machines
  name     = each.key
  image    = "v1"
  size     = each.value.size
  tags     = { zone = lookup(each.value, "zone", "z1") }
}

resource "sandbox_instance" "many" {
  count = 2
  name  = "many-\${count.index}"
  image = "v1"
  size  = "small"
}

resource "sandbox_instance" "computed" {
  name      = "computed"
  image     = "v1"
  user_data = "boot \${var.size}"
}

resource "sandbox_firewall" "edge" {
  name = "edge"

  rule {
    port     = 443
    protocol = "tcp"
    source   = "0.0.0.0/0"
  }

  rule {
    port     = 22
    protocol = "tcp"
    source   = "10.0.0.0/8"
  }
}

module "one" {
  source = "./mod"
  name   = "one"
  size   = "small"
}

module "two" {
  source = "./mod"
  name   = "two"
}

variable "image" {
  default = "v1"
}

variable "size" {
  type    = string
  default = "tiny"
}

locals {
  net  = { subnet = "10.0.0.0/24" }
  tags = { owner = "web" }
  machines = {
    a = { size = "small" }
    b = { size = "small", zone = "z2" } # the other zone
  }
}
`
const MODULE = `${HEAD}
variable "name" {}
variable "size" {
  default = "medium"
}
resource "sandbox_instance" "this" {
  name   = var.name
  image  = "v1"
  size   = var.size
  subnet = "10.1.0.0/24"
}
`

describe.skipIf(!hasTerraform())('codify, place by place', () => {
  let w: World
  const o = () => ({ env: w.env, terraform: w.runner, digestKey: 'test' })
  const patch = (coll: string, name: string, body: unknown) => w.call('PATCH', `/v1/${coll}/name:${name}`, body)
  beforeAll(async () => {
    w = await startWorld({ files: { 'main.tf': MAIN, 'mod/main.tf': MODULE } })
  }, 120_000)
  afterAll(async () => w?.close())

  it('every place that can say it is edited, the smallest way; the rest is refused with its reason', async () => {
    await patch('instances', 'literal', {
      size: 'large', tags: { env: 'test', 'a b': '1', cost: '7' }, labels: ['two', 'three'], user_data: 'set by hand',
      disk: [{ device: '/dev/sda', size_gb: 40 }, { device: '/dev/sdb', size_gb: 400 }, { device: '/dev/sdc', size_gb: 10 }],
    })
    await patch('instances', 'texts', { user_data: '#!/bin/sh\necho "${HOME}" twice\nexit 0\n', policy: JSON.stringify({ Version: '1', Statement: [{ Effect: 'Deny', Action: ['logs:write', 'logs:read'] }] }) })
    await patch('instances', 'indirect', { subnet: '10.0.9.0/24', tags: { owner: 'web', role: 'other' } })
    await patch('instances', 'b', { size: 'big' })
    await patch('instances', 'many-0', { size: 'big' })
    await patch('instances', 'computed', { user_data: 'by hand' })
    await patch('firewalls', 'edge', { rule: [{ port: 443, protocol: 'tcp', source: '0.0.0.0/0' }, { port: 22, protocol: 'tcp', source: '10.9.0.0/16' }, { port: 8080, protocol: 'tcp', source: '10.0.0.0/8' }] })
    await patch('instances', 'one', { size: 'huge' })
    await patch('instances', 'two', { size: 'tiny', subnet: '10.7.0.0/24' })
    const seen = await check(w.infra, o())
    expect(seen.verdict).toBe('would-revert')
    const decisions: Decision[] = seen.resources.map((r) => ({ address: r.address, action: 'codify' }))
    const r = await codify(w.infra, decisions, { ...o(), incident: 'INC-2' })
    expect(r.refused.map((x) => `${x.address} ${String(x.attribute)}: ${x.reason}`).sort()).toEqual([
      'module.two.sandbox_instance.this subnet: the same code also decides about module.one.sandbox_instance.this',
      'sandbox_instance.computed user_data: its value is computed: "boot ${var.size}"',
      'sandbox_instance.many[0] size: the same code also decides about sandbox_instance.many[1]',
    ])
    let want = MAIN
    const swap = (a: string, b: string): void => {
      expect(want.split(a).length, a).toBe(2)
      want = want.replace(a, () => b)
    }
    swap('size  = "small" # enough', 'size  = "large" # enough')
    swap('env   = "prod" # keep\n    team  = "web"\n    "a b" = "1"\n', 'env   = "test" # keep\n    "a b" = "1"\n    cost  = "7"\n')
    swap('labels = ["one", "two"]', 'labels = ["three", "two"]')
    swap('labels = ["three", "two"]\n', 'labels = ["three", "two"]\n\n  user_data = "set by hand"\n')
    swap('size_gb = 200\n  }\n', 'size_gb = 400\n  }\n\n  disk {\n    device  = "/dev/sdc"\n    size_gb = 10\n  }\n')
    swap('    echo "$${HOME}"\n', '    echo "$${HOME}" twice\n    exit 0\n')
    swap('{ Effect = "Allow", Action = ["logs:write"] }', '{ Effect = "Deny", Action = ["logs:write", "logs:read"] }')
    swap('{ subnet = "10.0.0.0/24" }', '{ subnet = "10.0.9.0/24" }')
    swap('{ role = "indirect" }', '{ role = "other" }')
    swap('b = { size = "small", zone', 'b = { size = "big", zone')
    swap('source   = "10.0.0.0/8"\n  }\n', 'source   = "10.9.0.0/16"\n  }\n\n  rule {\n    port     = 8080\n    protocol = "tcp"\n    source   = "10.0.0.0/8"\n  }\n')
    swap('name   = "one"\n  size   = "small"', 'name   = "one"\n  size   = "huge"')
    swap('name   = "two"\n', 'name   = "two"\n  size   = "tiny"\n')
    expect(w.read('main.tf')).toBe(want)
    expect(w.read('mod/main.tf')).toBe(MODULE)
    expect(r.effort.invocations).toBeLessThanOrEqual(10)
    const done = await apply(w.infra, [...decisions, { address: 'module.two.sandbox_instance.this', action: 'revert' }, { address: 'sandbox_instance.computed', action: 'revert' }, { address: 'sandbox_instance.many[0]', action: 'revert' }], o())
    expect(done.applied.map((c) => c.address).sort()).toEqual(['module.two.sandbox_instance.this', 'sandbox_instance.computed', 'sandbox_instance.many[0]'])
    const proof = await prove(w.infra, o())
    expect(proof.open).toEqual([])
    expect(proof.verdict).toBe('clean')
  })

  it('never applies a plan that destroys, and proves nothing about code that is not committed', async () => {
    const before = w.read('main.tf')
    w.write('main.tf', before.replace('variable "image" {\n  default = "v1"', 'variable "image" {\n  default = "v2"'))
    await expect(apply(w.infra, [{ address: 'sandbox_instance.indirect', action: 'revert' }], o())).rejects.toMatchObject({ code: 'WOULD_DESTROY', data: { addresses: ['sandbox_instance.indirect'] } })
    const proof = await prove(w.infra, o())
    expect(proof).toMatchObject({ verdict: 'would-destroy', dirty: true })
    w.write('main.tf', before)
    expect((await prove(w.infra, o())).verdict).toBe('clean')
  })

  it('looks at reality although the code does not evaluate, and says what it could not see', async () => {
    const before = w.read('main.tf')
    w.write('main.tf', before.replace('size   = var.size', 'size   = var.no_such_thing'))
    await patch('instances', 'literal', { size: 'odd' })
    const seen = await check(w.infra, o())
    expect(seen.verdict).toBe('incomplete')
    expect(seen.blind.join('\n')).toMatch(/no_such_thing|undeclared/)
    expect(seen.resources.find((r) => r.address === 'sandbox_instance.literal')?.differences).toMatchObject([{ attribute: 'size', expected: 'large', actual: 'odd', class: 'real' }])
    w.write('main.tf', 'resource "x" {{\n')
    await expect(check(w.infra, o())).rejects.toMatchObject({ code: 'HCL_SYNTAX', place: expect.stringMatching(/main\.tf:1:15$/) })
    w.write('main.tf', before)
  })

  it.each(['saving the state', 'comparing the code', 'planning the edited code', 'scratch folder removed'])('killed at "%s" and run again gives the same end', async (at) => {
    w.git('switch', '-q', 'main')
    const branch = `reglaze/INC-3-${at.length}`
    const args = [w.infra, [{ address: 'sandbox_instance.literal', action: 'codify' }], { env: w.env, incident: 'INC-3', branch }]
    const head = w.git('rev-parse', 'main')
    expect((await killedCall(w.root, { engine: 'reconcile/engine.js', call: 'codify', args, env: w.env, at })).killed).toBe(true)
    expect(w.git('status', '--porcelain')).toBe('')
    await expect.poll(() => w.git('worktree', 'list').length).toBeGreaterThan(0)
    const r = await codify(w.infra, args[1] as Decision[], { ...o(), incident: 'INC-3', branch })
    expect(r.files).toEqual(['infra/main.tf'])
    expect(r.base).toBe(head.trim())
    const twice = await codify(w.infra, args[1] as Decision[], { ...o(), incident: 'INC-3', branch })
    expect(twice).toMatchObject({ unchanged: true, commit: r.commit, patch: r.patch })
  })

  it('goes on when the commit is made and the files are not there yet', async () => {
    const branch = w.git('branch', '--show-current').trim()
    w.git('restore', '--source=HEAD~1', '--staged', '--worktree', '.')
    const r = await codify(w.infra, [{ address: 'sandbox_instance.literal', action: 'codify' }], { ...o(), incident: 'INC-3', branch })
    expect(r.unchanged).toBe(true)
    expect(w.git('status', '--porcelain')).toBe('')
  })

  it('refuses to touch a file with changes of somebody else, and an address that is not there', async () => {
    await patch('instances', 'literal', { size: 'odder' })
    const before = w.read('main.tf')
    w.write('main.tf', `${before}\n# somebody else's work\n`)
    await expect(codify(w.infra, [{ address: 'sandbox_instance.literal', action: 'codify' }], { ...o(), incident: 'INC-4', branch: 'reglaze/INC-4' })).rejects.toMatchObject({ code: 'RECONCILE_DIRTY' })
    expect(w.read('main.tf')).toContain("somebody else's work")
    w.write('main.tf', before)
    await expect(codify(w.infra, [{ address: 'sandbox_instance.nowhere', action: 'codify' }], { ...o(), incident: 'INC-4', branch: 'reglaze/INC-4' })).rejects.toMatchObject({ code: 'RECONCILE_UNKNOWN_DECISION' })
    await expect(check('/nowhere', o())).rejects.toMatchObject({ code: 'RECONCILE_NOT_A_DIRECTORY' })
  })
})
