// `npm test`: installs what is missing, then runs every test that this computer can run. The last line is
// "N passed, N failed, N skipped". Options go to vitest (`npm test -- src/store`).
import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { prepare } from './prepare.mjs'

prepare()
const folder = mkdtempSync(join(tmpdir(), 'rgz-test-'))
const file = join(folder, 'report.json')
const env = { ...process.env, REGLAZE_TEST_NO_BUILD: '1' }
const run = spawnSync(process.execPath, ['node_modules/vitest/vitest.mjs', 'run', '--reporter=default', '--reporter=json', `--outputFile.json=${file}`, ...process.argv.slice(2)], { stdio: 'inherit', env })
const report = existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : null
rmSync(folder, { recursive: true, force: true })
if (!report) {
  console.log('\nThe tests did not run to their end.\n0 passed, 1 failed, 0 skipped')
  process.exit(run.status || 1)
}

const seconds = (f) => (f.endTime - f.startTime) / 1000
const slow = report.testResults.map((f) => [seconds(f), f.name.slice(process.cwd().length + 1)]).sort((a, b) => b[0] - a[0]).slice(0, 10)
if (report.testResults.length > 10) console.log(`\nThe slowest files:\n${slow.map(([s, name]) => `${s.toFixed(1).padStart(7)} s  ${name}`).join('\n')}`)
// A file that could not be loaded has no tests that failed; an error outside every test leaves no trace but the exit code.
const broken = report.testResults.filter((f) => f.status === 'failed' && !f.assertionResults.some((a) => a.status === 'failed')).length
const failed = report.numFailedTests + broken
const unnamed = failed === 0 && run.status !== 0 ? 1 : 0
if (unnamed) console.log('\nNo test failed, but an error happened outside of them (see above).')
console.log(`\n${report.numPassedTests} passed, ${failed + unnamed} failed, ${report.numPendingTests + report.numTodoTests} skipped`)
process.exit(failed + unnamed === 0 ? 0 : 1)
