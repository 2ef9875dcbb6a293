/** Prefixes of ids (DESIGN §5). The random part is made in store/, because core has no randomness. */
export const ID_PREFIX = {
  incident: 'inc', grant: 'gr', request: 'req', hold: 'hold', recording: 'rec', page: 'page', alert: 'alrt', event: 'evt',
  modification: 'mod', proof: 'prf', decision: 'dec', quarantine: 'qrt', token: 'tok', ledger: 'led', delivery: 'dlv', task: 'task', override: 'ovr', assessment: 'asm',
} as const
export type IdKind = keyof typeof ID_PREFIX

export function hasPrefix(kind: IdKind, id: string): boolean {
  return id.startsWith(`${ID_PREFIX[kind]}_`)
}
