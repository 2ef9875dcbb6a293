/** Runs one engine call in a process of its own and kills that process (SIGKILL) when the progress reaches a given text. */
import { spawn } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'

/** `part/engine.js` of the compiled program, function name, arguments, and the progress text at which the process dies. */
export function killedCall(folder: string, o: { engine: string; call: string; args: unknown[]; env: Record<string, string>; at: string }): Promise<{ killed: boolean; out: string }> {
  const script = join(folder, `child-${Math.abs(hash(o.call + o.at))}.mjs`)
  writeFileSync(script, `
import * as engine from ${JSON.stringify(pathToFileURL(resolve('dist/src', o.engine)).href)}
const args = ${JSON.stringify(o.args)}
const last = args[args.length - 1]
last.onProgress = (line) => { if (line.includes(${JSON.stringify(o.at)})) process.kill(process.pid, 'SIGKILL') }
try { console.log(JSON.stringify(await engine[${JSON.stringify(o.call)}](...args))) } catch (e) { console.log('ERROR ' + e.code + ' ' + e.message); process.exit(3) }
`)
  return new Promise((done, fail) => {
    const child = spawn(process.execPath, [script], { env: { ...process.env, ...o.env }, stdio: ['ignore', 'pipe', 'pipe'] })
    let out = ''
    child.stdout.on('data', (b: Buffer) => (out += b.toString()))
    child.stderr.on('data', (b: Buffer) => (out += b.toString()))
    child.on('error', fail)
    child.on('exit', (_code, signal) => done({ killed: signal === 'SIGKILL', out }))
  })
}
function hash(text: string): number {
  return [...text].reduce((n, c) => (n * 31 + c.charCodeAt(0)) | 0, 7)
}
