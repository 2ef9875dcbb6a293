import { execFileSync, spawnSync } from 'node:child_process'
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { DemoReport } from '../../src/cli/demo/demo.ts'
import type { Row } from './bench.ts'
import { folder, REGLAZE } from './tools.ts'

/** Bounds of the story: the figures, and an upper limit for Terraform runs so that a growing number is noticed. */
const MOST_SECONDS = 60
const MOST_RUNS = 90
const MOST_REST = 0.25

/** The whole story, with every start of Terraform (ours, the runner's, the person's) timed by a wrapper in front of the real program. */
export async function benchStory(): Promise<Row[]> {
  const f = folder()
  try {
    const log = join(f.dir, 'terraform.log')
    const wrapper = writeWrapper(f.dir, log)
    const env = { ...process.env, REGLAZE_TERRAFORM: wrapper, PATH: `${join(f.dir, 'bin')}:${process.env['PATH']}` }
    const run = spawnSync(process.execPath, [REGLAZE, 'demo', '--json', '--dir', join(f.dir, 'world'), '--port', '7650'], { env, encoding: 'utf8', maxBuffer: 64 << 20 })
    const report = JSON.parse(run.stdout) as DemoReport
    if (!report.ok) throw new Error(`the story failed: ${report.steps.find((s) => !s.ok)?.proof}`)
    const spans = readFileSync(log, 'utf8').trim().split('\n').map((l) => l.split(' ').slice(0, 2).map(Number) as [number, number])
    const waits = report.waits.map((w) => [w.from, w.to] as [number, number])
    const inside = covered(spans) / 1000
    const explained = covered([...spans, ...waits]) / 1000
    const rest = (report.seconds - explained) / report.seconds
    const runs = spans.length
    const reasons = [...new Set(report.waits.map((w) => w.what))].map((what) => ({ what: `  waited for ${what}`, value: `${(covered(report.waits.filter((w) => w.what === what).map((w) => [w.from, w.to])) / 1000).toFixed(1)} s`, peer: '', ratio: '' }))
    if (rest > MOST_REST || runs > MOST_RUNS) process.exitCode = 1
    return [
      { what: 'story, wall time', value: `${report.seconds.toFixed(1)} s`, peer: `bound ${MOST_SECONDS} s`, ratio: `${(report.seconds / MOST_SECONDS).toFixed(2)}×` },
      { what: 'story, inside Terraform (any process, overlaps once)', value: `${inside.toFixed(1)} s`, peer: `of ${report.seconds.toFixed(1)} s`, ratio: (inside / report.seconds).toFixed(2) },
      { what: 'story, waiting for other programs outside Terraform', value: `${(explained - inside).toFixed(1)} s`, peer: `of ${report.seconds.toFixed(1)} s`, ratio: ((explained - inside) / report.seconds).toFixed(2) },
      ...reasons,
      { what: 'story, outside Terraform and outside waits', value: `${(report.seconds - explained).toFixed(1)} s`, peer: `bound ${MOST_REST} of wall`, ratio: rest.toFixed(2) },
      { what: 'story, Terraform invocations', value: String(runs), peer: `bound ${MOST_RUNS}`, ratio: `${(runs / MOST_RUNS).toFixed(2)}×` },
    ]
  } finally {
    f.remove()
  }
}

function writeWrapper(dir: string, log: string): string {
  const real = process.env['REGLAZE_TERRAFORM'] ?? ['terraform', 'tofu'].map((n) => spawnSync('sh', ['-c', `command -v ${n}`], { encoding: 'utf8' }).stdout.trim()).find((p) => p && existsSync(p))
  if (!real) throw new Error('neither terraform nor tofu is on PATH')
  mkdirSync(join(dir, 'bin'), { recursive: true })
  const wrapper = join(dir, 'bin', 'terraform')
  writeFileSync(wrapper, `#!/bin/sh\nstarted=$(date +%s%3N)\n'${real}' "$@"\ncode=$?\necho "$started $(date +%s%3N) $1" >> '${log}'\nexit $code\n`)
  chmodSync(wrapper, 0o755)
  execFileSync(wrapper, ['version'])
  writeFileSync(log, '')
  return wrapper
}

/** Milliseconds that the spans cover together, overlaps counted once. */
function covered(spans: readonly (readonly [number, number])[]): number {
  let total = 0
  let end = 0
  for (const [from, to] of [...spans].sort((a, b) => a[0] - b[0])) {
    total += Math.max(0, to - Math.max(from, end))
    end = Math.max(end, to)
  }
  return total
}
