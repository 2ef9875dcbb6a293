// `npm run bench`: measures beside a peer in the same run and prints ratios; see docs/benchmarks.md.
import { spawnSync } from 'node:child_process'
import { prepare } from './prepare.mjs'

prepare()
const run = spawnSync(process.execPath, ['--import', 'tsx', 'test/bench/bench.ts', ...process.argv.slice(2)], { stdio: 'inherit' })
process.exit(run.status ?? 1)
