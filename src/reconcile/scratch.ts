/** Folders made for one question and removed again: the real state and its lock stay untouched (§7 of the Terraform reference). */
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, relative } from 'node:path'
import {
  bodyReferences, importBlock, init, joinPath, parseAddress, planTo, references, type Config, type HclFile, type Item, type Module, type Place, type Planned, type PlanDocument, type Reference,
} from '../terraform/index.ts'
import { isAlive, type Session } from './session.ts'

/** A killed run leaves its folder, with a copy of the state in it: the next run takes it away. */
function sweep(): void {
  for (const name of readdirSync(tmpdir())) {
    const pid = /^reglaze-scratch-(\d+)-/.exec(name)?.[1]
    if (pid !== undefined && !isAlive(Number(pid))) rmSync(join(tmpdir(), name), { recursive: true, force: true })
  }
}

async function inScratch<T>(s: Session, work: (folder: string) => Promise<T>): Promise<T> {
  sweep()
  const folder = mkdtempSync(join(tmpdir(), `reglaze-scratch-${process.pid}-`))
  try {
    return await work(folder)
  } finally {
    rmSync(folder, { recursive: true, force: true })
    s.progress('scratch folder removed')
  }
}

/** Providers that the real folder has downloaded already, so that nothing goes over the network. */
function pluginDir(s: Session): { pluginDir?: string } {
  const folder = join(s.dir, '.terraform', 'providers')
  return existsSync(folder) ? { pluginDir: folder } : {}
}
function scratchPlace(s: Session, dir: string): Place {
  // The scratch folder has its own state: a workspace or data folder chosen for the real one means nothing there.
  return { ...s.place, dir, env: { ...s.place.env, TF_WORKSPACE: undefined, TF_DATA_DIR: undefined } }
}

/** Provider and required_providers blocks of the root, with the variables, locals and data that they read. */
export function providerCode(config: Config): string {
  const root = config.modules.get(config.root) as Module
  const parts: string[] = []
  const wanted: Reference[] = []
  for (const file of root.files) {
    for (const item of file.items) {
      if (item.kind !== 'block') continue
      if (item.type === 'provider') {
        parts.push(file.text.slice(item.start, item.end))
        wanted.push(...bodyReferences(file, item.items))
      } else if (item.type === 'terraform') {
        const required = item.items.filter((i) => i.kind === 'block' && i.type === 'required_providers')
        if (required.length > 0) parts.push(`terraform {\n${required.map((r) => file.text.slice(r.start, r.end)).join('\n')}\n}`)
      }
    }
  }
  const seen = new Set<string>()
  for (let r = wanted.pop(); r; r = wanted.pop()) {
    const [head, name, third] = r.steps
    const key = head === 'data' ? `data.${String(name)}.${String(third)}` : `${String(head)}.${String(name)}`
    if (seen.has(key)) continue
    seen.add(key)
    const push = (p: { file: HclFile; node: { start: number; end: number; items?: readonly Item[] } } | undefined, wrap = false): void => {
      if (!p) return
      const text = p.file.text.slice(p.node.start, p.node.end)
      parts.push(wrap ? `locals {\n  ${text}\n}` : text)
      wanted.push(...(p.node.items ? bodyReferences(p.file, p.node.items) : references(p.file, { start: p.file.text.indexOf('=', p.node.start) + 1, end: p.node.end })))
    }
    if (head === 'var') push(root.variables.get(String(name)))
    else if (head === 'local') push(root.locals.get(String(name)), true)
    else if (head === 'data') push(root.resources.get(key))
  }
  return `${parts.join('\n\n')}\n`
}

function writeProviders(s: Session, config: Config, folder: string): void {
  writeFileSync(join(folder, 'providers.tf'), providerCode(config))
  for (const f of config.tfvars) writeFileSync(join(folder, `${relative(s.dir, f.name).replaceAll('/', '_').replace(/\.(auto\.)?tfvars$/, '')}.auto.tfvars`), f.text, { mode: 0o600 })
  copyLock(s, folder)
}
function copyLock(s: Session, folder: string): void {
  const lock = join(s.dir, '.terraform.lock.hcl')
  if (existsSync(lock)) cpSync(lock, join(folder, '.terraform.lock.hcl'))
}

/**
 * Refreshes the objects of a state without the code that declares them, for code that does not evaluate: what stands in
 * the state but not in this folder is still read from its provider. Only `resource_drift` of the answer means something.
 */
export async function orphanLook(s: Session, config: Config, stateText: string): Promise<PlanDocument | null> {
  return inScratch(s, async (folder) => {
    writeProviders(s, config, folder)
    writeFileSync(join(folder, 'terraform.tfstate'), stateText, { mode: 0o600 })
    const place = scratchPlace(s, folder)
    await init(place, pluginDir(s))
    return (await planTo(place, join(folder, 'look.tfplan'), ['-refresh-only'])).plan
  })
}

/** Code of existing objects as Terraform generates it; one plan for all of them. */
export async function generateCode(s: Session, config: Config, wanted: readonly { address: string; id: string }[]): Promise<{ text: string; error: string | null }> {
  return inScratch(s, async (folder) => {
    writeProviders(s, config, folder)
    writeFileSync(join(folder, 'imports.tf'), wanted.map((w) => importBlock(w.address, w.id)).join('\n'))
    const place = scratchPlace(s, folder)
    await init(place, pluginDir(s))
    const out = join(folder, 'generated.tf')
    const run = await s.runner.run(['plan', '-json', '-input=false', '-lock=false', `-generate-config-out=${out}`], { cwd: folder, env: place.env ?? {}, ok: [0, 1], ...(s.place.signal && { signal: s.place.signal }) })
    const error = run.diagnostics.find((d) => d.severity === 'error')
    return { text: existsSync(out) ? readFileSync(out, 'utf8') : '', error: error ? `${error.summary}: ${error.detail}` : null }
  })
}

/**
 * Plans the edited files against a copy of the state. The whole root and its local modules are copied, so that files
 * that functions read are there too; the real backend and its lock are not asked.
 */
export async function planEdited(s: Session, config: Config, edited: ReadonlyMap<string, string>, stateText: string): Promise<Planned> {
  return inScratch(s, async (folder) => {
    const dirs = topFolders([...config.modules.keys()])
    const home = (path: string): string => join(folder, 'tree', path)
    for (const dir of dirs) cpSync(dir, home(dir), { recursive: true, dereference: true, filter: (f) => !/\/(\.git|\.terraform|node_modules|\.reglaze)$|\.tfstate(\.|$)/.test(f) })
    for (const [path, text] of edited) {
      mkdirSync(dirname(home(path)), { recursive: true })
      writeFileSync(home(path), text)
    }
    const root = home(s.dir)
    writeFileSync(join(root, 'zz_reglaze_override.tf'), 'terraform {\n  backend "local" {\n    path = "reglaze-scratch.tfstate"\n  }\n}\n')
    writeFileSync(join(root, 'reglaze-scratch.tfstate'), stateText, { mode: 0o600 })
    copyLock(s, root)
    const modules = join(s.dir, '.terraform', 'modules')
    if (existsSync(modules)) cpSync(modules, join(root, '.terraform', 'modules'), { recursive: true })
    const place = scratchPlace(s, root)
    await init(place, { ...pluginDir(s), reconfigure: true })
    return planTo(place, join(root, 'verify.tfplan'), ['-lock=false', ...s.varArgs])
  })
}

/** Folders that contain all others of a list. */
function topFolders(dirs: readonly string[]): string[] {
  const sorted = [...dirs].map((d) => joinPath(d, '.')).sort()
  return sorted.filter((d) => !sorted.some((o) => o !== d && d.startsWith(`${o}/`)))
}

/** True for an address in the root module: only there an import block may stand in Terraform 1.11. */
export function isRootAddress(address: string): boolean {
  return parseAddress(address).modules.length === 0
}
