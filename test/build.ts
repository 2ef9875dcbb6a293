// Tests that start our processes start the compiled program, so it is built once before any test runs.
import { execFileSync } from 'node:child_process'

export default function setup(): void {
  if (process.env['REGLAZE_TEST_NO_BUILD']) return
  execFileSync(process.execPath, ['node_modules/typescript/bin/tsc', '-b'], { stdio: 'inherit' })
}
