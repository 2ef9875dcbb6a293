// A recorder as its own process, for tests: node --import tsx recorder.ts FILE COMMAND ARG…; prints its result to FILE.json.
import * as fs from 'node:fs'
import { record } from '../engine.ts'

const [file = '', command, ...args] = process.argv.slice(2)
const graceMs = Number(process.env['TEST_GRACE_MS'] ?? 30_000)
const onFull = process.env['TEST_ON_FULL'] === 'continue' ? 'continue' : 'terminate'
const done = await record({
  file, command: command === '' ? undefined : command, args, stdin: process.stdin, stdout: process.stdout, graceMs, onFull,
  tie: process.env['TEST_TIE'] === 'off' ? 'off' : 'auto',
})
fs.writeFileSync(process.env['TEST_RESULT'] ?? `${file}.json`, JSON.stringify(done))
process.exit(done.exit.code ?? 1)
