import { resolve } from 'node:path'
import type { Command } from 'commander'
import { ReglazeError, type Json } from '../../core/index.ts'
import { incidentRoutes } from '../../incident/contract.ts'
import { reconcileRoutes } from '../../reconcile/contract.ts'
import { list, quarantine, release, REPAIR, replace, type QuarantineKind, type ReleaseResult } from '../../repair/engine.ts'
import { answer, client, paint, table, type Globals, type Io } from '../io.ts'
import { engineOptions } from './reconcile.ts'

interface Options {
  incident: string
  workspace: string
}

/** Whether the incident knows that the object was released, and not quarantined again after that: then repeating the release is no mistake. */
async function wasReleased(io: Io, g: Globals, o: Options, address: string): Promise<boolean> {
  if (!(g.token ?? io.env['REGLAZE_TOKEN'])) return false
  const { entries } = await client(io, g).call(incidentRoutes.timeline, { params: { id: o.incident } })
  return entries.findLast((e) => e.subject === address && e.kind.startsWith('quarantine.'))?.kind === 'quarantine.released'
}

export function repairCommands(program: Command, io: Io): void {
  const repair = program.command('repair').description('repair plays: quarantine, release, replace; each proven by a plan, each undone exactly')
  const inIncident = (c: Command) => c.requiredOption('--incident <incident>', 'the incident; its label marks the code').option('--workspace <name>', 'workspace in the configuration; without a server nothing is reported', 'production')
  const report = async (g: Globals, o: Options, body: { address: string; kind: QuarantineKind; state: 'quarantined' | 'released'; data: Json }) => {
    if (g.token ?? io.env['REGLAZE_TOKEN']) await client(io, g).call(reconcileRoutes.quarantine, { params: { id: o.incident, workspace: o.workspace }, body })
  }
  inIncident(repair.command('quarantine <dir> <address>').description('Terraform leaves the object alone until it is released'))
    .option('--kind <kind>', 'soft: the code stays, nothing is changed or destroyed · hard: out of state and code', 'soft')
    .addHelpText('after', '\nExample:\n  reglaze repair quarantine infra sandbox_instance.gateway --incident INC-1')
    .action(async (dir: string, address: string, o: Options & { kind: QuarantineKind }, cmd: Command) => {
      const g = cmd.optsWithGlobals<Globals>()
      const done = await quarantine(resolve(io.cwd, dir), address, { ...engineOptions(io, g), kind: o.kind, incident: o.incident })
      await report(g, o, { address, kind: done.kind, state: 'quarantined', data: { id: done.id, proof: done.proof as unknown as Json, file: done.file } })
      answer(io, g, done, () => `${paint(io, 'bold', address)} is in quarantine (${done.kind}); ${done.proof.complete ? 'a complete plan leaves it alone' : `a targeted plan leaves it alone (no complete plan: ${done.proof.because})`}${done.alsoAffects.length > 0 ? `\nthe same code covers: ${done.alsoAffects.join(', ')}` : ''}`)
    })
  inIncident(repair.command('release <dir> <address>').description('the exact undo of a quarantine')).action(async (dir: string, address: string, o: Options, cmd: Command) => {
    const g = cmd.optsWithGlobals<Globals>()
    const released = (r: ReleaseResult) => report(g, o, { address, kind: r.kind, state: 'released', data: { id: r.id, exact: r.exact, differs: [...r.differs] } })
    const done = await release(resolve(io.cwd, dir), address, { ...engineOptions(io, g), released }).catch(async (error: unknown) => {
      if (error instanceof ReglazeError && error.code === REPAIR.REPAIR_NOT_QUARANTINED && (await wasReleased(io, g, o, address))) return null
      throw error
    })
    if (done === null) return answer(io, g, { address, already: true }, () => `${paint(io, 'bold', address)} was released already`)
    answer(io, g, done, () => `${paint(io, 'bold', address)} is released; the code is ${done.exact ? 'byte for byte what it was' : 'changed elsewhere meanwhile'}${done.differs.length > 0 ? `; it differs in ${done.differs.join(', ')}` : ''}`)
  })
  inIncident(repair.command('replace <dir> <address>').description('destroy one object and make it anew, by a reviewed plan that touches only it')).action(async (dir: string, address: string, o: Options, cmd: Command) => {
    const g = cmd.optsWithGlobals<Globals>()
    const done = await replace(resolve(io.cwd, dir), address, { ...engineOptions(io, g), incident: o.incident })
    answer(io, g, done, () => `${paint(io, 'bold', address)}: ${done.oldId} → ${done.newId}${done.dependents.length > 0 ? `\nread by ${done.dependents.join(', ')}` : ''}${done.warnings.map((w) => `\n${paint(io, 'yellow', w)}`).join('')}`)
  })
  repair.command('list <dir>').description('everything in flight in a folder').action(async (dir: string, _o: object, cmd: Command) => {
    const g = cmd.optsWithGlobals<Globals>()
    const found = await list(resolve(io.cwd, dir), engineOptions(io, g))
    answer(io, g, found, () => (found.length === 0 ? 'nothing is in flight' : table(['ADDRESS', 'PLAY', 'INCIDENT', 'STEP', 'PLACE'], found.map((f) => [f.address, f.play, f.incident, f.step, f.place ?? '']))))
  })
}
