import { existsSync, readFileSync, readdirSync, statSync } from 'node:fs'
import { join, resolve } from 'node:path'
import type { Command } from 'commander'
import { serverRoutes } from '../../client/index.ts'
import { CORE, ReglazeError } from '../../core/index.ts'
import { answer, client, table, type Globals, type Io } from '../io.ts'
import { VERSION } from '../version.ts'

export function serverCommands(program: Command, io: Io): void {
  program
    .command('serve')
    .description('run a server process; any number may share one database')
    .option('--data <folder>', 'data folder: embedded database, keys, recordings, states', process.env['REGLAZE_DATA'] ?? '.reglaze/data')
    .option('--host <address>', 'address to listen on', '127.0.0.1')
    .option('--port <n>', 'port; 0 = the next free one', '7420')
    .option('--database-url <url>', 'an external PostgreSQL >= 14 instead of the embedded one (or DATABASE_URL)')
    .option('--public-url <url>', 'how people reach this server (links in pages)')
    .option('--tls-cert <file>', 'serve TLS: certificate chain (PEM); without it put a TLS proxy in front and give --public-url')
    .option('--tls-key <file>', 'serve TLS: private key (PEM)')
    .option('--parent-pid <n>', 'stop when this process ends')
    .option('--checkpoint-remote <git url>', 'git remote that gets each signed checkpoint on a branch of its own')
    .addHelpText('after', '\nExamples:\n  reglaze serve\n  reglaze serve --database-url postgres://reglaze@db.example/reglaze --public-url https://reglaze.example')
    .action(async (o: { data: string; host: string; port: string; databaseUrl?: string; publicUrl?: string; checkpointRemote?: string; tlsCert?: string; tlsKey?: string; parentPid?: string }, cmd: Command) => {
      const g = cmd.optsWithGlobals<Globals>()
      if (!/^\d{1,5}$/.test(o.port) || Number(o.port) > 65_535) throw new ReglazeError(CORE.INVALID_INPUT, `--port ${o.port} is not a port`, { hint: 'Give a number from 0 (the next free one) to 65535.' })
      if ((o.tlsCert === undefined) !== (o.tlsKey === undefined)) throw new ReglazeError(CORE.INVALID_INPUT, 'TLS needs both --tls-cert and --tls-key')
      // The server is many modules: only this command loads them.
      const { serve } = await import('../../server/index.ts')
      const server = await serve({
        dataDir: resolve(io.cwd, o.data), host: o.host, port: Number(o.port), version: VERSION,
        databaseUrl: o.databaseUrl ?? io.env['DATABASE_URL'], publicUrl: o.publicUrl ?? io.env['REGLAZE_PUBLIC_URL'], checkpointRemote: o.checkpointRemote,
        ...(o.tlsCert && o.tlsKey ? { tls: { cert: resolve(io.cwd, o.tlsCert), key: resolve(io.cwd, o.tlsKey) } } : {}),
      })
      const ready = { ready: true, url: server.url, pid: process.pid, admin_token: server.firstAdminToken }
      if (g.json) io.out(`${JSON.stringify(ready)}\n`)
      else io.out(`serving at ${server.url}${server.firstAdminToken ? `\nadmin token (shown once): ${server.firstAdminToken}` : ''}\n`)
      await new Promise<void>((done) => {
        for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => done())
        if (o.parentPid) watchParent(Number(o.parentPid), done)
      })
      await server.stop()
    })
  program.command('status').description('what is in force and what is unwell').action(async (_o: object, cmd: Command) => {
    const g = cmd.optsWithGlobals<Globals>()
    const s = await client(io, g).call(serverRoutes.status)
    answer(io, g, s, () => Object.entries(s).map(([k, v]) => `${k.replaceAll('_', ' ')}: ${String(v)}`).join('\n'))
  })
  configCommands(program, io)
  tokenCommands(program, io)
}

function readFiles(io: Io, path: string): { file: string; text: string }[] {
  const full = resolve(io.cwd, path)
  if (!existsSync(full)) throw new ReglazeError(CORE.INVALID_INPUT, `there is no ${path}`, { place: path, hint: 'Name the configuration file, or the folder of its files.' })
  const list = statSync(full).isFile() ? [full] : readdirSync(full).filter((f) => /\.ya?ml$/.test(f)).sort().map((f) => join(full, f))
  return list.map((f) => ({ file: statSync(full).isFile() ? path : join(path, f.slice(full.length + 1)), text: readFileSync(f, 'utf8') }))
}

function configCommands(program: Command, io: Io): void {
  const config = program.command('config').description('configuration: check, plan, apply')
  config
    .command('check <path>')
    .description('check a file or folder; needs no server')
    .action(async (path: string, _o: object, cmd: Command) => {
      const { checkConfig } = await import('../../server/index.ts')
      const checked = checkConfig(readFiles(io, path))
      answer(io, cmd.optsWithGlobals<Globals>(), { ok: true, digest: checked.digest }, () => `${path} is valid (${checked.config.services.length} services, ${checked.config.roles.length} roles, ${checked.config.automations.length} automations)`)
    })
  config.command('schema').description('the JSON Schema for editors').action(async () => io.out(`${JSON.stringify((await import('../../config/index.ts')).configJsonSchema(), null, 2)}\n`))
  config
    .command('plan <path>')
    .description('what would change; nothing is changed')
    .action(async (path: string, _o: object, cmd: Command) => {
      const g = cmd.optsWithGlobals<Globals>()
      const plan = await client(io, g).call(serverRoutes.configPlan, { body: { files: readFiles(io, path) } })
      const sign = { add: '+', change: '~', remove: '-' }
      answer(io, g, plan, () => [plan.changes.length === 0 ? 'no changes' : plan.changes.map((c) => `${sign[c.kind]} ${c.what}`).join('\n'), ...plan.refused.map((r) => `refused: ${r}`)].join('\n'))
    })
  config
    .command('apply <path>')
    .description('put it in force as a numbered version')
    .option('--base <version>', 'refuse when another version is in force')
    .action(async (path: string, o: { base?: string }, cmd: Command) => {
      const g = cmd.optsWithGlobals<Globals>()
      const done = await client(io, g).call(serverRoutes.configApply, { body: { files: readFiles(io, path), ...(o.base === undefined ? {} : { base: Number(o.base) }) } })
      answer(io, g, done, () => (done.changed ? `version ${done.version} is in force` : `nothing changed; version ${done.version} stays in force`))
    })
}

function tokenCommands(program: Command, io: Io): void {
  const token = program.command('token').description('API tokens')
  token
    .command('create <name>')
    .description('make a token; its secret is shown once')
    .requiredOption('--role <role>', 'viewer, responder, approver or admin')
    .option('--person <id>', 'the token acts as this person')
    .option('--scope <scope...>', 'api, state (read and write Terraform state), state-read', ['api'])
    .option('--ttl <duration>', 'like 30d')
    .option('--data <folder>', 'without a server: into the database of this data folder (a lost admin token is replaced by who has the folder; it is in the ledger)')
    .action(async (name: string, o: { role: 'viewer'; person?: string; scope: ('api' | 'state' | 'state-read')[]; ttl?: string; data?: string }, cmd: Command) => {
      const g = cmd.optsWithGlobals<Globals>()
      const made = o.data ? await offline(io, o.data, { name, role: o.role, person: o.person, scopes: o.scope, ttl: o.ttl }) : await client(io, g).call(serverRoutes.tokenCreate, { body: { name, role: o.role, scopes: o.scope, ...(o.person ? { person: o.person } : {}), ...(o.ttl ? { ttl: o.ttl } : {}) } })
      answer(io, g, made, () => `${made.token.id}\n${made.secret}`)
    })
  token.command('list').description('tokens without their secrets').action(async (_o: object, cmd: Command) => {
    const g = cmd.optsWithGlobals<Globals>()
    const { tokens } = await client(io, g).call(serverRoutes.tokenList)
    answer(io, g, tokens, () => table(['TOKEN', 'NAME', 'ROLE', 'PERSON', 'SCOPES', 'ENDED'], tokens.map((t) => [t.id, t.name, t.role, t.person ?? '-', t.scopes.join(','), t.revoked_at ?? t.expires_at ?? '-'])))
  })
  token.command('revoke <id>').description('end a token now').action(async (id: string, _o: object, cmd: Command) => {
    const g = cmd.optsWithGlobals<Globals>()
    const done = await client(io, g).call(serverRoutes.tokenRevoke, { params: { id } })
    answer(io, g, done, () => `${id} is ended`)
  })
}

async function offline(io: Io, data: string, token: { name: string; role: 'viewer'; person: string | undefined; scopes: string[]; ttl: string | undefined }) {
  const { createToken, openStore } = await import('../../server/index.ts')
  const store = await openStore({ dataDir: resolve(io.cwd, data), databaseUrl: io.env['DATABASE_URL'], migrate: false })
  try {
    return await createToken(store, token, 'the data folder')
  } finally {
    await store.close()
  }
}

function watchParent(pid: number, ended: () => void): void {
  const timer = setInterval(() => {
    try {
      process.kill(pid, 0)
    } catch {
      clearInterval(timer)
      ended()
    }
  }, 1000)
  timer.unref()
}
