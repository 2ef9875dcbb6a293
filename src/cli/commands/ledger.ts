import type { Command } from 'commander'
import { serverRoutes } from '../../client/index.ts'
import { CORE, ReglazeError } from '../../core/index.ts'
import { verifyCertificate } from '../../ledger/verify.ts'
import { answer, client, paint, readText, type Globals, type Io } from '../io.ts'

export function ledgerCommands(program: Command, io: Io): void {
  const ledger = program.command('ledger').description('the ledger and its certificates')
  ledger
    .command('verify <certificate>')
    .description('verify a certificate offline, against something that you hold from elsewhere')
    .option('--key <file>', 'public key of the ledger')
    .option('--checkpoint <file>', 'an earlier signed checkpoint')
    .option('--incident <id>', 'it must be the certificate of this incident')
    .addHelpText('after', '\nExample:\n  reglaze ledger verify INC-1.certificate.json --key ledger.key')
    .action((file: string, o: { key?: string; checkpoint?: string; incident?: string }, cmd: Command) => {
      const g = cmd.optsWithGlobals<Globals>()
      const v = verifyCertificate(readText(io, file), { ...(o.key ? { publicKey: readText(io, o.key).trim() } : {}), ...(o.checkpoint ? { checkpoint: readText(io, o.checkpoint) } : {}), ...(o.incident ? { incident: o.incident } : {}) })
      answer(io, g, v, () => (v.ok ? `${paint(io, 'green', 'accepted')}: ${v.entries.length} ledger entries, checkpoint at ${v.checkpoint.size}` : `${paint(io, 'red', 'rejected')} (${v.reason}): ${v.message} ${v.detail}`))
      if (!v.ok) throw new ReglazeError(CORE.DIFFERENCES, `${file} is not accepted: ${v.reason}`, { hint: v.message })
    })
  ledger.command('checkpoint').description('the latest signed checkpoint and the public key').action(async (_o: object, cmd: Command) => {
    const g = cmd.optsWithGlobals<Globals>()
    const now = await client(io, g).call(serverRoutes.checkpoint)
    answer(io, g, now, () => `${now.key}\n\n${now.checkpoint ?? ''}`)
  })
}
