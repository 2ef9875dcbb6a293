import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startServer, type Running } from './server.ts'

const CONFIG = `
organization: { name: Golden, catch_all_team: core }
people: [{ id: ada, name: Ada, email: ada@golden.test, zone: Europe/Paris, accounts: {} }]
teams: [{ id: core, name: Core, members: [ada], schedule: core, escalation: core }]
schedules: [{ id: core, layers: [{ id: weekly, zone: UTC, start: "2026-01-05", handoff: { at: "09:00" }, rotation: { kind: weekly }, members: [ada] }] }]
escalations: [{ id: core, steps: [{ after: 0s, notify: [{ schedule: core }] }] }]
services: [{ id: shop, name: Shop, team: core, criticality: 1 }]
connectors: [{ id: cloud, kind: sandbox-cloud, url: env:GOLDEN_CLOUD_URL, token: env:GOLDEN_CLOUD_TOKEN }]
roles:
  - { id: fix, about: Fix it, max_duration: 1h, default_duration: 30m, eligible: [{ when: oncall.primary }], approval: [{ approvals: 0 }], targets: [{ connector: cloud, right: { role: operator } }] }
`
let r: Running
beforeAll(async () => {
  r = await startServer()
  writeFileSync(join(r.dir, 'reglaze.yaml'), CONFIG)
})
afterAll(async () => r.stop())

/** Values that are JSON of any form: what a configuration, a ledger entry or an outside system says. */
const ANY = new Set(['before', 'after', 'data', 'evidence', 'config'])

/** The form of a value: names and types, no values. A list has the form of all its members together; `x?` = not in all of them. */
function shape(value: unknown): unknown {
  if (value === null) return 'null'
  if (Array.isArray(value)) return value.length === 0 ? [] : [value.map((v) => shape(v)).reduce(both)]
  if (typeof value !== 'object') return typeof value
  return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, ANY.has(k) ? 'any' : shape(v)] as const).sort(([a], [b]) => (a < b ? -1 : 1)))
}
const isRecord = (x: unknown): x is Record<string, unknown> => typeof x === 'object' && x !== null && !Array.isArray(x)
function both(a: unknown, b: unknown): unknown {
  if (isRecord(a) && isRecord(b)) {
    const names = [...new Set([...Object.keys(a), ...Object.keys(b)].map((k) => k.replace(/\?$/, '')))].sort()
    return Object.fromEntries(names.map((name) => {
      const found: unknown[] = [a[name], a[`${name}?`], b[name], b[`${name}?`]].filter((x) => x !== undefined)
      return [name in a && name in b ? name : `${name}?`, found.reduce(both)]
    }))
  }
  const words = (x: unknown): string[] => (typeof x === 'string' ? x.split(' | ') : [JSON.stringify(x)])
  const all = [...new Set([...words(a), ...words(b)])].sort()
  return all.length === 1 ? a : all.join(' | ')
}

/** The ledger numbers its entries a moment after they are written, and a loop makes pages and tries to send them: until then the form is not final. */
async function answered(command: readonly string[]): Promise<{ code: number; out: string; err: string }> {
  for (;;) {
    const done = await r.cli(['--json', ...command])
    const early = /"seq": null/.test(done.out) || (command[0] === 'pages' && !/"error": "/.test(done.out))
    if (!early) return done
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}

const COMMANDS: readonly (readonly string[])[] = [
  ['config', 'check', 'reglaze.yaml'], ['config', 'plan', 'reglaze.yaml'], ['config', 'apply', 'reglaze.yaml'],
  ['token', 'create', 'machine', '--role', 'viewer'], ['token', 'list'], ['status'],
  ['oncall', 'who'], ['oncall', 'eval', 'reglaze.yaml'], ['oncall', 'gaps', 'reglaze.yaml'],
  ['incident', 'open', 'shop', 'The shop is slow'], ['incident', 'list'], ['incident', 'show', 'INC-1'], ['incident', 'timeline', 'INC-1'],
  ['access', 'roles'], ['access', 'list'], ['holds'], ['pages'], ['alerts', 'list'], ['record', 'list'], ['record', 'modifications', '--incident', 'INC-1'],
  ['assess', 'INC-1'], ['ledger', 'checkpoint'],
  ['incident', 'close', 'INC-1'], ['incident', 'show', 'INC-9'], ['config', 'check', 'missing.yaml'],
]

test('form and exit code of the JSON answers', { timeout: 120_000 }, async () => {
  const pages: string[] = []
  for (const command of COMMANDS) {
    const { code, out, err } = await answered(command)
    let answer: unknown
    try {
      answer = JSON.parse(out)
    } catch {
      throw new Error(`reglaze ${command.join(' ')} --json did not answer with one JSON document: ${out}${err}`)
    }
    pages.push(`$ reglaze ${command.join(' ')} --json   # exit code ${code}\n${JSON.stringify(shape(answer), null, 2)}`)
  }
  await expect(`${pages.join('\n\n')}\n`).toMatchFileSnapshot('./outputs.txt')
})
