import { outcomeUnknown, type Grantable, type GrantSpec, type GrantState, type Json, type Observation } from '../../core/index.ts'

type What = 'prepare' | 'grant' | 'revoke' | 'endSessions' | 'observe' | 'marked'
type Fault = 'fail' | 'hang' | 'lost-answer' | 'hang-then-do' | 'unknown'

/** An in-memory target that can hang, lose answers and fail; one right per grant unless `shared`. */
export class FakeTarget implements Grantable {
  /** principal → grant ids that hold the right. */
  readonly members = new Map<string, { principal: string; sessions: number }>()
  readonly calls: string[] = []
  readonly #faults: { what: What; fault: Fault; times: number }[] = []
  readonly #held: (() => void)[] = []
  /** One membership per principal, as at most real targets: taking it away takes it from every grant. */
  shared = false
  withoutMarks = false

  fault(what: What, fault: Fault, times = 1): void {
    this.#faults.push({ what, fault, times })
  }
  mend(): void {
    this.#faults.length = 0
  }
  /** Lets everything that hangs go on. */
  release(): void {
    for (const go of this.#held.splice(0)) go()
  }
  get hanging(): number {
    return this.#held.length
  }
  async #call(what: What, grant: string, effect: () => void): Promise<void> {
    this.calls.push(`${what} ${grant}`)
    const f = this.#faults.find((x) => x.what === what && x.times > 0)
    if (f) f.times--
    if (f?.fault === 'fail') throw new Error(`${what} is refused`)
    if (f?.fault === 'hang' || f?.fault === 'hang-then-do') await new Promise<void>((go) => this.#held.push(go))
    if (f?.fault === 'hang') throw outcomeUnknown(`no answer to ${what}`)
    effect()
    if (f?.fault === 'lost-answer') throw outcomeUnknown(`no answer to ${what}`)
  }
  #has(spec: GrantSpec): boolean {
    return this.shared ? [...this.members.values()].some((m) => m.principal === spec.principal) : this.members.has(spec.grantId)
  }
  async prepare(person: { id: string; accounts: Readonly<Record<string, string>> }): Promise<{ principal: string; prior: Record<string, Json> }> {
    await this.#call('prepare', person.id, () => {})
    return { principal: person.accounts['fake'] ?? person.id, prior: {} }
  }
  grant(spec: GrantSpec): Promise<void> {
    return this.#call('grant', spec.grantId, () => void this.members.set(spec.grantId, { principal: spec.principal, sessions: 1 }))
  }
  revoke(spec: GrantSpec): Promise<void> {
    return this.#call('revoke', spec.grantId, () => {
      for (const [id, m] of this.members) if (id === spec.grantId || (this.shared && m.principal === spec.principal)) this.members.set(id, { ...m, principal: '' })
    })
  }
  endSessions(spec: GrantSpec): Promise<void> {
    return this.#call('endSessions', spec.grantId, () => {
      const own = this.members.get(spec.grantId)
      if (own) this.members.set(spec.grantId, { ...own, sessions: 0 })
      for (const [id, m] of this.members) if (m.principal === '') this.members.delete(id)
    })
  }
  async observe(spec: GrantSpec): Promise<Observation<GrantState>> {
    const unknown = this.#faults.find((x) => x.what === 'observe' && x.fault === 'unknown' && x.times > 0)
    if (unknown) {
      unknown.times--
      this.calls.push(`observe ${spec.grantId}`)
      return { status: 'unknown', at: '', reason: 'it does not tell' }
    }
    await this.#call('observe', spec.grantId, () => {})
    const mine = this.members.get(spec.grantId)
    const value = { member: this.#has(spec), sessions: mine?.sessions ?? 0, backstopUntil: null }
    return { status: 'known', at: '2026-01-01T00:00:00.000Z', value, evidence: { source: 'fake', request: 'look', answer: value } }
  }
  manual(spec: GrantSpec): string {
    return `fake remove ${spec.grantId}`
  }
  async marked(): Promise<{ grantId: string; principal: string; detail: Json }[]> {
    await this.#call('marked', '', () => {})
    return [...this.members].map(([grantId, m]) => ({ grantId, principal: m.principal, detail: {} }))
  }
}
