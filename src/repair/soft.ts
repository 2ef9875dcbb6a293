/** The soft quarantine: the code stays, Terraform changes and destroys nothing of it; drift stays visible. */
import { ReglazeError } from '../core/errors.ts'
import { addMarkedToBlock, applyEdits, attribute, blocks, commentOut, regions, removeRegion, type Edit, type HclFile, type Region } from '../terraform/index.ts'
import { REPAIR } from './errors.ts'
import { sha256, writeWhole } from './journal.ts'
import type { QuarantineResult, ReleaseResult } from './model.ts'
import { isQuiet } from './quiet.ts'
import { pulled, sharing, target, type Session, type Target } from './session.ts'

const LIFECYCLE = 'lifecycle {\n  ignore_changes  = all\n  prevent_destroy = true\n}\n'
const INSIDE = 'ignore_changes  = all\nprevent_destroy = true\n'

export async function softQuarantine(s: Session, address: string, incident: string): Promise<QuarantineResult> {
  const config = s.config()
  const t = target(config, address)
  const { state, text, entry } = await pulled(s)
  const found = entry(address)
  if (!found) throw new ReglazeError(REPAIR.REPAIR_NO_STATE, `the state has no ${address}`, { place: s.dir })
  const known = s.journal.find(address)
  if (known && (known.play !== 'soft' || known.incident !== incident)) throw new ReglazeError(REPAIR.REPAIR_ALREADY, `${address} is quarantined (${known.play}) for ${known.incident}`, { place: t.file.name })
  const stateCopy = known?.stateCopy ?? s.journal.keepState(state.serial, state.lineage, text)
  const already = softRegions(t).length > 0
  const item = known ?? { address, play: 'soft' as const, incident, step: 'editing' as const, type: t.parsed.type, id: found.id, file: t.file.name, before: already ? null : sha256(t.file.text), stateCopy, serial: state.serial, lineage: state.lineage, at: s.now() }
  s.journal.put({ ...item, step: 'editing' })
  if (!already) writeWhole(t.file.name, applyEdits(t.file.text, softEdits(t, address, incident)))
  s.progress('checking that a plan leaves it alone')
  const answer = await isQuiet(s, address, { inState: true })
  if (!answer.quiet) {
    undoSoft(s, address)
    s.journal.remove(address)
    throw new ReglazeError(REPAIR.REPAIR_NOT_QUIET, `a plan would still ${answer.reason}`, { place: t.file.name })
  }
  s.journal.put({ ...item, step: 'quarantined' })
  return { address, kind: 'soft', incident, id: found.id, file: t.file.name, alsoAffects: sharing(config, t, state), proof: answer.proof, stateCopy, effort: s.effort() }
}

/** Regions of a soft quarantine inside the block, whichever instance they were made for. */
function softRegions(t: Target): Region[] {
  return regions(t.file).filter((r) => r.what.startsWith('soft ') && r.start >= t.block.start && r.end <= t.block.end)
}

function softEdits(t: Target, address: string, incident: string): Edit[] {
  const mark = { incident, what: `soft ${address}` }
  const lifecycle = blocks(t.block.items, 'lifecycle')[0]
  if (!lifecycle) return [addMarkedToBlock(t.file, t.block, LIFECYCLE, mark)]
  const old = ['ignore_changes', 'prevent_destroy'].map((n) => attribute(lifecycle.items, n)).filter((a) => a !== undefined)
  return [...old.map((a) => commentOut(t.file, a, mark)), addMarkedToBlock(t.file, lifecycle, INSIDE, mark)]
}

/** Takes the edit away, unless another instance of the same code is still quarantined by it. Returns the file's text. */
function undoSoft(s: Session, address: string): HclFile {
  const config = s.config()
  const t = target(config, address)
  const others = s.journal.read().filter((i) => i.address !== address && i.play === 'soft').filter((i) => target(config, i.address).block === t.block)
  const found = softRegions(t)
  if (others.length > 0 || found.length === 0) return t.file
  const text = applyEdits(t.file.text, found.map((r) => removeRegion(t.file, r)))
  writeWhole(t.file.name, text)
  return { ...t.file, text }
}

export async function softRelease(s: Session, address: string): Promise<ReleaseResult> {
  const known = s.journal.find(address)
  const t = target(s.config(), address)
  if (!known && softRegions(t).length === 0) throw new ReglazeError(REPAIR.REPAIR_NOT_QUARANTINED, `${address} is not quarantined`, { place: t.file.name })
  if (known) s.journal.put({ ...known, step: 'releasing' })
  const file = undoSoft(s, address)
  const exact = known?.before ? sha256(file.text) === known.before : softRegions(target(s.config(), address)).length === 0
  return { address, kind: 'soft', id: known?.id ?? null, file: t.file.name, exact, secretsSet: [], differs: [], effort: s.effort() }
}
