#!/usr/bin/env node
// The table of sandbox programs: `node dist/sandbox/main.js NAME …`. Each is loaded only when it is asked for.

type Program = (argv: readonly string[]) => Promise<unknown>

const PROGRAMS: Readonly<Record<string, () => Promise<Program>>> = {
  cloud: async () => (await import('./cloud/index.ts')).cloudProgram,
  provider: async () => (await import('./provider/index.ts')).providerProgram,
  directory: async () => (await import('./directory/index.ts')).directoryProgram,
  gitops: async () => (await import('./gitops/command.ts')).gitopsCommand,
  runner: async () => (await import('./runner/command.ts')).runnerCommand,
  autoscaler: async () => (await import('./autoscaler/command.ts')).autoscalerCommand,
  up: async () => (await import('./up/command.ts')).upCommand,
  down: async () => (await import('./up/command.ts')).downCommand,
}

const [name = '', ...rest] = process.argv.slice(2)
const load = Object.hasOwn(PROGRAMS, name) ? PROGRAMS[name] : undefined
if (load) {
  try {
    await (await load())(rest)
  } catch (e) {
    process.stderr.write(`${name}: ${(e as Error).message}\n`)
    process.exitCode = 2
  }
} else {
  // Everything else is a command for people, or a mistake that its help answers.
  const { runSandboxCli } = await import('./cli/index.ts')
  process.exitCode = await runSandboxCli(process.argv.slice(2))
}
