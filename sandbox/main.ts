#!/usr/bin/env node
// The table of sandbox programs: `node dist/sandbox/main.js NAME …`. Each is loaded only when it is asked for.

type Program = (argv: readonly string[]) => Promise<unknown>

const PROGRAMS: Readonly<Record<string, () => Promise<Program>>> = {
  cloud: async () => (await import('./cloud/index.ts')).cloudProgram,
}

const [name = '', ...rest] = process.argv.slice(2)
const load = Object.hasOwn(PROGRAMS, name) ? PROGRAMS[name] : undefined
if (load) {
  await (await load())(rest)
} else {
  process.stderr.write(`sandbox: unknown command "${name}"\nprograms: ${Object.keys(PROGRAMS).join(', ')}\n`)
  process.exitCode = 2
}
