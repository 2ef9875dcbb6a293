/** Runs a round again and again: `periodMs` after the last one ended, or at once when poked. One round at a time. */
export class Loop {
  #round: () => Promise<void>
  #periodMs: number
  #timer: NodeJS.Timeout | null = null
  #running: Promise<void> | null = null
  #again = false
  #stopped = true
  constructor(round: () => Promise<void>, periodMs: number) {
    this.#round = round
    this.#periodMs = periodMs
  }
  start(): void {
    this.#stopped = false
    this.#run()
  }
  poke(): void {
    if (this.#stopped) return
    if (this.#running !== null) this.#again = true
    else this.#run()
  }
  /** No new round; resolves when the running one has ended. */
  async stop(): Promise<void> {
    this.#stopped = true
    if (this.#timer !== null) clearTimeout(this.#timer)
    await this.#running
  }
  #run(): void {
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#running = this.#round()
      .catch((e: Error) => void process.stderr.write(`${new Date().toISOString()} ${e.stack ?? e.message}\n`))
      .finally(() => {
        this.#running = null
        if (this.#stopped) return
        if (this.#again) {
          this.#again = false
          this.#run()
        } else this.#timer = setTimeout(() => this.#run(), this.#periodMs)
      })
  }
}
