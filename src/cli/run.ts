import { CommanderError } from 'commander'
import { report, type Globals, type Io } from './io.ts'
import { createProgram } from './program.ts'
import { VERSION } from './version.ts'

/** Global options that take a value: what follows them is not the command. */
const WITH_VALUE = new Set(['--url', '--token'])

/** The first word that is no option: the command. */
export function commandOf(argv: readonly string[]): string | undefined {
  return argv.find((word, i) => !word.startsWith('-') && !WITH_VALUE.has(argv[i - 1] ?? ''))
}

/** Runs one command line (without `node reglaze`). Returns the exit code; never exits the process. */
export async function runCli(argv: readonly string[], io: Io): Promise<number> {
  if (argv.length === 1 && (argv[0] === '--version' || argv[0] === '-V')) {
    io.out(`${VERSION}\n`)
    return 0
  }
  const command = commandOf(argv)
  const program = await createProgram(io, command === 'help' ? undefined : command)
  try {
    // The sandbox is a program of its own: its options are not ours.
    if (argv[0] === 'sandbox') return await (await import('./commands/sandbox.ts')).runSandbox(argv.slice(1), io)
    await program.parseAsync(argv, { from: 'user' })
    return 0
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2
    return report(io, program.opts<Globals>(), error)
  }
}
