// `npm run golden`: writes the generated pages and the golden files anew; look at `git diff` before you commit them.
// With --check nothing is written; exit code 1 when one differs.
import { spawnSync } from 'node:child_process'
import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'

process.chdir(dirname(dirname(fileURLToPath(import.meta.url))))
const check = process.argv.includes('--check')
function run(...args) {
  // CI: a golden file that is not there is then a failure.
  const env = { ...process.env, REGLAZE_TEST_NO_BUILD: '1', ...(check ? { CI: 'true' } : {}) }
  const done = spawnSync(process.execPath, args, { stdio: 'inherit', env })
  if (done.status !== 0) process.exit(1)
}
if (!check) run('node_modules/typescript/bin/tsc', '-b')
run('scripts/reference.mjs', ...(check ? ['--check'] : []))
run('node_modules/vitest/vitest.mjs', 'run', 'test/golden', '--reporter=dot', ...(check ? [] : ['-u']))
