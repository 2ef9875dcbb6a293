import type { StateBackend } from '../pause/index.ts'
import { parseState, stateEntries } from '../terraform/index.ts'

/**
 * Which Terraform address an object of the cloud has or had. Every state version that we served is read once and nothing
 * is forgotten: after a replacement or a `state rm` the old id still belongs to its address.
 */
export function stateIndex(states: StateBackend) {
  const byId = new Map<string, string>()
  const byName = new Map<string, string>()
  let seen = 0
  const readSome = async (): Promise<number> => {
    const versions = await states.versionsAfter(seen)
    for (const version of versions) {
      for (const entry of stateEntries(parseState(version.body))) {
        if (entry.mode !== 'managed') continue
        if (entry.id !== null) byId.set(`${entry.type} ${entry.id}`, entry.address)
        if (typeof entry.attributes['name'] === 'string') byName.set(`${entry.type} ${entry.attributes['name']}`, entry.address)
      }
      seen = version.n
    }
    return versions.length
  }
  /** Reads to the end, so that nothing that happens after it is looked up in an old index. */
  const refresh = async (): Promise<void> => {
    while ((await readSome()) > 0);
  }
  return {
    refresh,
    addressOf: (r: { type: string; id: string; name: string | null }): string | null => byId.get(`${r.type} ${r.id}`) ?? (r.name === null ? null : (byName.get(`${r.type} ${r.name}`) ?? null)),
    /** Looks for new versions every second. */
    start() {
      const timer = setInterval(() => void refresh().catch(() => {}), 1000)
      return { stop: async () => clearInterval(timer) }
    },
  }
}
