import { Narrator } from '../../src/cli/demo/narrator.ts'
import { QUIET, type Stage } from './stage.ts'

export type Person = { env: NodeJS.ProcessEnv; cwd: string }
/** How long a person would go on repeating a command: what a killed run started may still hold the state lock. */
const PATIENCE_MS = 45_000

/**
 * Tells the story like the demo, with something bad in the middle of each wanted command: then the same command again
 * until it succeeds. Every command has to be repeatable for that.
 */
export abstract class KillingNarrator<M extends { readonly command: string }> extends Narrator {
  protected readonly stage: () => Stage
  /** What was done, one line for each kill. */
  readonly cases: string[] = []
  readonly #left: M[]
  constructor(stage: () => Stage, middle: readonly M[]) {
    super(QUIET, true)
    this.stage = stage
    this.#left = [...middle]
  }
  /** Starts the command and breaks it; says how that went. */
  protected abstract inTheMiddle(person: Person, argv: readonly string[], m: M): Promise<string>
  protected async between(_name: string): Promise<void> {}

  override async step(name: string, work: () => Promise<{ proof: string; evidence: unknown }>): Promise<void> {
    await super.step(name, work)
    await this.between(name)
  }
  override async reglaze<T>(person: Person, argv: readonly string[], expect = 0): Promise<T> {
    const mine = (m: M) => argv.slice(0, m.command.split(' ').length).join(' ') === m.command
    let broken = ''
    while (expect === 0 && this.#left.some(mine)) {
      const [m] = this.#left.splice(this.#left.findIndex(mine), 1) as [M]
      broken = await this.inTheMiddle(person, argv, m)
      this.cases.push(broken)
    }
    const end = performance.now() + PATIENCE_MS
    for (let again = 1; ; again++) {
      try {
        const answer = await super.reglaze<T>(person, argv, expect)
        if (broken !== '' && again > 1) this.cases[this.cases.length - 1] += ` (done at try ${again})`
        return answer
      } catch (error) {
        if (broken === '' || performance.now() > end) throw error
        await new Promise((done) => setTimeout(done, 500))
      }
    }
  }
  /** Kills that were wanted and whose command never came. */
  get left(): readonly string[] {
    return this.#left.map((m) => m.command)
  }
}
