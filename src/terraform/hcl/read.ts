/** The structural reader: blocks, labels and attributes with exact offsets; expressions are delimited, never rebuilt. */
import { newlineOf, syntaxError, type Source, type Span } from './source.ts'
import { identEnd, isLineComment, isNewline, skipExpr, skipInline, skipQuoted, skipSpace } from './scan.ts'

export interface Attribute extends Span {
  readonly kind: 'attribute'
  readonly name: string
  readonly nameEnd: number
  /** The expression's span; a comment behind it is not part of it. */
  readonly expr: Span
}
export interface Block extends Span {
  readonly kind: 'block'
  readonly type: string
  readonly labels: readonly string[]
  /** Offset behind `{`. */
  readonly bodyStart: number
  /** Offset of `}`. */
  readonly bodyEnd: number
  readonly items: readonly Item[]
}
export type Item = Attribute | Block

export interface HclFile extends Source {
  readonly items: readonly Item[]
  readonly newline: string
}

/** Reads one `.tf` or `.tfvars` file. Throws HCL_SYNTAX with file:line:column where the structure is broken. */
export function readHcl(name: string, text: string): HclFile {
  const src: Source = { name, text }
  const { items } = readBody(src, text.charCodeAt(0) === 0xfeff ? 1 : 0, null)
  return { name, text, items, newline: newlineOf(text) }
}

function readBody(src: Source, from: number, open: number | null): { items: Item[]; end: number } {
  const items: Item[] = []
  const names = new Set<string>()
  let i = from
  for (;;) {
    i = skipSpace(src, i)
    if (i >= src.text.length) {
      if (open !== null) throw syntaxError(src, open, 'this block is never closed', 'Close it with "}" on a line of its own.')
      return { items, end: i }
    }
    if (src.text[i] === '}') {
      if (open === null) throw syntaxError(src, i, 'a "}" without a block to close', 'Remove it, or add the block that it should close.')
      return { items, end: i }
    }
    const item = readItem(src, i)
    if (item.kind === 'attribute') {
      if (names.has(item.name)) throw syntaxError(src, i, `"${item.name}" is set twice in one block`, 'Keep one of the two.')
      names.add(item.name)
    }
    items.push(item)
    i = endOfItem(src, item.end, open !== null)
  }
}

/** An item ends its line; only the last one of a one-line block may be followed by `}`. */
function endOfItem(src: Source, from: number, inBlock: boolean): number {
  const i = skipInline(src, from)
  const { text } = src
  if (i >= text.length || isNewline(text, i) || isLineComment(text, i) || (inBlock && text[i] === '}')) return i
  throw syntaxError(src, i, `"${text[i]}" is not expected here`, 'Each attribute and each block ends its line.')
}

function readItem(src: Source, start: number): Item {
  const { text } = src
  const nameEnd = identEnd(text, start)
  if (nameEnd < 0) throw syntaxError(src, start, `"${text[start]}" can not start an attribute or a block`, 'A name is expected here; typographic quotes are a frequent cause.')
  const name = text.slice(start, nameEnd)
  const i = skipInline(src, nameEnd)
  if (text[i] === '=' && text[i + 1] !== '=') {
    const exprStart = skipInline(src, i + 1)
    const { end } = skipExpr(src, exprStart)
    if (end === exprStart) throw syntaxError(src, exprStart, `"${name}" has no value`, 'Write the value on the same line.')
    return { kind: 'attribute', name, start, nameEnd, expr: { start: exprStart, end }, end }
  }
  return readBlock(src, start, name, i)
}

function readBlock(src: Source, start: number, type: string, from: number): Block {
  const { text } = src
  const labels: string[] = []
  let i = from
  for (;;) {
    if (text[i] === '{') break
    if (text[i] === '"') {
      const end = skipQuoted(src, i)
      labels.push(text.slice(i + 1, end - 1))
      i = skipInline(src, end)
      continue
    }
    const end = identEnd(text, i)
    if (end < 0) throw syntaxError(src, i, `"{", a label or "=" is expected behind "${type}"`, 'Write `name = value` or `type "label" {`.')
    labels.push(text.slice(i, end))
    i = skipInline(src, end)
  }
  const body = readBody(src, i + 1, i)
  return { kind: 'block', type, labels, start, bodyStart: i + 1, bodyEnd: body.end, end: body.end + 1, items: body.items }
}

export function attribute(items: readonly Item[], name: string): Attribute | undefined {
  return items.find((i): i is Attribute => i.kind === 'attribute' && i.name === name)
}
export function blocks(items: readonly Item[], type: string, ...labels: string[]): Block[] {
  return items.filter((i): i is Block => i.kind === 'block' && i.type === type && labels.every((l, n) => i.labels[n] === l))
}
