/** Which other objects would change when the place that a value comes from is edited. */
import { consumersOf, localName, moduleAt, parseAddress, type Address, type Config, type Consumer, type Origin, type Via } from '../terraform/pure.ts'

type Each = Extract<Via, { kind: 'each' }>
type Named = Exclude<Via, Each>

/** Addresses, among `instances` (managed objects of the state), that read the value at `origin`, the one asked for left out. */
export function othersReading(config: Config, address: string, origin: Exclude<Origin, { kind: 'refused' }>, instances: readonly string[]): string[] {
  const own = parseAddress(address)
  const all = instances.map((text) => ({ text, a: parseAddress(text) })).filter((i) => i.a.mode === 'managed' && i.text !== address)
  const lastNamed = origin.via.findLastIndex((v) => v.kind !== 'each')
  const each = origin.via.findLast((v): v is Each => v.kind === 'each')
  if (lastNamed < 0) {
    const dir = dirOf(config, own)
    return all.filter((i) => localName(i.a) === localName(own) && dirOf(config, i.a) === dir && (!each || i.a.key === own.key)).map((i) => i.text)
  }
  const named = origin.via[lastNamed] as Named
  const inCall = 'place' in origin && origin.place === 'module-argument' ? callDepth(config, own, named.module) : null
  const out = new Set<string>()
  for (const c of consumersOf(config, named, each?.key ?? null)) {
    for (const i of all) {
      if (inCall !== null && !samePath(i.a, own, inCall)) continue
      if (reads(config, c, i.a, each, origin.via)) out.add(i.text)
    }
  }
  return [...out].sort()
}

function dirOf(config: Config, a: Address): string | null {
  const at = moduleAt(config, a.modules)
  return 'foreign' in at ? null : at.module.dir
}

/** How many module steps of the address lead to the folder in which the variable is declared. */
function callDepth(config: Config, a: Address, dir: string): number | null {
  for (let n = 1; n <= a.modules.length; n++) {
    const at = moduleAt(config, a.modules.slice(0, n))
    if (!('foreign' in at) && at.module.dir === dir) return n
  }
  return null
}
/** Same calls by name; keys differ among instances of one call, which share its arguments. */
function samePath(a: Address, b: Address, depth: number): boolean {
  return b.modules.slice(0, depth).every((m, n) => a.modules[n]?.name === m.name)
}

function reads(config: Config, c: Consumer, a: Address, each: Each | undefined, via: readonly Via[]): boolean {
  if (c.what.startsWith('output.') || c.what.startsWith('data.')) return false
  if (c.what.startsWith('module.')) {
    const name = c.what.slice('module.'.length)
    const depth = a.modules.findIndex((m, n) => m.name === name && dirOfPath(config, a.modules.slice(0, n)) === c.module)
    if (depth < 0) return false
    if (!c.onlyForEach || !each || each.what !== c.what) return !c.onlyForEach
    if (a.modules[depth]?.key !== each.key) return false
    // Inside that one module instance only what reads the argument changes.
    const inner = via.slice(0, via.indexOf(each)).findLast((v): v is Named => v.kind === 'variable')
    return !inner || consumersOf(config, inner, null).some((x) => x.what === localName(a) && x.module === dirOf(config, a))
  }
  if (localName(a) !== c.what || dirOf(config, a) !== c.module) return false
  return !(c.onlyForEach && each) || a.key === each.key
}
function dirOfPath(config: Config, path: Address['modules']): string | null {
  const at = moduleAt(config, path)
  return 'foreign' in at ? null : at.module.dir
}
