/** Independent readers of HCL: tree-sitter's grammar (spans) and the Go parser of Terraform itself (values). */
import { createRequire } from 'node:module'
import { parse } from '@cdktn/hcl2json'
import { Language, Parser, type Node } from 'web-tree-sitter'

const require = createRequire(import.meta.url)
let parser: Promise<Parser> | null = null
async function treeSitter(): Promise<Parser> {
  parser ??= (async () => {
    await Parser.init()
    const p = new Parser()
    p.setLanguage(await Language.load(require.resolve('@tree-sitter-grammars/tree-sitter-hcl/tree-sitter-terraform.wasm')))
    return p
  })()
  return parser
}

export interface OracleSpans {
  /** `start-end` of every block and attribute, and of every attribute's expression. */
  readonly blocks: string[]
  readonly attributes: string[]
  readonly hasError: boolean
}
export async function spans(text: string): Promise<OracleSpans> {
  const tree = (await treeSitter()).parse(text)
  if (!tree) throw new Error('tree-sitter gave no tree')
  const blocks: string[] = []
  const attributes: string[] = []
  const walk = (n: Node): void => {
    if (n.type === 'block') blocks.push(`${n.startIndex}-${n.endIndex}`)
    if (n.type === 'attribute') {
      const e = n.children[n.children.length - 1] as Node
      attributes.push(`${n.startIndex} ${e.startIndex}-${e.endIndex}`)
    }
    for (const c of n.children) if (c) walk(c)
  }
  walk(tree.rootNode)
  const out = { blocks: blocks.sort(), attributes: attributes.sort(), hasError: tree.rootNode.hasError }
  tree.delete()
  return out
}

/** What Terraform's parser makes of it; null when it refuses the text. */
export async function goValues(text: string): Promise<Record<string, unknown> | null> {
  try {
    return await parse('main.tf', text)
  } catch {
    return null
  }
}
