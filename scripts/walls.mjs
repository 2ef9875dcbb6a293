// The walls between the parts (docs: CONTRIBUTING.md). The compiler holds the arrows for what is built (project references) and the
// purity of pure files (no Node types); this holds what a compiler cannot say: doors, tests of sandbox/, clocks.
// Each rule takes the files as {path, text} and gives findings {rule, path, line, text}.
import { posix } from 'node:path'

const PARTS = ['incident', 'oncall', 'access', 'pause', 'assess', 'repair', 'record', 'reconcile']
// config/schema.ts and ledger/verify.ts are doors of their own: light, without a store behind them.
const DOORS = { core: /./, terraform: /^(index|pure|hclvalue)\.ts$/, config: /^(index|schema)\.ts$/, store: /^index\.ts$/, ledger: /^(index|verify)\.ts$/, client: /^(index|server-contract)\.ts$/, server: /^index\.ts$/, cli: /^$/ }
const BELOW = { core: [], terraform: ['core'], config: ['core'], store: ['core'], ledger: ['core', 'store'], connectors: ['core', 'terraform'], client: ['core', 'ledger', ...PARTS] }
const PURE = /(^src\/core\/|^src\/terraform\/|^src\/[^/]+\/(model|decide|contract)\.ts$)/
const IMPURE_TERRAFORM = ['src/terraform/runner.ts']

export const isTest = (path) => /\.(test|suite)\.ts$/.test(path) || path.includes('/testing/') || path.startsWith('test/')
const partOf = (path) => path.split('/')[1]

/** Every relative import of a file, static, dynamic or type only, as the path that it names. */
function imports(file) {
  const found = []
  for (const m of file.text.matchAll(/(?:from|import|import\()\s*['"](\.{1,2}\/[^'"]+)['"]/g)) {
    found.push({ to: posix.normalize(posix.join(posix.dirname(file.path), m[1])), line: lineOf(file.text, m.index) })
  }
  return found
}
const lineOf = (text, index) => text.slice(0, index).split('\n').length

function allowed(part) {
  if (PARTS.includes(part)) return ['core', 'terraform', 'config', 'store', 'ledger']
  if (part === 'server' || part === 'cli') return [...Object.keys(DOORS), 'connectors', ...PARTS]
  return BELOW[part] ?? []
}

function door(from, to) {
  const part = partOf(to)
  const rest = to.split('/').slice(2).join('/')
  if (part === 'connectors') return /^([a-z-]+\/(index|sink)|http)\.ts$/.test(rest)
  if (!PARTS.includes(part)) return DOORS[part]?.test(rest) ?? false
  if (from === 'client') return rest === 'contract.ts'
  if (from === 'cli') return /^(contract|engine)\.ts$/.test(rest)
  return rest === 'index.ts'
}

export const WALLS = {
  'src imports nothing from sandbox': (files) => crossing(files, (f) => f.path.startsWith('src/') && !isTest(f.path), (_, to) => to.startsWith('sandbox/')),
  'sandbox imports nothing from src, its tests neither': (files) => crossing(files, (f) => f.path.startsWith('sandbox/'), (_, to) => to.startsWith('src/')),
  'a part knows only the parts below it': (files) =>
    crossing(files, (f) => f.path.startsWith('src/') && !isTest(f.path), (path, to) => to.startsWith('src/') && partOf(to) !== partOf(path) && !allowed(partOf(path)).includes(partOf(to))),
  'a part is entered through its door': (files) =>
    crossing(files, (f) => f.path.startsWith('src/') && !isTest(f.path), (path, to) => to.startsWith('src/') && partOf(to) !== partOf(path) && allowed(partOf(path)).includes(partOf(to)) && !door(partOf(path), to)),
  'connectors do not know each other': (files) =>
    crossing(files, (f) => /^src\/connectors\/[^/]+\//.test(f.path) && !isTest(f.path), (path, to) => /^src\/connectors\/[^/]+\//.test(to) && to.split('/')[2] !== path.split('/')[2]),
  'pure files are given the time': (files) =>
    lines(files, (f) => PURE.test(f.path) && !isTest(f.path) && !IMPURE_TERRAFORM.includes(f.path), /\bnew Date\(\)|\bDate\(\)|Temporal\.Now/),
  'only commands start the sandbox, by its path': (files) =>
    lines(files, (f) => f.path.startsWith('src/') && !f.path.startsWith('src/cli/') && !isTest(f.path), /['"`/]sandbox['"`/].{0,12}main\.(js|ts)/),
  'sandbox does not know Reglaze': (files) => lines(files, (f) => f.path.startsWith('sandbox/') && !isTest(f.path), /reglaze/i),
  // The demo speaks to the database of its world as the responder does: with a client of its own.
  'SQL goes through the store': (files) =>
    lines(files, (f) => f.path.startsWith('src/') && !isTest(f.path) && !/^src\/(store|connectors\/(postgres|terraform-pg-lock)|cli\/demo)\//.test(f.path), /from 'pg'|import\('pg'\)/),
  'Terraform is run by its runner': (files) =>
    lines(files, (f) => f.path.startsWith('src/') && !isTest(f.path) && !f.path.startsWith('src/terraform/'), /\b(spawn|spawnSync|execFile|execFileSync|exec|execSync)\(\s*['"`](terraform|tofu)\b/),
}

function crossing(files, from, forbidden) {
  return files.filter(from).flatMap((f) => imports(f).filter((i) => forbidden(f.path, i.to)).map((i) => ({ path: f.path, line: i.line, text: `imports ${i.to}` })))
}
function lines(files, from, pattern) {
  return files.filter(from).flatMap((f) => f.text.split('\n').flatMap((text, i) => (pattern.test(text) && !/^\s*(\*|\/\/|\/\*)/.test(text) ? [{ path: f.path, line: i + 1, text: text.trim().slice(0, 120) }] : [])))
}

export function findings(rules, files) {
  return Object.entries(rules).flatMap(([rule, check]) => check(files).map((f) => ({ rule, ...f })))
}
