import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import type { DemoReport } from '../../src/cli/demo/demo.ts'
import { firstJson, startCli, type Running } from '../testing/cli.ts'
import { removeWorld, worldFolder } from '../testing/folder.ts'
import { isAlive, noneLeft } from '../testing/processes.ts'

// eslint-disable-next-line @typescript-eslint/no-explicit-any
type Any = any
let running: Running | null = null
let folder = ''
afterEach(async () => {
  // SIGTERM lets the demo end its world; after a success it has ended already.
  if (running && isAlive(running.pid)) process.kill(running.pid, 'SIGTERM')
  await running?.ended
  await removeWorld(folder)
})

async function play(...more: string[]): Promise<{ report: DemoReport; code: number | null; dir: string }> {
  folder = worldFolder('story')
  const dir = join(folder, 'world')
  running = startCli({ env: process.env, cwd: folder }, ['demo', '--json', '--exit', '--dir', dir, '--port', '0', ...more])
  const { code, out, err } = await running.ended
  expect(out, err).not.toBe('')
  return { report: firstJson<DemoReport>(out), code, dir }
}
async function nothingRuns(report: DemoReport, dir: string): Promise<void> {
  expect(await noneLeft(dir)).toEqual([])
  const pids = (report.steps[0]?.evidence as { pids: Record<string, number> }).pids
  expect(Object.keys(pids).sort()).toEqual(['automations', 'reglaze', 'sandbox'])
  for (const [name, pid] of Object.entries(pids)) expect(isAlive(pid), `${name} (${pid}) still runs`).toBe(false)
}
const evidence = (report: DemoReport, name: string): Any => report.steps.find((s) => s.name.startsWith(name))?.evidence

test('from the alert to the closed incident: every step proven, nothing left running', async () => {
  const { report, code, dir } = await play()
  expect(report.steps.filter((s) => !s.ok).map((s) => `${s.name}: ${s.proof}`)).toEqual([])
  expect(code).toBe(0)
  expect(report.ok).toBe(true)
  expect(report.steps.map((s) => s.name)).toEqual([
    'The world of Tailwind Traders', 'An alert comes in', 'The person is paged and acknowledges', 'Break glass: access on three systems, with an end',
    'Pause what would undo the repair', 'What differed before is the baseline', 'Assess the blast radius', 'Repair by hand, in a recorded terminal', 'Everything is on record',
    'End state: expected against actual, a decision for each', 'Reconcile: the code says what is real', 'Proof: a complete plan in which every action is no-op',
    'Resume: automation is given back exactly as it was', 'Access ends, and nobody stays in', 'Close, with a certificate that verifies offline',
  ])
  for (const s of report.steps) {
    expect(s.proof, s.name).toMatch(/\S{3,}/)
    expect(Object.keys(s.evidence as object).length, s.name).toBeGreaterThan(0)
  }
  expect(report.steps.slice(1).every((s) => s.commands.length > 0 && s.commands.every((c) => /^(reglaze|git) /.test(c)))).toBe(true)

  const grant = evidence(report, 'Break glass').grant
  expect(grant.targets.map((t: Any) => t.connector)).toEqual(['cloud', 'orders-db', 'cloud-assignment'])
  expect(evidence(report, 'Pause').holds.map((h: Any) => h.state)).toEqual(Array(6).fill('held'))
  const { modifications } = evidence(report, 'Everything is on record')
  expect(modifications.length).toBeGreaterThanOrEqual(8)
  expect(evidence(report, 'Reconcile').patch).toContain('14.9')
  const { proof, filed } = evidence(report, 'Proof')
  expect(proof).toMatchObject({ verdict: 'clean', planDigest: expect.stringMatching(/^[0-9a-f]{64}$/) })
  expect(filed.valid).toBe(true)
  expect(evidence(report, 'Resume').after).toEqual(evidence(report, 'Pause').before)
  expect(evidence(report, 'Access ends').grant).toMatchObject({ id: grant.id, state: 'revoked', level: 'proven' })
  const { certificate } = evidence(report, 'Close')
  expect(existsSync(certificate)).toBe(true)
  expect(readFileSync(certificate, 'utf8')).toContain(grant.id)
  // 60 s on two free cores is the demo's own bound; here other tests run beside it.
  expect(report.seconds).toBeLessThan(120)
  await nothingRuns(report, dir)
}, 180_000)

test('--skip pause: what undid the fix is found by name, and the close gate refuses', async () => {
  const { report, code, dir } = await play('--skip', 'pause')
  expect(report.steps.filter((s) => !s.ok).map((s) => `${s.name}: ${s.proof}`)).toEqual([])
  expect(code).toBe(0)
  const { undone } = evidence(report, 'Repair without a pause')
  expect(undone.map((m: Any) => m.undone.by)).toEqual(expect.arrayContaining(['svc-gitops', 'svc-autoscaler']))
  expect(undone.every((m: Any) => m.verdict === 'attributed' && m.undone.event && m.undone.at)).toBe(true)
  const { open } = evidence(report, 'The close gate refuses')
  expect(open.map((o: Any) => o.code)).toEqual(expect.arrayContaining(['grant-live', 'not-proven']))
  for (const o of open) expect(o.command, o.what).toMatch(/^(reglaze|git|terraform) /)
  await nothingRuns(report, dir)
}, 180_000)
