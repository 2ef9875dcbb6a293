import { createHash, randomBytes } from 'node:crypto'
import { openSync, readFileSync, readSync, closeSync, statSync } from 'node:fs'
import { homedir } from 'node:os'
import { join, resolve } from 'node:path'
import type { Command } from 'commander'
import type { Client } from '../../client/index.ts'
import { CORE, ReglazeError } from '../../core/index.ts'
import { recordRoutes } from '../../record/contract.ts'
import { cast, commands, createDriver, headerOf, record, replay, runbook, verify, type Recorded } from '../../record/engine.ts'
import { answer, client, paint, progress, table, type Globals, type Io } from '../io.ts'

interface ShellOptions {
  incident?: string
  grant?: string
  file?: string
  script?: string
}

export function recordCommands(program: Command, io: Io): void {
  const rec = program.command('record').description('recorded terminals, manual modifications, runbook drafts')
  rec
    .command('shell')
    .description('a recorded bash; the recording is uploaded when it ends')
    .option('--incident <incident>')
    .option('--grant <grant>')
    .option('--file <file>', 'where the recording is written')
    .option('--script <file>', 'type these lines instead of a person; stops at the first that fails')
    .addHelpText('after', '\nExamples:\n  reglaze record shell --incident INC-1 --grant gr_…\n  reglaze record shell --incident INC-1 --grant gr_… --script repair.sh')
    .action(async (o: ShellOptions, cmd: Command) => {
      const g = cmd.optsWithGlobals<Globals>()
      const id = `rec_${randomBytes(10).toString('hex')}`
      const file = resolve(io.cwd, o.file ?? join(io.env['HOME'] ?? homedir(), '.reglaze', 'recordings', `${id}.rec`))
      const c = o.incident ? client(io, g) : null
      // Announced before it starts: a recorder that dies leaves a recording that is known to be missing.
      if (c) await c.call(recordRoutes.open, { body: { id, incident: o.incident ?? null, grant: o.grant ?? null, title: o.script ? 'scripted shell' : 'shell' } })
      const options = { id, file, env: io.env, cwd: io.cwd, incident: o.incident ?? null, grant: o.grant ?? null, banner: `reglaze: this terminal is recorded (${id})` }
      const { recorded, failed } = o.script ? await scripted(io, g, options, o.script) : { recorded: await record({ ...options, stdin: process.stdin, stdout: process.stdout }), failed: null }
      if (c) await upload(c, recorded)
      const list = commands(file)
      answer(io, g, { ...recorded, commands: list }, () => `${recorded.id}: ${recorded.state}, ${recorded.bytes} bytes, ${list.length} commands, chain head ${recorded.head.slice(0, 16)}`)
      if (failed) throw new ReglazeError(CORE.OUTSIDE_FAILED, `"${failed.command}" ended with ${failed.exitCode}`, { hint: `See the recording: reglaze record play ${file}` })
    })
  rec.command('upload <file>').description('upload a recording again, or its rest').action(async (file: string, _o: object, cmd: Command) => {
    const g = cmd.optsWithGlobals<Globals>()
    const v = verify(resolve(io.cwd, file))
    const h = headerOf(resolve(io.cwd, file))
    const c = client(io, g)
    await c.call(recordRoutes.open, { body: { id: h.id, incident: h.incident, grant: h.grant, title: 'shell' } })
    await upload(c, { id: h.id, file: resolve(io.cwd, file), head: v.head })
    answer(io, g, v, () => `${h.id} is uploaded`)
  })
  rec.command('list').description('recordings').option('--incident <incident>').action(async (o: { incident?: string }, cmd: Command) => {
    const g = cmd.optsWithGlobals<Globals>()
    const { recordings } = await client(io, g).call(recordRoutes.list, { query: { incident: o.incident } })
    answer(io, g, recordings, () => table(['RECORDING', 'STATE', 'PERSON', 'BYTES', 'AT'], recordings.map((r) => [r.id, r.state, r.person ?? '-', String(r.size), r.created_at])))
  })
  rec.command('commands <file>').description('commands of a recording file, with folder and exit code').action((file: string, _o: object, cmd: Command) => {
    const list = commands(resolve(io.cwd, file))
    answer(io, cmd.optsWithGlobals<Globals>(), list, () => table(['EXIT', 'FOLDER', 'COMMAND'], list.map((c) => [String(c.exitCode ?? '?'), c.cwd ?? '', c.command])))
  })
  rec.command('play <file>').description('the recorded output, byte for byte').action((file: string) => {
    for (const piece of replay(resolve(io.cwd, file))) process.stdout.write(piece)
  })
  rec.command('cast <file>').description('as asciicast v2').action((file: string) => {
    for (const line of cast(resolve(io.cwd, file), { version: 2 })) io.out(line.endsWith('\n') ? line : `${line}\n`)
  })
  rec.command('runbook <file>').description('a runbook draft of the commands, secrets masked').action((file: string) => io.out(runbook(resolve(io.cwd, file))))
  rec.command('verify <file>').description('recompute the hash chain').option('--head <hash>', 'the last hash, known from elsewhere').action((file: string, o: { head?: string }, cmd: Command) => {
    const v = verify(resolve(io.cwd, file), o.head ? { head: o.head } : {})
    answer(io, cmd.optsWithGlobals<Globals>(), v, () => `${v.ok ? paint(io, 'green', 'intact') : paint(io, 'red', 'broken')}: ${v.state}, ${v.frames} frames, head ${v.head}${v.bad ? `\nfirst bad place: byte ${v.bad.offset}: ${v.bad.why}` : ''}`)
    if (!v.ok) throw new ReglazeError(CORE.DIFFERENCES, 'the recording was changed')
  })
  modificationCommands(rec, io)
}

function modificationCommands(rec: Command, io: Io): void {
  rec.command('sources').description('audit logs that are read, when last, and what is wrong').action(async (_o: object, cmd: Command) => {
    const g = cmd.optsWithGlobals<Globals>()
    const { sources } = await client(io, g).call(recordRoutes.sources)
    answer(io, g, sources, () => (sources.length === 0 ? 'no audit log is configured' : table(['SOURCE', 'READ', 'WHAT IS WRONG'], sources.map((x) => [x.source, x.read_at ?? 'never', x.error ?? '']))))
  })
  rec
    .command('abandon <recording>')
    .description('the rest of a recording never comes: close it as partial (approver or admin)')
    .requiredOption('--reason <text>')
    .action(async (id: string, o: { reason: string }, cmd: Command) => {
      const g = cmd.optsWithGlobals<Globals>()
      const r = await client(io, g).call(recordRoutes.abandon, { params: { id }, body: { reason: o.reason } })
      answer(io, g, r, () => `${r.id} is closed as ${r.state}`)
    })
  rec
    .command('modifications')
    .description('manual changes: whose, under which grant, and the code that says the same')
    .requiredOption('--incident <incident>')
    .action(async (o: { incident: string }, cmd: Command) => {
      const g = cmd.optsWithGlobals<Globals>()
      const { modifications } = await client(io, g).call(recordRoutes.modifications, { query: { incident: o.incident } })
      answer(io, g, modifications, () =>
        modifications.map((m) => `${m.verdict === 'unexplained' ? paint(io, 'red', m.verdict) : m.verdict}  ${m.action} ${m.address ?? `${m.resource.type}/${m.resource.name ?? m.resource.id}`}  by ${m.person ?? m.actor}${m.grant ? ` under ${m.grant}` : ''}${m.undone ? paint(io, 'red', `  undone by ${m.undone.by} at ${m.undone.at}`) : ''}\n    ${m.why}${m.hcl ? `\n${m.hcl.split('\n').map((l) => `    ${l}`).join('\n')}` : ''}`).join('\n'),
      )
    })
  rec
    .command('explain <modification>')
    .description('say whose an unexplained change was (approver or admin)')
    .requiredOption('--reason <text>')
    .action(async (id: string, o: { reason: string }, cmd: Command) => {
      const g = cmd.optsWithGlobals<Globals>()
      const m = await client(io, g).call(recordRoutes.explain, { params: { id }, body: { reason: o.reason } })
      answer(io, g, m, () => `${m.id} is explained`)
    })
}

/** Types the lines of a file one after the other and waits for each to end. */
async function scripted(io: Io, g: Globals, options: Parameters<typeof createDriver>[0], file: string): Promise<{ recorded: Recorded; failed: { command: string; exitCode: number | null } | null }> {
  const lines = readFileSync(resolve(io.cwd, file), 'utf8').split('\n').filter((l) => l.trim() !== '' && !l.trim().startsWith('#'))
  const shell = createDriver(options)
  let failed: { command: string; exitCode: number | null } | null = null
  for (const line of lines) {
    progress(io, g, `  $ ${line}`)
    const done = await shell.run(line)
    if (done.exitCode !== 0) {
      failed = { command: line, exitCode: done.exitCode }
      break
    }
  }
  return { recorded: await shell.exit(), failed }
}

const PART = 256 * 1024
async function upload(c: Client, r: Pick<Recorded, 'id' | 'file' | 'head'>): Promise<void> {
  const size = statSync(r.file).size
  let offset = (await c.call(recordRoutes.get, { params: { id: r.id } })).size
  const fd = openSync(r.file, 'r')
  try {
    while (offset < size) {
      const bytes = Buffer.alloc(Math.min(PART, size - offset))
      readSync(fd, bytes, 0, bytes.length, offset)
      offset = (await c.call(recordRoutes.part, { params: { id: r.id }, body: { offset, sha256: createHash('sha256').update(bytes).digest('hex'), data: bytes.toString('base64') } })).size
    }
  } finally {
    closeSync(fd)
  }
  await c.call(recordRoutes.complete, { params: { id: r.id }, body: { size, head: r.head } })
}
