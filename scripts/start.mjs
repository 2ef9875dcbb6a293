// `npm start`: installs what is missing, then plays the story on the embedded default. Options go to `reglaze demo`.
import { spawn } from 'node:child_process'
import { prepare } from './prepare.mjs'

prepare()
const child = spawn(process.execPath, ['dist/src/cli/main.js', 'demo', ...process.argv.slice(2)], { stdio: 'inherit' })
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => child.kill(signal))
child.on('exit', (code, signal) => process.exit(signal ? 130 : (code ?? 1)))
