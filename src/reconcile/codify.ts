/** Makes the code say what is real: the smallest edits, verified by a plan, committed on a branch. */
import { renameSync, writeFileSync } from 'node:fs'
import { relative } from 'node:path'
import { ReglazeError } from '../core/errors.ts'
import { disk, planVerdict, type PlanVerdict } from '../terraform/index.ts'
import { Draft } from './draft.ts'
import { RECONCILE } from './errors.ts'
import { branchCommit, changedFiles, commitFiles, currentBranch, diffText, dirtyFiles, fileAt, findGit, headCommit, mergeBase, messageOf, plainDiff, restore, switchTo, type GitPlace } from './git.ts'
import { look, report, type CheckOptions, type Seen } from './look.ts'
import { decisionFor, type CheckResult, type CodifyResult, type Decision } from './model.ts'
import { generateCode, isRootAddress, planEdited } from './scratch.ts'
import type { Session } from './session.ts'

export interface CodifyOptions extends CheckOptions {
  /** `INC-42`: names the branch, the commit and the markers. */
  readonly incident: string
  /** Default `reglaze/<incident>`. */
  readonly branch?: string
  /** First line of the commit; the decisions follow below it. */
  readonly message?: string
  /** `files` edits in place without git. Default `branch`. */
  readonly write?: 'branch' | 'files'
}

/**
 * Codifies decisions. Nothing is visible before the one atomic step that puts the commit on the branch; running it
 * again after a crash gives the same end. What can not be codified is in `refused`, the rest is done.
 */
export async function codify(dir: string, decisions: readonly Decision[], o: CodifyOptions): Promise<CodifyResult> {
  const branch = o.branch ?? `reglaze/${o.incident}`
  const inFiles = o.write === 'files'
  if (!inFiles) await toBranch(dir, branch, o)
  const seen = await look(dir, o)
  const { session } = seen
  const found = report(seen, o)
  checkDecisions(decisions, found, seen)
  const draft = new Draft(seen, o.incident)
  for (const r of found.resources) draft.values(r, decisions)
  draft.flush()
  for (const r of found.resources) draft.forget(r, decisions)
  for (const d of decisions) if (d.action === 'forget') draft.forgetExisting(d, found)
  await imports(seen, draft, decisions, found)
  const secrets = draft.secrets
  if (draft.changed.size > 0) await verify(seen, draft, decisions, found)
  const written = inFiles ? await writeFiles(session, draft) : await writeBranch(session, draft, branch, o, decisions)
  return { ...written, edits: draft.notes, refused: draft.refused, secrets, unchanged: draft.changed.size === 0, effort: session.effort() }
}

/** A branch of an earlier run is where we go on; one that is merged already is left behind. */
async function toBranch(dir: string, branch: string, o: CodifyOptions): Promise<void> {
  const git = await findGit(dir, o.env)
  const head = git && (await headCommit(git))
  if (!git || !head) throw new ReglazeError(RECONCILE.RECONCILE_NO_GIT, `${dir} is not in a git repository with a commit`, { place: dir })
  const tip = await branchCommit(git, branch)
  if (!tip) return
  if ((await currentBranch(git)) === branch) await finishCheckout(git, tip)
  else if ((await mergeBase(git, tip, head)) !== tip) await switchTo(git, branch)
}

/** A crash between "the branch has our commit" and "the files have it" leaves the files of the commit before: finish that. */
async function finishCheckout(git: GitPlace, tip: string): Promise<void> {
  const parent = trailer(await messageOf(git, tip), 'Reglaze-Parent')
  if (!parent) return
  const late: string[] = []
  const dirty = new Set(await dirtyFiles(git))
  for (const path of await changedFiles(git, parent, tip)) {
    if (dirty.has(path) && disk.read(`${git.top}/${path}`) === (await fileAt(git, parent, path))) late.push(path)
  }
  if (late.length > 0) await restore(git, late)
}
function trailer(message: string, name: string): string | null {
  return new RegExp(`^${name}: ([0-9a-f]+)$`, 'm').exec(message)?.[1] ?? null
}

function checkDecisions(decisions: readonly Decision[], found: CheckResult, seen: Seen): void {
  for (const d of decisions) {
    if (d.action === 'import' || d.action === 'none') continue
    const known = found.resources.some((r) => r.address === d.address) || seen.index.byAddress.has(d.address)
    if (!known && d.action !== 'forget') throw new ReglazeError(RECONCILE.RECONCILE_UNKNOWN_DECISION, `there is nothing at ${d.address} to ${d.action}`, { place: d.address })
  }
}

async function imports(seen: Seen, draft: Draft, decisions: readonly Decision[], found: CheckResult): Promise<void> {
  const wanted: { address: string; id: string }[] = []
  for (const d of decisions.filter((x) => x.action === 'import')) {
    const id = d.id ?? found.resources.find((r) => r.address === d.address && r.class === 'unmanaged')?.id
    if (seen.index.byAddress.has(d.address) || draft.has(d.address)) continue
    if (!id) draft.refuse(d.address, null, 'the id of the object is not known', null, ['give the id with the decision'])
    else if (!isRootAddress(d.address)) draft.refuse(d.address, null, 'an object is imported into the root module; a module call has no place for new code', null, ['choose an address without `module.`'])
    else wanted.push({ address: d.address, id })
  }
  if (wanted.length === 0) return
  seen.session.progress(`reading ${wanted.length} object(s) to import`)
  const { text, error } = await generateCode(seen.session, seen.config, wanted)
  for (const w of wanted) draft.importObject(w.address, w.id, text, error)
}

/** The plan of the edited code may do nothing that was not there before and that nobody decided about. */
async function verify(seen: Seen, draft: Draft, decisions: readonly Decision[], found: CheckResult): Promise<void> {
  const { session } = seen
  session.progress('planning the edited code')
  const { plan, diagnostics } = await planEdited(session, draft.config, draft.changed, seen.stateText)
  const errors = diagnostics.filter((d) => d.severity === 'error')
  if (!plan || plan.errored) {
    const before = seen.normal === null || seen.normal.errored === true
    const first = errors[0]
    if (!before) throw new ReglazeError(RECONCILE.RECONCILE_WOULD_CHANGE, `the edited code does not plan: ${first?.summary ?? ''} ${first?.detail ?? ''}`.trim(), { place: first?.place ?? session.dir })
    draft.unverified(`the edited code can not be planned as a whole yet: ${first?.summary ?? 'no diagnostic'}`)
  }
  if (!plan) return
  const offending = unexpected(planVerdict(plan), seen, draft, decisions, found)
  if (offending.length > 0) {
    throw new ReglazeError(RECONCILE.RECONCILE_WOULD_CHANGE, `the edited code would also do: ${offending.join('; ')}`, { place: session.dir, data: { offending } })
  }
}

function unexpected(verdict: PlanVerdict, seen: Seen, draft: Draft, decisions: readonly Decision[], found: CheckResult): string[] {
  const before = new Map((seen.normal ? planVerdict(seen.normal).changes : []).map((c) => [c.address, c]))
  const out: string[] = []
  for (const c of verdict.changes) {
    if (c.verdict === 'needs-output-refresh') continue
    const codified = c.attributes.filter((a) => draft.codified.has(`${c.address}\n${a}`))
    if (codified.length > 0 && c.verdict !== 'needs-write-only-apply') {
      out.push(`${c.address} would still change ${codified.join(', ')}`)
      continue
    }
    const was = before.get(c.address)
    const decided = decisionFor(decisions, c.address, null)?.action
    const expected =
      (c.verdict === 'forget' && decided === 'forget') ||
      ((c.verdict === 'needs-import-apply' || c.verdict === 'needs-write-only-apply') && draft.imported.has(c.address)) ||
      (was !== undefined && was.verdict === c.verdict && c.attributes.every((a) => was.attributes.includes(a))) ||
      (c.verdict !== 'would-destroy' && found.resources.some((r) => r.address === c.address && (r.class === 'gone' || r.class === 'not-made' || c.attributes.every((a) => r.differences.some((d) => d.path[0] === a)))))
    if (!expected) out.push(`${c.verdict} ${c.address}${c.attributes.length > 0 ? ` (${c.attributes.join(', ')})` : ''}`)
  }
  return out
}

type Written = Pick<CodifyResult, 'branch' | 'commit' | 'base' | 'patch' | 'files'>

/** Each file is replaced as a whole, by renaming: a crash leaves old or new, and the next run does what is missing. */
async function writeFiles(s: Session, draft: Draft): Promise<Written> {
  const before = new Map([...draft.changed.keys()].map((p) => [p, disk.read(p) ?? '']))
  const patch = await plainDiff(before, draft.changed, s.workDir)
  for (const [path, text] of draft.changed) {
    writeFileSync(`${path}.reglaze-new`, text)
    renameSync(`${path}.reglaze-new`, path)
  }
  return { branch: null, commit: null, base: null, patch, files: [...draft.changed.keys()].map((p) => relative(s.dir, p)).sort() }
}

async function writeBranch(s: Session, draft: Draft, branch: string, o: CodifyOptions, decisions: readonly Decision[]): Promise<Written> {
  const git = s.git
  const parent = git && (await headCommit(git))
  if (!git || !parent) throw new ReglazeError(RECONCILE.RECONCILE_NO_GIT, `${s.dir} is not in a git repository`, { place: s.dir })
  const expected = await branchCommit(git, branch)
  const here = (await currentBranch(git)) === branch
  const base = (here && expected && trailer(await messageOf(git, expected), 'Reglaze-Base')) || parent
  if (draft.changed.size > 0) {
    const files = new Map([...draft.changed].map(([p, text]) => [relative(git.top, p), text]))
    const paths = [...files.keys()]
    const outside = paths.filter((p) => p.startsWith('..'))
    if (outside.length > 0) throw new ReglazeError(RECONCILE.RECONCILE_NO_GIT, `${outside.join(', ')} is outside the repository`, { place: s.dir })
    const dirty = await dirtyFiles(git, paths)
    if (dirty.length > 0) throw new ReglazeError(RECONCILE.RECONCILE_DIRTY, `not committed: ${dirty.join(', ')}`, { place: git.top })
    await commitFiles(git, { branch, parent, expected, files, message: message(draft, o, decisions, { base, parent }) })
    if (here) await restore(git, paths)
    else await switchTo(git, branch)
  }
  const commit = await branchCommit(git, branch)
  if (!commit) return { branch: null, commit: null, base: parent, patch: '', files: [] }
  const from = trailer(await messageOf(git, commit), 'Reglaze-Base') ?? base
  return { branch, commit, base: from, patch: await diffText(git, from, commit), files: await changedFiles(git, from, commit) }
}

function message(draft: Draft, o: CodifyOptions, decisions: readonly Decision[], at: { base: string; parent: string }): string {
  const head = o.message ?? `${o.incident}: code says what was done by hand`
  const edits = draft.notes.filter((n) => n.kind !== 'note').map((n) => `- ${n.address}${n.attribute ? ` ${n.attribute}` : ''}: ${n.kind} (${n.place})`)
  const taken = decisions.map((d) => `${d.action} ${d.address}${d.attribute ? ` ${d.attribute}` : ''}`)
  return `${head}\n\n${edits.join('\n')}\n\nDecisions: ${taken.join(', ')}\n\nReglaze-Incident: ${o.incident}\nReglaze-Base: ${at.base}\nReglaze-Parent: ${at.parent}\n`
}
