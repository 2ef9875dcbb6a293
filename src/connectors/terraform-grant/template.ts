import type { Json } from '../../core/json.ts'
import type { GrantSpec } from '../../core/ports.ts'
import { attributeLines, hclKey, quoteHcl, toHcl } from '../../terraform/hclvalue.ts'

export interface TemplateOptions {
  readonly provider: { readonly name: string; readonly source: string; readonly version: string; readonly config?: Readonly<Record<string, Json>> }
  readonly type: string
  /**
   * Attributes of the resource. Texts may hold `{grant}`, `{person}`, `{principal}`, `{incident}`, `{expires_at}` and
   * `{right.NAME}`; a text that is nothing but one of them takes its value with its type, and null leaves the attribute out.
   */
  readonly attributes: Readonly<Record<string, Json>>
}

/** main.tf for one grant from the configuration's mapping. Values are written as HCL values: nothing in them can become code. */
export function templateOf(options: TemplateOptions): (spec: GrantSpec) => string {
  return (spec) => {
    const { provider } = options
    const pairs = Object.entries(options.attributes).flatMap(([key, value]) => {
      const filled = fill(value, spec)
      return filled === null ? [] : [[hclKey(key), toHcl(filled, '  ')] as const]
    })
    const config = Object.entries(provider.config ?? {}).map(([k, v]) => [hclKey(k), toHcl(fill(v, spec), '  ')] as const)
    return `# Made for ${spec.grantId}. Destroyed when the grant ends.
terraform {
  required_providers {
    ${hclKey(provider.name)} = {
      source  = ${quoteHcl(provider.source)}
      version = ${quoteHcl(provider.version)}
    }
  }
}

provider ${quoteHcl(provider.name)} {
${attributeLines(config, '  ')}}

resource ${quoteHcl(options.type)} "grant" {
${attributeLines(pairs, '  ')}}
`
  }
}

function fill(value: Json, spec: GrantSpec): Json {
  if (Array.isArray(value)) return value.map((v) => fill(v, spec))
  if (value !== null && typeof value === 'object') return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, fill(v, spec)]))
  if (typeof value !== 'string') return value
  const whole = /^\{([\w.]+)\}$/.exec(value)
  if (whole) return lookUp(whole[1] as string, spec, value)
  return value.replace(/\{([\w.]+)\}/g, (text, name: string) => String(lookUp(name, spec, text) ?? ''))
}
function lookUp(name: string, spec: GrantSpec, otherwise: Json): Json {
  if (name.startsWith('right.')) return spec.right[name.slice(6)] ?? null
  const known: Record<string, Json> = { grant: spec.grantId, person: spec.person, principal: spec.principal, incident: spec.incident, expires_at: spec.expiresAt }
  return Object.hasOwn(known, name) ? (known[name] as Json) : otherwise
}
