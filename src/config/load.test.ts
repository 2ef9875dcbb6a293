import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { configJsonSchema, loadConfig, parseConfig, readSecret } from './index.ts'

const EXAMPLE = readFileSync('examples/tailwind/reglaze.yaml', 'utf8')
const dir = mkdtempSync(join(tmpdir(), 'reglaze-config-'))
afterAll(() => rmSync(dir, { recursive: true, force: true }))
const problems = (...texts: string[]): string[] => {
  try {
    parseConfig(texts.map((text, i) => ({ file: `${i}.yaml`, text })))
  } catch (error) {
    expect(error).toMatchObject({ code: 'CONFIG_INVALID' })
    return (error as Error).message.split('\n')
  }
  return []
}
/** Where the changed text begins, as an editor shows it. */
const at = (from: string, to: string): { text: string; line: number } => {
  expect(EXAMPLE).toContain(from)
  return { text: EXAMPLE.replace(from, to), line: EXAMPLE.slice(0, EXAMPLE.indexOf(from)).split('\n').length }
}

test('the example is valid, whole and in parts', () => {
  expect(problems(EXAMPLE)).toEqual([])
  const [people, rest] = [EXAMPLE.slice(0, EXAMPLE.indexOf('teams:')), EXAMPLE.slice(EXAMPLE.indexOf('teams:'))]
  expect(problems(people, rest)).toEqual([])
})

describe('a mistake is named with file, line, column and path', () => {
  test.each<[string, string, string, RegExp]>([
    ['an unknown key', 'catch_all_team: platform', 'catch_al_team: platform', /organization.*catch_al_team/],
    ['a name that points to nothing', 'depends_on: [orders-db]', 'depends_on: [orders]', /services\[0\]\.depends_on\[0\]: there is no service "orders"/],
    ['a value out of range', 'criticality: 1', 'criticality: 7', /services\[0\]\.criticality/],
    ['a duration', 'max_duration: 4h', 'max_duration: soon', /max_duration: "soon" is not a duration/],
    ['a secret as a value', 'token: env:TAILWIND_CLOUD_TOKEN', 'token: hunter2', /a secret is a reference/],
    ['approvals that nobody can give', 'approvals: 1, approvers: [alice, bob, carol]', 'approvals: 2, approvers: [alice]', /nobody could ever get this role/],
    ['one approver named twice', 'approvals: 1, approvers: [alice, bob, carol]', 'approvals: 2, approvers: [alice, alice]', /nobody could ever get this role/],
    ['a circle of parents', 'target: { application: root }', 'target: { application: root }, parents: [gitops-storefront]', /is its own parent/],
  ])('%s', (_name, from, to, wanted) => {
    const { text, line } = at(from, to)
    const found = problems('people: []\n'.slice(0, 0) + text)
    expect(found[0]).toMatch(wanted)
    expect(found[0]).toMatch(new RegExp(`^0\\.yaml:${line}:\\d+: `))
  })
  test('in the second of two files, and every mistake at once', () => {
    const cut = EXAMPLE.indexOf('teams:')
    const found = problems(EXAMPLE.slice(0, cut), EXAMPLE.slice(cut).replace('criticality: 1', 'criticality: 7').replace('kind: smtp', 'kind: fax'))
    expect(found.map((f) => f.split(':')[0])).toEqual(['1.yaml', '1.yaml'])
  })
  test.each([['broken YAML', 'people: ['], ['a key twice', 'people: []\npeople: []'], ['a list', '- a'], ['a text', 'hello'], ['nothing', ''], ['an anchor bomb', `a: &a [x,x,x,x,x,x,x,x,x]\n${'bcdefgh'.split('').map((k, i) => `${k}: &${k} [${Array.from({ length: 9 }, () => `*${'abcdefgh'[i]}`).join()}]`).join('\n')}`]])('%s', (_name, text) => {
    expect(problems(text).length).toBeGreaterThan(0)
  })
})

test('files that cannot be read say so; secrets are read at use and an empty one is missing', () => {
  expect(() => loadConfig(join(dir, 'none'))).toThrow(expect.objectContaining({ code: 'CONFIG_UNREADABLE' }))
  expect(() => loadConfig(dir)).toThrow(expect.objectContaining({ code: 'CONFIG_UNREADABLE' }))
  writeFileSync(join(dir, 'empty'), '\n')
  for (const reference of ['env:NOT_SET_ANYWHERE', `file:${join(dir, 'empty')}`, `file:${join(dir, 'none')}`]) expect(() => readSecret(reference)).toThrow(expect.objectContaining({ code: 'SECRET_MISSING' }))
  writeFileSync(join(dir, 'secret'), 'x\n')
  expect(readSecret(`file:${join(dir, 'secret')}`)).toBe('x')
  expect(JSON.stringify(configJsonSchema())).toContain('"additionalProperties":false')
})
