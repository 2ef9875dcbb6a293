import { outcomeUnknown, ReglazeError, CORE, type HoldSpec, type Json, type Observation, type Pausable, type PauseState } from '../../core/index.ts'

/** Automations in memory that can hang, fail, be switched on behind our back, and do a first run. */
export class FakeAutomations implements Pausable {
  readonly state = new Map<string, { on: boolean; by: string; passes: readonly string[] }>()
  readonly calls: string[] = []
  readonly broken = new Map<string, 'fail' | 'hang' | 'unknown' | 'deaf'>()
  readonly runs = new Map<string, { ran: boolean; changed: string[] }>()
  withFirstRun = false
  firstRun?: Pausable['firstRun']
  gone: string | null = null
  #name(spec: { target: Record<string, Json> }): string {
    return String(spec.target['name'])
  }
  #get(name: string) {
    return this.state.get(name) ?? { on: true, by: 'somebody', passes: [] }
  }
  async #maybe(what: string, name: string): Promise<void> {
    this.calls.push(`${what} ${name}`)
    const how = this.broken.get(name)
    if (how === 'fail') throw new ReglazeError(CORE.OUTSIDE_FAILED, `${what} is refused`)
    if (how === 'hang') await new Promise(() => undefined)
    if (how === 'unknown' && what !== 'observe') throw outcomeUnknown('no answer')
  }
  watch(): void {
    this.firstRun = async (spec) => {
      const run = this.runs.get(this.#name(spec)) ?? { ran: true, changed: [] }
      return { status: 'known', at: '', value: { ...run, detail: {} }, evidence: { source: 'fake', request: 'runs', answer: null } }
    }
  }
  givenUp(): string | null {
    return this.gone
  }
  async observe(spec: Omit<HoldSpec, 'prior'>): Promise<Observation<PauseState>> {
    const name = this.#name(spec)
    await this.#maybe('observe', name)
    if (this.broken.get(name) === 'unknown') return { status: 'unknown', at: '', reason: 'it does not tell' }
    const s = this.#get(name)
    const setting = name === 'lock' && s.on ? null : { on: s.on }
    return { status: 'known', at: '', value: { paused: !s.on, setting, changedBy: s.by, running: [], parents: [] }, evidence: { source: 'fake', request: 'look', answer: setting } }
  }
  async pause(spec: HoldSpec): Promise<void> {
    const name = this.#name(spec)
    await this.#maybe('pause', name)
    if (this.broken.get(name) !== 'deaf') this.state.set(name, { on: false, by: spec.holdId, passes: spec.passes })
  }
  async resume(spec: HoldSpec): Promise<void> {
    const name = this.#name(spec)
    await this.#maybe('resume', name)
    this.state.set(name, { on: (spec.prior as { on: boolean } | null)?.on ?? true, by: spec.holdId, passes: [] })
  }
  manual(spec: HoldSpec): string {
    return `fake resume ${this.#name(spec)}`
  }
}
