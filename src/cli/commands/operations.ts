import { spawn } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import type { Command } from 'commander'
import { assessRoutes } from '../../assess/contract.ts'
import { serverRoutes } from '../../client/index.ts'
import { loadConfig } from '../../config/index.ts'
import { CORE, ReglazeError } from '../../core/index.ts'
import { verifyCertificate } from '../../ledger/index.ts'
import { oncallRoutes } from '../../oncall/contract.ts'
import { evalSchedules, gaps } from '../../oncall/engine.ts'
import { backup, moveTo, openStore, restoreInto } from '../../store/index.ts'
import { answer, client, paint, table, type Globals, type Io } from '../io.ts'
import { PACKAGE_ROOT } from '../version.ts'

export function assessCommand(program: Command, io: Io): void {
  program
    .command('assess <incident>')
    .description('which automations act on it, what depends on it, which loops run now, how critical it is')
    .option('--resource <address...>', 'Terraform addresses; default: the resources of the service')
    .action(async (id: string, o: { resource?: string[] }, cmd: Command) => {
      const g = cmd.optsWithGlobals<Globals>()
      const made = await client(io, g).call(assessRoutes.assess, { params: { id }, body: o.resource ? { resources: o.resource } : {}, timeoutMs: 60_000 })
      answer(io, g, made, () => made.text)
    })
}

export function oncallCommands(program: Command, io: Io): void {
  const oncall = program.command('oncall').description('who is on call')
  oncall.command('who').description('who is on call now, in every schedule').action(async (_o: object, cmd: Command) => {
    const g = cmd.optsWithGlobals<Globals>()
    const now = await client(io, g).call(oncallRoutes.now)
    answer(io, g, now, () => JSON.stringify(now, null, 2))
  })
  oncall
    .command('eval <file>')
    .description('who is on call at a time, from configuration alone')
    .option('--at <time>', 'RFC 3339; default: now')
    .action((file: string, o: { at?: string }, cmd: Command) => {
      const shifts = evalSchedules(loadConfig(resolve(io.cwd, file)).config, o.at ? new Date(o.at) : new Date())
      answer(io, cmd.optsWithGlobals<Globals>(), shifts, () => JSON.stringify(shifts, null, 2))
    })
  oncall
    .command('gaps <file>')
    .description('times in which nobody is on call; exit code 1 when there are some')
    .option('--days <n>', 'how far to look', '42')
    .action((file: string, o: { days: string }, cmd: Command) => {
      const from = new Date()
      const found = gaps(loadConfig(resolve(io.cwd, file)).config, from, new Date(from.getTime() + Number(o.days) * 86_400_000))
      answer(io, cmd.optsWithGlobals<Globals>(), found, () => (found.length === 0 ? 'no gaps' : JSON.stringify(found, null, 2)))
      if (found.length > 0) throw new ReglazeError(CORE.DIFFERENCES, `${found.length} gaps`)
    })
  program.command('pages').description('pages, the newest first').action(async (_o: object, cmd: Command) => {
    const g = cmd.optsWithGlobals<Globals>()
    const { pages } = await client(io, g).call(oncallRoutes.pages, { query: {} })
    answer(io, g, pages, () => table(['PAGE', 'PERSON', 'STATE'], pages.map((p) => [p.id, p.person, p.state])))
  })
}

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
      const read = (path: string) => readFileSync(resolve(io.cwd, path), 'utf8')
      const v = verifyCertificate(read(file), { ...(o.key ? { publicKey: read(o.key).trim() } : {}), ...(o.checkpoint ? { checkpoint: read(o.checkpoint) } : {}), ...(o.incident ? { incident: o.incident } : {}) })
      answer(io, g, v, () => (v.ok ? `${paint(io, 'green', 'accepted')}: ${v.entries.length} ledger entries, checkpoint at ${v.checkpoint.size}` : `${paint(io, 'red', 'rejected')} (${v.reason}): ${v.message} ${v.detail}`))
      if (!v.ok) throw new ReglazeError(CORE.DIFFERENCES, `${file} is not accepted: ${v.reason}`, { hint: v.message })
    })
  ledger.command('checkpoint').description('the latest signed checkpoint and the public key').action(async (_o: object, cmd: Command) => {
    const g = cmd.optsWithGlobals<Globals>()
    const now = await client(io, g).call(serverRoutes.checkpoint)
    answer(io, g, now, () => `${now.key}\n\n${now.checkpoint ?? ''}`)
  })
}

export function backupCommands(program: Command, io: Io): void {
  const data = (c: Command) => c.option('--data <folder>', 'data folder of the server', process.env['REGLAZE_DATA'] ?? '.reglaze/data').option('--database-url <url>', 'external database (or DATABASE_URL)')
  interface Where {
    data: string
    databaseUrl?: string
  }
  const opened = async <T>(o: Where, work: (store: Awaited<ReturnType<typeof openStore>>) => Promise<T>): Promise<T> => {
    const store = await openStore({ dataDir: resolve(io.cwd, o.data), databaseUrl: o.databaseUrl ?? io.env['DATABASE_URL'] })
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
