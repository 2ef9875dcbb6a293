import { Command, CommanderError } from 'commander'
import { report, type Globals, type Io } from './io.ts'
import { accessCommands } from './commands/access.ts'
import { alertCommands, incidentCommands } from './commands/incident.ts'
import { demoCommand } from './commands/demo.ts'
import { doctorCommand } from './commands/doctor.ts'
import { assessCommand, backupCommands, ledgerCommands, oncallCommands, runSandbox, sandboxCommand } from './commands/operations.ts'
import { pauseCommands } from './commands/pause.ts'
import { reconcileCommands } from './commands/reconcile.ts'
import { recordCommands } from './commands/record.ts'
import { repairCommands } from './commands/repair.ts'
import { serverCommands } from './commands/server.ts'
import { VERSION } from './version.ts'

/** All commands. Each is given where it writes and what it sees. */
export function createProgram(io: Io): Command {
  const program = new Command('reglaze')
    .description('Break glass, repair fast, reconcile automation.')
    .version(VERSION)
    .option('--url <url>', 'address of the server (or REGLAZE_URL)')
    .option('--token <token>', 'API token (or REGLAZE_TOKEN)')
    .option('--json', 'answer as JSON')
    .showHelpAfterError('(add --help for usage)')
    .configureOutput({ writeOut: (t) => io.out(t), writeErr: (t) => io.err(t) })
    .exitOverride()
  demoCommand(program, io)
  incidentCommands(program, io)
  alertCommands(program, io)
  accessCommands(program, io)
  pauseCommands(program, io)
  assessCommand(program, io)
  repairCommands(program, io)
  recordCommands(program, io)
  reconcileCommands(program, io)
  oncallCommands(program, io)
  ledgerCommands(program, io)
  serverCommands(program, io)
  backupCommands(program, io)
  doctorCommand(program, io)
  sandboxCommand(program)
  for (const c of walk(program)) c.exitOverride().configureOutput({ writeOut: (t) => io.out(t), writeErr: (t) => io.err(t) })
  return program
}

function walk(command: Command): Command[] {
  return command.commands.flatMap((c) => [c, ...walk(c)])
}

/** Runs one command line (without `node reglaze`). Returns the exit code; never exits the process. */
export async function runCli(argv: readonly string[], io: Io): Promise<number> {
  const program = createProgram(io)
  try {
    // The sandbox is a program of its own: its options are not ours.
    if (argv[0] === 'sandbox') return await runSandbox(argv.slice(1), io)
    await program.parseAsync(argv, { from: 'user' })
    return 0
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2
    return report(io, program.opts<Globals>(), error)
  }
}
