import { ReglazeError } from '../core/errors.ts'
import { TERRAFORM } from './errors.ts'

export type InstanceKey = string | number
export interface ModuleStep {
  readonly name: string
  readonly key: InstanceKey | null
}
export interface Address {
  readonly modules: readonly ModuleStep[]
  readonly mode: 'managed' | 'data'
  readonly type: string
  readonly name: string
  readonly key: InstanceKey | null
}

const NAME = /[\p{ID_Start}_][\p{ID_Continue}-]*/uy

/** Reads `module.a["x"].data.type.name[0]`. Throws TERRAFORM_ADDRESS. */
export function parseAddress(text: string): Address {
  const bad = (at: number): ReglazeError => new ReglazeError(TERRAFORM.TERRAFORM_ADDRESS, `"${text}" is not the address of a resource`, { place: `character ${at + 1}` })
  let i = 0
  const name = (): string => {
    NAME.lastIndex = i
    const m = NAME.exec(text)
    if (!m) throw bad(i)
    i = NAME.lastIndex
    return m[0]
  }
  const dot = (): void => {
    if (text[i] !== '.') throw bad(i)
    i++
  }
  const key = (): InstanceKey | null => {
    if (text[i] !== '[') return null
    const m = /^\[(?:(\d+)|("(?:[^"\\]|\\.)*"))\]/.exec(text.slice(i))
    if (!m) throw bad(i)
    i += m[0].length
    if (m[1] !== undefined) return Number(m[1])
    try {
      return JSON.parse(m[2] as string) as string
    } catch {
      throw bad(i)
    }
  }
  const modules: ModuleStep[] = []
  let word = name()
  while (word === 'module') {
    dot()
    const called = name()
    modules.push({ name: called, key: key() })
    dot()
    word = name()
  }
  const mode = word === 'data' ? 'data' : 'managed'
  if (mode === 'data') {
    dot()
    word = name()
  }
  dot()
  const resource = name()
  const k = key()
  if (i !== text.length) throw bad(i)
  return { modules, mode, type: word, name: resource, key: k }
}

export function formatKey(key: InstanceKey | null): string {
  return key === null ? '' : `[${typeof key === 'number' ? key : JSON.stringify(key)}]`
}
export function formatModules(modules: readonly ModuleStep[]): string {
  return modules.map((m) => `module.${m.name}${formatKey(m.key)}`).join('.')
}
export function formatAddress(a: Address): string {
  const path = formatModules(a.modules)
  return `${path}${path ? '.' : ''}${a.mode === 'data' ? 'data.' : ''}${a.type}.${a.name}${formatKey(a.key)}`
}
/** The address of the resource block, without any instance key: all instances share it. */
export function configAddress(a: Address): string {
  return formatAddress({ ...a, key: null, modules: a.modules.map((m) => ({ name: m.name, key: null })) })
}
/** `type.name` or `data.type.name`, as it is written inside its module. */
export function localName(a: Address): string {
  return `${a.mode === 'data' ? 'data.' : ''}${a.type}.${a.name}`
}
