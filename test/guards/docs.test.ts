// What the documentation says has to be true: every command line in it parses, every relative link leads somewhere.
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import { CommanderError, type Command } from 'commander'
import { expect, test } from 'vitest'
import { createProgram } from '../../src/cli/program.ts'

interface Page {
  readonly file: string
  readonly text: string
}
interface Said {
  readonly at: string
  readonly line: string
  /** A line of a code block is a whole command; a mention in a sentence may leave out what is needed to run it. */
  readonly whole: boolean
}

const tracked = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard', '--', '*.md'], { encoding: 'utf8' }).trim().split('\n')
const pages: Page[] = [...new Set(tracked)].filter((file) => existsSync(file)).map((file) => ({ file, text: readFileSync(file, 'utf8') }))
const silent = { env: {}, cwd: '/', colour: false, out: () => {}, err: () => {} }

/** The commands of ours in a page, in code blocks and in `code`. */
function commandLines(page: Page): Said[] {
  const found: Said[] = []
  let fence: string | null = null
  page.text.split('\n').forEach((text, i) => {
    const at = `${page.file}:${i + 1}`
    const mark = /^\s*(```+|~~~+)/.exec(text)?.[1]
    if (mark && (fence === null || mark === fence)) fence = fence === null ? mark : null
    else if (fence !== null) {
      const line = /^\s*(?:\$ )?(?:[A-Z_]+=\S+ )*reglaze (.*)$/.exec(text)?.[1]
      if (line) found.push({ at, line, whole: true })
    } else for (const m of text.matchAll(/`reglaze ([^`]+)`/g)) found.push({ at, line: m[1] as string, whole: false })
  })
  return found
}

/** Words of a shell line up to a comment, a pipe or the next command. */
function words(line: string): string[] {
  const list: string[] = []
  for (const m of line.matchAll(/"([^"]*)"|'([^']*)'|(\S+)/g)) {
    if (m[3] !== undefined && /^(#|\||&&|;|>|·)/.test(m[3])) break
    list.push(m[1] ?? m[2] ?? (m[3] as string))
  }
  return list
}

function walk(command: Command): Command[] {
  return [command, ...command.commands.flatMap(walk)]
}

/** Why a command line cannot be what somebody types; null when it can. */
async function wrong(said: Said): Promise<string | null> {
  const argv = words(said.line)
  // The sandbox reads its options itself.
  if (argv[0] === 'sandbox') return null
  const program = await createProgram(silent)
  const ran: string[] = []
  for (const c of walk(program)) {
    c.exitOverride().configureOutput({ writeOut: () => {}, writeErr: () => {} })
    if (c.commands.length === 0) c.action(() => void ran.push(c.name()))
  }
  try {
    await program.parseAsync(argv, { from: 'user' })
    return null
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error
    if (error.code === 'commander.version' || error.code === 'commander.helpDisplayed') return null
    const partly = ['commander.missingArgument', 'commander.missingMandatoryOptionValue', 'commander.help', 'commander.optionMissingArgument']
    return !said.whole && partly.includes(error.code) ? null : error.message
  }
}

const slug = (heading: string) => heading.trim().toLowerCase().replace(/[`*]/g, '').replace(/\[([^\]]*)\]\([^)]*\)/g, '$1').replace(/[^\p{L}\p{N}\s_-]/gu, '').replace(/\s/g, '-')

/** Relative links of a page that lead nowhere. */
function deadLinks(page: Page): string[] {
  const prose = page.text.replace(/^\s*```[\s\S]*?^\s*```/gm, '').replace(/`[^`\n]*`/g, '')
  return [...prose.matchAll(/\]\(([^)\s]+)\)/g)].flatMap(([, target]) => {
    if (/^[a-z]+:/.test(target as string)) return []
    const [path, anchor] = (target as string).split('#') as [string, string | undefined]
    const file = path === '' ? page.file : normalize(join(dirname(page.file), path))
    if (!existsSync(file)) return [`${page.file}: ${target}`]
    if (anchor === undefined || !file.endsWith('.md')) return []
    const headings = [...readFileSync(file, 'utf8').matchAll(/^#{1,6} (.*)$/gm)].map((m) => slug(m[1] as string))
    return headings.includes(anchor) ? [] : [`${page.file}: ${target} (no such heading)`]
  })
}

test('every command line in the documentation is one that people can type', async () => {
  const said = pages.flatMap(commandLines)
  expect(said.length).toBeGreaterThan(100)
  const found = await Promise.all(said.map(async (s) => ({ s, why: await wrong(s) })))
  expect(found.filter((f) => f.why !== null).map((f) => `${f.s.at}: reglaze ${f.s.line}: ${f.why}`)).toEqual([])
})

test('every relative link in the documentation leads somewhere', () => {
  expect(pages.flatMap(deadLinks)).toEqual([])
})

test('every npm script that the documentation names is there', () => {
  const { scripts } = JSON.parse(readFileSync('package.json', 'utf8')) as { scripts: Record<string, string> }
  const named = pages.flatMap((p) => [...p.text.matchAll(/npm run ([a-z:-]+)/g)].map((m) => ({ file: p.file, name: m[1] as string })))
  expect(named.filter((n) => !(n.name in scripts))).toEqual([])
})

test('what is wrong is seen: command, option, argument, link, heading', async () => {
  const page = { file: 'README.md', text: '```sh\n$ reglaze incident opne storefront\n$ reglaze pause INC-1 --wiat\n$ reglaze access end\n```\n`reglaze recall` and `reglaze status --all`\n[a](docs/nothing.md) [b](docs/concepts.md#nothing)\n' }
  const said = commandLines(page)
  expect(said.map((s) => s.at)).toEqual(['README.md:2', 'README.md:3', 'README.md:4', 'README.md:6', 'README.md:6'])
  expect(await Promise.all(said.map(wrong))).not.toContain(null)
  expect(deadLinks(page)).toHaveLength(2)
})
