// One violation of each rule is planted; the checker has to be red for exactly that reason, and green without it.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { findings, WALLS } from '../../scripts/walls.mjs'
import { HOUSE, trackedFiles } from '../../scripts/house.mjs'
import { PACKAGE_ROOT } from '../../src/cli/version.ts'
import { copyTree, type Copy } from './copy.ts'

let copy: Copy
beforeAll(() => {
  copy = copyTree()
})
afterAll(() => copy.remove())

describe('the compiler knows which part may see which', () => {
  const build = (...projects: string[]): { ok: boolean; text: string } => copy.tool('typescript/bin/tsc', '-b', ...projects)
  test('the tree as it is', () => {
    const { ok, text } = build()
    expect(text).toBe('')
    expect(ok).toBe(true)
  })
  test.each([
    ['core', 'terraform'], ['terraform', 'store'], ['store', 'ledger'], ['config', 'store'], ['ledger', 'incident'], ['incident', 'access'], ['pause', 'reconcile'], ['access', 'connectors/sandbox-cloud'],
    ['repair', 'server'], ['connectors', 'incident'], ['connectors', 'store'], ['client', 'server'], ['server', 'cli/program'],
  ])('src/%s may not see src/%s', (part, other) => {
    const from = `src/${part}/planted.ts`
    const to = `../${other}${other.includes('cli') ? '.ts' : '/index.ts'}`
    const { ok, text } = copy.planted({ [from]: `import * as other from '${to}'\nexport const seen = Object.keys(other)\n` }, () => build(`src/${part}`))
    expect(ok).toBe(false)
    expect([...new Set([...text.matchAll(/^(\S+?)\(\d+,\d+\): error (TS\d+)/gm)].map((m) => `${m[1]} ${m[2]}`))]).toContain(`${from} TS6307`)
  })
  test.each([
    ['src/cli/planted.ts', '../../sandbox/lib/index.ts'],
    ['src/connectors/sandbox-cloud/planted.ts', '../../../sandbox/lib/index.ts'],
    ['sandbox/lib/planted.ts', '../../src/core/index.ts'],
  ])('%s may not see %s', (from, to) => {
    const { ok, text } = copy.planted({ [from]: `import * as other from '${to}'\nexport const seen = Object.keys(other)\n` }, () => build(from.startsWith('src') ? from.split('/').slice(0, 2).join('/') : 'sandbox'))
    expect(ok).toBe(false)
    expect(text).toContain(`${from}(1,24): error TS6307`)
  })
})

describe('pure files have neither Node nor a clock of the outside', () => {
  const check = (): { ok: boolean; text: string } => copy.tool('typescript/bin/tsc', '-p', 'tsconfig.pure.json')
  test('the tree as it is', () => expect(check()).toEqual({ ok: true, text: '' }))
  test.each([
    ['a file is read', "import { readFileSync } from 'node:fs'\nexport const planted = readFileSync('x')\n", 'TS2591'],
    ['the environment is read', "export const planted = process.env['X']\n", 'TS2591'],
    ['something is fetched', "export const planted = fetch('http://x')\n", 'TS2304'],
    ['a timer is set', 'export const planted = setTimeout(() => {}, 1)\n', 'TS2304'],
    ['random bytes are drawn', 'export const planted = crypto.randomUUID()\n', 'TS2591|TS2304'],
  ])('%s', (_, text, code) => {
    const paths = ['src/core/planted.ts', 'src/planted/model.ts', 'src/planted/decide.ts', 'src/planted/contract.ts', 'src/terraform/planted.ts']
    const found = copy.planted(Object.fromEntries(paths.map((path) => [path, text])), check)
    expect(found.ok).toBe(false)
    const red = found.text.trim().split('\n').filter((line) => line.startsWith('src/'))
    expect(red.every((line) => new RegExp(code).test(line)), found.text).toBe(true)
    expect([...new Set(red.map((line) => line.split('(')[0]))].sort()).toEqual([...paths].sort())
  })
})

describe('linter', () => {
  const long = (n: number): string => `export function long(): number {\n  let n = 0\n${'  n += 1\n'.repeat(n)}  return n\n}\n`
  const lint = (...paths: string[]): string[] => {
    const { text } = copy.tool('oxlint/bin/oxlint', '--type-aware', '-f', 'json', ...paths)
    return [...new Set((JSON.parse(text) as { diagnostics: { code: string }[] }).diagnostics.map((d) => d.code))]
  }
  test.each<[string, string, Record<string, string>]>([
    ['time in pure code', 'eslint(no-restricted-properties)', { 'src/access/decide.ts.planted/model.ts': 'export const at = Date.now()\n' }],
    ['randomness in pure code', 'eslint(no-restricted-properties)', { 'src/core/planted.ts': 'export const n = Math.random()\n' }],
    ['a function of more than 60 lines', 'eslint(max-lines-per-function)', { 'src/store/planted.ts': long(60) }],
    ['a file of more than 400 lines', 'eslint(max-lines)', { 'src/store/planted.ts': `${'export {}\n'.repeat(401)}` }],
    ['any', 'typescript(no-explicit-any)', { 'src/store/planted.ts': 'export const x = (y: any): unknown => y\n' }],
    ['a promise that nobody waits for', 'typescript(no-floating-promises)', { 'src/store/planted.ts': 'const later = async (): Promise<void> => {}\nlater()\n' }],
    ['a case that is forgotten', 'typescript(switch-exhaustiveness-check)', { 'src/store/planted.ts': "export function f(x: 'a' | 'b'): number {\n  switch (x) {\n    case 'a':\n      return 1\n  }\n  return 2\n}\n" }],
    ['an error that hides its cause', 'eslint(preserve-caught-error)', { 'src/store/planted.ts': "export function f(g: () => void): void {\n  try {\n    g()\n  } catch (e) {\n    throw new Error(String(e))\n  }\n}\n" }],
    ['a circle of imports', 'import(no-cycle)', { 'src/store/planted.ts': "import { b } from './planted2.ts'\nexport const a = (): unknown => b\n", 'src/store/planted2.ts': "import { a } from './planted.ts'\nexport const b = (): unknown => a\n" }],
    ['a test that runs alone', 'vitest(no-focused-tests)', { 'src/store/planted.test.ts': `import { expect, test } from 'vitest'\ntest.${'only'}('x', () => expect(1).toBe(1))\n` }],
    ['a test that is switched off', 'vitest(no-disabled-tests)', { 'src/store/planted.test.ts': `import { expect, test } from 'vitest'\ntest.${'skip'}('x', () => expect(1).toBe(1))\n` }],
  ])('%s', (_, code, files) => {
    expect(copy.planted(files, () => lint(...Object.keys(files)))).toEqual([code])
  })
})

describe('walls and house rules', () => {
  const RULES = { ...WALLS, ...HOUSE }
  test('the tree as it is', () => {
    expect(findings(RULES, trackedFiles(PACKAGE_ROOT)).map((f) => `${f.path}:${f.line}: ${f.rule}: ${f.text}`)).toEqual([])
  })
  const word = ['out', 'age'].join('')
  const machine = ['', 'work', 'main', 'x'].join('/')
  const planted: Record<string, [path: string, text: string][]> = {
    'src imports nothing from sandbox': [['src/cli/x.ts', "import { a } from '../../sandbox/lib/index.ts'"], ['src/connectors/argocd/x.ts', "const a = await import('../../../sandbox/lib/index.ts')"]],
    'sandbox imports nothing from src, its tests neither': [['sandbox/lib/x.ts', "import { a } from '../../src/core/index.ts'"], ['sandbox/lib/x.test.ts', "import type { a } from '../../src/core/index.ts'"]],
    'a part knows only the parts below it': [['src/incident/x.ts', "import { a } from '../access/index.ts'"], ['src/connectors/argocd/x.ts', "import { a } from '../../store/index.ts'"], ['src/pause/x.ts', "import { a } from '../connectors/argocd/index.ts'"]],
    'a part is entered through its door': [['src/incident/x.ts', "import { a } from '../store/worker.ts'"], ['src/server/x.ts', "import { a } from '../access/service.ts'"], ['src/cli/commands/x.ts', "import { a } from '../../access/service.ts'"], ['src/cli/x.ts', "import { a } from '../access/index.ts'"], ['src/client/x.ts', "export * from '../access/engine.ts'"]],
    'connectors do not know each other': [['src/connectors/argocd/x.ts', "import { a } from '../autoscaler/index.ts'"]],
    'pure files are given the time': [['src/pause/decide.ts', 'const at = new Date()'], ['src/terraform/x.ts', 'const at = Temporal.Now.instant()']],
    'only commands start the sandbox, by its path': [['src/server/x.ts', "spawn(node, [join(root, 'dist', 'sandbox', 'main.js')])"]],
    'sandbox does not know Reglaze': [['sandbox/lib/x.ts', "const name = 'reglaze'"]],
    'SQL goes through the store': [['src/access/x.ts', "import pg from 'pg'"]],
    'Terraform is run by its runner': [['src/reconcile/x.ts', "spawnSync('terraform', ['plan'])"]],
    'one word for one thing': [['src/incident/x.ts', `const ${word} = 1`], ['docs/x.md', `an ${word} is …`]],
    'no path of a build machine': [['docs/x.md', `see ${machine}`], ['src/core/x.ts', `const x = '${machine}'`]],
    'a test that is switched off says why': [['src/core/x.test.ts', `it.${'todo'}('later')`]],
    'files have at most 400 lines': [['src/core/x.ts', 'export {}\n'.repeat(401)]],
  }
  test('every rule has its violation', () => expect(Object.keys(planted).sort()).toEqual(Object.keys(RULES).sort()))
  test.each(Object.entries(planted).flatMap(([rule, list]) => list.map(([path, text]) => [rule, path, text] as const)))('%s: %s', (rule, path, text) => {
    expect(findings(RULES, [{ path, text }]).map((f) => f.rule)).toEqual([rule])
  })
  test('what is allowed stays allowed', () => {
    const files = [
      ['src/server/x.ts', "import { a } from '../access/index.ts'\nimport { b } from '../connectors/argocd/index.ts'"], ['src/cli/x.ts', "import { a } from '../access/contract.ts'\nimport { b } from '../repair/engine.ts'\nimport { c } from '../store/index.ts'"],
      ['src/access/x.test.ts', "import { a } from '../oncall/testing/world.ts'"], ['src/connectors/argocd/x.ts', "import { a } from '../http.ts'\nimport { b } from '../../core/errors.ts'\nimport { c } from '../../terraform/index.ts'"],
      ['src/terraform/runner.ts', 'const at = new Date()'], ['src/pause/decide.ts', 'const at = new Date(text)\n// new Date() is not used'],
    ].map(([path = '', text = '']) => ({ path, text }))
    expect(findings(RULES, files)).toEqual([])
  })
})
