import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { errorCodes } from '../../scripts/reference.mjs'
import { PACKAGE_ROOT } from '../../src/cli/version.ts'

const page = readFileSync(join(PACKAGE_ROOT, 'docs/reference/errors.md'), 'utf8')
const documented = [...page.matchAll(/^### (\w+)$/gm)].map((m) => m[1] as string)
const { parts } = await errorCodes()
const defined = [...parts.values()].flatMap((codes) => [...codes.keys()])

test('every error code is documented, and no other', () => {
  expect([...documented].sort()).toEqual([...defined].sort())
})

test('every error code says what it means and the way out', () => {
  const silent = [...parts.values()].flatMap((codes) => [...codes]).filter(([, spec]) => spec.about.length < 15 || spec.hint.length < 10)
  expect(silent.map(([code]) => code)).toEqual([])
})

const source = execFileSync('git', ['grep', '-hE', '--untracked', String.raw`\.[A-Z][A-Z_]+\b|'[A-Z][A-Z_]+'`, '--', 'src/*.ts', 'src/**/*.ts', ':!*.test.ts'], { cwd: PACKAGE_ROOT, encoding: 'utf8', maxBuffer: 64 << 20 })
const used = new Set([...source.matchAll(/(?:\.|')([A-Z][A-Z_]+)\b/g)].map((m) => m[1] as string))

test('no ghost: every error code is used', () => {
  expect(defined.filter((code) => !used.has(code))).toEqual([])
})

/** Codes that docs name (as `CODE`) are error codes, or codes of what stands open: then the source has them as text. */
test('no ghost in the docs', () => {
  const files = execFileSync('git', ['ls-files', '-co', '--exclude-standard', 'docs', 'README.md'], { cwd: PACKAGE_ROOT, encoding: 'utf8' }).trim().split('\n').filter((f) => f.endsWith('.md'))
  const ghosts = files.flatMap((f) => [...readFileSync(join(PACKAGE_ROOT, f), 'utf8').matchAll(/`([A-Z]{3,}_[A-Z_]{3,})`/g)].map((m) => m[1] as string).filter((w) => !/^(REGLAZE|DATABASE|TF|SANDBOX|TAILWIND|AWS|NODE|NO|CI|GRANT|HOLD)_/.test(w) && !defined.includes(w) && !used.has(w)).map((w) => `${f}: ${w}`))
  expect(ghosts).toEqual([])
})
