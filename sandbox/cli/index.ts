import { readOptions } from '../lib/index.ts'
import { COMMANDS } from './commands.ts'
import type { Command } from './commands.ts'
import { CliError } from './io.ts'
import type { Io } from './io.ts'

export type { Io } from './io.ts'

/** True when the first word is a command for people (and not a server program). */
export function isCliCommand(word: string | undefined): boolean {
  return word === undefined || word === 'help' || word.startsWith('-') || Object.hasOwn(COMMANDS, word)
}

/**
 * The command with which people work in the sandbox cloud (SANDBOX_URL, SANDBOX_TOKEN). Returns the exit code:
 * 0 done, 2 invalid input, 3 refused, 4 not found, 5 conflict or locked, 6 the cloud failed, 7 outcome unknown.
 */
export async function runSandboxCli(argv: readonly string[], io: Io = processIo()): Promise<number> {
  const [word, ...rest] = argv
  const command = word !== undefined && Object.hasOwn(COMMANDS, word) ? COMMANDS[word] : undefined
  if (!command) return help(word, io)
  if (rest.includes('--help')) {
    io.out(`sandbox ${command.usage}\n\n${command.about}\n\nExamples:\n${command.examples.map((e) => `  ${e}\n`).join('')}\nEvery command takes --json.\n`)
    return 0
  }
  try {
    const options = parse(word as string, rest, command)
    await command.run({ io, json: options.has('json'), args: options.rest, options })
    return 0
  } catch (e) {
    if (io.signal?.aborted) return 0
    if (!(e instanceof CliError)) throw e
    io.err(`sandbox: ${e.message}\n${e.hint ? `  ${e.hint}\n` : ''}`)
    return e.exit
  }
}

function parse(word: string, rest: readonly string[], command: Command): ReturnType<typeof readOptions> {
  try {
    return readOptions(rest, { values: command.values ?? [], flags: ['json', ...(command.flags ?? [])] })
  } catch (e) {
    throw new CliError(2, (e as Error).message, `usage: sandbox ${COMMANDS[word]?.usage}`)
  }
}

function help(word: string | undefined, io: Io): number {
  const width = Math.max(...Object.keys(COMMANDS).map((n) => n.length))
  const list = Object.entries(COMMANDS).map(([n, c]) => `  ${n.padEnd(width)}  ${c.about}\n`)
  const text = `The sandbox cloud, by hand. SANDBOX_URL says where it is, SANDBOX_TOKEN who you are.\n\n${list.join('')}\nMore: sandbox COMMAND --help\n`
  if (word === undefined || word === 'help' || word === '--help' || word === '-h') {
    io.out(text)
    return 0
  }
  io.err(`sandbox: unknown command "${word}"\n\n${text}`)
  return 2
}

function processIo(): Io {
  return { out: (t) => void process.stdout.write(t), err: (t) => void process.stderr.write(t), env: process.env }
}
