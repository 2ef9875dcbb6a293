/** The HCL that expresses a manual change: what would have to stand in the code. A proposal to read; reconcile/ edits the code. Pure. */
import type { Json } from '../core/json.ts'
import { attributeLines, hclKey, toHcl } from '../terraform/hclvalue.ts'
import type { Modification } from './model.ts'

/** What the outside system computes by itself: never written into code. A schema, where there is one, knows better. */
const COMPUTED = ['id', 'ip', 'endpoint', 'status', 'health', 'created_at', 'updated_at', 'expired', 'arn']
const SECRET = /passw|secret|token|private_key/i

export interface HclOptions {
  /** Attributes of this type that code cannot set. Default: a list of usual names. */
  readonly computed?: readonly string[]
  /** Repeated blocks of this type. Default: every list of objects. */
  readonly blocks?: readonly string[]
}

/** Null when the change cannot stand in code (only computed attributes changed, e.g. a stopped machine). */
export function modificationHcl(m: Pick<Modification, 'action' | 'resource' | 'address' | 'attributes' | 'after' | 'event' | 'at'>, options: HclOptions = {}): string | null {
  const computed = new Set(options.computed ?? COMPUTED)
  const where = m.address ?? `${m.resource.type} ${m.resource.id} (not managed by Terraform)`
  if (m.action === 'delete') return m.address === null ? null : `# ${where} was deleted by hand (event ${m.event}, ${m.at}).\n# Either remove its block, or let the next apply create it again.\n`
  const created = m.action === 'create'
  const source = Object.entries(m.attributes).filter(([key, value]) => !computed.has(key) && !(created && isEmpty(value.after)))
  if (source.length === 0) return null
  const label = blockLabel(m)
  let body = ''
  const pairs: (readonly [string, string])[] = []
  const blocks: string[] = []
  for (const [key, { after }] of source) {
    if (SECRET.test(key)) blocks.push(`  # ${hclKey(key)} changed too; secrets are not written into code\n`)
    else if (isBlocks(key, after, options)) blocks.push(...(after as Json[]).map((block) => blockText(key, block as Record<string, Json>)))
    else pairs.push([hclKey(key), toHcl(after, '  ')])
  }
  body += attributeLines(pairs, '  ') + (pairs.length > 0 && blocks.length > 0 ? '\n' : '') + blocks.join('\n')
  const importHint = created && m.address === null ? `import {\n  to = ${label.type}.${label.name}\n  id = ${toHcl(m.resource.id)}\n}\n\n` : ''
  return `# ${where}: changed by hand (event ${m.event}, ${m.at})\n${importHint}resource "${label.type}" "${label.name}" {\n${body}}\n`
}

/** The labels of the block: from the address, else made from the object's name. */
function blockLabel(m: Pick<Modification, 'resource' | 'address'>): { type: string; name: string } {
  const last = m.address?.replace(/(\[("(?:[^"\\]|\\.)*"|\d+)\])$/, '').split('.').at(-1)
  const made = (m.resource.name ?? m.resource.id).replace(/[^A-Za-z0-9_-]/g, '_').replace(/^(?![A-Za-z_])/, '_')
  return { type: m.resource.type, name: last ?? made }
}
function isBlocks(key: string, value: Json, options: HclOptions): boolean {
  const objects = Array.isArray(value) && value.length > 0 && value.every((v) => v !== null && typeof v === 'object' && !Array.isArray(v))
  return objects && (options.blocks === undefined || options.blocks.includes(key))
}
function blockText(key: string, block: Record<string, Json>): string {
  const pairs = Object.entries(block).map(([k, v]) => [hclKey(k), toHcl(v, '    ')] as const)
  return `  ${key} {\n${attributeLines(pairs, '    ')}  }\n`
}
function isEmpty(value: Json): boolean {
  return value === null || (Array.isArray(value) && value.length === 0) || (typeof value === 'object' && value !== null && !Array.isArray(value) && Object.keys(value).length === 0)
}
