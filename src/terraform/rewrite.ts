/** Turns "this attribute is really X" into the smallest edit at the place where the code says it. */
import { sameJson, type Json } from '../core/json.ts'
import { formatPath, type Path } from './drift.ts'
import { addAttribute, addBlock, addElements, addEntry, removeItem, removeMember, setExpr, type Edit } from './hcl/edit.ts'
import { isMultiline, literalValue, readExpr, type Expr } from './hcl/expr.ts'
import { attribute, type Block, type HclFile } from './hcl/read.ts'
import { indentOf, newlineOf, place, type Span } from './hcl/source.ts'
import { attributeLines, hclKey, toHcl } from './hclvalue.ts'
import type { Origin, Via } from './origin.ts'
import { isObject } from './plan.ts'

export interface Rewrite {
  readonly kind: 'edit'
  readonly file: HclFile
  readonly edits: readonly Edit[]
  /** What sort of place it is: `tfvars`, `literal`, … */
  readonly where: string
  readonly place: string
  readonly via: readonly Via[]
}
export interface RewriteRefusal {
  readonly kind: 'refused'
  readonly reason: string
  readonly at: string | null
  readonly options: readonly string[]
}
export type RewriteResult = Rewrite | RewriteRefusal | { readonly kind: 'same' }

const BY_HAND = 'edit the code by hand, then prove'

/**
 * The edits that make the code say `to` for the value whose origin was traced. `from` is what the code said (as far as
 * known; JSON documents are compared with it), `set` tells that order does not matter. A `to` of null removes.
 */
export function rewriteAt(origin: Origin, from: Json | undefined, to: Json, o: { set?: boolean } = {}): RewriteResult {
  switch (origin.kind) {
    case 'refused': return origin
    case 'absent': {
      if (to === null) return { kind: 'same' }
      const value = nest(origin.rest, to)
      if (value === undefined) return refuse(origin.file, origin.block, 'one element of a list that the code does not have')
      return edit(origin.file, [addAttribute(origin.file, origin.block, origin.name, toHcl(value, bodyIndent(origin.file, origin.block)))], origin.place, origin.block.start, origin.via)
    }
    case 'entry': {
      if (to === null) return { kind: 'same' }
      const value = nest(origin.rest, to)
      if (value === undefined) return refuse(origin.file, origin.object, 'one element of a list that the code does not have')
      const last = origin.object.entries[origin.object.entries.length - 1]
      const indent = last ? indentOf(origin.file.text, last.start) : `${indentOf(origin.file.text, origin.object.start)}  `
      return edit(origin.file, [addEntry(origin.file, origin.object, origin.key, toHcl(value, indent))], origin.place, origin.object.start, origin.via)
    }
    case 'blocks': return rewriteBlocks(origin, to)
    case 'expr': return rewriteExpr(origin, from, to, o.set ?? false)
  }
}

function refuse(file: HclFile, at: Span, reason: string): RewriteRefusal {
  return { kind: 'refused', reason, at: place(file, at.start), options: [BY_HAND] }
}
function edit(file: HclFile, edits: readonly Edit[], where: string, offset: number, via: readonly Via[]): RewriteResult {
  return edits.length === 0 ? { kind: 'same' } : { kind: 'edit', file, edits, where, place: place(file, edits[0]?.start ?? offset), via }
}
/** `['a','b']`, 1 → `{ a = { b = 1 } }`; undefined when the path goes through a list. */
function nest(path: Path, value: Json): Json | undefined {
  return path.reduceRight<Json | undefined>((v, p) => (typeof p === 'string' && v !== undefined ? { [p]: v } : undefined), value)
}
function bodyIndent(file: HclFile, block: Block): string {
  const first = block.items[0]
  return first && isMultiline(file, { start: block.bodyStart, end: first.start }) ? indentOf(file.text, first.start) : `${indentOf(file.text, block.start)}  `
}

type ExprOrigin = Extract<Origin, { kind: 'expr' }>
function rewriteExpr(o: ExprOrigin, from: Json | undefined, to: Json, set: boolean): RewriteResult {
  const { file, expr } = o
  if (o.place === 'json' && expr.kind === 'call') return rewriteJson(o, expr.args[0] as Span, from, to)
  if (o.rest.length > 0) {
    if (o.value === null && nest(o.rest, to) !== undefined) return edit(file, [setExpr(file, expr, toHcl(nest(o.rest, to) as Json, indentOf(file.text, expr.start)))], o.place, expr.start, o.via)
    return refuse(file, expr, `no place for ${formatPath(o.rest)} in this expression`)
  }
  if (o.value !== undefined && same(o.value, to, set)) return { kind: 'same' }
  if (to === null) return removeValue(o)
  return edit(file, valueEdits(file, expr, to, set), o.place, expr.start, o.via)
}

/** Equal as Terraform sees it: numbers and texts of numbers are converted, order of sets is nothing. */
function same(a: Json, b: Json, set: boolean): boolean {
  if (sameJson(a, b)) return true
  if (set && Array.isArray(a) && Array.isArray(b)) return sameJson(a.map((x) => JSON.stringify(x)).sort(), b.map((x) => JSON.stringify(x)).sort())
  return a !== null && b !== null && typeof a !== 'object' && typeof b !== 'object' && typeof a !== typeof b && String(a) === String(b)
}

/** A value that is gone in reality: its line goes when the code has it as an attribute or entry, else it becomes null. */
function removeValue(o: ExprOrigin): RewriteResult {
  const owner = findOwner(o.file, o.expr)
  if (owner?.kind === 'attribute' && o.place === 'literal') return edit(o.file, [removeItem(o.file, owner.item)], o.place, o.expr.start, o.via)
  if (owner?.kind === 'entry') return edit(o.file, [removeMember(o.file, owner.members, owner.index)], o.place, o.expr.start, o.via)
  return edit(o.file, [setExpr(o.file, o.expr, 'null')], o.place, o.expr.start, o.via)
}

type Owner = { kind: 'attribute'; item: Parameters<typeof removeItem>[1] } | { kind: 'entry'; members: Parameters<typeof removeMember>[1]; index: number }
/** The attribute or object entry whose value is exactly this expression. */
function findOwner(file: HclFile, expr: Span): Owner | null {
  const inside = (s: Span): boolean => s.start <= expr.start && expr.end <= s.end
  const inItems = (items: readonly (Block | Extract<HclFile['items'][number], { kind: 'attribute' }>)[]): Owner | null => {
    for (const item of items) {
      if (!inside(item)) continue
      if (item.kind === 'block') return inItems(item.items)
      if (item.expr.start === expr.start && item.expr.end === expr.end) return { kind: 'attribute', item }
      return inExpr(item.expr)
    }
    return null
  }
  const inExpr = (span: Span): Owner | null => {
    const e = readExpr(file, span)
    if (e.kind === 'wrapped') return inExpr(e.inner)
    if (e.kind === 'call') return e.args.filter(inside).map(inExpr)[0] ?? null
    if (e.kind === 'list') return e.elements.filter(inside).map(inExpr)[0] ?? null
    if (e.kind !== 'object') return null
    const index = e.entries.findIndex((x) => inside(x.value))
    const entry = e.entries[index]
    if (!entry) return null
    if (entry.value.start === expr.start && entry.value.end === expr.end) return { kind: 'entry', members: e.entries, index }
    return inExpr(entry.value)
  }
  return inItems(file.items)
}

/** The smallest edits that turn a literal expression into a value. */
function valueEdits(file: HclFile, span: Span, to: Json, set: boolean): Edit[] {
  const e = readExpr(file, span)
  if (e.kind === 'list' && Array.isArray(to)) return listEdits(file, e, to, set)
  if (e.kind === 'object' && isObject(to) && e.entries.every((x) => x.key !== null)) return objectEdits(file, e, to)
  const before = literalValue(file, e)
  if (before !== undefined && sameJson(before, to)) return []
  if (e.kind === 'literal' && e.form === 'heredoc' && typeof to === 'string') return [setExpr(file, e, heredoc(file, e, to) ?? toHcl(to))]
  return [setExpr(file, e, toHcl(to, indentOf(file.text, e.start)))]
}

type ListExpr = Extract<Expr, { kind: 'list' }>
function listEdits(file: HclFile, e: ListExpr, to: readonly Json[], set: boolean): Edit[] {
  const values = e.elements.map((x) => literalValue(file, x))
  const indent = e.elements[0] ? indentOf(file.text, e.elements[0].start) : indentOf(file.text, e.start)
  if (values.length === to.length && !set) return e.elements.flatMap((x, i) => valueEdits(file, x, to[i] as Json, false))
  const left = [...to]
  const gone: number[] = []
  let known = values.every((v) => v !== undefined)
  values.forEach((v, i) => {
    const at = left.findIndex((x) => v !== undefined && sameJson(x, v))
    if (at >= 0) left.splice(at, 1)
    else gone.push(i)
  })
  // A list keeps its order: only appending or removing is a small edit, anything else writes the list anew.
  const kept = values.filter((_, i) => !gone.includes(i))
  if (!set && known) known = sameJson([...kept, ...left] as Json[], to as Json[])
  if (!known) return [setExpr(file, e, toHcl(to as Json[], indentOf(file.text, e.start)))]
  if (gone.length > 0 && gone.length <= left.length && set) {
    const swaps = gone.map((i) => setExpr(file, e.elements[i] as Span, toHcl(left.shift() as Json, indent)))
    return left.length > 0 ? [...swaps, addElements(file, e, left.map((v) => toHcl(v, indent)))] : swaps
  }
  if (gone.length === values.length) return [setExpr(file, e, toHcl(to as Json[], indentOf(file.text, e.start)))]
  if (gone.length > 0 && left.length > 0) return [setExpr(file, e, toHcl(to as Json[], indentOf(file.text, e.start)))]
  if (gone.length > 0) return mergeSpans(gone.map((i) => removeMember(file, e.elements, i)))
  return left.length > 0 ? [addElements(file, e, left.map((v) => toHcl(v, indent)))] : []
}

/** Deletions of neighbours may touch: joined, they do not overlap. */
function mergeSpans(edits: Edit[]): Edit[] {
  const out: Edit[] = []
  for (const e of edits.sort((a, b) => a.start - b.start)) {
    const last = out[out.length - 1]
    if (last && e.start < last.end) out[out.length - 1] = { start: last.start, end: Math.max(last.end, e.end), text: '' }
    else out.push(e)
  }
  return out
}

type ObjectExpr = Extract<Expr, { kind: 'object' }>
function objectEdits(file: HclFile, e: ObjectExpr, to: Record<string, Json>): Edit[] {
  const edits: Edit[] = []
  const added: string[] = []
  const removed: Edit[] = []
  e.entries.forEach((x, i) => {
    if (!((x.key as string) in to)) removed.push(removeMember(file, e.entries, i))
    else edits.push(...valueEdits(file, x.value, to[x.key as string] as Json, false))
  })
  for (const key of Object.keys(to)) if (!e.entries.some((x) => x.key === key)) added.push(key)
  const whole = (): Edit[] => [setExpr(file, e, toHcl(to, indentOf(file.text, e.start)))]
  if (added.length > 0 && (e.entries.length === 0 || added.length > 1 || removed.length === e.entries.length)) {
    if (e.entries.length === removed.length) return whole()
    const indent = indentOf(file.text, (e.entries[e.entries.length - 1] as Span).start)
    const lines = added.map((k) => addEntry(file, e, k, toHcl(to[k] as Json, indent)))
    const first = lines[0] as Edit
    return [...edits, ...mergeSpans(removed), { ...first, text: lines.map((l) => l.text).join('') }]
  }
  const only = added[0]
  if (only !== undefined) edits.push(addEntry(file, e, only, toHcl(to[only] as Json, indentOf(file.text, e.start))))
  return [...edits, ...mergeSpans(removed)]
}

function heredoc(file: HclFile, e: Span, to: string): string | null {
  const { text } = file
  const nl = newlineOf(text)
  const head = text.slice(e.start, text.indexOf('\n', e.start)).replace(/\r$/, '')
  const marker = head.replace(/^<<-?/, '')
  // The line ends of the file are part of the value: a value with others needs a quoted string.
  if (!to.endsWith(nl) || to.split(nl).some((l) => l.trim() === marker || /[\r\n]|\$\$+\{|%%+\{/.test(l))) return null
  const endIndent = indentOf(text, e.end - 1)
  const firstLine = text.indexOf('\n', e.start) + 1
  const indent = head.startsWith('<<-') ? indentOf(text, firstLine) || endIndent : ''
  const lines = to.slice(0, -nl.length).replaceAll('${', () => '$${').replaceAll('%{', '%%{').split(nl)
  // `<<-` takes the smallest indentation away, blank lines aside: it has to be ours.
  const flush = head.startsWith('<<-')
  if (flush && (lines.every((l) => /^\s|^$/.test(l)) || lines.some((l) => l !== '' && l.trim() === ''))) return null
  const body = lines.map((l) => (l === '' ? '' : indent + l))
  return [head, ...body, `${endIndent}${marker}`].join(nl)
}

/** `jsonencode({…})`: the differing parts of the document are set inside the object, the rest keeps its writing. */
function rewriteJson(o: ExprOrigin, argument: Span, from: Json | undefined, to: Json): RewriteResult {
  const { file, expr } = o
  let target: Json
  try {
    target = JSON.parse(String(to)) as Json
  } catch {
    return refuse(file, expr, 'what is real is no JSON document')
  }
  if (o.rest.length > 0) return refuse(file, expr, 'a part of an encoded document')
  const written = literalValue(file, argument)
  if (written !== undefined) {
    if (sameJson(written, target)) return { kind: 'same' }
    return edit(file, valueEdits(file, argument, target, false), o.place, expr.start, o.via)
  }
  let before: Json
  try {
    before = JSON.parse(String(from)) as Json
  } catch {
    return refuse(file, expr, 'a part of this document is computed, and what it was before is not known')
  }
  const edits = jsonParts(file, argument, before, target)
  return edits ? edit(file, edits, o.place, expr.start, o.via) : refuse(file, expr, 'the part of this document that differs is computed')
}

/** Edits only where the documents differ; null when such a place is computed. */
function jsonParts(file: HclFile, span: Span, before: Json, to: Json): Edit[] | null {
  if (sameJson(before, to)) return []
  const e = readExpr(file, span)
  if (literalValue(file, e) !== undefined) return valueEdits(file, e, to, false)
  if (e.kind === 'list' && Array.isArray(before) && Array.isArray(to) && before.length === to.length && e.elements.length === to.length) {
    return flat(e.elements.map((x, i) => jsonParts(file, x, before[i] as Json, to[i] as Json)))
  }
  if (e.kind !== 'object' || !isObject(before) || !isObject(to) || e.entries.some((x) => x.key === null)) return null
  const parts = e.entries.map((x, i) => ((x.key as string) in to ? jsonParts(file, x.value, before[x.key as string] ?? null, to[x.key as string] as Json) : [removeMember(file, e.entries, i)]))
  const added = Object.keys(to).filter((k) => !e.entries.some((x) => x.key === k))
  return flat([...parts, ...added.map((k) => [addEntry(file, e, k, toHcl(to[k] as Json, indentOf(file.text, (e.entries[e.entries.length - 1] as Span).start)))])])
}
function flat(parts: readonly (Edit[] | null)[]): Edit[] | null {
  return parts.some((p) => p === null) ? null : (parts as Edit[][]).flat()
}

/** Repeated nested blocks against the list of objects that is real. */
function rewriteBlocks(o: Extract<Origin, { kind: 'blocks' }>, to: Json): RewriteResult {
  const { file, block, name, found } = o
  if (o.rest.length > 0 || !Array.isArray(to) || !to.every(isObject)) return refuse(file, block, `the ${name} blocks differ in a way that has no place in the code`)
  const wanted = to.map(withoutNulls)
  const written = found.map((b) => blockValue(file, b))
  if (written.some((w) => w === null)) return refuse(file, block, `a value in the ${name} blocks is computed`)
  const left = [...wanted]
  const gone: number[] = []
  written.forEach((w, i) => {
    const at = left.findIndex((x) => sameJson(x, w))
    if (at >= 0) left.splice(at, 1)
    else gone.push(i)
  })
  const edits: Edit[] = []
  for (const i of gone) {
    const next = left.shift()
    const target = found[i] as Block
    if (next) edits.push(...blockEdits(file, target, next))
    else edits.push(removeItem(file, target))
  }
  const last = found[found.length - 1]
  const more = left.map((v) => `${name} {\n${attributeLines(Object.entries(v).map(([k, x]) => [hclKey(k), toHcl(x, '  ')]), '  ')}}\n`)
  if (more.length > 0 && !last) edits.push(addBlock(file, block, more.join('\n')))
  else if (more.length > 0) edits.push(addBlock(file, block, more.join('\n'), { after: last as Block }))
  return edit(file, edits, 'block', block.start, o.via)
}
function withoutNulls(v: Record<string, Json>): Record<string, Json> {
  return Object.fromEntries(Object.entries(v).filter(([, x]) => x !== null && !(Array.isArray(x) && x.length === 0)))
}
function blockValue(file: HclFile, b: Block): Record<string, Json> | null {
  const out: Record<string, Json> = {}
  for (const item of b.items) {
    const value = item.kind === 'attribute' ? literalValue(file, item.expr) : undefined
    if (value === undefined) return null
    if (value !== null) out[item.kind === 'attribute' ? item.name : ''] = value
  }
  return out
}
function blockEdits(file: HclFile, b: Block, to: Record<string, Json>): Edit[] {
  const edits: Edit[] = []
  for (const [name, value] of Object.entries(to)) {
    const found = attribute(b.items, name)
    if (found) edits.push(...valueEdits(file, found.expr, value, false))
    else edits.push(addAttribute(file, b, name, toHcl(value, bodyIndent(file, b))))
  }
  for (const item of b.items) if (item.kind === 'attribute' && !(item.name in to)) edits.push(removeItem(file, item))
  return edits
}
