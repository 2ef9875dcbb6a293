/** Code put between markers, in a way that gives every byte back: comment out and in, and regions added for a while. */
import { ReglazeError } from '../../core/errors.ts'
import { TERRAFORM } from '../errors.ts'
import { itemLines, type Edit } from './edit.ts'
import type { Block, Item } from './read.ts'
import { indentOf, newlineOf, place, type Source, type Span } from './source.ts'

/** `off` = lines commented out, `added` = lines that were not there before. */
export type RegionKind = 'off' | 'added'
export interface Region extends Span {
  readonly incident: string
  readonly kind: RegionKind
  /** What for: `hard sandbox_instance.web`, `import sandbox_instance.web`. */
  readonly what: string
  /** The lines between the markers. */
  readonly inner: Span
}

const BEGIN = /^([ \t]*)# reglaze:(\S+) begin (off|added) (.+?)\r?$/
const END = /^[ \t]*# reglaze:(\S+) end\r?$/

/** Comments out whole lines of an item: `# ` before each line, a bare `#` for an empty one. */
export function commentOut(src: Source, item: Item, o: { incident: string; what: string }): Edit {
  const lines = itemLines(src, item)
  const { text } = src
  const bom = lines.start === 0 && text.charCodeAt(0) === 0xfeff ? 1 : 0
  const nl = newlineOf(text)
  const indent = indentOf(text, item.start)
  const body = text.slice(lines.start + bom, lines.end)
  const closed = body.endsWith('\n')
  const commented = (closed ? body.replace(/\r?\n$/, '') : body).split('\n').map((l) => (l === '' ? '#' : l === '\r' ? '#\r' : `# ${l}`)).join('\n')
  // The final line end is kept outside, so that a file without one gets its own end back.
  const last = closed ? (body.endsWith('\r\n') ? '\r\n' : '\n') : ''
  const mixed = closed ? last : nl
  const region = `${indent}# reglaze:${o.incident} begin off ${o.what}${nl}${commented}${mixed}${indent}# reglaze:${o.incident} end${last}`
  return { start: lines.start + bom, end: lines.end, text: region }
}

/** Wraps lines (text with `\n`, ending in one) in markers: `removeRegion` takes them away again. */
export function markedLines(src: Source, lines: string, indent: string, o: { incident: string; what: string }): string {
  const nl = newlineOf(src.text)
  const body = lines.replace(/\n$/, '').split('\n').map((l) => (l === '' ? '' : indent + l)).join('\n')
  return `${indent}# reglaze:${o.incident} begin added ${o.what}\n${body}\n${indent}# reglaze:${o.incident} end\n`.replaceAll('\n', nl)
}

/** Inserts marked lines just before the closing brace of a block that has it on a line of its own. */
export function addMarkedToBlock(src: Source, block: Block, lines: string, o: { incident: string; what: string }): Edit {
  const { text } = src
  const at = text.lastIndexOf('\n', block.bodyEnd - 1) + 1
  if (at <= block.bodyStart - 1 || text.slice(at, block.bodyEnd).trim() !== '') {
    throw new ReglazeError(TERRAFORM.HCL_NOT_EDITABLE, 'the block has its closing brace on a line with something else', { place: place(src, block.bodyEnd) })
  }
  const indent = block.items[0] ? indentOf(text, block.items[0].start) : `${indentOf(text, block.start)}  `
  return { start: at, end: at, text: markedLines(src, lines, indent, o) }
}

/** All marked regions of a file. Throws HCL_MARKER_TOUCHED when markers do not pair. */
export function regions(src: Source): Region[] {
  const { text } = src
  const out: Region[] = []
  let open: { incident: string; kind: RegionKind; what: string; start: number; innerStart: number } | null = null
  for (let i = text.charCodeAt(0) === 0xfeff ? 1 : 0; i < text.length; ) {
    const nl = text.indexOf('\n', i)
    const end = nl < 0 ? text.length : nl + 1
    const line = text.slice(i, nl < 0 ? text.length : nl)
    const begin = line.includes('reglaze:') ? BEGIN.exec(line) : null
    if (begin) {
      if (open) throw touched(src, i, 'a marker begins inside another one')
      open = { incident: begin[2] as string, kind: begin[3] as RegionKind, what: begin[4] as string, start: i, innerStart: end }
    } else if (open && END.exec(line)) {
      if (END.exec(line)![1] !== open.incident) throw touched(src, i, 'a marker is ended by another incident')
      out.push({ incident: open.incident, kind: open.kind, what: open.what, start: open.start, end, inner: { start: open.innerStart, end: i } })
      open = null
    }
    i = end
  }
  if (open) throw touched(src, open.start, 'this marker has no end')
  return out
}

function touched(src: Source, offset: number, message: string): ReglazeError {
  return new ReglazeError(TERRAFORM.HCL_MARKER_TOUCHED, message, { place: place(src, offset) })
}

/** The exact undo of `commentOut` (kind off) or of marked lines (kind added). */
export function removeRegion(src: Source, region: Region): Edit {
  if (region.kind === 'added') return { start: region.start, end: region.end, text: '' }
  const { text } = src
  const inner = text.slice(region.inner.start, region.inner.end)
  const lines = inner.replace(/\n$/, '').split('\n')
  const restored = lines.map((l, n) => {
    const cr = l.endsWith('\r') ? '\r' : ''
    const bare = cr ? l.slice(0, -1) : l
    if (bare === '#') return cr
    if (!bare.startsWith('# ')) throw touched(src, region.inner.start, `line ${n + 1} of the commented-out code is not a comment any more`)
    return bare.slice(2) + cr
  })
  // Without a line end behind the end marker the item had none either.
  const closed = text[region.end - 1] === '\n'
  let body = restored.join('\n')
  body = closed ? `${body}\n` : body.replace(/\r$/, '')
  return { start: region.start, end: region.end, text: body }
}
