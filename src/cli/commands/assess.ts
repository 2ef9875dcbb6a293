import type { Command } from 'commander'
import { assessRoutes } from '../../assess/contract.ts'
import { answer, client, type Globals, type Io } from '../io.ts'

export function assessCommand(program: Command, io: Io): void {
  program
    .command('assess <incident>')
    .description('which automations act on it, what depends on it, which loops run now, how critical it is')
    .option('--resource <address...>', 'Terraform addresses; default: the resources of the service')
    .action(async (id: string, o: { resource?: string[] }, cmd: Command) => {
      const g = cmd.optsWithGlobals<Globals>()
      const made = await client(io, g).call(assessRoutes.assess, { params: { id }, body: o.resource ? { resources: o.resource } : {}, timeoutMs: 60_000 })
      answer(io, g, made, () => made.text)
    })
}
