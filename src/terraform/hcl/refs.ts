/** References in expressions: every traversal that names something else, with its place. */
import { readTraversal, type Step } from './expr.ts'
import type { Item } from './read.ts'
import { identEnd, isLineComment, skipBlockComment, skipBracket, skipHeredoc, skipQuoted, toLineEnd } from './scan.ts'
import type { Source, Span } from './source.ts'

export interface Reference extends Span {
  readonly steps: readonly Step[]
}

/** All references in an expression, those inside templates and indices too. */
export function references(src: Source, span: Span): Reference[] {
  const out: Reference[] = []
  scan(src, span.start, span.end, out)
  return out
}

function scan(src: Source, from: number, to: number, out: Reference[]): void {
  const { text } = src
  for (let i = from; i < to; ) {
    const c = text[i] as string
    if (c === '"') i = templates(src, i + 1, skipQuoted(src, i) - 1, out) + 1
    else if (c === '<' && text[i + 1] === '<' && skipHeredoc(src, i) > 0) {
      const end = skipHeredoc(src, i)
      templates(src, text.indexOf('\n', i), end, out)
      i = end
    } else if (isLineComment(text, i)) i = toLineEnd(text, i)
    else if (c === '/' && text[i + 1] === '*') i = skipBlockComment(src, i)
    else if (/[0-9]/.test(c)) i += /^[0-9][\w.]*/.exec(text.slice(i, i + 64))![0].length
    else {
      const end = identEnd(text, i)
      i = end < 0 ? i + 1 : named(src, i, end, to, out)
    }
  }
}

/** Text between template marks is no code; what is between `${` and `}` is. */
function templates(src: Source, from: number, to: number, out: Reference[]): number {
  const { text } = src
  for (let i = from; i < to; ) {
    const c = text[i]
    if (c === '\\' && text[from - 1] === '"') i += 2
    else if ((c === '$' || c === '%') && text[i + 1] === c && text[i + 2] === '{') i += 3
    else if ((c === '$' || c === '%') && text[i + 1] === '{') {
      const end = skipBracket(src, i + 1)
      scan(src, i + 2, end - 1, out)
      i = end
    } else i++
  }
  return to
}

/** A name: a function call, an object key, or the head of a traversal. Returns the offset to go on from. */
function named(src: Source, start: number, headEnd: number, to: number, out: Reference[]): number {
  const { text } = src
  let end = headEnd
  while (end < to) {
    if (text[end] === '.') {
      const next = text[end + 1] === '*' ? end + 2 : /[0-9]/.test(text[end + 1] ?? '') ? end + 1 + /^\d+/.exec(text.slice(end + 1, end + 20))![0].length : identEnd(text, end + 1)
      if (next < 0) break
      end = next
    } else if (text[end] === '[') {
      const close = skipBracket(src, end)
      scan(src, end + 1, close - 1, out)
      end = close
    } else break
  }
  if (text[end] === '(' || (text[end] === ':' && text[end + 1] === ':')) return end + 1
  const steps = readTraversal(src, start, end)
  if (steps && steps.length > 1) out.push({ start, end, steps })
  return end
}

/** References of all attributes in a body, nested blocks included; `skip` leaves attributes and block types out. */
export function bodyReferences(src: Source, items: readonly Item[], skip?: (name: string) => boolean): Reference[] {
  return items.flatMap((i) => (skip?.(i.kind === 'block' ? i.type : i.name) ? [] : i.kind === 'block' ? bodyReferences(src, i.items, skip) : references(src, i.expr)))
}
