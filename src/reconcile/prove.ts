/** The no-op proof (§5.2 of the Terraform reference): from plan JSON, never from an exit code. */
import { createHash } from 'node:crypto'
import { rmSync } from 'node:fs'
import { join, relative } from 'node:path'
import { canonical } from '../core/json.ts'
import {
  differences, disk, formatPath, loadConfig, NEXT_STEP, NOISE, planTo, planVerdict, providerSchemas, pullState, redactPlan, resourceSchema, stateEntries, worst,
  type NoiseRule, type PlanDocument, type ProviderSchemas, type Verdict,
} from '../terraform/index.ts'
import { currentBranch, dirtyFiles, headCommit } from './git.ts'
import type { Proof, Recheck } from './model.ts'
import { openSession, type EngineOptions, type Session } from './session.ts'

export interface ProveOptions extends EngineOptions {
  /** Drift that people decided to live with; shown in the proof. */
  readonly accepted?: readonly NoiseRule[]
}

/** One normal plan between two looks at the state's serial; `verdict: 'clean'` only when nothing at all is left. */
export async function prove(dir: string, o: ProveOptions = {}): Promise<Proof> {
  const s = await openSession(dir, o)
  const open: string[] = []
  const before = (await pullState(s.place)).state
  const schemas = await providerSchemas(s.place).catch(() => null)
  s.progress('planning for the proof')
  const file = join(s.workDir, `prove-${process.pid}.tfplan`)
  const planned = await planTo(s.place, file, s.varArgs).finally(() => rmSync(file, { force: true }))
  const after = (await pullState(s.place)).state
  if (before.serial !== after.serial || before.lineage !== after.lineage) open.push(`the state moved from serial ${before.serial} to ${after.serial} while it was proven`)
  const error = planned.diagnostics.find((d) => d.severity === 'error')
  if (error) open.push(`the plan failed: ${error.summary}${error.place ? ` (${error.place})` : ''}`)
  const git = await gitFacts(s, open)
  const judged = planned.plan ? judge(planned.plan, schemas, o.accepted ?? [], open) : { verdict: 'incomplete' as const, noise: [] }
  const verdict: Verdict = worst([judged.verdict, ...(open.length > 0 && judged.verdict === 'clean' ? (['incomplete'] as const) : [])])
  const digest = planned.plan ? planDigest(s, planned.plan, schemas) : null
  return {
    verdict, nextStep: git.dirty && verdict === 'incomplete' ? 'Commit the code, then prove again.' : NEXT_STEP[verdict], open, noise: judged.noise, planDigest: digest, ...git,
    serial: after.serial, lineage: after.lineage, terraformVersion: s.runner.version, resources: stateEntries(after).filter((e) => e.mode === 'managed').length,
    at: s.now().toISOString(), effort: s.effort(),
  }
}

async function gitFacts(s: Session, open: string[]): Promise<Pick<Proof, 'commit' | 'branch' | 'dirty'>> {
  const commit = s.git ? await headCommit(s.git) : null
  if (!s.git || !commit) {
    open.push('the code is in no git commit: a proof names the code it is about')
    return { commit: null, branch: null, dirty: true }
  }
  const config = loadConfig(disk, s.dir, { varFiles: s.varFiles })
  const folders = [...config.modules.keys()].map((d) => relative((s.git as NonNullable<Session['git']>).top, d) || '.').filter((d) => !d.startsWith('..'))
  const files = await dirtyFiles(s.git, folders)
  if (files.length > 0) open.push(`not committed: ${files.join(', ')}`)
  return { commit, branch: await currentBranch(s.git), dirty: files.length > 0 }
}

function judge(plan: PlanDocument, schemas: ProviderSchemas | null, accepted: readonly NoiseRule[], open: string[]): Pick<Proof, 'verdict' | 'noise'> {
  const v = planVerdict(plan)
  open.push(...v.incomplete)
  for (const c of v.changes) open.push(`${c.address}: ${c.verdict}${c.attributes.length > 0 ? ` (${c.attributes.join(', ')})` : ''}, ${c.reason}`)
  for (const name of v.outputs) open.push(`output.${name} would change`)
  const noise: Proof['noise'][number][] = []
  const found: Verdict[] = [v.verdict]
  for (const r of plan.resource_drift ?? []) {
    if (r.mode !== 'managed') continue
    if (r.change.actions.includes('delete')) {
      open.push(`${r.address} is gone, the state does not know it yet`)
      found.push('drift')
      continue
    }
    for (const d of differences(r.type, r.change.before, r.change.after, resourceSchema(schemas, r.type, r.provider_name), NOISE)) {
      const attribute = formatPath(d.path)
      const lived = accepted.some((a) => (a.type === '*' || a.type === r.type) && (a.attribute === attribute || a.attribute === String(d.path[0])))
      if (lived || d.class === 'noise' || d.class === 'equal-json' || d.class === 'equal-set') noise.push({ address: r.address, attribute, class: d.class })
      else {
        open.push(`${r.address}.${attribute} differs from the state (${d.class})`)
        found.push('drift')
      }
    }
  }
  return { verdict: worst(found), noise }
}

/** SHA-256 of the plan without secrets, time and text that differs by run. */
function planDigest(s: Session, plan: PlanDocument, schemas: ProviderSchemas | null): string {
  const { timestamp: _timestamp, ...rest } = redactPlan(plan, schemas, s.digest) as PlanDocument & Record<string, unknown>
  return createHash('sha256').update(canonical(rest)).digest('hex')
}

/** Does a proof still hold? One `state pull` and a look at git; it does not plan again. */
export async function recheck(dir: string, proof: Proof, o: EngineOptions = {}): Promise<Recheck> {
  const s = await openSession(dir, o)
  const reasons: string[] = []
  if (proof.verdict !== 'clean') reasons.push(`it was never clean (${proof.verdict})`)
  const { state } = await pullState(s.place)
  if (state.lineage !== proof.lineage) reasons.push('it is about another state (the lineage differs)')
  else if (state.serial !== proof.serial) reasons.push(`the state is at serial ${state.serial}, the proof saw ${proof.serial}`)
  const git = await gitFacts(s, reasons)
  if (git.commit !== null && git.commit !== proof.commit) reasons.push(`the code is at commit ${git.commit.slice(0, 12)}, the proof saw ${proof.commit?.slice(0, 12) ?? 'none'}`)
  if (s.runner.version !== proof.terraformVersion) reasons.push(`Terraform is ${s.runner.version}, the proof was made with ${proof.terraformVersion}`)
  return { stale: reasons.length > 0, reasons }
}
