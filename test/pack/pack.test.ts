// What is published: packed from a checkout in a folder with spaces, installed from the registry into an empty folder, and run
// there by an ordinary user.
import { spawnSync } from 'node:child_process'
import { chmodSync, chownSync, cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { PACKAGE_ROOT } from '../../src/cli/version.ts'

const NOBODY = 65534
const isRoot = process.getuid?.() === 0
const registry = spawnSync('npm', ['view', 'zod', 'version', '--fetch-retries=0', '--fetch-timeout=10000'], { encoding: 'utf8' }).status === 0
if (!registry && process.env['CI'] === 'true') throw new Error('CI needs an npm registry')

let root = ''
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), 'rgz-pack-'))
  chmodSync(root, 0o755)
})
afterAll(() => rmSync(root, { recursive: true, force: true }))

interface Ran {
  code: number | null
  out: string
  err: string
}
/** Runs a program with nothing of our environment but the way to programs and to the registry. */
function run(cwd: string, command: string, args: readonly string[], o: { ordinary?: boolean; timeoutMs?: number } = {}): Ran {
  const home = join(root, o.ordinary ? 'home of nobody' : 'home')
  mkdirSync(home, { recursive: true })
  if (isRoot && o.ordinary) chownSync(home, NOBODY, NOBODY)
  const kept = Object.fromEntries(Object.entries(process.env).filter(([k]) => /^(PATH|LANG|https?_proxy|no_proxy|npm_config_(registry|cafile)|NODE_EXTRA_CA_CERTS)$/i.test(k)))
  const lower = isRoot && o.ordinary ? ['setpriv', '--reuid', String(NOBODY), '--regid', String(NOBODY), '--clear-groups'] : []
  const [program = '', ...rest] = [...lower, command, ...args]
  const done = spawnSync(program, rest, { cwd, encoding: 'utf8', env: { ...kept, HOME: home, npm_config_cache: join(home, '.npm') }, timeout: o.timeoutMs ?? 180_000, maxBuffer: 64 << 20 })
  return { code: done.status, out: done.stdout, err: done.stderr }
}

/** The tracked and new files of the tree, with the installed packages of it. */
function checkout(): string {
  const dir = join(root, 'a check out')
  const files = spawnSync('git', ['ls-files', '-co', '--exclude-standard'], { cwd: PACKAGE_ROOT, encoding: 'utf8' }).stdout.trim().split('\n')
  for (const file of files.filter((f) => existsSync(join(PACKAGE_ROOT, f)))) {
    mkdirSync(dirname(join(dir, file)), { recursive: true })
    cpSync(join(PACKAGE_ROOT, file), join(dir, file))
  }
  symlinkSync(join(PACKAGE_ROOT, 'node_modules'), join(dir, 'node_modules'))
  return dir
}

describe.skipIf(!registry)('the package (needs an npm registry)', () => {
  const installed = (): string => join(root, 'an empty folder')
  const inside = (...parts: string[]): string => join(installed(), 'node_modules/reglaze', ...parts)

  test('is packed from a checkout in a folder with spaces: the programs, examples and docs, no tests', { timeout: 300_000 }, () => {
    const { code, out, err } = run(checkout(), 'npm', ['pack', '--json', '--pack-destination', root])
    expect(code, err).toBe(0)
    const [packed] = JSON.parse(out) as { filename: string; files: { path: string; mode: number }[] }[]
    const files = packed?.files.map((f) => f.path) ?? []
    for (const wanted of ['package.json', 'LICENSE', 'dist/src/cli/main.js', 'dist/sandbox/main.js', 'examples/tailwind/reglaze.yaml', 'examples/tailwind/production/infra/main.tf', 'docs/reference/errors.md', 'deploy/reglaze.service']) expect(files).toContain(wanted)
    expect(files.filter((f) => /\.(test|suite)\.|\/testing\/|\.map$|\.tsbuildinfo$|\.d\.ts$|^(src|sandbox|test|scripts)\//.test(f))).toEqual([])
    expect(files.filter((f) => f.startsWith('dist/')).every((f) => f.endsWith('.js'))).toBe(true)
    expect(packed?.files.find((f) => f.path === 'dist/src/cli/main.js')?.mode).toBe(0o755)
    renameSync(join(root, packed?.filename ?? ''), join(root, 'reglaze.tgz'))
  })

  test('installs into an empty folder', { timeout: 300_000 }, () => {
    mkdirSync(installed())
    writeFileSync(join(installed(), 'package.json'), '{ "private": true }\n')
    const { code, err } = run(installed(), 'npm', ['install', '--no-audit', '--no-fund', join(root, 'reglaze.tgz')], { timeoutMs: 280_000 })
    expect(code, err).toBe(0)
    expect(existsSync(inside('dist/src/cli/main.js'))).toBe(true)
    const version = (JSON.parse(readFileSync(inside('package.json'), 'utf8')) as { version: string }).version
    expect(run(installed(), 'npx', ['reglaze', '--version'])).toMatchObject({ code: 0, out: `${version}\n` })
  })

  test('plays the whole story there, as an ordinary user', { timeout: 300_000 }, () => {
    if (isRoot) chownSync(installed(), NOBODY, NOBODY)
    const { code, out, err } = run(installed(), 'npx', ['reglaze', 'demo', '--exit', '--json', '--dir', './d', '--port', '0'], { ordinary: true, timeoutMs: 280_000 })
    expect(out, err).not.toBe('')
    const report = JSON.parse(out) as { ok: boolean; steps: { name: string; ok: boolean; proof: string }[] }
    expect(report.steps.filter((s) => !s.ok).map((s) => `${s.name}: ${s.proof}`)).toEqual([])
    expect({ code, ok: report.ok }).toEqual({ code: 0, ok: true })
  })

  test('without its optional packages: says so when a terminal is to be recorded, the rest works', () => {
    renameSync(join(installed(), 'node_modules/@replit'), join(installed(), 'node_modules/.replit'))
    const { code, out } = run(installed(), 'npx', ['reglaze', '--json', 'record', 'shell', '--file', join(installed(), 'x.rec')])
    expect(JSON.parse(out)).toMatchObject({ error: { code: 'RECORDING_NOT_HERE' } })
    expect(code).toBe(6)
    expect(run(installed(), 'npx', ['reglaze', 'config', 'check', inside('examples/tailwind/reglaze.yaml')]).code).toBe(0)
  })
})
