import { randomBytes } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import type { Command } from 'commander'
import type { z } from 'zod'
import type { InventoryItem, Json } from '../../core/index.ts'
import { CORE, ReglazeError, sameJson } from '../../core/index.ts'
import { cloudInventory } from '../../connectors/sandbox-cloud/index.ts'
import { reconcileRoutes } from '../../reconcile/contract.ts'
import { apply, check, codify, prove, tidy, type CheckResult, type Decision, type DecisionAction, type EngineOptions } from '../../reconcile/engine.ts'
import { recordRoutes } from '../../record/contract.ts'
import { answer, client, paint, progress, table, type Globals, type Io } from '../io.ts'

interface Options {
  incident?: string
  workspace: string
  inventory?: string
}

export function engineOptions(io: Io, g: Globals): EngineOptions {
  // Terraform's own progress is many lines; people see one line for each thing that is looked at.
  return { env: io.env, digestKey: digestKey(io), onProgress: (line) => (/^(saving|comparing|planning|bringing|applying|nothing|generating|reading|writing|checking)/.test(line) ? progress(io, g, `  ${line}`) : undefined) }
}

/** Key of the digests that stand for secrets; kept per person, so that two runs can be compared. */
function digestKey(io: Io): string {
  const file = join(io.env['HOME'] ?? homedir(), '.reglaze', 'digest.key')
  if (!existsSync(file)) {
    mkdirSync(dirname(file), { recursive: true, mode: 0o700 })
    writeFileSync(file, randomBytes(32).toString('hex'), { mode: 0o600, flag: 'a' })
  }
  return readFileSync(file, 'utf8').slice(0, 64)
}

export function reconcileCommands(program: Command, io: Io): void {
  const reconcile = program.command('reconcile').description('code = state = reality: compare, codify, prove; works on a folder, with or without an incident')
  const inIncident = (c: Command) => c.option('--incident <incident>', 'report into this incident').option('--workspace <name>', 'name of the workspace in the configuration', 'production')
  inIncident(reconcile.command('baseline <dir>').description('drift that is there already; it is never blamed on the incident')).action(async (dir: string, o: Options, cmd: Command) => {
    const g = cmd.optsWithGlobals<Globals>()
    const found = await check(resolve(io.cwd, dir), engineOptions(io, g))
    // Whole reports (the engine has taken the secrets out): a later check compares difference by difference.
    const drift = found.resources.filter((r) => r.class !== 'noise') as unknown as Json[]
    if (o.incident) await client(io, g).call(reconcileRoutes.baseline, { params: { id: o.incident, workspace: o.workspace }, body: { drift, evidence: facts(found) } })
    answer(io, g, { drift, ...(facts(found) as Record<string, Json>) }, () => (drift.length === 0 ? 'no drift was there before' : `there before: ${drift.length}\n${listing(io, found)}`))
  })
  inIncident(reconcile.command('check <dir>').description('expected (code) against actual, for each resource and attribute; exit code 1 when something differs'))
    .option('--inventory <kind>', 'find objects that no state knows: sandbox (SANDBOX_URL, SANDBOX_TOKEN)')
    .action(async (dir: string, o: Options, cmd: Command) => {
      const g = cmd.optsWithGlobals<Globals>()
      const found = await checkWith(io, g, dir, o)
      answer(io, g, found, () => listing(io, found))
      const open = found.resources.filter((r) => r.suggested !== 'none')
      if (!o.incident && open.length > 0) throw new ReglazeError(CORE.DIFFERENCES, `${open.length} resources differ from the code`)
    })
  reconcile
    .command('decide [address] [decision]')
    .description('what becomes of a resource: codify, revert, import, forget or none; --suggested takes every suggestion')
    .requiredOption('--incident <incident>')
    .option('--workspace <name>', 'workspace', 'production')
    .option('--reason <text>', 'why', '')
    .option('--suggested', 'take the suggestion for everything that has no decision yet')
    .action(async (address: string | undefined, decision: DecisionAction | undefined, o: Options & { incident: string; reason: string; suggested?: boolean }, cmd: Command) => {
      const g = cmd.optsWithGlobals<Globals>()
      const c = client(io, g)
      const { items } = await c.call(reconcileRoutes.list, { params: { id: o.incident } })
      const wanted = o.suggested ? items.filter((i) => !i.decision && i.suggested).map((i) => ({ address: i.address, decision: i.suggested as DecisionAction })) : address && decision ? [{ address, decision }] : []
      if (wanted.length === 0 && !o.suggested) throw new ReglazeError(CORE.INVALID_INPUT, 'give an address and a decision, or --suggested')
      for (const w of wanted) await c.call(reconcileRoutes.decide, { params: { id: o.incident, workspace: o.workspace }, body: { ...w, reason: o.reason || (o.suggested ? 'as suggested' : '') } })
      const after = (await c.call(reconcileRoutes.list, { params: { id: o.incident } })).items
      answer(io, g, after, () => table(['ADDRESS', 'CLASS', 'DECISION', 'BY'], after.map((i) => [i.address, i.class, i.decision ?? '—', i.decided_by ?? ''])))
    })
  inIncident(reconcile.command('codify <dir>').description('edit the code losslessly so that it says what was decided, on a branch, committed'))
    .option('--decision <address=action...>', 'without an incident: what to do, e.g. sandbox_firewall.edge=codify')
    .action(async (dir: string, o: Options & { decision?: string[] }, cmd: Command) => {
      const g = cmd.optsWithGlobals<Globals>()
      const decisions = await decisionsOf(io, g, o)
      const inventory = await incidentInventory(io, g, o)
      const done = await codify(resolve(io.cwd, dir), decisions, { ...engineOptions(io, g), incident: o.incident ?? 'manual', ...(inventory ? { inventory } : {}) })
      answer(io, g, done, () => [done.unchanged ? 'the code says it all already' : `${paint(io, 'bold', String(done.branch))} ${done.commit?.slice(0, 10)}\n${done.patch.trimEnd()}`, ...done.refused.map((r) => `${paint(io, 'red', 'refused')}: ${r.address}${r.attribute ? ` ${r.attribute}` : ''}: ${r.reason}\n  ${r.options.join('\n  ')}`)].join('\n'))
      if (done.refused.length > 0) throw new ReglazeError(CORE.WRONG_STATE, `${done.refused.length} decisions could not be codified`, { hint: 'Take one of the options that stand beside each.' })
    })
  inIncident(reconcile.command('apply <dir>').description('refresh-only first, then exactly the decided changes; a plan that would destroy something is refused'))
    .option('--decision <address=action...>', 'without an incident')
    .action(async (dir: string, o: Options & { decision?: string[] }, cmd: Command) => {
      const g = cmd.optsWithGlobals<Globals>()
      const done = await apply(resolve(io.cwd, dir), await decisionsOf(io, g, o), engineOptions(io, g))
      answer(io, g, done, () => (done.applied.length === 0 ? `nothing had to be changed; state at serial ${done.serial}` : `applied: ${done.applied.map((a) => `${a.address} (${a.verdict})`).join(', ')}; state at serial ${done.serial}`))
    })
  inIncident(reconcile.command('tidy <dir>').description('remove import and removed blocks that were applied; committed on the same branch')).action(async (dir: string, o: Options, cmd: Command) => {
    const g = cmd.optsWithGlobals<Globals>()
    const done = await tidy(resolve(io.cwd, dir), { ...engineOptions(io, g), incident: o.incident ?? 'manual' })
    answer(io, g, done, () => JSON.stringify(done, null, 2))
  })
  inIncident(reconcile.command('prove <dir>').description('the no-op proof, from plan JSON; exit code 1 when it is not clean')).action(async (dir: string, o: Options, cmd: Command) => {
    const g = cmd.optsWithGlobals<Globals>()
    const proof = await prove(resolve(io.cwd, dir), engineOptions(io, g))
    const filed = o.incident ? await client(io, g).call(reconcileRoutes.proof, { params: { id: o.incident, workspace: o.workspace }, body: { proof: proof as unknown as Record<string, Json> } }) : null
    answer(io, g, { proof, filed }, () => `${proof.verdict === 'clean' ? paint(io, 'green', 'clean') : paint(io, 'red', proof.verdict)}: ${proof.resources} resources, serial ${proof.serial}, commit ${proof.commit?.slice(0, 10) ?? 'none'}, plan ${proof.planDigest?.slice(0, 16) ?? 'none'}${filed ? `\non file as ${filed.id}: ${filed.why}` : ''}${proof.open.map((x) => `\n  ${x}`).join('')}`)
    if (proof.verdict !== 'clean' || (filed && !filed.valid)) throw new ReglazeError(CORE.DIFFERENCES, `not proven: ${filed && !filed.valid ? filed.why : proof.verdict}`, { hint: proof.nextStep })
  })
}

const facts = (c: CheckResult): Json => ({ verdict: c.verdict, serial: c.serial, lineage: c.lineage, terraform: c.terraformVersion, blind: [...c.blind], at: c.at, invocations: c.effort.invocations })

/** In an incident the objects that were made by hand in it; else the whole inventory that was asked for. */
async function incidentInventory(io: Io, g: Globals, o: Options): Promise<InventoryItem[] | undefined> {
  if (!o.incident && o.inventory !== 'sandbox') return undefined
  if (!io.env['SANDBOX_URL'] || !io.env['SANDBOX_TOKEN']) return undefined
  const seen = await cloudInventory({ name: 'cloud', url: io.env['SANDBOX_URL'], token: io.env['SANDBOX_TOKEN'] }).list()
  if (seen.status === 'unknown') throw new ReglazeError(CORE.OUTSIDE_FAILED, `the inventory is not known: ${seen.reason}`)
  if (!o.incident) return seen.value
  const { modifications } = await client(io, g).call(recordRoutes.modifications, { query: { incident: o.incident, verdict: 'attributed' } })
  const made = new Set(modifications.filter((m) => m.action === 'create').map((m) => `${m.resource.type} ${m.resource.id}`))
  return seen.value.filter((i) => made.has(`${i.type} ${i.id}`))
}

async function checkWith(io: Io, g: Globals, dir: string, o: Options): Promise<CheckResult> {
  const inventory = await incidentInventory(io, g, o)
  const c = o.incident ? client(io, g) : null
  const before = c && o.incident ? (await c.call(reconcileRoutes.getBaseline, { params: { id: o.incident, workspace: o.workspace } })).drift : null
  const baseline = before ? { resources: before as unknown as CheckResult['resources'] } : null
  const found = await check(resolve(io.cwd, dir), { ...engineOptions(io, g), ...(inventory ? { inventory } : {}), ...(baseline ? { baseline } : {}) })
  if (!o.incident || !c) return found
  const { modifications } = await c.call(recordRoutes.modifications, { query: { incident: o.incident } })
  const items = found.resources.map((r) => ({ address: r.address, class: (r.baseline ? `${r.class}, there before` : r.class) as string, difference: r.differences as unknown as Json, suggested: r.suggested as string | null }))
  items.push(...touchedBeside(modifications.filter((m) => m.verdict !== 'automation'), found))
  await c.call(reconcileRoutes.endState, { params: { id: o.incident, workspace: o.workspace }, body: { items, evidence: facts(found) } })
  return found
}

type Modification = z.output<typeof recordRoutes.modifications.response>['modifications'][number]

/** Things changed by hand that show no difference now, or that no Terraform code is about: they need an answer too. */
function touchedBeside(list: readonly Modification[], found: CheckResult): { address: string; class: string; difference: Json; suggested: string | null }[] {
  const things = new Map<string, Modification[]>()
  for (const m of list) {
    if (found.resources.some((r) => r.address === m.address || (r.id !== null && r.id === m.resource.id))) continue
    const key = m.address ?? `${m.resource.type}/${m.resource.name ?? m.resource.id}`
    things.set(key, [...(things.get(key) ?? []), m])
  }
  return [...things].map(([address, changes]) => {
    const net = netChange(changes)
    if (changes[0]?.address) return { address, class: 'as-code', difference: [], suggested: 'none' }
    return Object.keys(net).length === 0 ? { address, class: 'as-it-was', difference: [], suggested: 'none' } : { address, class: 'outside-code', difference: net as Json, suggested: null }
  })
}

/** What is different after all changes of one thing together. */
function netChange(changes: readonly Modification[]): Record<string, { before: Json; after: Json }> {
  const net: Record<string, { before: Json; after: Json }> = {}
  for (const m of [...changes].sort((x, y) => (x.at < y.at ? -1 : 1))) {
    for (const [name, c] of Object.entries(m.attributes)) net[name] = { before: net[name]?.before ?? (c.before as Json), after: c.after as Json }
  }
  return Object.fromEntries(Object.entries(net).filter(([, c]) => !sameJson(c.before, c.after)))
}

async function decisionsOf(io: Io, g: Globals, o: Options & { decision?: string[] }): Promise<Decision[]> {
  if (!o.incident) return (o.decision ?? []).map((text) => {
    const at = text.lastIndexOf('=')
    if (at < 1) throw new ReglazeError(CORE.INVALID_INPUT, `"${text}" is not ADDRESS=ACTION`)
    return { address: text.slice(0, at), action: text.slice(at + 1) as DecisionAction }
  })
  const { items } = await client(io, g).call(reconcileRoutes.list, { params: { id: o.incident } })
  return items.filter((i) => i.decision && i.workspace === o.workspace).map((i) => ({ address: i.address, action: i.decision as DecisionAction }))
}

function listing(io: Io, c: CheckResult): string {
  const rows = c.resources.flatMap((r) => [
    `${paint(io, r.suggested === 'none' ? 'dim' : 'bold', r.address)}  ${r.class}${r.baseline ? ' (there before the incident)' : ''}${r.suggested && r.suggested !== 'none' ? paint(io, 'cyan', `  → ${r.suggested}`) : ''}${r.note ? `  ${r.note}` : ''}`,
    ...r.differences.map((d) => `    ${d.attribute}: ${d.expected === undefined ? '?' : JSON.stringify(d.expected)} in code, ${JSON.stringify(d.actual)} in reality${d.place ? paint(io, 'dim', `  ${d.place}`) : ''}`),
  ])
  const blind = c.blind.map((b) => `${paint(io, 'yellow', 'not seen')}: ${b}`)
  return [...(rows.length === 0 ? ['code, state and reality are equal'] : rows), ...blind, paint(io, 'dim', `serial ${c.serial} · Terraform ${c.terraformVersion} · ${c.effort.invocations} runs, ${(c.effort.terraformMs / 1000).toFixed(1)} s inside Terraform`)].join('\n')
}
