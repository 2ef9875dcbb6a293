/** Looks at expected (code), state and actual, also when Terraform can make no normal plan. */
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { sameJson, type Json } from '../core/json.ts'
import type { InventoryItem } from '../core/ports.ts'
import {
  at, changedOutputs, differences, disk, formatPath, hasTrue, indexState, isObject, isSetType, loadConfig, NEXT_STEP, NOISE, parseAddress, planTo, planVerdict, providerSchemas, redactByPaths,
  resourceSchema, secret, sensitivePaths, stateEntries, traceOrigin, worst,
  type BlockSchema, type ChangeVerdict, type Config, type NoiseRule, type Path, type Planned, type PlanDocument, type ProviderSchemas, type ResourceChange, type StateDocument, type StateIndex, type Verdict,
} from '../terraform/index.ts'
import { orphanLook } from './scratch.ts'
import { suggestionFor, worstClass, type CheckResult, type Difference, type ItemClass, type ResourceReport } from './model.ts'
import { keepState, openSession, type EngineOptions, type Session } from './session.ts'
import { ReglazeError } from '../core/errors.ts'
import { RECONCILE } from './errors.ts'

export interface CheckOptions extends EngineOptions {
  /** What exists outside, to find objects that no state knows. */
  readonly inventory?: readonly InventoryItem[]
  /** `type/id` of objects that another workspace manages. */
  readonly managedElsewhere?: readonly string[]
  /** An earlier result: the same difference in it was there before the incident. */
  readonly baseline?: Pick<CheckResult, 'resources'>
  readonly noise?: readonly NoiseRule[]
}

export interface Seen {
  readonly session: Session
  readonly state: StateDocument
  readonly stateText: string
  readonly stateFile: string
  readonly index: StateIndex
  readonly schemas: ProviderSchemas | null
  readonly config: Config
  /** The refresh-only plan, or what stands in for it. */
  readonly refresh: PlanDocument | null
  readonly normal: PlanDocument | null
  readonly blind: string[]
  readonly noise: readonly NoiseRule[]
}

/** Two plans, two `show`, one `state pull`, one schema: the number of Terraform runs does not depend on what is found. */
export async function look(dir: string, o: CheckOptions): Promise<Seen> {
  const session = await openSession(dir, o)
  const blind: string[] = []
  // A file that can not be read stops every Terraform command too: our error names the place.
  const config = loadConfig(disk, session.dir, { varFiles: session.varFiles })
  session.progress('saving the state')
  const { state, text, file } = await keepState(session)
  if (state.resources.length === 0 && state.lineage === '') throw new ReglazeError(RECONCILE.RECONCILE_NO_STATE, `${session.dir} has no state`, { place: session.dir })
  const schemas = await providerSchemas(session.place).catch((e: unknown) => {
    blind.push(`the schemas of the providers: ${(e as Error).message}`)
    return null
  })
  session.progress('comparing the state with reality')
  let refresh = (await planned(session, 'refresh', ['-refresh-only'])).plan
  session.progress('comparing the code with the state')
  const normal = await planned(session, 'normal', [])
  if (normal.plan === null || normal.plan.errored) {
    for (const d of normal.diagnostics) if (d.severity === 'error') blind.push(`no complete plan: ${d.summary}${d.place ? ` (${d.place})` : ''}${d.address ? ` at ${d.address}` : ''}`)
  }
  if (refresh === null) {
    // The code does not evaluate at all; the objects are looked at through their state alone.
    session.progress('looking at the objects without the code')
    refresh = await orphanLook(session, config, text).catch((e: unknown) => {
      blind.push(`reality: ${(e as Error).message}`)
      return null
    })
  }
  return { session, state, stateText: text, stateFile: file, index: indexState(state), schemas, config, refresh, normal: normal.plan, blind, noise: [...NOISE, ...(o.noise ?? [])] }
}

/** Plans into the work folder; the plan file, which holds secrets, is removed at once. */
async function planned(s: Session, name: string, args: readonly string[]): Promise<Planned> {
  const file = join(s.workDir, `${name}-${process.pid}.tfplan`)
  rmSync(file, { force: true })
  try {
    return await planTo(s.place, file, [...s.varArgs, ...args])
  } finally {
    rmSync(file, { force: true })
  }
}

/** Expected against state against actual. Never changes anything; never has a secret in its result. */
export async function check(dir: string, o: CheckOptions = {}): Promise<CheckResult> {
  const seen = await look(dir, o)
  return report(seen, o)
}

export function report(seen: Seen, o: CheckOptions): CheckResult {
  const { session, state, index } = seen
  const drift = new Map<string, ResourceChange>()
  for (const r of [...(seen.normal?.resource_drift ?? []), ...(seen.refresh?.resource_drift ?? [])]) if (r.mode === 'managed') drift.set(r.address, r)
  const changes = new Map((seen.normal?.resource_changes ?? []).filter((c) => c.mode === 'managed').map((c) => [c.address, c]))
  const verdicts = seen.normal ? planVerdict(seen.normal) : null
  const changed = new Map((verdicts?.changes ?? []).map((c) => [c.address, c]))
  const addresses = [...new Set([...drift.keys(), ...changed.keys()])].filter((a) => drift.has(a) || changes.get(a)?.mode === 'managed').sort()
  const resources = addresses.map((a) => resourceReport(seen, a, drift.get(a), changes.get(a), changed.get(a), o.baseline)).filter((r) => r !== null)
  resources.push(...unmanaged(index, o))
  const errored = seen.normal === null || seen.normal.errored === true
  if (errored) {
    const unseen = stateEntries(state).filter((e) => e.mode === 'managed' && !changes.has(e.address)).map((e) => e.address)
    if (unseen.length > 0) seen.blind.push(`what the code wants of ${unseen.join(', ')}: read from the files, not from a plan`)
  }
  const verdict = headline(resources, errored ? 'incomplete' : (verdicts?.verdict ?? 'incomplete'))
  return {
    verdict, nextStep: NEXT_STEP[verdict], resources, outputs: seen.normal ? changedOutputs(seen.normal) : [], blind: seen.blind,
    serial: state.serial, lineage: state.lineage, terraformVersion: session.runner.version, stateCopy: seen.stateFile,
    at: session.now().toISOString(), effort: session.effort(),
  }
}

function headline(resources: readonly ResourceReport[], plan: Verdict): Verdict {
  const found: Verdict[] = [plan]
  const classes = new Set(resources.flatMap((r) => (r.differences.length > 0 ? r.differences.map((d) => d.class) : [r.class])))
  if (classes.has('would-destroy')) found.push('would-destroy')
  if (classes.has('gone')) found.push('would-create')
  if (['real', 'computed-only', 'secret', 'unmanaged', 'ignored'].some((c) => classes.has(c as ItemClass))) found.push('drift')
  if (['noise', 'equal-json', 'equal-set'].some((c) => classes.has(c as ItemClass))) found.push('noise-only')
  return worst(found)
}

function resourceReport(seen: Seen, address: string, drift: ResourceChange | undefined, change: ResourceChange | undefined, verdict: ChangeVerdict | undefined, baseline: CheckOptions['baseline']): ResourceReport | null {
  const source = (drift ?? change) as ResourceChange
  const schema = resourceSchema(seen.schemas, source.type, source.provider_name)
  const before = drift ? drift.change.before : (change?.change.before ?? null)
  const id = isObject(before) && before['id'] !== undefined ? String(before['id']) : (seen.index.byAddress.get(address)?.id ?? null)
  const old = baseline?.resources.find((r) => r.address === address)
  const whole = (cls: ItemClass, note: string | null): ResourceReport => ({ address, type: source.type, id, class: cls, suggested: suggestionFor(cls), differences: [], baseline: old?.class === cls, note })
  if (drift?.change.actions.includes('delete')) return whole('gone', 'the object was deleted outside Terraform')
  if (verdict?.verdict === 'would-destroy') {
    const differences = attributeDifferences(seen, address, schema, drift, change, old)
    return { ...whole('would-destroy', verdict.reason), differences, suggested: differences.length > 0 ? 'codify' : null }
  }
  if (verdict?.verdict === 'would-create') return whole('not-made', 'the code has it, no state knows it')
  if (verdict?.verdict === 'forget') return whole('forget', verdict.reason)
  if (verdict?.verdict === 'needs-import-apply') return whole('import', verdict.reason)
  if (verdict?.verdict === 'pending-move') return whole('move', verdict.reason)
  const found = attributeDifferences(seen, address, schema, drift, change, old)
  if (found.length === 0) return null
  const cls = worstClass(found.map((d) => d.class))
  return { ...whole(cls, null), differences: found, suggested: found.find((d) => d.class === cls)?.suggested ?? null, baseline: found.every((d) => d.baseline) }
}

function attributeDifferences(seen: Seen, address: string, schema: BlockSchema | null, drift: ResourceChange | undefined, change: ResourceChange | undefined, old: ResourceReport | undefined): Difference[] {
  const type = (drift ?? change)!.type
  const marks = [drift?.change.before_sensitive, drift?.change.after_sensitive, change?.change.before_sensitive, change?.change.after_sensitive]
  const secrets = sensitivePaths(schema)
  const found = new Map<string, Difference>()
  const add = (path: Path, state: Json, actual: Json, expected: Json | undefined, cls: ItemClass): void => {
    const attribute = formatPath(path)
    const hidden = marks.some((m) => m === true || markedAt(m, path)) || secrets.some((p) => p.every((x, i) => path[i] === x))
    const names = path.filter((p): p is string => typeof p === 'string')
    const show = (v: Json): Json => (hidden ? secret(v, seen.session.digest) : redactByPaths(v, secrets.filter((p) => names.every((n, i) => p[i] === n)).map((p) => p.slice(names.length)), seen.session.digest))
    const finalClass = hidden && cls !== 'computed-only' ? 'secret' : cls
    const known = old?.differences.find((d) => d.attribute === attribute)
    found.set(attribute, {
      attribute, path, ...(expected !== undefined && { expected: show(expected) }), state: show(state), actual: show(actual), class: finalClass, suggested: suggestionFor(finalClass),
      place: codePlace(seen, address, path), baseline: known !== undefined && !hidden && sameJson(known.actual, actual),
    })
  }
  const wants = change && change.change.after !== null ? change.change.after : undefined
  if (drift) {
    for (const d of differences(type, drift.change.before, drift.change.after, schema, seen.noise)) {
      const expected = wants === undefined ? written(seen, address, d.path) : at(wants, d.path) ?? null
      add(d.path, d.from, d.to, expected, d.class === 'real' ? realClass(seen, address, d.path, wants, d.to) : d.class)
    }
  }
  if (change && wants !== undefined && change.change.before !== null && !change.change.actions.every((a) => a === 'no-op')) {
    const unknown = change.change.after_unknown
    for (const d of differences(type, change.change.before, wants, schema, seen.noise)) {
      if (found.has(formatPath(d.path)) || d.class !== 'real' || hasTrue((isObject(unknown) ? unknown[String(d.path[0])] : null) ?? null)) continue
      add(d.path, d.from, d.from, d.to, 'would-revert')
    }
  }
  return [...found.values()]
}

/** Real drift that the code does not revert is either hidden by ignore_changes or nothing that the code speaks of. */
function realClass(seen: Seen, address: string, path: Path, wants: Json | undefined, actual: Json): ItemClass {
  const same = wants !== undefined && sameJson(at(wants, path) ?? null, actual)
  if (wants !== undefined && !same) return 'real'
  const origin = traceOrigin(seen.config, address, path, { env: seen.session.env })
  if (origin.kind === 'refused') return same ? 'ignored' : 'real'
  if (origin.kind === 'absent' && origin.via.length === 0) return 'computed-only'
  if (!same) return 'real'
  // The code speaks of it and the plan changes nothing: either it is ignored, or the code says it already.
  return origin.kind === 'expr' && origin.value !== undefined && sameJson(origin.value, actual) ? 'computed-only' : 'ignored'
}

/** What the files say, when there is no plan to ask. */
function written(seen: Seen, address: string, path: Path): Json | undefined {
  const origin = traceOrigin(seen.config, address, path, { env: seen.session.env })
  return origin.kind === 'expr' && origin.rest.length === 0 ? origin.value : undefined
}
function codePlace(seen: Seen, address: string, path: Path): string | null {
  const origin = traceOrigin(seen.config, address, path, { env: seen.session.env })
  if (origin.kind === 'refused') return origin.at
  const offset = origin.kind === 'expr' ? origin.expr.start : origin.kind === 'entry' ? origin.object.start : origin.block.start
  const line = origin.file.text.slice(0, offset).split('\n').length
  const name = origin.file.name.startsWith(`${seen.session.dir}/`) ? origin.file.name.slice(seen.session.dir.length + 1) : origin.file.name
  return `${name}:${line}`
}
function markedAt(marks: Json | undefined, path: Path): boolean {
  let m: Json | undefined = marks
  for (const p of path) {
    if (m === true) return true
    m = Array.isArray(m) && typeof p === 'number' ? m[p] : isObject(m) ? m[String(p)] : undefined
  }
  return m === true
}

/** Objects of the inventory that no state knows. */
function unmanaged(index: StateIndex, o: CheckOptions): ResourceReport[] {
  const elsewhere = new Set(o.managedElsewhere ?? [])
  const known = (i: InventoryItem): boolean => index.byId.has(`${i.type}/${i.id}`) || elsewhere.has(`${i.type}/${i.id}`)
  return (o.inventory ?? []).filter((i) => !known(i)).map((i) => {
    const name = i.name.replace(/[^\p{ID_Continue}-]/gu, '_').replace(/^([^\p{ID_Start}_])/u, '_$1') || 'imported'
    let address = `${i.type}.${name}`
    for (let n = 2; index.byAddress.has(address); n++) address = `${i.type}.${name}_${n}`
    const old = o.baseline?.resources.some((r) => r.class === 'unmanaged' && r.id === i.id && r.type === i.type) ?? false
    return { address, type: i.type, id: i.id, class: 'unmanaged' as const, suggested: 'import' as const, differences: [], baseline: old, note: `exists as ${i.id}, no state knows it` }
  })
}

/** Whether order is nothing for this attribute. */
export function isSetPath(schemas: ProviderSchemas | null, address: string, path: Path): boolean {
  const schema = resourceSchema(schemas, parseAddress(address).type)
  return path.length === 1 && (isSetType(schema?.attributes?.[String(path[0])]) || schema?.block_types?.[String(path[0])]?.nesting_mode === 'set')
}
