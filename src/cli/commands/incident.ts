import { readFileSync } from 'node:fs'
import type { Command } from 'commander'
import { CORE, ReglazeError } from '../../core/index.ts'
import { incidentRoutes } from '../../incident/contract.ts'
import { oncallRoutes } from '../../oncall/contract.ts'
import { answer, client, paint, table, type Globals, type Io } from '../io.ts'

const MARK = { done: '✔', active: '…', pending: '·' } as const

export function incidentCommands(program: Command, io: Io): void {
  const incident = program.command('incident').description('incidents: open, look, acknowledge, close')
  incident
    .command('open <service> <title>')
    .description('open an incident by hand and page who is on call')
    .option('--severity <n>', '1 is the worst … 5', '2')
    .addHelpText('after', '\nExample:\n  reglaze incident open storefront "checkout answers 500" --severity 1')
    .action(async (service: string, title: string, o: { severity: string }, cmd: Command) => {
      const g = cmd.optsWithGlobals<Globals>()
      const made = await client(io, g).call(incidentRoutes.open, { body: { service, title, severity: Number(o.severity) } })
      answer(io, g, made, () => `${made.label} opened: ${made.title}; responsible: ${made.dri ?? 'nobody yet'}`)
    })
  incident
    .command('list')
    .description('open incidents')
    .option('--all', 'closed ones too')
    .action(async (o: { all?: boolean }, cmd: Command) => {
      const g = cmd.optsWithGlobals<Globals>()
      const { incidents } = await client(io, g).call(incidentRoutes.list, { query: { all: o.all ? 'true' : 'false' } })
      answer(io, g, incidents, () => (incidents.length === 0 ? 'no open incident' : table(['INCIDENT', 'STATE', 'SEV', 'SERVICE', 'DRI', 'OPENED', 'TITLE'], incidents.map((i) => [i.label, i.state, String(i.severity), i.service, i.dri ?? '-', i.opened_at, i.title]))))
    })
  incident
    .command('show <incident>')
    .description('phases with evidence, and what stands open with the command that clears it')
    .action(async (id: string, _o: object, cmd: Command) => {
      const g = cmd.optsWithGlobals<Globals>()
      const seen = await client(io, g).call(incidentRoutes.get, { params: { id } })
      answer(io, g, seen, () => {
        const i = seen.incident
        const phases = seen.phases.map((p) => `  ${MARK[p.state]} ${p.phase}${p.at ? paint(io, 'dim', `  ${p.at} by ${p.by}`) : ''}`)
        const open = seen.open.map((x) => `  ${x.what}\n      ${paint(io, 'cyan', x.command)}`)
        return [`${paint(io, 'bold', i.label)}  ${i.title}`, `${i.service} · severity ${i.severity} · ${i.state} · responsible: ${i.dri ?? 'nobody'}`, ...phases, ...(open.length > 0 ? ['stands open:', ...open] : i.state === 'open' ? ['nothing stands open'] : [])].join('\n')
      })
    })
  incident
    .command('timeline <incident>')
    .description('everything that the ledger has about it')
    .action(async (id: string, _o: object, cmd: Command) => {
      const g = cmd.optsWithGlobals<Globals>()
      const { entries } = await client(io, g).call(incidentRoutes.timeline, { params: { id } })
      answer(io, g, entries, () => table(['SEQ', 'TIME', 'WHAT', 'WHO', 'SUBJECT'], entries.map((e) => [String(e.seq ?? '-'), e.at, e.kind, e.actor, e.subject])))
    })
  incident
    .command('ack <incident>')
    .description('acknowledge its pages: you take it')
    .action(async (id: string, _o: object, cmd: Command) => {
      const g = cmd.optsWithGlobals<Globals>()
      const done = await client(io, g).call(oncallRoutes.ackIncident, { params: { id } })
      answer(io, g, done, () => `${id} acknowledged`)
    })
  incident
    .command('close <incident>')
    .description('pass the close gate; refused with the list of what stands open')
    .option('--certificate <file>', 'write the signed certificate there')
    .action(async (id: string, o: { certificate?: string }, cmd: Command) => {
      const g = cmd.optsWithGlobals<Globals>()
      const c = client(io, g)
      const closed = await c.call(incidentRoutes.close, { params: { id }, timeoutMs: 60_000 })
      const written = o.certificate ? await writeCertificate(c, id, o.certificate) : null
      answer(io, g, { ...closed, file: written }, () => `${closed.incident.label} is closed; certificate ${written ?? closed.certificate}`)
    })
  incident
    .command('certificate <incident>')
    .description('the signed certificate of a closed incident')
    .option('--out <file>', 'write it there')
    .action(async (id: string, o: { out?: string }, cmd: Command) => {
      const g = cmd.optsWithGlobals<Globals>()
      const c = client(io, g)
      if (o.out) return answer(io, g, { file: await writeCertificate(c, id, o.out) }, () => `written: ${o.out}`)
      io.out((await c.call(incidentRoutes.certificate, { params: { id } })).text)
    })
}

async function writeCertificate(c: ReturnType<typeof client>, id: string, file: string): Promise<string> {
  const { writeFile } = await import('node:fs/promises')
  await writeFile(file, (await c.call(incidentRoutes.certificate, { params: { id }, timeoutMs: 60_000 })).text)
  return file
}

export function alertCommands(program: Command, io: Io): void {
  const alerts = program.command('alerts').description('alerts that came in')
  alerts.command('list').description('alerts, the worst first').action(async (_o: object, cmd: Command) => {
    const g = cmd.optsWithGlobals<Globals>()
    const { alerts: list } = await client(io, g).call(oncallRoutes.alerts, { query: {} })
    answer(io, g, list, () => (list.length === 0 ? 'no alerts' : table(['STATE', 'SEV', 'SERVICE', 'SINCE', 'TITLE'], list.map((a) => [a.state, String(a.severity ?? '?'), a.service, a.startsAt, a.title]))))
  })
  alerts
    .command('send <source> <file>')
    .description('post a payload to the intake endpoint, as the sender would')
    .option('--source-token <secret>', 'token of the source; default: REGLAZE_SOURCE_TOKEN')
    .addHelpText('after', '\nExample:\n  reglaze alerts send alertmanager payload.json')
    .action(async (source: string, file: string, o: { sourceToken?: string }, cmd: Command) => {
      const g = cmd.optsWithGlobals<Globals>()
      const secret = o.sourceToken ?? io.env['REGLAZE_SOURCE_TOKEN']
      if (!secret) throw new ReglazeError(CORE.UNAUTHENTICATED, 'no token of the source', { hint: 'Give --source-token or REGLAZE_SOURCE_TOKEN.' })
      const url = `${client(io, g).url}/api/v1/intake/alertmanager/${encodeURIComponent(source)}`
      const response = await fetch(url, { method: 'POST', headers: { authorization: `Bearer ${secret}`, 'content-type': 'application/json' }, body: readFileSync(file), signal: AbortSignal.timeout(15_000) })
      const body = (await response.json()) as { detail?: string }
      if (!response.ok) throw new ReglazeError(CORE.REFUSED, `intake answered ${response.status}: ${body.detail ?? ''}`)
      answer(io, g, body, () => `accepted by ${url}`)
    })
}
