/**
 * Callers that come while a commit is under way share the next one: one round trip and one fsync for all of them. A caller's
 * promise resolves only after its own item is committed, and rejects with the error of its batch.
 */
export class GroupCommit<T> {
  readonly #commit: (items: readonly T[]) => Promise<void>
  readonly #size: (item: T) => number
  readonly #most: { readonly items: number; readonly bytes: number }
  #waiting: { item: T; done: () => void; fail: (error: unknown) => void }[] = []
  #running = 0
  /** `size` in bytes; a batch holds at most `most`, but always one item. */
  constructor(commit: (items: readonly T[]) => Promise<void>, size: (item: T) => number, most = { items: 200, bytes: 8 * 1024 * 1024 }) {
    this.#commit = commit
    this.#size = size
    this.#most = most
  }

  add(item: T): Promise<void> {
    return new Promise((done, fail) => {
      this.#waiting.push({ item, done, fail })
      // Two at once: one waits for the disk while the other is being sent.
      if (this.#running < 2) void this.#run()
    })
  }

  async #run(): Promise<void> {
    this.#running += 1
    // Requests that arrived in the same turn of the event loop go together.
    await new Promise((turn) => setImmediate(turn))
    while (this.#waiting.length > 0) {
      const batch = this.#waiting.splice(0, this.#fitting())
      try {
        await this.#commit(batch.map((b) => b.item))
        for (const b of batch) b.done()
      } catch (error) {
        for (const b of batch) b.fail(error)
      }
    }
    this.#running -= 1
  }

  #fitting(): number {
    let bytes = 0
    let n = 0
    while (n < this.#waiting.length && n < this.#most.items) {
      bytes += this.#size((this.#waiting[n] as { item: T }).item)
      if (n > 0 && bytes > this.#most.bytes) break
      n += 1
    }
    return n
  }
}
