// House rules over all tracked text: words, paths of a build machine, tests that are switched off, limits.
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'

/** Words that mean something else here, or mean what another word says (glossary). Each with the word to use. */
export const WORDS = [
  [/\belevat(e|es|ed|ion)\b/i, 'grant'],
  [/\broster(s)?\b/i, 'schedule'],
  [/\boutage(s)?\b/i, 'incident'],
  [/\brecreat(e|es|ed|ing|ion)\b/i, 'replace'],
  [/\b(grant|hold)[ _-]?lease(s|d)?\b|\blease(s|d)? (of|on) a (grant|hold)\b/i, 'deadline'],
  [/\b(incident|service)[ _-]owner\b/i, 'DRI (of an incident), team (of a service)'],
  [/\bcase[ _-](id|number)\b/i, 'incident'],
]
/** Where a vendor's own word is quoted. */
const VENDOR = [/^src\/connectors\//, /^sandbox\//, /^src\/oncall\/testing\/samples\//, /^examples\//, /^package-lock\.json$/, /^LICENSE$/, /^scripts\/house\.mjs$/, /^test\/guards\//, /^docs\/(glossary|adr\/)/]
// In pieces, so that this file does not hold what it looks for.
const MACHINE = new RegExp(`(?:^|[\\s"'\`(=:])(?:${[['', 'work', ''].join('/'), ['', 'tmp', 'brief'].join('/'), ['', 'root', '\\.'].join('/'), ['', 'home', '[a-z]+', ''].join('/'), ['', 'Users', '[A-Za-z]+', ''].join('/')].join('|')})`)
const OFF = /\b(?:test|it|describe)\.(only|skip|todo)\b|\b(?:xit|xtest|xdescribe|fit|fdescribe)\(/

export const HOUSE = {
  'one word for one thing': (files) => lines(files, (f) => !VENDOR.some((v) => v.test(f.path)), (text) => WORDS.filter(([bad]) => bad.test(text)).map(([bad, good]) => `"${bad.exec(text)?.[0]}": the word here is ${good}`)),
  'no path of a build machine': (files) => lines(files, () => true, (text) => (MACHINE.test(text) ? [text.trim().slice(0, 120)] : [])),
  'a test that is switched off says why': (files) => lines(files, (f) => /\.(test|suite)\.ts$/.test(f.path) && !f.path.startsWith('test/guards/'), (text) => (OFF.test(text) && !/\/\/ \S+/.test(text) ? [text.trim().slice(0, 120)] : [])),
  'files have at most 400 lines': (files) => files.filter((f) => /\.(ts|mjs)$/.test(f.path) && f.text.split('\n').length > 401).map((f) => ({ path: f.path, line: 401, text: `${f.text.split('\n').length} lines` })),
}

function lines(files, from, look) {
  return files.filter(from).flatMap((f) => f.text.split('\n').flatMap((text, i) => look(text).map((found) => ({ path: f.path, line: i + 1, text: found }))))
}

/** The tracked and new text files of the checkout. */
export function trackedFiles(root = '.') {
  const names = execFileSync('git', ['ls-files', '-co', '--exclude-standard'], { cwd: root, encoding: 'utf8' }).trim().split('\n')
  return names.filter((n) => !/\.(png|ico|wasm|gz|zip|tgz)$/.test(n) && existsSync(`${root}/${n}`)).map((path) => ({ path, text: readFileSync(`${root}/${path}`, 'utf8') }))
}
