/**
 * Finds where things end in HCL: strings, templates, heredocs, comments, brackets. Nothing is interpreted here, so that
 * whatever stands between two offsets can be given back byte by byte.
 */
import { syntaxError, type Source } from './source.ts'

const IDENT = /[\p{ID_Start}_][\p{ID_Continue}-]*/uy
const HEREDOC = /<<-?([\p{ID_Start}_][\p{ID_Continue}-]*)\r?\n/uy
const CLOSER: Record<string, string> = { '(': ')', '[': ']', '{': '}' }

/** End of the identifier that starts at `i`, or -1. */
export function identEnd(text: string, i: number): number {
  IDENT.lastIndex = i
  return IDENT.test(text) ? IDENT.lastIndex : -1
}

/** Skips blanks and comments on the same line: offset of the next character that is neither (or of the line end). */
export function skipInline(src: Source, i: number): number {
  const { text } = src
  for (;;) {
    const c = text[i]
    if (c === ' ' || c === '\t') i++
    else if (c === '/' && text[i + 1] === '*') i = skipBlockComment(src, i)
    else return i
  }
}
export function skipBlockComment(src: Source, i: number): number {
  const end = src.text.indexOf('*/', i + 2)
  if (end < 0) throw syntaxError(src, i, 'this comment is never closed', 'End it with */.')
  return end + 2
}
/** True at `#` or `//`. */
export function isLineComment(text: string, i: number): boolean {
  return text[i] === '#' || (text[i] === '/' && text[i + 1] === '/')
}
/** Offset of the line end (the `\n`, or the `\r` before it) or of the text's end. */
export function toLineEnd(text: string, i: number): number {
  const end = text.indexOf('\n', i)
  if (end < 0) return text.length
  return text[end - 1] === '\r' && end > i ? end - 1 : end
}
export function isNewline(text: string, i: number): boolean {
  return text[i] === '\n' || (text[i] === '\r' && text[i + 1] === '\n')
}

/** Skips blanks, line ends and comments. */
export function skipSpace(src: Source, i: number): number {
  const { text } = src
  for (;;) {
    const c = text[i]
    if (c === ' ' || c === '\t' || c === '\n' || c === '\r') i++
    else if (isLineComment(text, i)) i = toLineEnd(text, i)
    else if (c === '/' && text[i + 1] === '*') i = skipBlockComment(src, i)
    else return i
  }
}

/** `i` is at the opening quote; returns the offset behind the closing one. Templates inside may span lines, text may not. */
export function skipQuoted(src: Source, i: number): number {
  const { text } = src
  for (let p = i + 1; p < text.length; ) {
    const c = text[p]
    if (c === '\\') p += 2
    else if (c === '"') return p + 1
    else if (c === '\n') break
    else if (c === '$' || c === '%') p = skipTemplateMark(src, p)
    else p++
  }
  throw syntaxError(src, i, 'this string is never closed', 'A quoted string ends on the line on which it starts; use a heredoc for several lines.')
}

/** At `$` or `%` inside a template: skips `$${`, a whole `${ … }`, or the bare character. */
function skipTemplateMark(src: Source, p: number): number {
  const { text } = src
  const c = text[p]
  if (text[p + 1] === c && text[p + 2] === '{') return p + 3
  if (text[p + 1] !== '{') return p + 1
  return skipBracket(src, p + 1)
}

/** `i` is at `<<`; returns the offset behind the end marker, or -1 when this is no heredoc. */
export function skipHeredoc(src: Source, i: number): number {
  const { text } = src
  HEREDOC.lastIndex = i
  const match = HEREDOC.exec(text)
  if (!match) return -1
  const marker = match[1] as string
  let lineFrom = i + match[0].length
  for (let p = lineFrom; p <= text.length; ) {
    const c = text[p]
    if (c === '\n' || p === text.length) {
      if (text.slice(lineFrom, p).trim() === marker) return lineFrom + text.slice(lineFrom, p).trimEnd().length
      if (p === text.length) break
      p++
      lineFrom = p
    } else if (c === '$' || c === '%') {
      const next = skipTemplateMark(src, p)
      // A line with a template in it can not be the end marker; remember that by moving the line's start past it.
      if (next > p + 1) lineFrom = p
      p = next
    } else p++
  }
  throw syntaxError(src, i, `this heredoc has no line with its end marker ${marker}`, `Close it with a line that holds only ${marker}.`)
}

/** `i` is at an opening bracket; returns the offset behind its partner. */
export function skipBracket(src: Source, i: number): number {
  const { text } = src
  const stack: string[] = []
  for (let p = i; p < text.length; ) {
    const c = text[p] as string
    const next = skipToken(src, p)
    if (next > p) {
      p = next
      continue
    }
    if (c === '(' || c === '[' || c === '{') stack.push(c)
    else if (c === ')' || c === ']' || c === '}') {
      const open = stack.pop()
      if (open === undefined || CLOSER[open] !== c) throw syntaxError(src, p, `"${c}" does not close the bracket that is open`, `Expected "${CLOSER[open ?? ''] ?? 'nothing'}" here.`)
      if (stack.length === 0) return p + 1
    }
    p++
  }
  throw syntaxError(src, i, `the bracket "${text[i]}" is never closed`, `Close it with "${CLOSER[text[i] as string]}".`)
}

/** Skips one string, heredoc or comment at `p`; returns `p` when none starts there. */
function skipToken(src: Source, p: number): number {
  const { text } = src
  const c = text[p]
  if (c === '"') return skipQuoted(src, p)
  if (c === '<' && text[p + 1] === '<') return Math.max(p, skipHeredoc(src, p))
  if (c === '#') return toLineEnd(text, p)
  if (c === '/' && text[p + 1] === '/') return toLineEnd(text, p)
  if (c === '/' && text[p + 1] === '*') return skipBlockComment(src, p)
  return p
}

export interface ExprEnd {
  /** Behind the last character of the expression. */
  readonly end: number
  /** Where reading stopped: a line end, a comma, a closing bracket, a comment or the text's end. */
  readonly stop: number
}

/**
 * Delimits the expression that starts at `i`. At bracket depth 0 it ends before a closing bracket, before a comma when
 * `comma`, and before a line end or line comment unless `lines` (inside `(` and `[` a line end is white space).
 */
export function skipExpr(src: Source, i: number, o: { comma?: boolean; lines?: boolean } = {}): ExprEnd {
  const { text } = src
  let end = i
  for (let p = i; ; ) {
    if (p >= text.length) return { end, stop: text.length }
    const c = text[p] as string
    if (c === ' ' || c === '\t') p++
    else if (isNewline(text, p)) {
      if (!o.lines) return { end, stop: p }
      p++
    } else if (c === '\r') p++
    else if (isLineComment(text, p)) {
      if (!o.lines) return { end, stop: p }
      p = toLineEnd(text, p)
    } else if (c === '/' && text[p + 1] === '*') p = skipBlockComment(src, p)
    else if (c === ')' || c === ']' || c === '}' || (o.comma && c === ',')) return { end, stop: p }
    else if (c === '(' || c === '[' || c === '{') end = p = skipBracket(src, p)
    else if (c === '"') end = p = skipQuoted(src, p)
    else if (c === '<' && text[p + 1] === '<') end = p = Math.max(p + 2, skipHeredoc(src, p))
    else end = ++p
  }
}
