import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { Command } from 'commander'
import { CORE, ReglazeError } from '../../core/index.ts'
import type { Io } from '../io.ts'
import { PACKAGE_ROOT } from '../version.ts'

/** For the list of commands only: runSandbox() takes over before options are read. */
export function sandboxCommand(program: Command): void {
  program.command('sandbox [args...]').description('the sandbox cloud: up, provider install, login, list, set, … (`reglaze sandbox --help`)')
}

/** `reglaze sandbox …` is the sandbox's own program: a separate one, that knows nothing of Reglaze. */
export async function runSandbox(args: readonly string[], io: Io): Promise<number> {
  const main = join(PACKAGE_ROOT, 'dist', 'sandbox', 'main.js')
  if (!existsSync(main)) throw new ReglazeError(CORE.NOT_FOUND, `${main} is missing`, { hint: 'Build first: npx tsc -b' })
  const child = spawn(process.execPath, [main, ...args], { stdio: 'inherit', env: { ...io.env } })
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => child.kill(signal))
  return new Promise<number>((done) => child.once('exit', (c) => done(c ?? 1)))
}
