/** Takes away import and removed blocks that have done their work, once the state proves it. */
import { relative } from 'node:path'
import { ReglazeError } from '../core/errors.ts'
import { applyEdits, configFiles, disk, indexState, loadConfig, pullState, regions, removeRegion, type Edit, type HclFile, type StateIndex } from '../terraform/index.ts'
import { RECONCILE } from './errors.ts'
import { branchCommit, commitFiles, currentBranch, dirtyFiles, headCommit, restore } from './git.ts'
import { openSession, type EngineOptions } from './session.ts'

export interface TidyResult {
  /** `import sandbox_firewall.emergency`, … */
  readonly removed: readonly string[]
  readonly kept: readonly string[]
  readonly commit: string | null
}

/** Commits on the branch that is checked out. Nothing to do is success. */
export async function tidy(dir: string, o: EngineOptions & { incident: string }): Promise<TidyResult> {
  const s = await openSession(dir, o)
  const index = indexState((await pullState(s.place)).state)
  const removed: string[] = []
  const kept: string[] = []
  const files = new Map<string, string>()
  for (const file of configFiles(loadConfig(disk, s.dir, { varFiles: s.varFiles }))) {
    const edits: Edit[] = []
    for (const r of regions(file)) {
      if (r.kind !== 'added' || !/^(import|removed) /.test(r.what)) continue
      if (!isDone(r.what, index)) kept.push(r.what)
      else {
        removed.push(r.what)
        edits.push(withGap(file, removeRegion(file, r)))
      }
    }
    if (edits.length > 0) files.set(file.name, applyEdits(file.text, edits))
  }
  if (files.size === 0) return { removed, kept, commit: null }
  const git = s.git
  const parent = git && (await headCommit(git))
  const branch = git && (await currentBranch(git))
  if (!git || !parent || !branch) throw new ReglazeError(RECONCILE.RECONCILE_NO_GIT, `${s.dir} has no branch checked out`, { place: s.dir })
  const contents = new Map([...files].map(([p, text]) => [relative(git.top, p), text]))
  const dirty = await dirtyFiles(git, [...contents.keys()])
  if (dirty.length > 0) throw new ReglazeError(RECONCILE.RECONCILE_DIRTY, `not committed: ${dirty.join(', ')}`, { place: git.top })
  const message = `${o.incident}: blocks that have done their work\n\n${removed.map((r) => `- ${r}`).join('\n')}\n\nReglaze-Incident: ${o.incident}\nReglaze-Base: ${parent}\nReglaze-Parent: ${parent}\n`
  const commit = await commitFiles(git, { branch, parent, expected: await branchCommit(git, branch), files: contents, message })
  await restore(git, [...contents.keys()])
  return { removed, kept, commit }
}

function isDone(what: string, index: StateIndex): boolean {
  const address = what.slice(what.indexOf(' ') + 1)
  return what.startsWith('import ') ? index.byAddress.has(address) : !index.byAddress.has(address)
}
/** The empty line that was put before the region goes along. */
function withGap(file: HclFile, edit: Edit): Edit {
  const gap = /(?:^|\n)(\r?\n)$/.exec(file.text.slice(0, edit.start))
  return gap ? { ...edit, start: edit.start - (gap[1] as string).length } : edit
}
