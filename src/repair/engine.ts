/** The file-based door of the repair plays: works on a Terraform folder, without store and server. */
import { configFiles, place, regions } from '../terraform/index.ts'
import { hardQuarantine, hardRelease } from './hard.ts'
import type { InFlight, QuarantineKind, QuarantineResult, ReleaseResult, ReplaceResult } from './model.ts'
import { replaceObject, type ReplaceChoice } from './replace.ts'
import { openSession, type RepairOptions } from './session.ts'
import { softQuarantine, softRelease } from './soft.ts'

export { REPAIR } from './errors.ts'
export * from './model.ts'
export type { ReplaceChoice } from './replace.ts'
export type { RepairOptions } from './session.ts'

/**
 * Takes an object out of Terraform's reach. `soft` keeps the code and lets Terraform change and destroy nothing; `hard`
 * takes it out of state and code. Proven by a plan, else rolled back. May be repeated; goes on after a crash.
 */
export async function quarantine(dir: string, address: string, o: RepairOptions & { kind: QuarantineKind; incident: string }): Promise<QuarantineResult> {
  const s = await openSession(dir, o)
  return o.kind === 'soft' ? softQuarantine(s, address, o.incident) : hardQuarantine(s, address, o.incident)
}

/**
 * The exact undo of `quarantine`. `acceptUpdate` lets the import set attributes back to what the code says. The journal
 * forgets the quarantine only after `released` has come back: killed before, the same call does the rest.
 */
export async function release(dir: string, address: string, o: RepairOptions & { acceptUpdate?: boolean; released?: (r: ReleaseResult) => Promise<void> } = {}): Promise<ReleaseResult> {
  const s = await openSession(dir, o)
  const done = await (s.journal.find(address)?.play === 'hard' ? hardRelease(s, address, o) : softRelease(s, address))
  await o.released?.(done)
  s.journal.remove(address)
  return done
}

/** Destroys one object and makes it anew, by a plan that was judged first. */
export async function replace(dir: string, address: string, o: RepairOptions & ReplaceChoice): Promise<ReplaceResult> {
  return replaceObject(await openSession(dir, o), address, o)
}

/** Everything in flight in a folder, from the markers in the code and from the journal. */
export async function list(dir: string, o: RepairOptions = {}): Promise<InFlight[]> {
  const s = await openSession(dir, o)
  const items = s.journal.read()
  const marked = configFiles(s.config()).flatMap((f) => regions(f).map((r) => {
    const [play = '', ...rest] = r.what.split(' ')
    return { address: rest.join(' '), play, incident: r.incident, place: place(f, r.start), step: 'in the code' }
  }))
  const known = marked.map((m) => ({ ...m, step: items.find((i) => i.address === m.address)?.step ?? m.step }))
  return [...known, ...items.filter((i) => !marked.some((m) => m.address === i.address)).map((i) => ({ address: i.address, play: i.play, incident: i.incident, place: i.file, step: i.step }))]
}

/** Finishes what a crash left between two steps. Quarantines that rest are left alone. */
export async function resume(dir: string, o: RepairOptions = {}): Promise<(QuarantineResult | ReleaseResult | ReplaceResult)[]> {
  const s = await openSession(dir, o)
  const out: (QuarantineResult | ReleaseResult | ReplaceResult)[] = []
  for (const i of s.journal.read()) {
    if (i.step === 'editing' && i.play !== 'replace') out.push(await quarantine(dir, i.address, { ...o, kind: i.play, incident: i.incident }))
    else if (i.step === 'releasing') out.push(await release(dir, i.address, o))
    else if (i.step === 'applying') out.push(await replace(dir, i.address, { ...o, incident: i.incident }))
  }
  return out
}
