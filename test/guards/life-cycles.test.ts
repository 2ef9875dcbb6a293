import { describe, expect, test } from 'vitest'
import { GRANT_STATES, GRANT_TRANSITIONS, TERMINAL } from '../../src/access/model.ts'
import { HOLD_STATES, HOLD_TRANSITIONS } from '../../src/pause/model.ts'
import { sql } from '../../src/store/index.ts'
import { useTestStore } from '../../src/store/testing/index.ts'

const t = useTestStore({ clock: false })
const sorted = (pairs: readonly (readonly string[])[]): string[] => pairs.map((p) => p.join(' → ')).sort()

describe.each([
  ['grant', GRANT_TRANSITIONS, GRANT_STATES, [...TERMINAL], ['requested']],
  ['hold', HOLD_TRANSITIONS, HOLD_STATES, ['resumed'], ['requested']],
] as const)('the life of a %s', (name, pairs, states, terminal, first) => {
  test('is the same in model.ts and in the database', async () => {
    const { rows } = await sql<{ from_state: string; to_state: string }>`select from_state, to_state from ${sql.table(`reglaze.${name}_transitions`)}`.execute(t.store.db)
    expect(sorted(rows.map((r) => [r.from_state, r.to_state]))).toEqual(sorted(pairs))
  })
  test('names each pair once, and only known states', () => {
    expect(new Set(sorted(pairs)).size).toBe(pairs.length)
    expect([...new Set<string>(pairs.flat())].filter((s) => !(states as readonly string[]).includes(s))).toEqual([])
  })
  test('ends where it says, and every state can be reached', () => {
    expect(states.filter((s) => !pairs.some(([from]) => from === s)).sort()).toEqual([...terminal].sort())
    const reached = new Set<string>(first)
    for (let size = 0; size !== reached.size; ) {
      size = reached.size
      for (const [from, to] of pairs) if (reached.has(from)) reached.add(to)
    }
    expect([...reached].sort()).toEqual([...states].sort())
  })
})
