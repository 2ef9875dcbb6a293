import { ReglazeError } from '../../core/errors.ts'
import { TERRAFORM } from '../errors.ts'

/** One file's text; offsets everywhere in `hcl/` are UTF-16 indices into `text`. */
export interface Source {
  readonly name: string
  readonly text: string
}
export interface Span {
  readonly start: number
  readonly end: number
}

/** `file:line:column` (both from 1) of an offset, as editors and Terraform print it. */
export function place(src: Source, offset: number): string {
  let line = 1
  let from = 0
  for (let i = src.text.indexOf('\n'); i >= 0 && i < offset; i = src.text.indexOf('\n', i + 1)) {
    line++
    from = i + 1
  }
  return `${src.name}:${line}:${offset - from + 1}`
}

export function syntaxError(src: Source, offset: number, message: string, hint?: string): ReglazeError {
  return new ReglazeError(TERRAFORM.HCL_SYNTAX, message, { place: place(src, offset), ...(hint ? { hint } : {}) })
}
export function notEditable(src: Source, offset: number, message: string): ReglazeError {
  return new ReglazeError(TERRAFORM.HCL_NOT_EDITABLE, message, { place: place(src, offset) })
}

/** Offset of the first character of the line that contains `offset`. */
export function lineStart(text: string, offset: number): number {
  return text.lastIndexOf('\n', offset - 1) + 1
}
/** Offset just behind the line end (`\n` included) of the line that contains `offset`; the text's length on the last line. */
export function lineEnd(text: string, offset: number): number {
  const i = text.indexOf('\n', offset)
  return i < 0 ? text.length : i + 1
}
/** The white space at the start of the line that contains `offset`. */
export function indentOf(text: string, offset: number): string {
  const start = Math.max(lineStart(text, offset), text.charCodeAt(0) === 0xfeff ? 1 : 0)
  let end = start
  while (text[end] === ' ' || text[end] === '\t') end++
  return text.slice(start, end)
}
/** The file's own line end; `\n` when it has none yet. */
export function newlineOf(text: string): string {
  const i = text.indexOf('\n')
  return i > 0 && text[i - 1] === '\r' ? '\r\n' : '\n'
}
