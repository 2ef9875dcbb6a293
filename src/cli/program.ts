import { Command, CommanderError } from 'commander'
import { report, type Globals, type Io } from './io.ts'
import { accessCommands } from './commands/access.ts'
import { alertCommands, incidentCommands } from './commands/incident.ts'
import { pauseCommands } from './commands/pause.ts'
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
  incidentCommands(program, io)
  alertCommands(program, io)
  accessCommands(program, io)
  pauseCommands(program, io)
  serverCommands(program, io)
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
    await program.parseAsync(argv, { from: 'user' })
    return 0
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2
    return report(io, program.opts<Globals>(), error)
  }
}
