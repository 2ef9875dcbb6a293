import type { StateBackend } from '../pause/index.ts'
import { parseState, stateEntries } from '../terraform/index.ts'

/**
 * Which Terraform address an object of the cloud has or had. Every state version that we served is read once and nothing
 * is forgotten: after a replacement or a `state rm` the old id still belongs to its address.
 */
export function stateIndex(states: StateBackend, names: () => readonly string[]) {
  const byId = new Map<string, string>()
  const byName = new Map<string, string>()
  let seen = 0
  const refresh = async (): Promise<void> => {
    for (const version of await states.versionsAfter(seen)) {
      seen = version.n
      if (!names().includes(version.name)) continue
      for (const entry of stateEntries(parseState(version.body))) {
        if (entry.mode !== 'managed') continue
        if (entry.id !== null) byId.set(`${entry.type} ${entry.id}`, entry.address)
        if (typeof entry.attributes['name'] === 'string') byName.set(`${entry.type} ${entry.attributes['name']}`, entry.address)
      }
    }
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
