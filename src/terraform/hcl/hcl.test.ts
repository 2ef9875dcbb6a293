import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { goValues, spans } from '../testing/oracle.ts'
import { hclFile } from '../testing/generate.ts'
import { commentOut, addMarkedToBlock, regions, removeRegion } from './comment.ts'
import { addAttribute, addBlock, addElements, addEntry, allBlocks, appendBlock, applyEdits, removeItem, removeMember, setExpr } from './edit.ts'
import { decodeQuoted, literalValue, readExpr } from './expr.ts'
import { attribute, readHcl, type Attribute, type HclFile, type Item } from './read.ts'
import { bodyReferences } from './refs.ts'
import { toHcl } from '../hclvalue.ts'

const RUNS = Number(process.env['REGLAZE_FC_RUNS'] ?? 150)
function* attributes(file: HclFile, items: readonly Item[] = file.items): Generator<Attribute> {
  for (const i of items) if (i.kind === 'attribute') yield i
  else yield* attributes(file, i.items)
}

describe('the reader against independent ones', () => {
  it('finds the same blocks, attributes and expressions as tree-sitter, in what Terraform accepts', async () => {
    let compared = 0
    await fc.assert(fc.asyncProperty(hclFile, async (text) => {
      if ((await goValues(text)) === null) return
      const file = readHcl('x.tf', text)
      const oracle = await spans(text)
      if (oracle.hasError) return
      compared++
      expect([...allBlocks(file)].map((b) => `${b.block.start}-${b.block.end}`).sort()).toEqual(oracle.blocks)
      // tree-sitter counts the line end behind a heredoc's marker to it.
      const ours = [...attributes(file)].map((a) => `${a.start} ${a.expr.start}-${a.expr.end}`).sort()
      const heredocs = new Set([...attributes(file)].filter((a) => text.startsWith('<<', a.expr.start)).map((a) => a.start))
      const keep = (s: string): boolean => !heredocs.has(Number(s.split(' ')[0]))
      expect(ours.filter(keep)).toEqual(oracle.attributes.filter(keep))
      expect(ours.length).toBe(oracle.attributes.length)
    }), { numRuns: RUNS })
    expect(compared).toBeGreaterThan(RUNS / 3)
  }, 120_000)

  it('reads literal values as the Go parser does', async () => {
    await fc.assert(fc.asyncProperty(hclFile, async (text) => {
      const go = await goValues(text)
      if (go === null) return
      const file = readHcl('x.tf', text)
      for (const item of file.items) {
        if (item.kind !== 'block' || item.type !== 'locals') continue
        for (const a of item.items) {
          if (a.kind !== 'attribute') continue
          const ours = literalValue(file, a.expr)
          if (ours === undefined || JSON.stringify(ours).includes('{')) continue
          const theirs = (go['locals'] as Record<string, unknown>[] | undefined)?.map((l) => l[a.name]).filter((v) => v !== undefined) ?? []
          if (theirs.length > 0 && ours !== null) expect(theirs.map((t) => JSON.stringify(t))).toContain(JSON.stringify(ours))
        }
      }
    }), { numRuns: RUNS })
  }, 120_000)

  it('names file, line and column of what is broken', () => {
    const bad: [string, string][] = [
      ['a = "never closed\nb = 1\n', 'x.tf:1:5'], ['resource "a" "b" {\n  c = 1\n', 'x.tf:1:18'], ['a = [1, 2\n', 'x.tf:1:5'], ['a = 1\na = 2\n', 'x.tf:2:1'], ['}\n', 'x.tf:1:1'],
      ['a = <<EOT\nx\n', 'x.tf:1:5'], ['id = “prod_v1”\nx', 'x.tf:2:2'], ['a =\n', 'x.tf:1:4'], ['/* a', 'x.tf:1:1'], ['a {} b = 1', 'x.tf:1:6'], ['a = (1]\n', 'x.tf:1:7'],
    ]
    for (const [text, place] of bad) {
      expect(() => readHcl('x.tf', text), text).toThrow(expect.objectContaining({ code: 'HCL_SYNTAX', place }))
    }
  })
})

describe('edits leave everything else byte-identical', () => {
  const every = (work: (file: HclFile, text: string) => void): void => {
    fc.assert(fc.property(hclFile, (text) => work(readHcl('x.tf', text), text)), { numRuns: RUNS })
  }

  it('comment out and in', () => {
    let n = 0
    every((file, text) => {
      for (const { block } of allBlocks(file)) {
        const out = applyEdits(text, [commentOut(file, block, { incident: 'INC-1', what: 'hard t.n' })])
        const again = readHcl('x.tf', out)
        const [region] = regions(again)
        expect(applyEdits(out, [removeRegion(again, region!)])).toBe(text)
        n++
      }
    })
    expect(n).toBeGreaterThan(RUNS)
  })

  it('set and set back; add and take away; marked regions', () => {
    every((file, text) => {
      for (const a of attributes(file)) {
        const out = applyEdits(text, [setExpr(file, a.expr, '"other"')])
        const again = readHcl('x.tf', out)
        const same = [...attributes(again)].find((x) => x.start === a.start)!
        expect(applyEdits(out, [setExpr(again, same.expr, text.slice(a.expr.start, a.expr.end))])).toBe(text)
      }
      for (const { block } of allBlocks(file)) {
        if (!text.slice(block.bodyStart, block.bodyEnd).includes('\n')) continue
        const marked = applyEdits(text, [addMarkedToBlock(file, block, 'zzz {\n  k = 1\n}\n', { incident: 'INC-1', what: 'soft t.n' })])
        const m = readHcl('x.tf', marked)
        expect(applyEdits(marked, regions(m).map((r) => removeRegion(m, r)))).toBe(text)
      }
    })
  })

  it('added attributes, blocks and entries are what the Go parser then reads', async () => {
    await fc.assert(fc.asyncProperty(hclFile, fc.dictionary(fc.constantFrom('k', 'k2', 'k 3'), fc.oneof(fc.string(), fc.constantFrom('${', '%{x}', '$${', 'a\nb', '\u0001'), fc.integer(), fc.boolean())), async (text, value) => {
      if ((await goValues(text)) === null) return
      const file = readHcl('x.tf', text)
      const first = file.items.find((i) => i.kind === 'block')
      if (first?.kind !== 'block') return
      let out: string
      try {
        out = applyEdits(text, [addAttribute(file, first, 'zz_added', toHcl(value, '  '))])
      } catch (e) {
        expect(e).toMatchObject({ code: 'HCL_NOT_EDITABLE' })
        return
      }
      const again = readHcl('x.tf', out)
      const block = again.items.find((i) => i.kind === 'block')
      const added = block?.kind === 'block' ? attribute(block.items, 'zz_added') : undefined
      expect(literalValue(again, added!.expr)).toEqual({ ...value })
      expect(await goValues(out)).not.toBeNull()
      expect(applyEdits(out, [appendBlock(again, 'import {\n  to = a.b\n  id = "x"\n}\n')]).startsWith(out)).toBe(true)
    }), { numRuns: RUNS })
  }, 120_000)

  it('a quoted text means itself, for every text', () => {
    fc.assert(fc.property(fc.oneof(fc.string({ unit: 'grapheme' }), fc.array(fc.constantFrom('$', '%', '{', '}', '\\', '"', '\n', 'x')).map((p) => p.join(''))), (t) => {
      const q = toHcl(t)
      expect(decodeQuoted(q.slice(1, -1))).toBe(t)
      expect(readExpr({ name: 'x', text: q }, { start: 0, end: q.length })).toMatchObject({ kind: 'literal', value: t })
    }), { numRuns: 500 })
  })
})

describe('edits look like written by hand', () => {
  const edit = (text: string, work: (f: HclFile) => ReturnType<typeof setExpr>[]): string => {
    const f = readHcl('x.tf', text)
    return applyEdits(text, work(f))
  }
  const block = (f: HclFile) => f.items.find((i) => i.kind === 'block') as Extract<Item, { kind: 'block' }>

  it('a new attribute stands behind the others, its = in their column', () => {
    const text = 'resource "t" "n" {\n  name   = "a" # why\n  engine = "b"\n\n  disk {\n    d = 1\n  }\n}\n'
    expect(edit(text, (f) => [addAttribute(f, block(f), 'size', '"big"')])).toBe(text.replace('"b"\n', '"b"\n  size   = "big"\n'))
    expect(edit(text, (f) => [addAttribute(f, block(f), 'much_longer', '1')])).toBe(text.replace('"b"\n', '"b"\n\n  much_longer = 1\n'))
    expect(edit('t "n" {}\n', (f) => [addAttribute(f, block(f), 'a', '1')])).toBe('t "n" {\n  a = 1\n}\n')
  })
  it('nested blocks go behind their siblings and away with their empty line', () => {
    const text = 't "n" {\r\n  a = 1\r\n\r\n  disk {\r\n    d = 1\r\n  }\r\n}\r\n'
    const out = edit(text, (f) => [addBlock(f, block(f), 'disk {\n  d = 2\n}\n', { after: block(f).items[1] as never })])
    expect(out).toBe('t "n" {\r\n  a = 1\r\n\r\n  disk {\r\n    d = 1\r\n  }\r\n\r\n  disk {\r\n    d = 2\r\n  }\r\n}\r\n')
    expect(edit(out, (f) => [removeItem(f, block(f).items[1]!)])).toBe('t "n" {\r\n  a = 1\r\n\r\n  disk {\r\n    d = 2\r\n  }\r\n}\r\n')
  })
  it('entries and elements keep the style of their neighbours', () => {
    const value = (f: HclFile) => readExpr(f, (f.items[0] as Attribute).expr) as never
    expect(edit('m = {\n  a = 1 # one\n  b = 2\n}\n', (f) => [addEntry(f, value(f), 'c', '3')])).toBe('m = {\n  a = 1 # one\n  b = 2\n  c = 3\n}\n')
    expect(edit('m = { a = 1 }\n', (f) => [addEntry(f, value(f), 'b c', '3')])).toBe('m = { a = 1, "b c" = 3 }\n')
    expect(edit('m = {}\n', (f) => [addEntry(f, value(f), 'a', '1')])).toBe('m = {\n  a = 1\n}\n')
    expect(edit('m = {\n  "a" : 1,\n}\n', (f) => [addEntry(f, value(f), 'b', '2')])).toBe('m = {\n  "a" : 1,\n  b: 2,\n}\n')
    expect(edit('m = { a = 1, b = 2 }\n', (f) => [removeMember(f, (value(f) as { entries: never[] }).entries, 0)])).toBe('m = { b = 2 }\n')
    expect(edit('l = [\n  "a",\n  "b", # two\n]\n', (f) => [addElements(f, value(f), ['"c"'])])).toBe('l = [\n  "a",\n  "b", # two\n  "c",\n]\n')
    expect(edit('l = ["a", "b"]\n', (f) => [removeMember(f, (value(f) as { elements: never[] }).elements, 1)])).toBe('l = ["a"]\n')
  })
  it('knows references, also inside templates and indices, and what is none', () => {
    const f = readHcl('x.tf', 'r "a" "b" {\n  x = "${var.a}-${upper(local.b[each.key].c)} var.no"\n  y = [for k in data.t.n.list : { var = k }]\n  z = <<EOT\n${module.m.out} var.no\nEOT\n}\n')
    expect(bodyReferences(f, f.items).map((r) => r.steps.filter((s) => typeof s === 'string').join('.'))).toEqual(['var.a', 'each.key', 'local.b.c', 'data.t.n.list', 'module.m.out'])
  })
  it('refuses regions that were edited by hand', () => {
    const text = '# reglaze:INC-1 begin off hard a.b\n# a = 1\nb = 2\n# reglaze:INC-1 end\n'
    const f = { name: 'x.tf', text }
    expect(() => removeRegion(f, regions(f)[0]!)).toThrow(expect.objectContaining({ code: 'HCL_MARKER_TOUCHED' }))
    expect(() => regions({ name: 'x.tf', text: '# reglaze:INC-1 begin off hard a.b\n' })).toThrow(expect.objectContaining({ code: 'HCL_MARKER_TOUCHED', place: 'x.tf:1:1' }))
  })
})
