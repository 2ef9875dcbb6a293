// `npm run check`: everything that can be said about the tree without running it. Each check runs; all findings are shown.
// Options: names of checks (`npm run check -- lint walls`).
import { spawnSync } from 'node:child_process'
import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { HOUSE, trackedFiles } from './house.mjs'
import { WALLS, findings } from './walls.mjs'

process.chdir(dirname(dirname(fileURLToPath(import.meta.url))))

function run(...args) {
  const done = spawnSync(process.execPath, args, { encoding: 'utf8', maxBuffer: 64 << 20 })
  return { ok: done.status === 0, text: `${done.stdout}${done.stderr}`.trim() }
}
const tsc = (...args) => run('node_modules/typescript/bin/tsc', ...args)
function rules(which) {
  const found = findings(which, trackedFiles())
  return { ok: found.length === 0, text: found.map((f) => `${f.path}:${f.line}: ${f.rule}: ${f.text}`).join('\n') }
}

const CHECKS = {
  types: ['the build: every part compiles, knowing only the parts below it', () => tsc('-b')],
  pure: ['pure files compile without any type of Node', () => tsc('-p', 'tsconfig.pure.json')],
  tests: ['tests compile', () => tsc('-p', 'tsconfig.test.json')],
  lint: ['linter, type-aware', () => run('node_modules/oxlint/bin/oxlint', '--type-aware', '--deny-warnings', '-f', 'unix', 'src', 'sandbox', 'test', 'scripts')],
  walls: ['walls between the parts', () => rules(WALLS)],
  house: ['words, paths, switched-off tests, sizes', () => rules(HOUSE)],
  unused: ['files, exports and dependencies that nothing uses', () => run('node_modules/knip/bin/knip.js', '--no-progress')],
  golden: ['generated pages and golden files are up to date', () => run('scripts/golden.mjs', '--check')],
}

const wanted = process.argv.slice(2)
const unknown = wanted.find((w) => !(w in CHECKS))
if (unknown) {
  console.error(`there is no check "${unknown}"; there are: ${Object.keys(CHECKS).join(', ')}`)
  process.exit(2)
}
let failed = 0
for (const [name, [about, check]] of Object.entries(CHECKS)) {
  if (wanted.length > 0 && !wanted.includes(name)) continue
  const started = performance.now()
  const { ok, text } = check()
  if (!ok) failed += 1
  console.log(`${ok ? 'ok  ' : 'FAIL'} ${name.padEnd(10)} ${about} (${((performance.now() - started) / 1000).toFixed(1)} s)`)
  if (!ok) console.log(text.replace(/^/gm, '     '))
}
process.exit(failed === 0 ? 0 : 1)
