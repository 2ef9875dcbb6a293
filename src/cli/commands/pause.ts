import type { Command } from 'commander'
import type { z } from 'zod'
import { pauseRoutes } from '../../pause/contract.ts'
import { answer, client, progress, table, waitFor, type Globals, type Io } from '../io.ts'

type Hold = z.output<typeof pauseRoutes.list.response>['holds'][number]

export function pauseCommands(program: Command, io: Io): void {
  program
    .command('pause <incident>')
    .description('hold the automation that would fight the repair, from the outside in; its settings are captured first')
    .option('--automation <id...>', 'only these and their parents')
    .option('--for <duration>', 'when the hold is asked about; it never resumes by itself', '8h')
    .option('--wait', 'until every hold was read back')
    .addHelpText('after', '\nExample:\n  reglaze pause INC-1 --wait')
    .action(async (id: string, o: { automation?: string[]; for: string; wait?: boolean }, cmd: Command) => {
      const g = cmd.optsWithGlobals<Globals>()
      let { holds } = await client(io, g).call(pauseRoutes.pause, { params: { id }, body: { for: o.for, ...(o.automation ? { automations: o.automation } : {}) } })
      if (o.wait) holds = await waitAll(io, g, id, 'held', 60_000)
      answer(io, g, holds, () => describe(holds))
    })
  program
    .command('holds [incident]')
    .description('what is held now, as last read back')
    .action(async (id: string | undefined, _o: object, cmd: Command) => {
      const g = cmd.optsWithGlobals<Globals>()
      const { holds } = id ? await client(io, g).call(pauseRoutes.list, { params: { id } }) : await client(io, g).call(pauseRoutes.all)
      answer(io, g, holds, () => (holds.length === 0 ? 'nothing is held' : describe(holds)))
    })
  program
    .command('resume <incident>')
    .description('give automation back exactly as it was, in reverse order, each first run watched')
    .option('--without-proof <reason>', 'although no no-op proof is on file; the reason goes into the ledger')
    .option('--wait', 'until everything is resumed')
    .action(async (id: string, o: { withoutProof?: string; wait?: boolean }, cmd: Command) => {
      const g = cmd.optsWithGlobals<Globals>()
      let { holds } = await client(io, g).call(pauseRoutes.resume, { params: { id }, body: o.withoutProof ? { without_proof: o.withoutProof } : {} })
      if (o.wait) holds = await waitAll(io, g, id, 'resumed', 180_000)
      answer(io, g, holds, () => describe(holds))
    })
  program
    .command('state <name>')
    .description('the latest Terraform state that Reglaze serves, on stdout: leaving our backend needs only this file')
    .action(async (name: string, _o: object, cmd: Command) => {
      const state = await client(io, cmd.optsWithGlobals<Globals>()).call(pauseRoutes.state, { params: { name } })
      io.out(state.body)
    })
}

async function waitAll(io: Io, g: Globals, id: string, wanted: Hold['state'], timeoutMs: number): Promise<Hold[]> {
  const c = client(io, g)
  let last = ''
  return waitFor(
    async () => {
      const { holds } = await c.call(pauseRoutes.list, { params: { id } })
      const now = holds.map((h) => `${h.automation} ${h.state}`).join(', ')
      if (now !== last) progress(io, g, `  ${(last = now)}`)
      return holds.every((h) => h.state === wanted) ? holds : null
    },
    { timeoutMs, what: () => last },
  )
}

function describe(holds: readonly Hold[]): string {
  return table(['AUTOMATION', 'STATE', 'BEFORE', 'READ BACK', 'NOTE'], holds.map((h) => [h.automation, h.state, JSON.stringify(h.prior), h.observed_at ?? '-', h.error ?? (h.reverts > 0 ? `switched on again ${h.reverts}×` : '')]))
}
