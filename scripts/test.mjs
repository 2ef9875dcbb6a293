// `npm test`: installs what is missing, then runs every test that this computer can run.
import { spawnSync } from 'node:child_process'
import { prepare } from './prepare.mjs'

prepare()
const run = spawnSync(process.execPath, ['node_modules/vitest/vitest.mjs', 'run', ...process.argv.slice(2)], { stdio: 'inherit' })
process.exit(run.status ?? 1)
