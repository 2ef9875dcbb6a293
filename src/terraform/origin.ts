/** Follows a resource's attribute to the one place in the code that its value comes from (§7.3). */
import type { Json } from '../core/json.ts'
import { formatAddress, parseAddress, type InstanceKey, type ModuleStep } from './address.ts'
import { findResource, moduleAt, type Config, type Module } from './config.ts'
import type { Path } from './drift.ts'
import { literalValue, readExpr, type Element, type Entry, type Expr } from './hcl/expr.ts'
import { attribute, blocks, type Block, type HclFile } from './hcl/read.ts'
import { place, type Span } from './hcl/source.ts'

export type OriginPlace = 'literal' | 'module-argument' | 'variable-default' | 'tfvars' | 'local' | 'map-key' | 'json'

/** Where a step on the way led through; used to find who else reads the same value. */
export type Via =
  | { readonly kind: 'variable'; readonly module: string; readonly name: string }
  | { readonly kind: 'local'; readonly module: string; readonly name: string }
  | { readonly kind: 'each'; readonly module: string; readonly what: string; readonly key: InstanceKey }

export type Origin =
  /** The value is this expression; `value` when it is made of literals. */
  | { readonly kind: 'expr'; readonly file: HclFile; readonly expr: Expr; readonly place: OriginPlace; readonly via: readonly Via[]; readonly rest: Path; readonly value: Json | undefined }
  /** A key of this object is missing: it can be added. */
  | { readonly kind: 'entry'; readonly file: HclFile; readonly object: Span & { readonly entries: readonly Entry[] }; readonly key: string; readonly place: OriginPlace; readonly via: readonly Via[]; readonly rest: Path }
  /** The attribute stands nowhere: it can be added to this block. */
  | { readonly kind: 'absent'; readonly file: HclFile; readonly block: Block; readonly name: string; readonly place: OriginPlace; readonly via: readonly Via[]; readonly rest: Path }
  /** Repeated nested blocks; their number or their content differs. */
  | { readonly kind: 'blocks'; readonly file: HclFile; readonly block: Block; readonly name: string; readonly found: readonly Block[]; readonly via: readonly Via[]; readonly rest: Path }
  | { readonly kind: 'refused'; readonly reason: string; readonly at: string | null; readonly options: readonly string[] }

interface Scope {
  readonly config: Config
  readonly modules: readonly ModuleStep[]
  readonly module: Module
  /** Key of the resource instance (or of the module call while its arguments are read), for each.value. */
  readonly key: InstanceKey | null
  /** The block that `for_each` stands in, for each.value. */
  readonly owner: { readonly file: HclFile; readonly block: Block; readonly what: string } | null
  readonly env: Readonly<Record<string, string | undefined>>
  readonly via: readonly Via[]
  /** Iterator name → content of a dynamic block around. */
  readonly iterators: Readonly<Record<string, { readonly span: Span; readonly key: number }>>
}

const ACCEPT = 'accept the difference for a while with `ignore_changes`'
const BY_HAND = 'edit the code by hand, then prove'

/** Finds the origin of `path` (e.g. `['engine_version']`) of a resource instance. Never throws for what it does not understand. */
export function traceOrigin(config: Config, address: string, path: Path, o: { env?: Readonly<Record<string, string | undefined>> } = {}): Origin {
  const a = parseAddress(address)
  const at = moduleAt(config, a.modules)
  if ('foreign' in at) return refused(`the code of ${at.foreign} is not in this repository`, null, ['change the arguments of its module call', ACCEPT])
  const found = findResource(config, a)
  if (!found) return refused(`no block for ${formatAddress(a)} in ${at.module.dir}`, null, ['import it as a new block'])
  const scope: Scope = { config, modules: a.modules, module: at.module, key: a.key, owner: { file: found.file, block: found.node, what: `${a.type}.${a.name}` }, env: o.env ?? {}, via: [], iterators: {} }
  return inBlock(scope, found.file, found.node, path, 'literal')
}

function refused(reason: string, at: string | null, options: readonly string[]): Origin {
  return { kind: 'refused', reason, at, options }
}
function computed(file: HclFile, span: Span, what: string): Origin {
  return refused(`its value is computed: ${what}`, place(file, span.start), ['lift the value to a variable of this instance', ACCEPT, BY_HAND])
}

function inBlock(s: Scope, file: HclFile, block: Block, path: Path, where: OriginPlace): Origin {
  const [name, ...rest] = path
  if (typeof name !== 'string') return refused('this part of the value has no place of its own in the code', place(file, block.start), [BY_HAND])
  const found = attribute(block.items, name)
  if (found) return follow(s, file, found.expr, rest, where)
  const nested = blocks(block.items, name)
  const dynamic = blocks(block.items, 'dynamic', name)
  if (dynamic.length > 0) return inDynamic(s, file, dynamic, nested.length, name, rest)
  const [index, ...inner] = rest
  if (typeof index === 'number' && inner.length > 0 && nested[index]) return inBlock(s, file, nested[index], inner, where)
  if (nested.length > 0 || typeof index === 'number') return { kind: 'blocks', file, block, name, found: nested, via: s.via, rest }
  return { kind: 'absent', file, block, name, place: where, via: s.via, rest }
}

function inDynamic(s: Scope, file: HclFile, dynamic: readonly Block[], fixed: number, name: string, rest: Path): Origin {
  const only = dynamic[0] as Block
  const [index, ...inner] = rest
  const forEach = attribute(only.items, 'for_each')
  const content = blocks(only.items, 'content')[0]
  if (dynamic.length > 1 || fixed > 0 || typeof index !== 'number' || !forEach || !content || inner.length === 0) return computed(file, only, `dynamic "${name}"`)
  const iterator = attribute(only.items, 'iterator')
  const label = iterator ? file.text.slice(iterator.expr.start, iterator.expr.end) : name
  return inBlock({ ...s, iterators: { ...s.iterators, [label]: { span: forEach.expr, key: index } } }, file, content, inner, 'literal')
}

/** Follows an expression with the part of its value that is asked for. */
function follow(s: Scope, file: HclFile, span: Span, path: Path, where: OriginPlace): Origin {
  const e = readExpr(file, span)
  if (e.kind === 'wrapped') return follow(s, file, e.inner, path, where)
  if (e.kind === 'traversal') return followTraversal(s, file, e, path, where)
  if (e.kind === 'call') return followCall(s, file, e, path, where)
  if (e.kind === 'template' || e.kind === 'other') return computed(file, e, file.text.slice(e.start, e.end).split('\n')[0] as string)
  const [step, ...rest] = path
  if (step === undefined || e.kind === 'literal') {
    const value = literalValue(file, e)
    if (value === undefined && step === undefined) {
      return e.kind === 'literal' ? refused('not a value', place(file, e.start), [BY_HAND]) : { kind: 'expr', file, expr: e, place: where, via: s.via, rest: path, value: undefined }
    }
    return { kind: 'expr', file, expr: e, place: where, via: s.via, rest: path, value }
  }
  if (e.kind === 'object') {
    if (e.entries.some((x) => x.key === null)) return computed(file, e, 'an object with computed keys')
    const entry = e.entries.findLast((x) => x.key === String(step))
    if (entry) return follow(s, file, entry.value, rest, where === 'literal' ? 'literal' : where)
    return { kind: 'entry', file, object: e, key: String(step), place: where, via: s.via, rest }
  }
  const element = typeof step === 'number' ? e.elements[step] : undefined
  if (!element) return { kind: 'expr', file, expr: e, place: where, via: s.via, rest: path, value: literalValue(file, e) }
  return follow(s, file, element, rest, where)
}

type Traversal = Extract<Expr, { kind: 'traversal' }>
function followTraversal(s: Scope, file: HclFile, e: Traversal, path: Path, where: OriginPlace): Origin {
  const [head, name, ...more] = e.steps
  const steps = more.map((m) => resolveStep(s, file, m))
  if (steps.some((x) => x === undefined)) return computed(file, e, file.text.slice(e.start, e.end))
  const rest = [...(steps as (string | number)[]), ...path]
  if (head === 'var' && typeof name === 'string') return followVariable(s, name, rest)
  if (head === 'local' && typeof name === 'string') {
    const found = s.module.locals.get(name)
    if (!found) return refused(`local.${name} is not declared`, place(file, e.start), [BY_HAND])
    return follow({ ...s, via: [...s.via, { kind: 'local', module: s.module.dir, name }] }, found.file, found.node.expr, rest, 'local')
  }
  if (head === 'each' && name === 'value') return followEach(s, file, e, rest)
  const iterator = typeof head === 'string' ? s.iterators[head] : undefined
  if (iterator && name === 'value') return follow({ ...s, iterators: {} }, file, iterator.span, [iterator.key, ...rest], where)
  if (head === 'module') return computed(file, e, `an output of module.${String(name)}`)
  return computed(file, e, file.text.slice(e.start, e.end))
}

/** An index in a traversal: constants, and `each.key`, whose value is known for this instance. */
function resolveStep(s: Scope, file: HclFile, step: Traversal['steps'][number]): string | number | undefined {
  if (step === '*') return undefined
  if (typeof step !== 'object') return step
  const text = file.text.slice(step.index.start, step.index.end).trim()
  return (text === 'each.key' || text === 'count.index') && s.key !== null ? s.key : undefined
}

function followEach(s: Scope, file: HclFile, e: Traversal, path: Path): Origin {
  const forEach = s.owner ? attribute(s.owner.block.items, 'for_each') : undefined
  if (!s.owner || !forEach || s.key === null) return computed(file, e, 'each.value')
  const via: Via = { kind: 'each', module: s.module.dir, what: s.owner.what, key: s.key }
  return follow({ ...s, via: [...s.via, via] }, s.owner.file, forEach.expr, [s.key, ...path], 'map-key')
}

function followVariable(s: Scope, name: string, path: Path): Origin {
  const declared = s.module.variables.get(name)
  const via: Via = { kind: 'variable', module: s.module.dir, name }
  const inside = { ...s, via: [...s.via, via] }
  if (s.modules.length === 0) return followRootVariable(inside, name, path, declared)
  const up = s.modules.slice(0, -1)
  const step = s.modules[s.modules.length - 1] as ModuleStep
  const parent = moduleAt(s.config, up)
  if ('foreign' in parent) return refused(`the code of ${parent.foreign} is not in this repository`, null, [ACCEPT])
  const call = parent.module.calls.get(step.name)
  if (!call) return refused(`module.${step.name} is not called`, null, [BY_HAND])
  const scope: Scope = { ...inside, modules: up, module: parent.module, key: step.key, owner: { file: call.file, block: call.node, what: `module.${step.name}` }, iterators: {} }
  const argument = attribute(call.node.items, name)
  if (argument) return follow(scope, call.file, argument.expr, path, 'module-argument')
  // The default belongs to every call of the module; an argument belongs to this one.
  if (path.length === 0) return { kind: 'absent', file: call.file, block: call.node, name, place: 'module-argument', via: scope.via, rest: [] }
  return refused(`var.${name} of module.${step.name} has its default, which other calls share`, place(call.file, call.node.start), [`pass \`${name}\` in the module call`])
}

function followRootVariable(s: Scope, name: string, path: Path, declared: Module['variables'] extends ReadonlyMap<string, infer P> ? P | undefined : never): Origin {
  if (s.config.tfvarsJson.length > 0) return refused(`var.${name} may come from ${s.config.tfvarsJson[0]}, which is JSON`, null, [BY_HAND])
  const file = s.config.tfvars.findLast((f) => attribute(f.items, name))
  if (file) return follow(s, file, attribute(file.items, name)!.expr, path, 'tfvars')
  if (s.env[`TF_VAR_${name}`] !== undefined) return refused(`var.${name} comes from the environment (TF_VAR_${name})`, null, ['change it where the environment is set', `set \`${name}\` in terraform.tfvars`])
  if (!declared) return refused(`var.${name} is not declared`, null, [BY_HAND])
  const fallback = attribute(declared.node.items, 'default')
  if (!fallback) return refused(`var.${name} gets its value outside the code (-var, or a workspace setting)`, place(declared.file, declared.node.start), [`set \`${name}\` in terraform.tfvars`])
  return follow(s, declared.file, fallback.expr, path, 'variable-default')
}

type CallExpr = Extract<Expr, { kind: 'call' }>
const CONVERSIONS = new Set(['tostring', 'tonumber', 'tobool', 'tomap', 'tolist', 'toset', 'sensitive', 'nonsensitive'])

function followCall(s: Scope, file: HclFile, e: CallExpr, path: Path, where: OriginPlace): Origin {
  const first = e.args[0]
  if (first && !e.expand && e.args.length === 1 && CONVERSIONS.has(e.name)) return follow(s, file, first, path, where)
  if (first && e.name === 'jsonencode' && e.args.length === 1) return { kind: 'expr', file, expr: e, place: 'json', via: s.via, rest: path, value: undefined }
  if (e.name === 'merge' && !e.expand && path.length > 0) return followMerge(s, file, e.args, path, where)
  return computed(file, e, `${e.name}(…)`)
}

/** The last argument that has the key decides; a new or overriding key goes into the last object written out. */
function followMerge(s: Scope, file: HclFile, args: readonly Element[], path: Path, where: OriginPlace): Origin {
  const key = String(path[0])
  for (let n = args.length - 1; n >= 0; n--) {
    const e = readExpr(file, args[n] as Element)
    if (e.kind !== 'object') continue
    if (e.entries.some((x) => x.key === null)) return computed(file, e, 'an object with computed keys')
    const entry = e.entries.findLast((x) => x.key === key)
    if (entry) return follow(s, file, entry.value, path.slice(1), where)
    // Everything behind this object could override it, so only the last argument takes new keys.
    if (n === args.length - 1) return { kind: 'entry', file, object: e, key, place: where, via: s.via, rest: path.slice(1) }
  }
  return computed(file, args[0] as Element, 'merge(…)')
}
