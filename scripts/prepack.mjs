// Before `npm pack` and `npm publish`: a build from nothing, so that the package holds what the sources say and no more.
import { spawnSync } from 'node:child_process'
import { chmodSync, rmSync } from 'node:fs'
import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'

process.chdir(dirname(dirname(fileURLToPath(import.meta.url))))
rmSync('dist', { recursive: true, force: true })
// What npm prints from here on would end up in its own answer (`npm pack --json`): only errors are said.
const built = spawnSync(process.execPath, ['node_modules/typescript/bin/tsc', '-b'], { stdio: ['ignore', 2, 2] })
if (built.status !== 0) process.exit(built.status ?? 1)
for (const program of ['dist/src/cli/main.js', 'dist/sandbox/main.js']) chmodSync(program, 0o755)
