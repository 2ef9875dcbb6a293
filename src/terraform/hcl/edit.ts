/** Span edits: each gives replacements of exact spans, everything outside them stays byte-identical. */
import { hclKey } from '../hclvalue.ts'
import type { Attribute, Block, HclFile, Item } from './read.ts'
import { attribute } from './read.ts'
import { isMultiline, type Element, type Entry } from './expr.ts'
import { indentOf, lineEnd, lineStart, newlineOf, notEditable, type Source, type Span } from './source.ts'

export interface Edit extends Span {
  readonly text: string
}

/** Applies edits that do not overlap. An insertion at the same offset as another keeps the given order. */
export function applyEdits(text: string, edits: readonly Edit[]): string {
  const sorted = edits.map((e, n) => ({ e, n })).sort((a, b) => a.e.start - b.e.start || a.e.end - b.e.end || a.n - b.n)
  let out = ''
  let at = 0
  for (const { e } of sorted) {
    if (e.start < at) throw new RangeError('edits overlap')
    out += text.slice(at, e.start) + e.text
    at = e.end
  }
  return out + text.slice(at)
}

/** Text written with `\n` in the file's own line ends. */
function inFile(src: Source, text: string): string {
  return newlineOf(src.text) === '\r\n' ? text.replaceAll(/\r?\n/g, '\r\n') : text
}

/** Replaces an expression. */
export function setExpr(src: Source, expr: Span, value: string): Edit {
  return { start: expr.start, end: expr.end, text: inFile(src, value) }
}

/** Where a body's items stand: its indentation, and whether its braces share one line. */
function bodyShape(src: Source, block: Block): { indent: string; oneLine: boolean; closeLine: number } {
  const oneLine = !isMultiline(src, { start: block.bodyStart, end: block.bodyEnd })
  const first = block.items[0]
  const closeLine = lineStart(src.text, block.bodyEnd)
  const indent = first && !oneLine ? indentOf(src.text, first.start) : `${indentOf(src.text, block.start)}  `
  return { indent, oneLine, closeLine }
}

/** The offset of the `=` of an attribute, seen from its line start. */
function equalsColumn(src: Source, item: Attribute): number {
  return src.text.indexOf('=', item.nameEnd) - lineStart(src.text, item.start)
}

/**
 * Adds `name = value` to a block, behind its last attribute that stands before any nested block. The `=` is put in the
 * column of the line above; a name too long for it gets an empty line between, so that no other line has to move.
 */
export function addAttribute(src: Source, block: Block, name: string, value: string): Edit {
  const { indent, oneLine } = bodyShape(src, block)
  const { text } = src
  if (oneLine) {
    const inner = text.slice(block.bodyStart, block.bodyEnd).trim()
    const lines = `${inner === '' ? '' : `${indent}${inner}\n`}${inner === '' ? '' : '\n'}${indent}${name} = ${value}\n`
    if (inner !== '' && block.items.some((i) => i.kind === 'block')) throw notEditable(src, block.start, 'the block shares one line with what is in it')
    return { start: block.bodyStart, end: block.bodyEnd, text: inFile(src, `\n${lines}${indentOf(text, block.start)}`) }
  }
  const firstBlock = block.items.findIndex((i) => i.kind === 'block')
  const before = block.items.slice(0, firstBlock < 0 ? undefined : firstBlock)
  const last = before[before.length - 1] as Attribute | undefined
  if (!last) {
    const at = lineEnd(text, block.bodyStart)
    const gap = block.items.length > 0 ? '\n' : ''
    return { start: at, end: at, text: inFile(src, `${indent}${name} = ${value}\n${gap}`) }
  }
  return insertAfterLine(src, last, alignedLine(src, last, indent, name, value))
}

function alignedLine(src: Source, above: Attribute, indent: string, name: string, value: string): string {
  const multi = isMultiline(src, above.expr) || value.includes('\n')
  const room = equalsColumn(src, above) - indent.length - [...name].length
  if (multi) return `${indent}${name} = ${value}\n`
  if (room < 1) return `\n${indent}${name} = ${value}\n`
  return `${indent}${name}${' '.repeat(room)}= ${value}\n`
}

/** Inserts whole lines behind the line on which `item` ends. */
function insertAfterLine(src: Source, item: Span, lines: string): Edit {
  const at = lineEnd(src.text, item.end)
  const missing = src.text[at - 1] === '\n' ? '' : '\n'
  return { start: at, end: at, text: inFile(src, missing + (missing ? lines.replace(/\n$/, '') : lines)) }
}

/** The whole lines of an item. Refuses when the item shares a line with something else than blanks and its own comment. */
export function itemLines(src: Source, item: Span): Span {
  const { text } = src
  const start = lineStart(text, item.start)
  const end = lineEnd(text, item.end)
  const head = text.slice(text.charCodeAt(0) === 0xfeff && start === 0 ? 1 : start, item.start)
  const tail = text.slice(item.end, end)
  if (head.trim() !== '') throw notEditable(src, item.start, 'it shares its first line with something else')
  if (!/^[ \t]*((#|\/\/)[^\n]*)?\r?\n?$/.test(tail)) throw notEditable(src, item.end, 'it shares its last line with something else')
  return { start, end }
}

/** Removes an attribute or a block with its lines (a comment behind it on the same line goes with it). */
export function removeItem(src: Source, item: Item): Edit {
  const lines = itemLines(src, item)
  const { text } = src
  // A block that stood between two empty lines leaves one, not two.
  const emptyBefore = /(^|\n)[ \t]*\r?\n$/.test(text.slice(0, lines.start))
  const after = /^[ \t]*\r?\n/.exec(text.slice(lines.end))
  const end = item.kind === 'block' && emptyBefore && after ? lines.end + after[0].length : lines.end
  return { start: lines.start, end, text: '' }
}

/** Appends a nested block (its text with `\n`, unindented) at the end of `block`'s body, or behind its last sibling of the same type. */
export function addBlock(src: Source, block: Block, blockText: string, o: { after?: Block } = {}): Edit {
  const { indent, oneLine, closeLine } = bodyShape(src, block)
  if (oneLine && block.items.length > 0) throw notEditable(src, block.start, 'the block shares one line with what is in it')
  const lines = blockText.replace(/\n$/, '').split('\n').map((l) => (l === '' ? '' : indent + l)).join('\n')
  if (oneLine) return { start: block.bodyStart, end: block.bodyEnd, text: inFile(src, `\n${lines}\n${indentOf(src.text, block.start)}`) }
  if (o.after) return insertAfterLine(src, o.after, `\n${lines}\n`)
  const gap = block.items.length > 0 ? '\n' : ''
  return { start: closeLine, end: closeLine, text: inFile(src, `${gap}${lines}\n`) }
}

/** Appends a top-level block (text with `\n`) behind an empty line at the end of the file. */
export function appendBlock(src: Source, blockText: string): Edit {
  const { text } = src
  const at = text.length
  const empty = text.replace(/^\ufeff/, '').trim() === ''
  const gap = empty ? '' : text.endsWith('\n') ? '\n' : '\n\n'
  const body = blockText.endsWith('\n') ? blockText : `${blockText}\n`
  return { start: at, end: at, text: inFile(src, gap + body) }
}

/** Sets an attribute: its expression when it is there, else a new line. */
export function setAttribute(src: Source, block: Block, name: string, value: string): Edit {
  const found = attribute(block.items, name)
  return found ? setExpr(src, found.expr, value) : addAttribute(src, block, name, value)
}

/** Adds `key = value` to an object expression. */
export function addEntry(src: Source, object: Span & { entries: readonly Entry[] }, key: string, value: string): Edit {
  const { text } = src
  const last = object.entries[object.entries.length - 1]
  const name = hclKey(key)
  if (!last) {
    const indent = indentOf(text, object.start)
    return { start: object.start, end: object.end, text: inFile(src, `{\n${indent}  ${name} = ${value}\n${indent}}`) }
  }
  if (!isMultiline(src, object)) return { start: last.end, end: last.end, text: `, ${name} = ${value}` }
  const comma = last.sepEnd > last.end
  const colon = text.slice(last.keySpan.end, last.value.start).includes(':')
  const indent = indentOf(text, last.start)
  if (lineStart(text, last.start) !== lineStart(text, last.end) || colon || text.slice(lineStart(text, last.start), last.start).trim() !== '') {
    const line = `${indent}${name}${colon ? ':' : ' ='} ${value}${comma ? ',' : ''}\n`
    return insertAfterLine(src, { start: last.start, end: last.sepEnd }, line)
  }
  const room = text.indexOf('=', last.keySpan.end) - lineStart(text, last.start) - indent.length - [...name].length
  const body = `${name}${' '.repeat(Math.max(room, 1))}= ${value}${comma ? ',' : ''}\n`
  return insertAfterLine(src, { start: last.start, end: last.sepEnd }, `${room < 1 ? '\n' : ''}${indent}${body}`)
}

/** Removes one entry of an object or one element of a list, with its comma; a line of its own goes as a whole. */
export function removeMember(src: Source, members: readonly (Entry | Element)[], n: number): Edit {
  const { text } = src
  const m = members[n] as Entry | Element
  const from = lineStart(text, m.start)
  const to = lineEnd(text, m.sepEnd)
  const alone = text.slice(from, m.start).trim() === '' && /^[ \t]*,?[ \t]*((#|\/\/)[^\n]*)?\r?\n$/.test(text.slice(m.sepEnd, to))
  if (alone) return { start: from, end: to, text: '' }
  const next = members[n + 1]
  if (next) return { start: m.start, end: next.start, text: '' }
  const previous = members[n - 1]
  return { start: previous ? previous.end : m.start, end: m.sepEnd, text: '' }
}

/** Appends elements (HCL texts) to a list expression. */
export function addElements(src: Source, list: Span & { elements: readonly Element[] }, values: readonly string[]): Edit {
  const { text } = src
  const last = list.elements[list.elements.length - 1]
  if (!last) return { start: list.start, end: list.end, text: `[${values.join(', ')}]` }
  const ownLine = text.slice(lineStart(text, last.start), last.start).trim() === '' && isMultiline(src, list)
  if (!ownLine) return { start: last.end, end: last.end, text: values.map((v) => `, ${v}`).join('') }
  const comma = last.sepEnd > last.end
  const indent = indentOf(text, last.start)
  if (comma) return insertAfterLine(src, { start: last.start, end: last.sepEnd }, values.map((v) => `${indent}${v},\n`).join(''))
  return { start: last.end, end: last.end, text: inFile(src, values.map((v) => `,\n${indent}${v}`).join('')) }
}

/** Top-level or nested blocks of a file, depth first, with the block they stand in. */
export function* allBlocks(file: HclFile, items: readonly Item[] = file.items, parent: Block | null = null): Generator<{ block: Block; parent: Block | null }> {
  for (const item of items) {
    if (item.kind !== 'block') continue
    yield { block: item, parent }
    yield* allBlocks(file, item.items, item)
  }
}
