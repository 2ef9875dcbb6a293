import { runCli } from '../run.ts'
import { paint, type Io } from '../io.ts'
import { ReglazeError, CORE } from '../../core/index.ts'

export interface StepRecord {
  readonly name: string
  readonly ok: boolean
  /** One line: what was read back. */
  readonly proof: string
  readonly evidence: unknown
  readonly commands: readonly string[]
  readonly ms: number
}

/** Tells the story: one line of proof for each step, and the commands that a person would type. */
export class Narrator {
  readonly records: StepRecord[] = []
  readonly #io: Io
  readonly #quiet: boolean
  #commands: string[] = []
  constructor(io: Io, quiet: boolean) {
    this.#io = io
    this.#quiet = quiet
  }
  say(text: string): void {
    if (!this.#quiet) this.#io.err(`${text}\n`)
  }
  dim(text: string): void {
    this.say(paint(this.#io, 'dim', `    ${text}`))
  }

  /** Runs a step. Its proof has to be read back; when it throws, the step failed and the story ends. */
  async step(name: string, work: () => Promise<{ proof: string; evidence: unknown }>): Promise<void> {
    this.say(`${paint(this.#io, 'bold', name)}`)
    const started = performance.now()
    this.#commands = []
    try {
      const { proof, evidence } = await work()
      const ms = Math.round(performance.now() - started)
      this.records.push({ name, ok: true, proof, evidence, commands: this.#commands, ms })
      this.say(`  ${paint(this.#io, 'green', '✔')} ${proof} ${paint(this.#io, 'dim', `${(ms / 1000).toFixed(1)} s`)}`)
    } catch (error) {
      const ms = Math.round(performance.now() - started)
      const proof = (error as Error).message
      this.records.push({ name, ok: false, proof, evidence: error instanceof ReglazeError ? { code: error.code, data: error.data ?? null } : { stack: (error as Error).stack }, commands: this.#commands, ms })
      this.say(`  ${paint(this.#io, 'red', '✘')} ${proof}`)
      throw error
    }
  }

  /** Shows a command that is run by other means than ours, e.g. git. */
  command(shown: string): void {
    this.#commands.push(shown)
    this.say(`    ${paint(this.#io, 'cyan', `$ ${shown}`)}`)
  }

  /** Runs exactly the command that is printed, as this person; gives its JSON answer. Throws when it does not end with the expected code. */
  async reglaze<T>(person: { env: NodeJS.ProcessEnv; cwd: string }, argv: readonly string[], expect = 0): Promise<T> {
    const shown = `reglaze ${argv.map(quote).join(' ')}`
    this.#commands.push(shown)
    this.say(`    ${paint(this.#io, 'cyan', `$ ${shown}`)}`)
    let out = ''
    let err = ''
    const code = await runCli(['--json', ...argv], { env: person.env, cwd: person.cwd, colour: false, out: (t) => void (out += t), err: (t) => void (err += t) })
    if (code !== expect) throw new ReglazeError(CORE.OUTSIDE_FAILED, `\`${shown}\` ended with ${code} instead of ${expect}: ${messageOf(out) ?? (err.trim() || out.trim())}`)
    try {
      return JSON.parse(out) as T
    } catch {
      return out as T
    }
  }
}

function quote(arg: string): string {
  return /^[\w@%+=:,./-]+$/.test(arg) ? arg : `'${arg.replaceAll("'", `'\\''`)}'`
}
function messageOf(out: string): string | null {
  try {
    const e = (JSON.parse(out) as { error?: { message: string; hint?: string } }).error
    return e ? `${e.message}${e.hint ? ` → ${e.hint}` : ''}` : null
  } catch {
    // Two JSON documents: the answer and the error after it.
    const at = out.lastIndexOf('{\n  "error"')
    return at > 0 ? messageOf(out.slice(at)) : null
  }
}

/** A proof that did not hold. */
export function must(condition: unknown, otherwise: string): asserts condition {
  if (!condition) throw new ReglazeError(CORE.DIFFERENCES, otherwise)
}
