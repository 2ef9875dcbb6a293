import { resolve } from 'node:path'
import type { Command } from 'commander'
import { loadConfig } from '../../config/index.ts'
import { CORE, ReglazeError } from '../../core/index.ts'
import { oncallRoutes } from '../../oncall/contract.ts'
import { evalSchedules, gaps } from '../../oncall/engine.ts'
import { answer, client, table, type Globals, type Io } from '../io.ts'

export function oncallCommands(program: Command, io: Io): void {
  const oncall = program.command('oncall').description('who is on call')
  oncall.command('who').description('who is on call now, in every schedule').action(async (_o: object, cmd: Command) => {
    const g = cmd.optsWithGlobals<Globals>()
    const now = await client(io, g).call(oncallRoutes.now)
    answer(io, g, now, () => JSON.stringify(now, null, 2))
  })
  oncall
    .command('eval <file>')
    .description('who is on call at a time, from configuration alone')
    .option('--at <time>', 'RFC 3339; default: now')
    .action((file: string, o: { at?: string }, cmd: Command) => {
      const shifts = evalSchedules(loadConfig(resolve(io.cwd, file)).config, o.at ? new Date(o.at) : new Date())
      answer(io, cmd.optsWithGlobals<Globals>(), shifts, () => JSON.stringify(shifts, null, 2))
    })
  oncall
    .command('gaps <file>')
    .description('times in which nobody is on call; exit code 1 when there are some')
    .option('--days <n>', 'how far to look', '42')
    .action((file: string, o: { days: string }, cmd: Command) => {
      const from = new Date()
      const found = gaps(loadConfig(resolve(io.cwd, file)).config, from, new Date(from.getTime() + Number(o.days) * 86_400_000))
      answer(io, cmd.optsWithGlobals<Globals>(), found, () => (found.length === 0 ? 'no gaps' : JSON.stringify(found, null, 2)))
      if (found.length > 0) throw new ReglazeError(CORE.DIFFERENCES, `${found.length} gaps`)
    })
  program.command('pages').description('pages, the newest first').action(async (_o: object, cmd: Command) => {
    const g = cmd.optsWithGlobals<Globals>()
    const { pages } = await client(io, g).call(oncallRoutes.pages, { query: {} })
    answer(io, g, pages, () => table(['PAGE', 'PERSON', 'STATE'], pages.map((p) => [p.id, p.person, p.state])))
  })
}
