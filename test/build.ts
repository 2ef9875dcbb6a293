// Tests that start our processes start the compiled program, so it is built once before any test runs.
import { execFileSync } from 'node:child_process'
import { missingPeers } from './testing/peers.ts'

export default function setup(): void {
  const missing = missingPeers().map((p) => `  ${p.name} (${p.for}): ${p.get}`)
  if (missing.length > 0 && process.env['CI'] === 'true') throw new Error(`under CI=true nothing is skipped, but these are not installed:\n${missing.join('\n')}`)
  if (missing.length > 0) console.error(`Not installed here, so their tests are skipped:\n${missing.join('\n')}`)
  if (process.env['REGLAZE_TEST_NO_BUILD']) return
  execFileSync(process.execPath, ['node_modules/typescript/bin/tsc', '-b'], { stdio: 'inherit' })
}
