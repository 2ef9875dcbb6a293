import { resolve } from 'node:path'
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
  ledger
    .command('begin-epoch')
    .description('the ledger goes on under a new name, because commits or its key were lost; into the database of the data folder, recorded as an entry')
    .requiredOption('--reason <text>', 'what was lost, and how it is known')
    .option('--data <folder>', 'data folder of the server', process.env['REGLAZE_DATA'] ?? '.reglaze/data')
    .option('--database-url <url>', 'external database (or DATABASE_URL)')
    .action(async (o: { reason: string; data: string; databaseUrl?: string }, cmd: Command) => {
      const [{ openStore }, { beginEpoch }] = await Promise.all([import('../../store/index.ts'), import('../../ledger/index.ts')])
      const store = await openStore({ dataDir: resolve(io.cwd, o.data), databaseUrl: o.databaseUrl ?? io.env['DATABASE_URL'], migrate: false })
      try {
        await beginEpoch(store.db, { actor: 'the data folder', reason: o.reason })
      } finally {
        await store.close()
      }
      answer(io, cmd.optsWithGlobals<Globals>(), { ok: true }, () => 'a new epoch has begun; keep its first checkpoint and its key, as at the first start')
    })
}
