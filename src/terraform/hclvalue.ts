import type { Json } from '../core/json.ts'

const IDENT = /^[\p{ID_Start}_][\p{ID_Continue}-]*$/u

/** A string as HCL quoted text; templates marks are escaped, so it always means itself. */
export function quoteHcl(text: string): string {
  const body = text
    .replaceAll('\\', '\\\\')
    .replaceAll('"', '\\"')
    .replaceAll('\n', '\\n')
    .replaceAll('\r', '\\r')
    .replaceAll('\t', '\\t')
    // eslint-disable-next-line no-control-regex -- control characters have no other spelling in HCL
    .replace(/[\u0000-\u001f\u007f]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`)
    // What Terraform makes of three marks in a row is not written down: the ones in front get another spelling.
    .replace(/([$%])(?=\1+\{)/g, (c) => (c === '$' ? '\\u0024' : '\\u0025'))
    // A function, because `$$` in a replacement text means one `$`.
    .replaceAll('${', () => '$${')
    .replaceAll('%{', '%%{')
  return `"${body}"`
}

/** An attribute name or object key as HCL. */
export function hclKey(key: string): string {
  return IDENT.test(key) ? key : quoteHcl(key)
}

/**
 * HCL text of a value, laid out as `terraform fmt` does; `indent` is the indentation of the line it starts on.
 * Lines are separated by `\n`: the edit turns them into the file's own line ends.
 */
export function toHcl(value: Json, indent = ''): string {
  if (value === null) return 'null'
  if (typeof value === 'string') return quoteHcl(value)
  if (typeof value === 'number' || typeof value === 'boolean') return String(value)
  const inner = `${indent}  `
  if (Array.isArray(value)) {
    const flat = value.every((v) => v === null || typeof v !== 'object')
    const oneLine = `[${value.map((v) => toHcl(v)).join(', ')}]`
    if (value.length === 0 || (flat && oneLine.length <= 90)) return oneLine
    return `[\n${value.map((v) => `${inner}${toHcl(v, inner)},\n`).join('')}${indent}]`
  }
  const entries = Object.entries(value)
  if (entries.length === 0) return '{}'
  return `{\n${attributeLines(entries.map(([k, v]) => [hclKey(k), toHcl(v, inner)]), inner)}${indent}}`
}

/** `key = value` lines with the `=` of neighbouring one-line values in one column, as `terraform fmt` wants it. */
export function attributeLines(pairs: readonly (readonly [key: string, value: string])[], indent: string): string {
  let out = ''
  for (let i = 0; i < pairs.length; ) {
    let j = i
    while (j < pairs.length && !pairs[j]![1].includes('\n')) j++
    const group = pairs.slice(i, Math.max(j, i + 1))
    const width = Math.max(...group.map(([k]) => [...k].length))
    for (const [k, v] of group) out += `${indent}${k}${' '.repeat(width - [...k].length)} = ${v}\n`
    i += group.length
  }
  return out
}
