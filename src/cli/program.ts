import { Command } from 'commander'
import type { Io } from './io.ts'
import { VERSION } from './version.ts'

type Register = (program: Command, io: Io) => void

/** Which module defines which top-level commands, in the order of the help. A command line loads only the module that it needs. */
const MODULES: readonly { readonly commands: readonly string[]; load(): Promise<readonly Register[]> }[] = [
  { commands: ['demo'], load: async () => [(await import('./commands/demo.ts')).demoCommand] },
  { commands: ['incident', 'alerts'], load: async () => import('./commands/incident.ts').then((m) => [m.incidentCommands, m.alertCommands]) },
  { commands: ['access'], load: async () => [(await import('./commands/access.ts')).accessCommands] },
  { commands: ['pause', 'holds', 'resume', 'state'], load: async () => [(await import('./commands/pause.ts')).pauseCommands] },
  { commands: ['assess'], load: async () => [(await import('./commands/assess.ts')).assessCommand] },
  { commands: ['repair'], load: async () => [(await import('./commands/repair.ts')).repairCommands] },
  { commands: ['record'], load: async () => [(await import('./commands/record.ts')).recordCommands] },
  { commands: ['reconcile'], load: async () => [(await import('./commands/reconcile.ts')).reconcileCommands] },
  { commands: ['oncall', 'pages'], load: async () => [(await import('./commands/oncall.ts')).oncallCommands] },
  { commands: ['ledger'], load: async () => [(await import('./commands/ledger.ts')).ledgerCommands] },
  { commands: ['serve', 'status', 'config', 'token'], load: async () => [(await import('./commands/server.ts')).serverCommands] },
  { commands: ['backup', 'restore', 'move'], load: async () => [(await import('./commands/backup.ts')).backupCommands] },
  { commands: ['doctor'], load: async () => [(await import('./commands/doctor.ts')).doctorCommand] },
  { commands: ['sandbox'], load: async () => [(await import('./commands/sandbox.ts')).sandboxCommand] },
]

/** The program with all commands, or only with the module of one of them. Each command is given where it writes and what it sees. */
export async function createProgram(io: Io, only?: string): Promise<Command> {
  const program = new Command('reglaze')
    .description('Break glass, repair fast, reconcile automation.')
    .version(VERSION)
    .option('--url <url>', 'address of the server (or REGLAZE_URL)')
    .option('--token <token>', 'API token (or REGLAZE_TOKEN)')
    .option('--json', 'answer as JSON')
    .showHelpAfterError('(add --help for usage)')
    .configureOutput({ writeOut: (t) => io.out(t), writeErr: (t) => io.err(t) })
    .exitOverride()
  const needed = MODULES.filter((m) => only === undefined || m.commands.includes(only))
  for (const registers of await Promise.all((needed.length > 0 ? needed : MODULES).map((m) => m.load()))) for (const register of registers) register(program, io)
  for (const c of walk(program)) c.exitOverride().configureOutput({ writeOut: (t) => io.out(t), writeErr: (t) => io.err(t) })
  return program
}

function walk(command: Command): Command[] {
  return command.commands.flatMap((c) => [c, ...walk(c)])
}
