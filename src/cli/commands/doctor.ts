import { execFileSync } from 'node:child_process'
import { existsSync, statfsSync } from 'node:fs'
import { resolve } from 'node:path'
import type { Command } from 'commander'
import { serverRoutes } from '../../client/index.ts'
import { CORE, ReglazeError } from '../../core/index.ts'
import { createRunner } from '../../terraform/index.ts'
import { answer, client, paint, type Globals, type Io } from '../io.ts'
import { VERSION } from '../version.ts'

/** Versions that the test suite was run with. Others >= 1.5 are expected to work. */
export const TESTED = { terraform: ['1.11.4'], tofu: [] as string[] }
interface Finding {
  check: string
  ok: boolean
  what: string
  hint: string
}

export function doctorCommand(program: Command, io: Io): void {
  program
    .command('doctor')
    .description('what is missing or unhealthy, and what to do; looks at this computer and, with a token, at the server')
    .option('--data <folder>', 'data folder of the server', process.env['REGLAZE_DATA'] ?? '.reglaze/data')
    .action(async (o: { data: string }, cmd: Command) => {
      const g = cmd.optsWithGlobals<Globals>()
      const findings = [node(), await terraform(io), tool('git', ['--version'], 'Needed for codify and for checkpoints: install git.'), tool('bash', ['--version'], 'Needed for recorded terminals: install bash.'), disk(resolve(io.cwd, o.data)), ...(await server(io, g))]
      answer(io, g, { version: VERSION, tested: TESTED, findings }, () => findings.map((f) => `${f.ok ? paint(io, 'green', '✔') : paint(io, 'red', '✘')} ${f.check}: ${f.what}${f.ok ? '' : `\n    ${paint(io, 'cyan', f.hint)}`}`).join('\n'))
      const ill = findings.filter((f) => !f.ok)
      if (ill.length > 0) throw new ReglazeError(CORE.DIFFERENCES, `${ill.length} findings`)
    })
}

function node(): Finding {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
  return { check: 'Node', ok: major > 20 || (major === 20 && minor >= 19), what: process.versions.node, hint: 'Node 20.19 or newer is needed.' }
}

async function terraform(io: Io): Promise<Finding> {
  try {
    const runner = await createRunner({ env: io.env })
    const tested = TESTED[runner.product].includes(runner.version)
    return { check: runner.product, ok: true, what: `${runner.version} (${runner.binary})${tested ? ', tested by us' : `; tested by us: Terraform ${TESTED.terraform.join(', ')}`}`, hint: '' }
  } catch (error) {
    return { check: 'Terraform', ok: false, what: (error as Error).message, hint: error instanceof ReglazeError ? error.hint : '' }
  }
}

function tool(name: string, args: string[], hint: string): Finding {
  try {
    return { check: name, ok: true, what: execFileSync(name, args, { encoding: 'utf8' }).split('\n')[0] ?? '', hint: '' }
  } catch {
    return { check: name, ok: false, what: 'not found', hint }
  }
}

function disk(folder: string): Finding {
  let place = folder
  while (!existsSync(place)) place = resolve(place, '..')
  const { bavail, bsize } = statfsSync(place)
  const mib = Math.floor((bavail * bsize) / 1_048_576)
  return { check: 'disk', ok: mib >= 512, what: `${mib} MiB free at ${place}`, hint: 'Below 512 MiB recordings and the database stop: make room.' }
}

async function server(io: Io, g: Globals): Promise<Finding[]> {
  if (!(g.token ?? io.env['REGLAZE_TOKEN'])) return [{ check: 'server', ok: true, what: 'not asked: no token (REGLAZE_TOKEN)', hint: '' }]
  try {
    return (await client(io, g).call(serverRoutes.doctor, { timeoutMs: 60_000 })).findings
  } catch (error) {
    return [{ check: 'server', ok: false, what: (error as Error).message, hint: error instanceof ReglazeError ? error.hint : '' }]
  }
}
