import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { PACKAGE_ROOT } from '../../src/cli/version.ts'

export const MAIN = join(PACKAGE_ROOT, 'dist', 'src', 'cli', 'main.js')

export interface Ended {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly out: string
  readonly err: string
}
export interface Running {
  readonly pid: number
  readonly ended: Promise<Ended>
  /** Resolves when the text has come on stdout or stderr; false when the program ended before. */
  says(text: RegExp): Promise<boolean>
  kill(): Promise<Ended>
}

/** Starts the real command-line program, as a person would. */
export function startCli(person: { env: NodeJS.ProcessEnv; cwd: string }, argv: readonly string[]): Running {
  const child = spawn(process.execPath, [MAIN, ...argv], { env: person.env, cwd: person.cwd, stdio: ['ignore', 'pipe', 'pipe'] })
  let out = ''
  let err = ''
  const looking = new Set<() => void>()
  child.stdout.on('data', (d: Buffer) => ((out += d.toString()), looking.forEach((look) => look())))
  child.stderr.on('data', (d: Buffer) => ((err += d.toString()), looking.forEach((look) => look())))
  // `exit`, not `close`: what a killed program started may hold its pipes for a while.
  const ended = new Promise<Ended>((done) => child.once('exit', (code, signal) => setImmediate(() => done({ code, signal, out, err }))))
  return {
    pid: child.pid as number,
    ended,
    says(text) {
      const said = new Promise<boolean>((done) => {
        const look = () => {
          if (!text.test(out) && !text.test(err)) return
          looking.delete(look)
          done(true)
        }
        looking.add(look)
        look()
      })
      return Promise.race([said, ended.then(() => text.test(out) || text.test(err))])
    },
    async kill() {
      child.kill('SIGKILL')
      return ended
    },
  }
}

/** JSON of the first document of an answer (an error may stand after it). */
export function firstJson<T>(text: string): T {
  const cut = text.lastIndexOf('\n{\n  "error"')
  return JSON.parse(cut > 0 ? text.slice(0, cut) : text) as T
}
