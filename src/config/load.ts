import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { isCollection, isMap, isScalar, LineCounter, parseAllDocuments, type Document, type Node, type Pair } from 'yaml'
import { ReglazeError } from '../core/index.ts'
import { CONFIG } from './errors.ts'
import { checkReferences } from './references.ts'
import { configSchema, type Config } from './schema.ts'

export interface Problem {
  readonly file: string
  readonly line: number
  readonly column: number
  /** `services[2].team` */
  readonly path: string
  readonly message: string
}
interface Source {
  readonly file: string
  readonly doc: Document
  readonly lines: LineCounter
}

/** Reads reglaze.yaml or a folder of .yaml files (lists of several files are joined). Throws CONFIG_INVALID with every problem and its place. */
export function loadConfig(path: string): { config: Config; text: string } {
  const files = configFiles(path)
  const texts = files.map((file) => ({ file, text: readFileSync(file, 'utf8') }))
  const config = parseConfig(texts)
  return { config, text: texts.map((t) => t.text).join('\n---\n') }
}

function configFiles(path: string): string[] {
  try {
    if (statSync(path).isFile()) return [path]
    const files = readdirSync(path).filter((f) => /\.ya?ml$/.test(f)).sort().map((f) => join(path, f))
    if (files.length > 0) return files
  } catch (cause) {
    throw new ReglazeError(CONFIG.CONFIG_UNREADABLE, `${path} cannot be read: ${(cause as Error).message}`, { place: path, cause })
  }
  throw new ReglazeError(CONFIG.CONFIG_UNREADABLE, `${path} has no .yaml files`, { place: path })
}

/** Parses and checks the texts of one configuration. */
export function parseConfig(texts: readonly { file: string; text: string }[]): Config {
  const problems: Problem[] = []
  const sources: Source[] = []
  for (const { file, text } of texts) {
    const lines = new LineCounter()
    for (const doc of parseAllDocuments(text, { lineCounter: lines, uniqueKeys: true }) as Document[]) {
      for (const e of [...doc.errors, ...doc.warnings]) {
        const at = lines.linePos(e.pos[0])
        problems.push({ file, line: at.line, column: at.col, path: '', message: e.message.split('\n')[0] ?? e.code })
      }
      sources.push({ file, doc, lines })
    }
  }
  if (problems.length > 0) throw invalid(problems)
  const { merged, origin } = merge(sources, problems)
  if (problems.length > 0) throw invalid(problems)
  const parsed = configSchema.safeParse(merged)
  if (!parsed.success) {
    for (const issue of parsed.error.issues) problems.push({ ...place(issue.path, sources, origin, issue.code === 'unrecognized_keys' ? issue.keys[0] : undefined), message: issue.message })
    throw invalid(problems)
  }
  for (const found of checkReferences(parsed.data)) problems.push({ ...place(found.path, sources, origin), message: found.message })
  if (problems.length > 0) throw invalid(problems)
  return parsed.data
}

/** Joins the lists of several files; remembers for every list element in which document it stands. */
function merge(sources: Source[], problems: Problem[]): { merged: Record<string, unknown>; origin: Map<string, [Source, number]> } {
  const merged: Record<string, unknown> = {}
  const origin = new Map<string, [Source, number]>()
  for (const source of sources) {
    let value: unknown
    try {
      value = source.doc.toJS()
    } catch (error) {
      // Aliases that multiply without end, or that point to nothing.
      problems.push({ file: source.file, line: 1, column: 1, path: '', message: (error as Error).message })
      continue
    }
    if (value === null || value === undefined) continue
    if (typeof value !== 'object' || Array.isArray(value)) {
      problems.push({ file: source.file, line: 1, column: 1, path: '', message: 'a configuration is a mapping with keys like people, teams, services' })
      continue
    }
    for (const [key, part] of Object.entries(value)) {
      const before = merged[key]
      if (Array.isArray(part) && (before === undefined || Array.isArray(before))) {
        const list = (before ?? []) as unknown[]
        part.forEach((item, i) => {
          origin.set(`${key}.${list.length}`, [source, i])
          list.push(item)
        })
        merged[key] = list
      } else if (before === undefined) {
        merged[key] = part
      } else {
        problems.push({ ...locate(source, [key]), path: key, message: `"${key}" is given twice, and it is not a list` })
      }
    }
  }
  return { merged, origin }
}

function place(path: readonly PropertyKey[], sources: Source[], origin: Map<string, [Source, number]>, extraKey?: string): Omit<Problem, 'message'> {
  const keys = path.map((k) => (typeof k === 'symbol' ? String(k) : k))
  if (extraKey) keys.push(extraKey)
  const text = keys.map((k, i) => (typeof k === 'number' ? `[${k}]` : i === 0 ? k : `.${k}`)).join('')
  const listed = origin.get(`${keys[0]}.${keys[1]}`)
  if (listed) return { ...locate(listed[0], [keys[0] as string, listed[1], ...keys.slice(2)]), path: text }
  const source = sources.find((s) => isMap(s.doc.contents) && keys[0] !== undefined && s.doc.has(keys[0])) ?? sources[0]
  if (!source) return { file: '', line: 1, column: 1, path: text }
  return { ...locate(source, keys), path: text }
}

/** Line and column of the deepest part of the path that exists. */
function locate(source: Source, path: readonly (string | number)[]): Omit<Problem, 'message'> {
  let node: Node | null = source.doc.contents as Node | null
  let offset = node?.range?.[0] ?? 0
  for (const key of path) {
    if (!isCollection(node)) break
    const pair = isMap(node) ? (node.items as Pair<Node, Node>[]).find((p) => isScalar(p.key) && p.key.value === key) : undefined
    if (pair) offset = (pair.key as Node).range?.[0] ?? offset
    const next = node.get(key, true) as Node | undefined
    if (!next) break
    node = next
    if (!pair) offset = next.range?.[0] ?? offset
  }
  const at = source.lines.linePos(offset)
  return { file: source.file, line: at.line, column: at.col, path: '' }
}

function invalid(problems: Problem[]): ReglazeError {
  const lines = problems.map((p) => `${p.file}:${p.line}:${p.column}: ${p.path ? `${p.path}: ` : ''}${p.message}`)
  const first = problems[0] as Problem
  return new ReglazeError(CONFIG.CONFIG_INVALID, lines.join('\n'), { place: `${first.file}:${first.line}:${first.column}`, data: { problems } })
}
