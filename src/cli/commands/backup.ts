import { resolve } from 'node:path'
import type { Command } from 'commander'
import { serverRoutes } from '../../client/index.ts'
import { backup, moveTo, openStore, restoreInto } from '../../store/index.ts'
import { answer, client, type Globals, type Io } from '../io.ts'

export function backupCommands(program: Command, io: Io): void {
  const data = (c: Command) => c.option('--data <folder>', 'data folder of the server', process.env['REGLAZE_DATA'] ?? '.reglaze/data').option('--database-url <url>', 'external database (or DATABASE_URL)')
  interface Where {
    data: string
    databaseUrl?: string
  }
  const opened = async <T>(o: Where, work: (store: Awaited<ReturnType<typeof openStore>>) => Promise<T>): Promise<T> => {
    // Never migrates: a backup before an upgrade has to be one of the old schema.
    const store = await openStore({ dataDir: resolve(io.cwd, o.data), databaseUrl: o.databaseUrl ?? io.env['DATABASE_URL'], migrate: false })
    try {
      return await work(store)
    } finally {
      await store.close()
    }
  }
  data(program.command('backup <file>').description('write everything in the database to a file, while work goes on; keep the keys folder too')).action(async (file: string, o: Where, cmd: Command) => {
    const done = await opened(o, (store) => backup({ url: store.url, file: resolve(io.cwd, file) }))
    answer(io, cmd.optsWithGlobals<Globals>(), done.tables, () => `${file}: ${Object.keys(done.tables).length} tables`)
  })
  const restored = program.command('restore').description('bring a backup back; the server then only observes until `restore confirm`')
  data(restored.command('from <file>').description('into an empty store')).action(async (file: string, o: Where, cmd: Command) => {
    const databaseUrl = o.databaseUrl ?? io.env['DATABASE_URL']
    const done = await restoreInto({ file: resolve(io.cwd, file), dataDir: resolve(io.cwd, o.data), databaseUrl })
    answer(io, cmd.optsWithGlobals<Globals>(), done.tables, () => `restored from ${file}; the server observes only until: reglaze restore confirm --reason "…"`)
  })
  restored
    .command('confirm')
    .description('the targets were compared with the ledger: work normally again (admin)')
    .requiredOption('--reason <text>')
    .action(async (o: { reason: string }, cmd: Command) => {
      const g = cmd.optsWithGlobals<Globals>()
      answer(io, g, await client(io, g).call(serverRoutes.confirmRestore, { body: o }), () => 'the server works normally')
    })
  program
    .command('move <database-url>')
    .description('move from the embedded database to an external one; stop the server first')
    .option('--data <folder>', 'data folder of the server', process.env['REGLAZE_DATA'] ?? '.reglaze/data')
    .action(async (url: string, o: Where, cmd: Command) => {
      const dataDir = resolve(io.cwd, o.data)
      const done = await opened({ data: o.data }, (store) => moveTo(store, { databaseUrl: url, dataDir }))
      answer(io, cmd.optsWithGlobals<Globals>(), done, () => `${done.rows} rows in ${done.tables} tables moved; start the server with --database-url`)
    })
}
