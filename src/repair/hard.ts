/**
 * The hard quarantine: the object leaves state and code and nobody's Terraform touches it. Every step in between is safe to
 * stop at: the code is commented out in the same write that adds `removed { destroy = false }`, so that a plan forgets
 * but never destroys; only then the state entry goes, and last the removed block.
 */
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ReglazeError } from '../core/errors.ts'
import {
  applyEdits, applyFile, changeVerdict, commentOut, configFiles, dependentsOf, importBlock, indexState, localName, markedLines, place, regions, removedBlock, removeRegion,
  type Config, type HclFile, type PlanDocument, type Region,
} from '../terraform/index.ts'
import { REPAIR } from './errors.ts'
import { sha256, writeWhole } from './journal.ts'
import type { JournalItem, QuarantineResult, ReleaseResult } from './model.ts'
import { isQuiet } from './quiet.ts'
import { pulled, sharing, target, withPlan, type Session, type Target } from './session.ts'

export async function hardQuarantine(s: Session, address: string, incident: string): Promise<QuarantineResult> {
  const known = s.journal.find(address)
  if (known && (known.play !== 'hard' || known.incident !== incident)) throw new ReglazeError(REPAIR.REPAIR_ALREADY, `${address} is quarantined (${known.play}) for ${known.incident}`)
  const item = known ?? (await begin(s, address, incident))
  s.journal.put({ ...item, step: 'editing' })
  const off = findRegion(s.config(), 'off', `hard ${address}`)
  if (!off) await takeOutOfCode(s, item)
  await takeOutOfState(s, item)
  dropRegion(s, 'added', `removed ${address}`)
  s.progress('checking that a plan leaves it alone')
  const answer = await isQuiet(s, address, { inState: false })
  if (!answer.quiet) {
    await rollback(s, item)
    throw new ReglazeError(REPAIR.REPAIR_NOT_QUIET, `a plan would still ${answer.reason}`, { place: item.file ?? s.dir })
  }
  s.journal.put({ ...item, step: 'quarantined' })
  return { address, kind: 'hard', incident, id: item.id, file: item.file as string, alsoAffects: [], proof: answer.proof, stateCopy: item.stateCopy as string, effort: s.effort() }
}

/** All refusals come before the first change: dependents, shared code, code that would not be valid. */
async function begin(s: Session, address: string, incident: string): Promise<JournalItem> {
  const config = s.config()
  const t = target(config, address)
  const { state, text, entry } = await pulled(s)
  const found = entry(address)
  if (!found?.id) throw new ReglazeError(REPAIR.REPAIR_NO_STATE, `the state has no ${address} with an id`, { place: s.dir })
  const shared = sharing(config, t, state)
  if (shared.length > 0 || t.parsed.key !== null) throw new ReglazeError(REPAIR.REPAIR_SHARED_CODE, shared.length > 0 ? `the same code makes ${shared.join(', ')}` : `${address} is an instance of count or for_each`, { place: place(t.file, t.block.start) })
  const dependents = [...new Set([...dependentsOf(t.module, localName(t.parsed)).map((d) => d.what), ...indexState(state).dependents(address).map((e) => e.address)])]
  if (dependents.length > 0) throw new ReglazeError(REPAIR.REPAIR_HAS_DEPENDENTS, `${dependents.join(', ')} refer to ${address}`, { place: place(t.file, t.block.start), data: { dependents } })
  await validateWithout(s, config, t, address, incident)
  return { address, play: 'hard', incident, step: 'editing', type: t.parsed.type, id: found.id, file: t.file.name, before: sha256(t.file.text), stateCopy: s.journal.keepState(state.serial, state.lineage, text), serial: state.serial, lineage: state.lineage, at: s.now() }
}

/** `validate` of a copy without the block: finds references that the reader does not see. */
async function validateWithout(s: Session, config: Config, t: Target, address: string, incident: string): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'reglaze-validate-'))
  try {
    const dirs = [...config.modules.keys()]
    for (const d of dirs) cpSync(d, join(folder, d), { recursive: true, dereference: true, filter: (f) => !/\/(\.git|\.terraform|node_modules|\.reglaze)$|\.tfstate(\.|$)/.test(f) })
    writeFileSync(join(folder, t.file.name), applyEdits(t.file.text, [commentOut(t.file, t.block, { incident, what: `hard ${address}` })]))
    const root = join(folder, s.dir)
    if (existsSync(join(s.dir, '.terraform'))) symlinkSync(join(s.dir, '.terraform'), join(root, '.terraform'))
    const run = await s.place.runner.run(['validate', '-json'], { cwd: root, ...(s.place.env && { env: s.place.env }), ...(s.place.signal && { signal: s.place.signal }), ok: [0, 1] })
    const answer = JSON.parse(run.stdout) as { valid: boolean; diagnostics: { severity: string; summary: string; range?: { filename: string; start: { line: number; column: number } } }[] }
    const error = answer.diagnostics.find((d) => d.severity === 'error')
    if (!answer.valid) throw new ReglazeError(REPAIR.REPAIR_INVALID, `without ${address}: ${error?.summary ?? 'not valid'}`, { place: error?.range ? `${error.range.filename}:${error.range.start.line}:${error.range.start.column}` : s.dir })
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** One write: the block is commented out and, where Terraform can, a removed block takes its place until the state is done. */
async function takeOutOfCode(s: Session, item: JournalItem): Promise<void> {
  const t = target(s.config(), item.address)
  const [major, minor] = s.place.runner.version.split('.').map(Number) as [number, number]
  const off = commentOut(t.file, t.block, { incident: item.incident, what: `hard ${item.address}` })
  const edits = [off]
  if (major > 1 || minor >= 7) {
    // In front of the block, so that taking it away again gives every byte back.
    const removed = markedLines(t.file, removedBlock(localName(t.parsed)), '', { incident: item.incident, what: `removed ${item.address}` })
    edits.unshift({ start: off.start, end: off.start, text: removed })
  } else {
    // Before 1.7 a plan between the two steps would destroy: the state goes first, and a plan then would make a second object.
    await takeOutOfState(s, item)
  }
  s.progress(`commenting out ${item.address}`)
  writeWhole(t.file.name, applyEdits(t.file.text, edits))
}

async function takeOutOfState(s: Session, item: JournalItem): Promise<void> {
  const { entry } = await pulled(s)
  const found = entry(item.address)
  if (!found) return
  if (found.id !== item.id) throw new ReglazeError(REPAIR.REPAIR_OTHER_OBJECT, `${item.address} is ${found.id} now, it was ${item.id}`, { place: s.dir })
  s.progress(`taking ${item.address} out of the state`)
  await s.place.runner.run(['state', 'rm', '-lock-timeout=5s', item.address], { cwd: s.dir, ...(s.place.env && { env: s.place.env }), ...(s.place.signal && { signal: s.place.signal }) })
}

/** Back to before: code first (a plan then only wants to create or import, which we do not apply), then the old state. */
async function rollback(s: Session, item: JournalItem): Promise<void> {
  s.progress('rolling back')
  const { state, entry } = await pulled(s)
  if (!entry(item.address)) {
    if (state.lineage !== item.lineage || state.serial !== item.serial + 1) {
      throw new ReglazeError(REPAIR.REPAIR_STATE_MOVED, `the state is at serial ${state.serial}, expected ${item.serial + 1}; the copy from before is ${item.stateCopy}`, { place: s.dir })
    }
    const old = JSON.parse(readFileSync(item.stateCopy as string, 'utf8')) as { serial: number }
    const file = join(s.journal.folder, 'push.tfstate')
    writeFileSync(file, JSON.stringify({ ...old, serial: state.serial + 1 }), { mode: 0o600 })
    await s.place.runner.run(['state', 'push', '-lock-timeout=5s', file], { cwd: s.dir, ...(s.place.env && { env: s.place.env }) }).finally(() => rmSync(file, { force: true }))
  }
  dropRegion(s, 'added', `removed ${item.address}`)
  dropRegion(s, 'off', `hard ${item.address}`)
  s.journal.remove(item.address)
}

function findRegion(config: Config, kind: Region['kind'], what: string): { file: HclFile; region: Region } | undefined {
  for (const file of configFiles(config)) {
    const region = regions(file).find((r) => r.kind === kind && r.what === what)
    if (region) return { file, region }
  }
  return undefined
}
/** Takes a marked region away; nothing to do when it is not there. */
function dropRegion(s: Session, kind: Region['kind'], what: string): void {
  const found = findRegion(s.config(), kind, what)
  if (found) writeWhole(found.file.name, applyEdits(found.file.text, [removeRegion(found.file, found.region)]))
}

const IMPORT_FILE = 'reglaze_import.tf'

/** Code back, import block with the remembered id, a plan that only imports, apply, import block away. */
export async function hardRelease(s: Session, address: string, o: { acceptUpdate?: boolean }): Promise<ReleaseResult> {
  const item = s.journal.find(address)
  if (!item || item.play !== 'hard') throw new ReglazeError(REPAIR.REPAIR_NOT_QUARANTINED, `${address} is not quarantined by taking it out of the state`, { place: s.journal.path })
  s.journal.put({ ...item, step: 'releasing' })
  const { entry } = await pulled(s)
  const importFile = join(s.dir, IMPORT_FILE)
  let done: { secretsSet: readonly string[]; differs: readonly string[] } = { secretsSet: [], differs: [] }
  if (!entry(address)) {
    // The import block comes first: code without it would plan a second object.
    writeWhole(importFile, `# reglaze:${item.incident} import ${address}\n${importBlock(address, item.id as string)}`)
    dropRegion(s, 'added', `removed ${address}`)
    dropRegion(s, 'off', `hard ${address}`)
    done = await importBack(s, item, importFile, o)
  } else dropRegion(s, 'off', `hard ${address}`)
  const now = (await pulled(s)).entry(address)
  if (now?.id !== item.id) throw new ReglazeError(REPAIR.REPAIR_OTHER_OBJECT, `${address} is ${now?.id ?? 'nothing'} now, it was ${item.id}`, { place: s.dir })
  rmSync(importFile, { force: true })
  const text = target(s.config(), address).file.text
  return { address, kind: 'hard', id: item.id, file: item.file as string, exact: sha256(text) === item.before, ...done, effort: s.effort() }
}

async function importBack(s: Session, item: JournalItem, importFile: string, o: { acceptUpdate?: boolean }): Promise<{ secretsSet: readonly string[]; differs: readonly string[] }> {
  s.progress(`importing ${item.id} as ${item.address}`)
  const again = (): void => {
    const t = target(s.config(), item.address)
    writeWhole(t.file.name, applyEdits(t.file.text, [commentOut(t.file, t.block, { incident: item.incident, what: `hard ${item.address}` })]))
    rmSync(importFile, { force: true })
    s.journal.put({ ...item, step: 'quarantined' })
  }
  return withPlan(s, 'release', [`-target=${item.address}`], async (plan, file, error) => {
    try {
      if (!plan || plan.errored) throw new ReglazeError(REPAIR.REPAIR_WOULD_CHANGE, `no plan for the import: ${error?.summary ?? ''}`, { place: error?.place ?? s.dir })
      const judged = judgeImport(plan, item, o)
      await applyFile(s.place, file)
      return judged
    } catch (e) {
      if (!(await pulled(s)).entry(item.address)) again()
      throw e
    }
  })
}

function judgeImport(plan: PlanDocument, item: JournalItem, o: { acceptUpdate?: boolean }): { secretsSet: readonly string[]; differs: readonly string[] } {
  const found = (plan.resource_changes ?? []).filter((c) => c.mode === 'managed').map((c) => ({ c, v: changeVerdict(c) })).filter(({ v }) => v.verdict !== 'clean')
  const destroys = found.filter(({ v }) => v.verdict === 'would-destroy')
  if (destroys.length > 0) throw new ReglazeError(REPAIR.REPAIR_WOULD_DESTROY, `the import would destroy ${destroys.map(({ v }) => `${v.address} (${v.reason}: ${v.attributes.join(', ')})`).join(', ')}`)
  const others = found.filter(({ v }) => v.address !== item.address)
  const own = found.find(({ v }) => v.address === item.address)
  if (others.length > 0) throw new ReglazeError(REPAIR.REPAIR_WOULD_CHANGE, `the import would also change ${others.map(({ v }) => v.address).join(', ')}`)
  if (own?.c.change.importing?.id !== item.id) throw new ReglazeError(REPAIR.REPAIR_OTHER_OBJECT, `the plan imports ${own?.c.change.importing?.id ?? 'nothing'}, the quarantined object is ${item.id}`)
  if (own.v.verdict === 'needs-write-only-apply') return { secretsSet: own.v.attributes, differs: [] }
  if (own.v.verdict === 'would-revert') {
    if (!o.acceptUpdate) throw new ReglazeError(REPAIR.REPAIR_WOULD_CHANGE, `releasing would change ${own.v.attributes.join(', ')} of ${item.address} to what the code says`, { hint: 'Edit the code to what is real first, or release with the update accepted.', data: { attributes: own.v.attributes } })
    return { secretsSet: [], differs: own.v.attributes }
  }
  return { secretsSet: [], differs: [] }
}
