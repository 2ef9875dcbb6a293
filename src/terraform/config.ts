/** A Terraform configuration as its files say it: modules, resources, variables, locals, calls. Pure: files are handed in. */
import { ReglazeError } from '../core/errors.ts'
import { parseAddress, type Address, type ModuleStep } from './address.ts'
import { TERRAFORM } from './errors.ts'
import { literalValue } from './hcl/expr.ts'
import { attribute, readHcl, type Attribute, type Block, type HclFile } from './hcl/read.ts'
import { place, type Span } from './hcl/source.ts'

/** Reading door to a folder tree; paths are absolute, separated by `/`. */
export interface Files {
  /** Names in a folder; empty when there is none. */
  list(dir: string): readonly string[]
  read(path: string): string | undefined
}
export interface Placed<T> {
  readonly file: HclFile
  readonly node: T
}
export interface Call extends Placed<Block> {
  readonly name: string
  /** Folder of a local module; null for one from a registry or git, whose code is not ours to edit. */
  readonly dir: string | null
  readonly source: string
}
export interface Module {
  readonly dir: string
  readonly files: readonly HclFile[]
  /** Key `type.name` or `data.type.name`. */
  readonly resources: ReadonlyMap<string, Placed<Block>>
  readonly variables: ReadonlyMap<string, Placed<Block>>
  readonly locals: ReadonlyMap<string, Placed<Attribute>>
  readonly outputs: ReadonlyMap<string, Placed<Block>>
  readonly calls: ReadonlyMap<string, Call>
  /** Names of `.tf.json` and override files: read by Terraform, not by this reader. */
  readonly unread: readonly string[]
}
export interface Config {
  readonly root: string
  readonly modules: ReadonlyMap<string, Module>
  /** tfvars files of the root, lowest precedence first. */
  readonly tfvars: readonly HclFile[]
  /** tfvars.json files in effect, which this reader does not edit. */
  readonly tfvarsJson: readonly string[]
}

/** Joins and normalizes `/` paths. */
export function joinPath(base: string, rel: string): string {
  const out: string[] = []
  for (const part of `${rel.startsWith('/') ? '' : `${base}/`}${rel}`.split('/')) {
    if (part === '..') out.pop()
    else if (part !== '.' && part !== '') out.push(part)
  }
  return `/${out.join('/')}`
}

/**
 * Reads a root folder, its local modules and its tfvars files; `cache` keeps files whose text did not change.
 * Throws HCL_SYNTAX for a file that can not be read.
 */
export function loadConfig(files: Files, root: string, o: { varFiles?: readonly string[]; cache?: Map<string, HclFile> } = {}): Config {
  const parse = (path: string, text: string): HclFile => {
    const known = o.cache?.get(path)
    const file = known?.text === text ? known : readHcl(path, text)
    o.cache?.set(path, file)
    return file
  }
  const modules = new Map<string, Module>()
  const load = (dir: string): void => {
    if (modules.has(dir)) return
    const module = loadModule(files, dir, parse)
    modules.set(dir, module)
    for (const call of module.calls.values()) if (call.dir !== null) load(call.dir)
  }
  load(root)
  const names = [...files.list(root)].sort()
  const auto = names.filter((n) => /\.auto\.tfvars(\.json)?$/.test(n))
  const first = ['terraform.tfvars', 'terraform.tfvars.json'].filter((n) => names.includes(n))
  const paths = [...first, ...auto].map((n) => joinPath(root, n)).concat((o.varFiles ?? []).map((f) => joinPath(root, f)))
  const tfvars = paths.filter((p) => !p.endsWith('.json')).map((p) => parse(p, mustRead(files, p)))
  return { root, modules, tfvars, tfvarsJson: paths.filter((p) => p.endsWith('.json')) }
}

function mustRead(files: Files, path: string): string {
  const text = files.read(path)
  if (text === undefined) throw new ReglazeError(TERRAFORM.TERRAFORM_DOCUMENT, `the file ${path} can not be read`, { place: path })
  return text
}

function loadModule(files: Files, dir: string, parse: (path: string, text: string) => HclFile): Module {
  const names = [...files.list(dir)].sort()
  const isOverride = (n: string): boolean => /(^|_)override\.tf(\.json)?$/.test(n)
  const unread = names.filter((n) => n.endsWith('.tf.json') || isOverride(n))
  const read = names.filter((n) => n.endsWith('.tf') && !isOverride(n)).map((n) => parse(joinPath(dir, n), mustRead(files, joinPath(dir, n))))
  const resources = new Map<string, Placed<Block>>()
  const variables = new Map<string, Placed<Block>>()
  const locals = new Map<string, Placed<Attribute>>()
  const outputs = new Map<string, Placed<Block>>()
  const calls = new Map<string, Call>()
  for (const file of read) {
    for (const node of file.items) {
      if (node.kind !== 'block') continue
      const [a, b] = node.labels
      if (node.type === 'resource' && a && b) resources.set(`${a}.${b}`, { file, node })
      else if (node.type === 'data' && a && b) resources.set(`data.${a}.${b}`, { file, node })
      else if (node.type === 'variable' && a) variables.set(a, { file, node })
      else if (node.type === 'output' && a) outputs.set(a, { file, node })
      else if (node.type === 'module' && a) calls.set(a, readCall(file, node, a, dir))
      else if (node.type === 'locals') for (const l of node.items) if (l.kind === 'attribute') locals.set(l.name, { file, node: l })
    }
  }
  return { dir, files: read, resources, variables, locals, outputs, calls, unread }
}

function readCall(file: HclFile, node: Block, name: string, dir: string): Call {
  const source = attribute(node.items, 'source')
  const value = source ? literalValue(file, source.expr) : undefined
  const text = typeof value === 'string' ? value : ''
  return { file, node, name, source: text, dir: /^\.\.?(\/|$)/.test(text) ? joinPath(dir, text) : null }
}

/** The module that an instance path leads to, or the first call on the way whose code is not local. */
export function moduleAt(config: Config, path: readonly ModuleStep[]): { module: Module } | { foreign: string } {
  let module = config.modules.get(config.root) as Module
  for (const step of path) {
    const call = module.calls.get(step.name)
    if (!call) return { foreign: `module.${step.name} (no such call in ${module.dir})` }
    if (call.dir === null) return { foreign: `module.${step.name} (source ${JSON.stringify(call.source)})` }
    module = config.modules.get(call.dir) as Module
  }
  return { module }
}

/** The block of a resource; undefined when no file that this reader reads has it. */
export function findResource(config: Config, address: string | Address): (Placed<Block> & { module: Module }) | undefined {
  const a = typeof address === 'string' ? parseAddress(address) : address
  const at = moduleAt(config, a.modules)
  if ('foreign' in at) return undefined
  const found = at.module.resources.get(`${a.mode === 'data' ? 'data.' : ''}${a.type}.${a.name}`)
  return found && { ...found, module: at.module }
}

/** All calls that lead to a module folder, with the folder they stand in. */
export function callsOf(config: Config, dir: string): { from: Module; call: Call }[] {
  const out: { from: Module; call: Call }[] = []
  for (const from of config.modules.values()) for (const call of from.calls.values()) if (call.dir === dir) out.push({ from, call })
  return out
}

/** Every file of the configuration. */
export function configFiles(config: Config): HclFile[] {
  return [...[...config.modules.values()].flatMap((m) => m.files), ...config.tfvars]
}

/** Place of a node for people: path below `root`'s folder where possible. */
export function nodePlace(file: HclFile, span: Span): string {
  return place(file, span.start)
}
