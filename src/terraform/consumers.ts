/** Who else reads a value: the resources that a variable, a local or a module argument reaches. */
import type { Config, Module } from './config.ts'
import { bodyReferences, references, type Reference } from './hcl/refs.ts'
import type { Via } from './origin.ts'

/** A resource block that a value reaches. */
export interface Consumer {
  /** Folder of the module in which it stands. */
  readonly module: string
  /** `type.name`, `data.type.name`, `output.name`, `module.name` (a call whose code is not ours). */
  readonly what: string
  /** True when it is reached by its `for_each` alone: then only the instance of the edited key changes. */
  readonly onlyForEach: boolean
}

/** All consumers of a variable or local, over locals and local module calls. */
export function consumersOf(config: Config, start: Extract<Via, { kind: 'variable' | 'local' }>, key: string | number | null): Consumer[] {
  const out = new Map<string, Consumer>()
  const seen = new Set<string>()
  const visit = (dir: string, root: 'var' | 'local', name: string): void => {
    const mark = `${dir}\n${root}.${name}`
    const module = config.modules.get(dir)
    if (seen.has(mark) || !module) return
    seen.add(mark)
    const hits = (refs: readonly Reference[]): boolean => refs.some((r) => r.steps[0] === root && r.steps[1] === name && !otherKey(r, key))
    visitModule(module, hits, (c) => out.set(`${c.module}\n${c.what}`, c), visit)
  }
  visit(start.module, start.kind === 'variable' ? 'var' : 'local', start.name)
  return [...out.values()]
}

/** `local.machines["other"]` reads another key than the one that is edited. */
function otherKey(r: Reference, key: string | number | null): boolean {
  const step = r.steps[2]
  return key !== null && (typeof step === 'string' || typeof step === 'number') && step !== '*' && String(step) !== String(key)
}

function visitModule(m: Module, hits: (refs: readonly Reference[]) => boolean, add: (c: Consumer) => void, visit: (dir: string, root: 'var' | 'local', name: string) => void): void {
  for (const [what, { file, node }] of m.resources) {
    // Conditions are judged, not applied: they change no object.
    const elsewhere = hits(bodyReferences(file, node.items, (n) => n === 'for_each' || n === 'lifecycle'))
    const all = hits(bodyReferences(file, node.items, (n) => n === 'lifecycle'))
    if (all) add({ module: m.dir, what, onlyForEach: !elsewhere })
  }
  for (const [name, { file, node }] of m.locals) if (hits(references(file, node.expr))) visit(m.dir, 'local', name)
  for (const [name, { file, node }] of m.outputs) if (hits(bodyReferences(file, node.items))) add({ module: m.dir, what: `output.${name}`, onlyForEach: false })
  for (const call of m.calls.values()) {
    for (const item of call.node.items) {
      if (item.kind !== 'attribute' || !hits(references(call.file, item.expr))) continue
      if (item.name === 'for_each') {
        // The call's own arguments say what of each.value goes where; the plan of the edit has the last word.
        add({ module: m.dir, what: `module.${call.name}`, onlyForEach: true })
      } else if (call.dir === null) add({ module: m.dir, what: `module.${call.name}`, onlyForEach: false })
      else visit(call.dir, 'var', item.name)
    }
  }
}

/** References from elsewhere in the same module to a resource: what breaks when its block goes. */
export interface Dependent {
  readonly what: string
  readonly file: string
  readonly offset: number
}
export function dependentsOf(module: Module, local: string): Dependent[] {
  const parts = local.split('.')
  const names = (r: Reference): boolean => parts.every((p, i) => r.steps[i] === p)
  const out: Dependent[] = []
  const own = module.resources.get(local)?.node
  for (const file of module.files) {
    for (const item of file.items) {
      if (item === own || item.kind !== 'block' || ['import', 'removed', 'moved'].includes(item.type)) continue
      const inBlock = bodyReferences(file, item.items).find(names)
      const label = item.type === 'resource' ? item.labels.join('.') : [item.type, ...item.labels].join('.')
      if (inBlock) out.push({ what: label, file: file.name, offset: inBlock.start })
    }
  }
  return out
}
