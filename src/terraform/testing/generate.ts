/** Random HCL that Terraform's own parser accepts: blocks, labels, comments, heredocs, templates, odd line ends. */
import fc from 'fast-check'

const name = fc.constantFrom('a', 'b_1', 'size', 'engine-version', 'tags', 'x9', 'für', 'ignore_changes')
const text = fc.constantFrom('', 'plain', 'with \\"quote\\"', 'brace } {', '# no comment', '// nor this', '/* nor', '$${kept}', '%%{kept}', 'ü€😀', '\\n\\t\\\\', '<<EOT', '= 1')
const reference = fc.constantFrom('var.a', 'local.b["k"].c', 'aws_x.y[0].id', 'each.value.size', 'module.m.out', 'data.t.n.attr')

const { expr } = fc.letrec<{ expr: string }>((tie) => ({
  expr: fc.oneof(
    { maxDepth: 3, depthSize: 'small' },
    fc.integer({ min: -99, max: 99 }).map(String),
    // No exponents: tree-sitter reads `1e3` as a number and a name.
    fc.constantFrom('true', 'false', 'null', '1.5'),
    text.map((t) => `"${t}"`),
    reference,
    reference.map((r) => `"pre-\${${r}}-\${ "in}ner" }"`),
    reference.map((r) => `"%{ if ${r} == "x" }yes%{ else }no%{ endif }"`),
    fc.array(tie('expr'), { maxLength: 3 }).map((v) => `[${v.join(', ')}]`),
    fc.array(tie('expr'), { maxLength: 3 }).map((v) => `[\n  # first\n${v.map((x) => `  ${x}, // it\n`).join('')}]`),
    fc.uniqueArray(name, { maxLength: 3 }).chain((keys) => fc.tuple(...keys.map(() => tie('expr'))).map((v) => `{\n${v.map((x, i) => `  ${keys[i] as string} = ${x}\n`).join('')}}`)),
    fc.uniqueArray(name, { maxLength: 3 }).chain((keys) => fc.tuple(...keys.map(() => tie('expr'))).map((v) => `{ ${v.map((x, i) => `"${keys[i] as string}" : ${x}`).join(', ')} }`)),
    tie('expr').map((e) => `jsonencode(${e})`),
    fc.tuple(tie('expr'), tie('expr')).map(([a, b]) => `(true ? ${a} : ${b})`),
    reference.map((r) => `{ for k, v in ${r} : k => v if v != "}" }`),
    reference.map((r) => `[for v in ${r} : "\${v}"]`),
    fc.constantFrom('1 < 2', '!true', '1 + 2 * 3', 'a_function(1, 2...)', 'provider::x::f(1)'),
  ),
}))
const heredoc = fc.tuple(fc.constantFrom('', '-'), fc.array(fc.constantFrom('line', '  indented } "', '${var.a}', 'EOTX', '', '%{ if true }x%{ endif }', '# no comment', '$${kept}'), { maxLength: 3 })).map(([d, l]) => `<<${d}EOT\n${l.map((x) => `${x}\n`).join('')}EOT`)
const value = fc.oneof({ weight: 5, arbitrary: expr }, { weight: 1, arbitrary: heredoc })
const comment = fc.constantFrom('', '# comment with " and {', '// other }', '/* block\n comment { */', '')

const body = (depth: number): fc.Arbitrary<string> =>
  fc.tuple(
    fc.uniqueArray(fc.tuple(name, value, fc.constantFrom('', ' # behind', ' // }'), comment, fc.constantFrom(' = ', '=', '   =  ')), { maxLength: 4, selector: (t) => t[0] }),
    depth > 0 ? fc.array(fc.tuple(fc.constantFrom('disk', 'lifecycle', 'rule'), body(depth - 1)), { maxLength: 2 }) : fc.constant([] as [string, string][]),
  ).map(([attributes, nested]) => {
    const pad = '  '.repeat(2 - depth + 1)
    const lines = attributes.map(([n, v, tail, before, eq]) => `${before ? `${pad}${before}\n` : ''}${pad}${n}${eq}${v}${v.startsWith('<<') ? '' : tail}\n`)
    return lines.join('\n'.repeat(lines.length % 2)) + nested.map(([t, b]) => `\n${pad}${t} {\n${b}${pad}}\n`).join('')
  })

const block = fc.tuple(fc.constantFrom('resource "t" "n"', 'locals', 'module m', 'variable "v"', 'data "a" "b"'), fc.oneof(body(2), fc.constant(''))).map(([head, b]) => (b === '' ? `${head} {}\n` : `${head} {\n${b}}\n`))

/** A file; CRLF, BOM and a missing final line end are among them. */
export const hclFile: fc.Arbitrary<string> = fc.tuple(fc.array(fc.tuple(comment, block), { minLength: 1, maxLength: 3 }), fc.boolean(), fc.boolean(), fc.boolean()).map(([parts, crlf, bom, open]) => {
  let t = parts.map(([c, b]) => (c ? `${c}\n${b}` : b)).join('\n')
  if (open) t = t.replace(/\n$/, '')
  if (crlf) t = t.replaceAll('\n', '\r\n')
  return bom ? `\ufeff${t}` : t
})
