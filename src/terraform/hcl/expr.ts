/** Shapes of expressions: enough to find the one literal that a value comes from. What is not understood is `other`. */
import type { Json } from '../../core/json.ts'
import { lineStart, type Source, type Span } from './source.ts'
import { identEnd, isNewline, skipBracket, skipExpr, skipHeredoc, skipInline, skipQuoted, skipSpace } from './scan.ts'

export interface Entry extends Span {
  /** The key when it is a constant (`a`, `"a"`, `1`), else null. */
  readonly key: string | null
  readonly keySpan: Span
  readonly value: Span
  /** Behind the entry's comma, or `end` when it has none. */
  readonly sepEnd: number
}
export interface Element extends Span {
  readonly sepEnd: number
}
export type Step = string | number | { readonly index: Span } | '*'

export type Expr = Span &
  (
    | { readonly kind: 'literal'; readonly value: Json; readonly form: 'quoted' | 'heredoc' | 'number' | 'bool' | 'null' }
    | { readonly kind: 'object'; readonly entries: readonly Entry[] }
    | { readonly kind: 'list'; readonly elements: readonly Element[] }
    | { readonly kind: 'traversal'; readonly steps: readonly Step[] }
    | { readonly kind: 'call'; readonly name: string; readonly args: readonly Element[]; readonly expand: boolean }
    /** Parentheses, or a string that is nothing but one `${…}`. */
    | { readonly kind: 'wrapped'; readonly inner: Span }
    | { readonly kind: 'template' }
    | { readonly kind: 'other' }
  )

const NUMBER = /^-?\d+(\.\d+)?([eE][+-]?\d+)?$/
const CALL = /^[\p{ID_Start}_][\p{ID_Continue}-]*(::[\p{ID_Start}_][\p{ID_Continue}-]*)*\s*\($/u

/** Classifies the expression in `span`. */
export function readExpr(src: Source, span: Span): Expr {
  const start = skipSpace(src, span.start)
  const { end } = span
  const { text } = src
  const raw = text.slice(start, end)
  const c = text[start]
  if (c === '"' && skipQuoted(src, start) === end) return readQuoted(src, start, end)
  if (c === '<' && skipHeredoc(src, start) === end) return readHeredoc(src, start, end)
  if (NUMBER.test(raw)) return { kind: 'literal', form: 'number', value: Number(raw), start, end }
  if (raw === 'true' || raw === 'false') return { kind: 'literal', form: 'bool', value: raw === 'true', start, end }
  if (raw === 'null') return { kind: 'literal', form: 'null', value: null, start, end }
  if ((c === '[' || c === '{' || c === '(') && skipBracket(src, start) === end) return readBracketed(src, start, end)
  return readNamed(src, start, end)
}

function readBracketed(src: Source, start: number, end: number): Expr {
  const c = src.text[start]
  const first = skipSpace(src, start + 1)
  if (c === '(') return { kind: 'wrapped', inner: { start: first, end: skipExpr(src, first, { lines: true }).end }, start, end }
  const nameEnd = identEnd(src.text, first)
  if (src.text.slice(first, nameEnd) === 'for' && /\s/.test(src.text[nameEnd] ?? '') && !/^\s*[=:]/.test(src.text.slice(nameEnd, nameEnd + 8))) return { kind: 'other', start, end }
  if (c === '[') return { kind: 'list', elements: readElements(src, start + 1, end - 1), start, end }
  const entries = readEntries(src, start + 1, end - 1)
  return entries ? { kind: 'object', entries, start, end } : { kind: 'other', start, end }
}

function readElements(src: Source, from: number, to: number): Element[] {
  const elements: Element[] = []
  for (let i = skipSpace(src, from); i < to; ) {
    const { end, stop } = skipExpr(src, i, { comma: true, lines: true })
    const comma = src.text[stop] === ','
    elements.push({ start: i, end, sepEnd: comma ? stop + 1 : end })
    i = skipSpace(src, comma ? stop + 1 : stop)
    if (!comma) break
  }
  return elements
}

function readEntries(src: Source, from: number, to: number): Entry[] | null {
  const { text } = src
  const entries: Entry[] = []
  for (let i = skipSpace(src, from); i < to; ) {
    const keyEnd = keyEndAt(src, i)
    if (keyEnd < 0) return null
    const mark = skipInline(src, keyEnd)
    if (text[mark] !== '=' && text[mark] !== ':') return null
    const valueStart = skipInline(src, mark + 1)
    const { end, stop } = skipExpr(src, valueStart, { comma: true })
    const comma = text[stop] === ','
    const raw = text.slice(i, keyEnd)
    const key = raw[0] === '"' ? decodeQuoted(raw.slice(1, -1)) : raw[0] === '(' || /[.[]/.test(raw) ? null : raw
    entries.push({ key, keySpan: { start: i, end: keyEnd }, value: { start: valueStart, end }, start: i, end, sepEnd: comma ? stop + 1 : end })
    i = skipSpace(src, comma ? stop + 1 : stop)
  }
  return entries
}

function keyEndAt(src: Source, i: number): number {
  const { text } = src
  if (text[i] === '"') return skipQuoted(src, i)
  if (text[i] === '(') return skipBracket(src, i)
  let end = identEnd(text, i)
  if (end < 0) {
    const digits = /^\d+(\.\d+)?/.exec(text.slice(i, i + 32))
    return digits ? i + digits[0].length : -1
  }
  while (text[end] === '.' || text[end] === '[') {
    if (text[end] === '[') end = skipBracket(src, end)
    else if ((end = identEnd(text, end + 1)) < 0) return -1
  }
  return end
}

function readNamed(src: Source, start: number, end: number): Expr {
  const { text } = src
  const open = text.indexOf('(', start)
  if (open > 0 && open < end && CALL.test(text.slice(start, open + 1)) && skipBracket(src, open) === end) {
    const args = readElements(src, open + 1, end - 1)
    const last = args[args.length - 1]
    const expand = last !== undefined && text.slice(last.start, last.end).endsWith('...')
    return { kind: 'call', name: text.slice(start, open).trim(), args, expand, start, end }
  }
  const steps = readTraversal(src, start, end)
  return steps ? { kind: 'traversal', steps, start, end } : { kind: 'other', start, end }
}

/** `a.b["c"][0].*.d` as steps; null when the span is something else. */
export function readTraversal(src: Source, start: number, end: number): Step[] | null {
  const { text } = src
  let i = identEnd(text, start)
  if (i < 0 || i > end) return null
  const steps: Step[] = [text.slice(start, i)]
  while (i < end) {
    if (text[i] === '.') {
      const digits = /^\d+/.exec(text.slice(i + 1, Math.min(end, i + 20)))
      const next = text[i + 1] === '*' ? i + 2 : digits ? i + 1 + digits[0].length : identEnd(text, i + 1)
      if (next < 0 || next > end) return null
      steps.push(text[i + 1] === '*' ? '*' : digits ? Number(digits[0]) : text.slice(i + 1, next))
      i = next
    } else if (text[i] === '[') {
      const close = skipBracket(src, i)
      const inner = text.slice(i + 1, close - 1).trim()
      if (inner === '*') steps.push('*')
      else if (/^\d+$/.test(inner)) steps.push(Number(inner))
      else {
        const e = readExpr(src, { start: i + 1, end: close - 1 })
        steps.push(e.kind === 'literal' && typeof e.value === 'string' ? e.value : { index: { start: i + 1, end: close - 1 } })
      }
      i = close
    } else return null
  }
  return steps
}

function readQuoted(src: Source, start: number, end: number): Expr {
  const raw = src.text.slice(start + 1, end - 1)
  const plain = raw.replaceAll('$${', ' ').replaceAll('%%{', ' ')
  if (!plain.includes('${') && !plain.includes('%{')) return { kind: 'literal', form: 'quoted', value: decodeQuoted(raw), start, end }
  if (raw.startsWith('${') && !raw.startsWith('${~') && !raw.endsWith('~}') && skipBracket(src, start + 2) === end - 1) {
    const inner = skipSpace(src, start + 3)
    return { kind: 'wrapped', inner: { start: inner, end: skipExpr(src, inner, { lines: true }).end }, start, end }
  }
  return { kind: 'template', start, end }
}

/** The text that a quoted literal (without its quotes, without templates) stands for. */
export function decodeQuoted(raw: string): string {
  const simple: Record<string, string> = { n: '\n', r: '\r', t: '\t', '"': '"', '\\': '\\' }
  return raw.replace(/\\(?:u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(.))|\$\$\{|%%\{/g, (all, u: string | undefined, big: string | undefined, one: string | undefined) => {
    if (all === '$${') return '${'
    if (all === '%%{') return '%{'
    if (one !== undefined) return simple[one] ?? all
    return String.fromCodePoint(parseInt((u ?? big) as string, 16))
  })
}

function readHeredoc(src: Source, start: number, end: number): Expr {
  const { text } = src
  const bodyFrom = text.indexOf('\n', start) + 1
  const lines = text.slice(bodyFrom, Math.max(bodyFrom, lineStart(text, end)))
  const plain = lines.replaceAll('$${', ' ').replaceAll('%%{', ' ')
  if (plain.includes('${') || plain.includes('%{')) return { kind: 'template', start, end }
  const value = text[start + 2] === '-' ? dedent(lines) : lines
  return { kind: 'literal', form: 'heredoc', value: value.replaceAll('$${', '${').replaceAll('%%{', '%{'), start, end }
}

/** `<<-` removes the smallest indentation of all lines; blank lines do not count and stay as they are. */
function dedent(text: string): string {
  const lines = text.split('\n')
  const counted = lines.slice(0, -1).filter((l) => l.trim() !== '')
  const least = counted.length > 0 ? Math.min(...counted.map((l) => /^\s*/.exec(l)![0].length)) : 0
  return lines.map((l) => (l.trim() === '' ? l : l.slice(least))).join('\n')
}

/** The value of an expression made of literals only; undefined when anything has to be computed. */
export function literalValue(src: Source, span: Span): Json | undefined {
  const e = readExpr(src, span)
  if (e.kind === 'literal') return e.value
  if (e.kind === 'wrapped' && src.text[e.start] === '(') return literalValue(src, e.inner)
  if (e.kind === 'list') {
    const values = e.elements.map((x) => literalValue(src, x))
    return values.some((v) => v === undefined) ? undefined : (values as Json[])
  }
  if (e.kind !== 'object') return undefined
  const out: Record<string, Json> = {}
  for (const entry of e.entries) {
    const value = literalValue(src, entry.value)
    if (entry.key === null || value === undefined) return undefined
    out[entry.key] = value
  }
  return out
}

/** True when the span covers more than one line. */
export function isMultiline(src: Source, span: Span): boolean {
  for (let i = span.start; i < span.end; i++) if (isNewline(src.text, i)) return true
  return false
}
