import type { Command } from 'commander'
import { resolve } from 'node:path'
import { CORE, ReglazeError } from '../../core/index.ts'
import type { Globals, Io } from '../io.ts'

export function demoCommand(program: Command, io: Io): void {
  program
    .command('demo')
    .description('play the whole story on Tailwind Traders, on real Terraform; needs no account and no configuration')
    .option('--dir <folder>', 'folder of the world', '.reglaze/demo')
    .option('--exit', 'end after the story instead of staying up')
    .option('--skip <step>', '`pause`: what happens when nobody pauses the automation')
    .option('--port <n>', 'port of the Reglaze server; the next free one when it is taken', '7420')
    .addHelpText('after', '\nExamples:\n  reglaze demo\n  reglaze demo --json > report.json\n  reglaze demo --skip pause --exit')
    .action(async (o: { dir: string; exit?: boolean; skip?: string; port: string }, cmd: Command) => {
      if (o.skip !== undefined && o.skip !== 'pause') throw new ReglazeError(CORE.INVALID_INPUT, `--skip ${o.skip}: only "pause" can be skipped`)
      if (!/^\d{1,5}$/.test(o.port) || Number(o.port) > 65_535) throw new ReglazeError(CORE.INVALID_INPUT, `--port ${o.port} is not a port`)
      const json = cmd.optsWithGlobals<Globals>().json ?? false
      // Loaded on use: the story itself runs commands of this program.
      const { demo } = await import('../demo/demo.ts')
      const report = await demo(io, { dir: resolve(io.cwd, o.dir), exit: o.exit ?? json, json, skipPause: o.skip === 'pause', port: Number(o.port) })
      if (!report.ok) throw new ReglazeError(CORE.DIFFERENCES, 'a proof of the story did not hold')
    })
}
