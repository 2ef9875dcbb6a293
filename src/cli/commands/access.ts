import type { Command } from 'commander'
import { accessRoutes } from '../../access/contract.ts'
import { formatDuration } from '../../core/index.ts'
import type { z } from 'zod'
import { answer, client, paint, progress, table, waitFor, type Globals, type Io } from '../io.ts'

type Grant = z.output<typeof accessRoutes.get.response>

export function accessCommands(program: Command, io: Io): void {
  const access = program.command('access').description('break glass: who gets in, until when, and proof that nobody stays')
  access.command('roles').description('break-glass roles').action(async (_o: object, cmd: Command) => {
    const g = cmd.optsWithGlobals<Globals>()
    const { roles } = await client(io, g).call(accessRoutes.roles)
    answer(io, g, roles, () => table(['ROLE', 'AT MOST', 'TARGETS', 'ABOUT'], roles.map((r) => [r.id, r.max_duration, r.targets.map((t) => t.connector).join(', '), r.about])))
  })
  access
    .command('request <role>')
    .description('break glass in an incident')
    .requiredOption('--incident <incident>', 'INC-42')
    .requiredOption('--reason <text>', 'why; goes into the ledger')
    .option('--for <duration>', 'like 2h; default and maximum come from the role')
    .option('--wait', 'until every target was read back')
    .addHelpText('after', '\nExample:\n  reglaze access request production-repair --incident INC-1 --reason "orders database down" --wait')
    .action(async (role: string, o: { incident: string; reason: string; for?: string; wait?: boolean }, cmd: Command) => {
      const g = cmd.optsWithGlobals<Globals>()
      const c = client(io, g)
      let grant = await c.call(accessRoutes.request, { body: { role, incident: o.incident, reason: o.reason, ...(o.for ? { duration: o.for } : {}) } })
      if (o.wait) grant = await waitState(io, g, grant.id, ['active'])
      answer(io, g, grant, () => describe(io, grant))
    })
  access
    .command('list')
    .description('who is inside production now')
    .option('--all', 'ended grants too')
    .option('--incident <incident>')
    .action(async (o: { all?: boolean; incident?: string }, cmd: Command) => {
      const g = cmd.optsWithGlobals<Globals>()
      const { grants } = await client(io, g).call(accessRoutes.list, { query: { all: o.all ? 'true' : 'false', incident: o.incident } })
      answer(io, g, grants, () => (grants.length === 0 ? 'nobody is inside' : table(['GRANT', 'PERSON', 'ROLE', 'STATE', 'UNTIL'], grants.map((x) => [x.id, x.person, x.role, x.state, x.revoked_at ?? x.expires_at ?? '-']))))
    })
  access.command('show <grant>').description('one grant with its targets as last read back').action(async (id: string, _o: object, cmd: Command) => {
    const g = cmd.optsWithGlobals<Globals>()
    const grant = await client(io, g).call(accessRoutes.get, { params: { id } })
    answer(io, g, grant, () => describe(io, grant))
  })
  access
    .command('explain <role>')
    .description('which rule would decide; nothing is requested')
    .requiredOption('--incident <incident>')
    .option('--person <person>')
    .action(async (role: string, o: { incident: string; person?: string }, cmd: Command) => {
      const g = cmd.optsWithGlobals<Globals>()
      const seen = await client(io, g).call(accessRoutes.explain, { body: { role, incident: o.incident, ...(o.person ? { person: o.person } : {}) } })
      const d = seen.decision as unknown as { outcome: string; because: string; rules: { rule: string; when: string; result: boolean; error?: string }[] }
      answer(io, g, seen, () => [`${d.outcome}: ${d.because}`, ...d.rules.map((r) => `  ${r.rule} ${r.result ? 'holds' : 'does not hold'}:  ${r.when}${r.error ? `  (${r.error})` : ''}`)].join('\n'))
    })
  for (const vote of ['approve', 'deny'] as const) {
    access.command(`${vote} <grant>`).description(`${vote} a request`).action(async (id: string, _o: object, cmd: Command) => {
      const g = cmd.optsWithGlobals<Globals>()
      const grant = await client(io, g).call(accessRoutes[vote], { params: { id } })
      answer(io, g, grant, () => describe(io, grant))
    })
  }
  access
    .command('end <grant>')
    .description('"I am done": end it now')
    .option('--wait', 'until it is revoked and proven')
    .action(async (id: string, o: { wait?: boolean }, cmd: Command) => {
      const g = cmd.optsWithGlobals<Globals>()
      let grant = await client(io, g).call(accessRoutes.end, { params: { id } })
      if (o.wait) grant = await waitState(io, g, id, ['revoked', 'withdrawn', 'denied'])
      answer(io, g, grant, () => describe(io, grant))
    })
  access
    .command('credentials <grant>')
    .description('what you need to use your grant; printed once per call, stored nowhere')
    .action(async (id: string, _o: object, cmd: Command) => {
      const g = cmd.optsWithGlobals<Globals>()
      const made = await client(io, g).call(accessRoutes.credentials, { params: { id } })
      answer(io, g, made, () => made.targets.map((t) => `# ${t.connector}\n${Object.entries(t.credentials).map(([k, v]) => `${k}=${v}`).join('\n')}`).join('\n'))
    })
  access
    .command('panic <scope> [of]')
    .description('end every grant of an incident, of a person, or all: `panic incident INC-1`, `panic person alice`, `panic all`')
    .action(async (scope: 'incident' | 'person' | 'all', of: string | undefined, _o: object, cmd: Command) => {
      const g = cmd.optsWithGlobals<Globals>()
      const { ended } = await client(io, g).call(accessRoutes.panic, { body: { scope, ...(of ? { of } : {}) } })
      answer(io, g, { ended }, () => `${ended.length} grants are being revoked: ${ended.join(', ') || 'none'}`)
    })
}

async function waitState(io: Io, g: Globals, id: string, wanted: readonly string[]): Promise<Grant> {
  const c = client(io, g)
  let last = ''
  let grant: Grant | null = null
  return waitFor(
    async () => {
      grant = await c.call(accessRoutes.get, { params: { id } })
      const now = `${grant.state}: ${grant.targets.map((t) => `${t.connector} ${t.state}`).join(', ')}`
      if (now !== last) progress(io, g, `  ${(last = now)}`)
      return wanted.includes(grant.state) ? grant : null
    },
    { timeoutMs: 90_000, what: () => `${id} is ${last}; ${grant?.targets.filter((t) => t.error).map((t) => `${t.connector}: ${t.error}`).join('; ') ?? ''}` },
  )
}

function describe(io: Io, g: Grant): string {
  const left = g.expires_at && !g.revoked_at ? ` · ${formatDuration(Math.max(0, Date.parse(g.expires_at) - Date.now()))} left` : ''
  const targets = g.targets.map((t) => `  ${t.state === 'active' || t.state === 'revoked' ? '✔' : '…'} ${t.connector}  ${t.principal}  ${t.state}${t.error ? paint(io, 'red', `  ${t.error}`) : ''}${t.manual ? `\n      by hand: ${t.manual}` : ''}`)
  return [`${paint(io, 'bold', g.id)}  ${g.role} for ${g.person}: ${g.state}${left}`, ...targets].join('\n')
}
