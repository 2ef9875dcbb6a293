import { spawn } from 'node:child_process'
import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { createRunner, findBinary, init, planTo, pullState } from './runner.ts'

let root: string
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), 'reglaze-runner-'))
})
afterAll(() => rmSync(root, { recursive: true, force: true }))
const fake = (name: string, script: string): string => {
  const dir = join(root, name)
  mkdirSync(dir, { recursive: true })
  writeFileSync(join(dir, 'terraform'), `#!/bin/sh\n${script}\n`)
  chmodSync(join(dir, 'terraform'), 0o755)
  return join(dir, 'terraform')
}
const VERSION = 'if [ "$1" = version ]; then echo \'{"terraform_version":"1.9.0"}\'; exit 0; fi'

describe('the program', () => {
  it('missing: says so and how to get it', () => {
    expect(() => findBinary({ PATH: root })).toThrow(expect.objectContaining({ code: 'TERRAFORM_MISSING', hint: expect.stringContaining('REGLAZE_TERRAFORM') }))
    expect(() => findBinary({ PATH: root, REGLAZE_TERRAFORM: '/no/such' })).toThrow(expect.objectContaining({ code: 'TERRAFORM_MISSING' }))
  })
  it('a folder that is not there: one error', async () => {
    const runner = await createRunner({ binary: fake('nowhere', VERSION) })
    await expect(runner.run(['plan'], { cwd: join(root, 'no', 'such') })).rejects.toMatchObject({ code: 'TERRAFORM_MISSING' })
  })
  it('too old: refused', async () => {
    await expect(createRunner({ binary: fake('old', 'echo \'{"terraform_version":"1.4.7"}\'') })).rejects.toMatchObject({ code: 'TERRAFORM_TOO_OLD' })
  })
  it('not ending: stopped at its deadline; stopped when the caller wants; both are an unknown outcome', async () => {
    const runner = await createRunner({ binary: fake('slow', `${VERSION}\nexec sleep 60`) })
    await expect(runner.run(['plan'], { cwd: root, timeoutMs: 50 })).rejects.toMatchObject({ code: 'TERRAFORM_TIMEOUT', kind: 'unknown-outcome' })
    const stop = new AbortController()
    const run = runner.run(['apply'], { cwd: root, signal: stop.signal })
    stop.abort()
    await expect(run).rejects.toMatchObject({ code: 'TERRAFORM_STOPPED' })
    await expect(runner.run(['apply'], { cwd: root, signal: stop.signal })).rejects.toMatchObject({ code: 'TERRAFORM_STOPPED' })
    expect(runner.counters).toMatchObject({ invocations: 3, byCommand: { version: { count: 1 }, plan: { count: 1 }, apply: { count: 1 } } })
  })
  it('goes on to its end when we are killed: a broken pipe must not keep it from releasing its lock, nor a closed terminal', async () => {
    const binary = fake('killed', `${VERSION}\ntouch begun\nsleep 0.3\ntrap - PIPE\nkill -HUP $$\n/bin/echo one || exit 1\n/bin/echo two || exit 1\ntouch ended`)
    const runner = fileURLToPath(new URL('./runner.ts', import.meta.url))
    const code = `import(${JSON.stringify(runner)}).then(async (m) => (await m.createRunner({ binary: ${JSON.stringify(binary)} })).run(['apply'], { cwd: ${JSON.stringify(root)} }))`
    const parent = spawn(process.execPath, ['--import', 'tsx', '-e', code], { stdio: 'ignore' })
    await vi.waitFor(() => expect(existsSync(join(root, 'begun'))).toBe(true), 20_000)
    parent.kill('SIGKILL')
    await vi.waitFor(() => expect(existsSync(join(root, 'ended'))).toBe(true), 20_000)
  })
  it('gets arguments as they are, no flags of somebody\'s shell, no prompt', async () => {
    const runner = await createRunner({ binary: fake('env', `${VERSION}\nfor a in "$@"; do echo "<$a>"; done; env | grep -E "^(TF_|CHECKPOINT)" | sort`), env: { TF_CLI_ARGS_plan: '-destroy', TF_CLI_CONFIG_FILE: '/no/such/file', TF_VAR_x: 'kept' } })
    const { stdout } = await runner.run(['state', 'rm', 'a.b["k v"; rm -rf]'], { cwd: root })
    expect(stdout).toContain('<a.b["k v"; rm -rf]>')
    expect(stdout).not.toContain('TF_CLI_ARGS')
    expect(stdout).toContain('TF_VAR_x=kept')
    expect(stdout).toContain('TF_IN_AUTOMATION=1')
    expect(stdout).toMatch(/TF_CLI_CONFIG_FILE=\/dev\/null/)
  })
})

const hasTerraform = (): boolean => {
  try {
    return findBinary() !== ''
  } catch (e) {
    if (process.env['CI'] === 'true') throw e
    return false
  }
}
describe.skipIf(!hasTerraform())('real Terraform, without any provider', () => {
  it('plans, also when the plan is an error; the error has its place', async () => {
    const dir = join(root, 'real')
    mkdirSync(dir)
    writeFileSync(join(dir, 'main.tf'), 'resource "terraform_data" "a" {\n  input = "x"\n}\noutput "o" {\n  value = terraform_data.a.output\n}\n')
    const lines: string[] = []
    const p = { runner: await createRunner(), dir, onProgress: (l: string) => lines.push(l) }
    await init(p)
    const ok = await planTo(p, join(dir, 'p'))
    expect(ok.plan).toMatchObject({ complete: true, errored: false })
    expect(lines.join()).toContain('terraform_data.a')
    expect((await pullState(p)).state.resources).toEqual([])
    writeFileSync(join(dir, 'main.tf'), 'resource "terraform_data" "a" {\n  input = var.missing\n}\n')
    const bad = await planTo(p, join(dir, 'q'))
    expect(bad.plan).toBeNull()
    expect(bad.diagnostics[0]).toMatchObject({ severity: 'error', place: 'main.tf:2:11' })
    await expect(p.runner.run(['apply', '-json', '-auto-approve', '-input=false'], { cwd: dir })).rejects.toMatchObject({ code: 'TERRAFORM_FAILED', place: 'main.tf:2:11' })
  })
})
