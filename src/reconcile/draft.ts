/** The edits of one codify run, one after the other on a copy of the code in memory. */
import { relative } from 'node:path'
import { sameJson, type Json } from '../core/json.ts'
import {
  appendBlock, applyEdits, configAddress, dependentsOf, findResource, importBlock, isObject, joinPath, literalValue, localName, markedLines, parseAddress, place, pruneGenerated,
  readExpr, readHcl, removedBlock, removeItem, removeMember, resourceSchema, rewriteAt, setExpr, traceOrigin, type Address, type Config, type Edit, type HclFile, type Module, type Origin, type Path,
} from '../terraform/index.ts'
import { isSetPath, type Seen } from './look.ts'
import { decisionFor, type CheckResult, type Decision, type Difference, type EditNote, type Refusal, type ResourceReport } from './model.ts'
import { othersReading } from './others.ts'
import { editedConfig } from './overlay.ts'

interface Wanted {
  readonly address: string
  readonly difference: Difference
}

export class Draft {
  readonly changed = new Map<string, string>()
  readonly notes: EditNote[] = []
  readonly refused: Refusal[] = []
  readonly secrets: string[] = []
  /** `address\nattribute` that the code now says. */
  readonly codified = new Set<string>()
  readonly imported = new Set<string>()
  readonly seen: Seen
  readonly incident: string
  config: Config
  #cache = new Map<string, HclFile>()
  #queue: Wanted[] = []
  #instances: string[]

  constructor(seen: Seen, incident: string) {
    this.seen = seen
    this.incident = incident
    this.config = seen.config
    this.#instances = [...seen.index.byAddress.values()].filter((e) => e.mode === 'managed').map((e) => e.address)
  }

  refuse(address: string, attribute: string | null, reason: string, at: string | null, options: readonly string[]): void {
    this.refused.push({ address, attribute, reason, place: at === null ? null : this.#short(at), options })
  }
  unverified(note: string): void {
    this.notes.push({ address: '', attribute: null, kind: 'note', place: note, from: null, to: null })
  }
  has(address: string): boolean {
    return findResource(this.config, address) !== undefined
  }
  #short(at: string): string {
    const top = `${this.seen.session.dir}/`
    return at.startsWith(top) ? at.slice(top.length) : at
  }

  /** Queues the differences of a resource that somebody decided to codify. */
  values(r: ResourceReport, decisions: readonly Decision[]): void {
    if (r.differences.length === 0 && decisions.some((d) => d.address === r.address && d.action === 'codify')) {
      const way = r.class === 'unmanaged' ? 'import' : r.class === 'gone' ? 'forget or revert' : 'revert'
      this.refuse(r.address, null, `there is no value to codify: ${r.note ?? r.class}`, null, [way])
    }
    for (const difference of r.differences) {
      const decision = decisionFor(decisions, r.address, difference.attribute)
      if (decision?.action !== 'codify') continue
      const explicit = decision.attribute !== undefined
      if (difference.class === 'secret' || holdsSecret(difference.actual)) {
        this.refuse(r.address, difference.attribute, 'a secret is never written into code', difference.place, ['set it where the secret lives and apply once', 'revert'])
      } else if (['real', 'would-revert', 'ignored', 'would-destroy'].includes(difference.class)) this.#queue.push({ address: r.address, difference })
      else if (explicit) this.refuse(r.address, difference.attribute, `no code can say it (${difference.class})`, difference.place, ['none'])
    }
  }

  /** Works the queue off; each edit sees the result of the ones before it. */
  flush(): void {
    for (const w of this.#queue) this.#codifyOne(w)
    this.#queue = []
  }

  #codifyOne(w: Wanted): void {
    const { address, difference: d } = w
    const origin = traceOrigin(this.config, address, d.path, { env: this.seen.session.env })
    if (origin.kind === 'refused') {
      this.refuse(address, d.attribute, origin.reason, origin.at, origin.options)
      return
    }
    const result = rewriteAt(origin, d.expected ?? d.state, d.actual, { set: isSetPath(this.seen.schemas, address, d.path) })
    if (result.kind === 'refused') {
      this.refuse(address, d.attribute, result.reason, result.at, result.options)
      return
    }
    if (result.kind === 'edit') {
      // Another reader of the same place is fine when it shall have the same value.
      const agrees = (o: string): boolean => this.#queue.some((q) => q.address === o && sameJson(q.difference.actual, d.actual))
      const others = othersReading(this.config, address, origin, this.#instances).filter((o) => !agrees(o))
      if (others.length > 0) {
        this.refuse(address, d.attribute, `the same code also decides about ${others.join(', ')}`, result.place, ['give this instance a value of its own (a variable or a map key)', 'codify the others to the same value', 'revert'])
        return
      }
      this.#apply(result.file, result.edits)
      this.notes.push({ address, attribute: d.attribute, kind: result.where, place: this.#short(result.place), from: d.expected ?? d.state, to: d.actual })
    }
    this.codified.add(`${address}\n${String(d.path[0])}`)
  }

  #apply(file: HclFile, edits: readonly Edit[]): void {
    this.changed.set(file.name, applyEdits(file.text, edits))
    this.config = editedConfig(this.seen.session, this.changed, this.#cache)
  }

  /** The object is gone and shall stay gone: its code goes too. */
  forget(r: ResourceReport, decisions: readonly Decision[]): void {
    if (r.class !== 'gone' || decisionFor(decisions, r.address, null)?.action !== 'forget') return
    const a = parseAddress(r.address)
    const found = findResource(this.config, a)
    if (!found) return
    if (a.key === null) this.#removeBlock(a, r.address, null)
    else this.#removeKey(a, r.address)
  }

  #removeBlock(a: Address, address: string, leave: string | null): void {
    const found = findResource(this.config, a)
    if (!found) return
    const others = this.#instances.filter((i) => i !== address && configAddress(parseAddress(i)) === configAddress(a))
    const shared = this.#instances.filter((i) => i !== address && !others.includes(i) && localName(parseAddress(i)) === localName(a) && findResource(this.config, i)?.node === found.node)
    const dependents = dependentsOf(found.module, localName(a))
    if (others.length + shared.length > 0) this.refuse(address, null, `its code also makes ${[...others, ...shared].join(', ')}`, place(found.file, found.node.start), ['revert', 'give it code of its own'])
    else if (dependents.length > 0) this.refuse(address, null, `${dependents.map((d) => d.what).join(', ')} refer to it`, place(found.file, found.node.start), ['revert', 'remove the references first'])
    else {
      const edits: Edit[] = [removeItem(found.file, found.node)]
      if (leave) edits.push(appendBlock(found.file, markedLines(found.file, leave, '', { incident: this.incident, what: `removed ${address}` })))
      this.#apply(found.file, edits)
      this.notes.push({ address, attribute: null, kind: leave ? 'removed' : 'block', place: this.#short(place(found.file, found.node.start)), from: null, to: null })
    }
  }

  #removeKey(a: Address, address: string): void {
    const options = ['revert', 'edit the code by hand, then prove']
    if (typeof a.key === 'number') {
      this.refuse(address, null, 'one of several instances of `count`: the others would move up', null, options)
      return
    }
    const key = a.key as string
    const origin = traceOrigin(this.config, address, ['for_each', key], { env: this.seen.session.env })
    if (origin.kind !== 'expr') {
      this.refuse(address, null, origin.kind === 'refused' ? origin.reason : 'its key has no place in the code', origin.kind === 'refused' ? origin.at : null, options)
      return
    }
    const module = findResource(this.config, a)?.module as Module
    const via = [...origin.via, { kind: 'each' as const, module: module.dir, what: `${a.type}.${a.name}`, key }]
    const others = othersReading(this.config, address, { ...origin, via }, this.#instances)
    if (others.length > 0) {
      this.refuse(address, null, `the same key also makes ${others.join(', ')}`, place(origin.file, origin.expr.start), options)
      return
    }
    const edits = keyRemoval(origin, key)
    if (!edits) {
      this.refuse(address, null, 'its key is computed', place(origin.file, origin.expr.start), options)
      return
    }
    this.#apply(origin.file, edits)
    this.notes.push({ address, attribute: null, kind: 'map-key', place: this.#short(place(origin.file, origin.expr.start)), from: key, to: null })
  }

  /** The object stays, Terraform shall no longer know it: a removed block that leaves it alone. */
  forgetExisting(d: Decision, found: CheckResult): void {
    const r = found.resources.find((x) => x.address === d.address)
    if (r?.class === 'gone' || r?.class === 'forget' || !this.seen.index.byAddress.has(d.address)) return
    const a = parseAddress(d.address)
    const [major, minor] = this.seen.session.runner.version.split('.').map(Number) as [number, number]
    if (a.key !== null) this.refuse(d.address, null, 'a removed block takes no instance keys', null, ['terraform state rm, under a hold'])
    else if (major === 1 && minor < 7) this.refuse(d.address, null, `Terraform ${this.seen.session.runner.version} has no removed blocks`, null, ['Terraform ≥ 1.7', 'terraform state rm, under a hold'])
    else this.#removeBlock(a, d.address, removedBlock(localName(a)))
  }

  /** Import block and pruned code, beside resources of the same type or in a file of their own. */
  importObject(address: string, id: string, generated: string, error: string | null): void {
    const a = parseAddress(address)
    const schema = resourceSchema(this.seen.schemas, a.type)
    let pruned: { text: string; secrets: readonly string[] }
    try {
      pruned = pruneGenerated(generated, a.type, a.name, schema)
    } catch {
      this.refuse(address, null, `Terraform could not read ${id}: ${error ?? 'no code was generated'}`, null, ['check the id and the type'])
      return
    }
    const root = this.config.modules.get(this.config.root) as Module
    const beside = [...root.resources.values()].findLast((p) => p.node.type === 'resource' && p.node.labels[0] === a.type)?.file
    const path = beside?.name ?? joinPath(root.dir, 'imported.tf')
    const file = beside ?? root.files.find((f) => f.name === path) ?? readHcl(path, '')
    const block = appendBlock(file, pruned.text)
    const withCode = applyEdits(file.text, [block])
    const marked = markedLines(file, importBlock(address, id), '', { incident: this.incident, what: `import ${address}` })
    this.changed.set(path, applyEdits(withCode, [appendBlock({ name: path, text: withCode }, marked)]))
    this.config = editedConfig(this.seen.session, this.changed, this.#cache)
    this.imported.add(address)
    this.secrets.push(...pruned.secrets.map((s) => `${address}.${s}`))
    this.notes.push({ address, attribute: null, kind: 'import', place: relative(this.seen.session.dir, path), from: null, to: id })
  }
}

function holdsSecret(v: Json): boolean {
  if (Array.isArray(v)) return v.some(holdsSecret)
  return isObject(v) && ('$secret' in v || Object.values(v).some(holdsSecret))
}

/** Takes a key out of the object or the list of strings that `for_each` comes from. */
function keyRemoval(origin: Extract<Origin, { kind: 'expr' }>, key: string): readonly Edit[] | null {
  const { file, expr } = origin
  const rest: Path = origin.rest
  if (rest.length === 0) {
    const result = rewriteAt({ ...origin, place: 'map-key' }, undefined, null)
    if (result.kind !== 'edit') return null
    // An entry is removed as a whole; a value that is no entry would become null, which is another key set.
    return result.edits.every((e) => e.text === '') ? result.edits : null
  }
  if (expr.kind !== 'list') return null
  const n = expr.elements.findIndex((e) => literalValue(file, e) === key)
  if (n < 0) return null
  return expr.elements.length === 1 ? [setExpr(file, readExpr(file, expr), '[]')] : [removeMember(file, expr.elements, n)]
}
