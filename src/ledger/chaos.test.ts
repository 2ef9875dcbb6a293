import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { defineTransitions, embeddedPid, openStore, removeEmbedded, sql } from '../store/index.ts'
import { checkLedger } from './index.ts'

const CHILD = join(import.meta.dirname, 'testing', 'chaos-child.ts')
const life = defineTransitions('chaos_grants', 'state', [[null, 'active'], ['active', 'revoked']])
const children = new Set<ChildProcess>()
let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'reglaze-chaos-'))
})
afterEach(async () => {
  for (const child of children) child.kill('SIGKILL')
  await removeEmbedded(join(folder, 'data'))
  rmSync(folder, { recursive: true, force: true })
})

/** Starts a server and waits for a line of its output. */
function server(mode: 'work' | 'drain', line: string): Promise<ChildProcess> {
  const child = spawn(process.execPath, ['--import', 'tsx', CHILD, folder, mode], { stdio: ['pipe', 'pipe', 'pipe'] })
  children.add(child)
  return new Promise((resolve, reject) => {
    let output = ''
    let errors = ''
    child.stderr?.on('data', (d: Buffer) => (errors += d.toString()))
    child.stdout?.on('data', (d: Buffer) => {
      output += d.toString()
      if (output.includes(`${line}\n`)) resolve(child)
    })
    child.on('exit', (code, signal) => {
      children.delete(child)
      reject(new Error(`the server ended before "${line}": ${code ?? signal} ${errors}`))
    })
  })
}
async function kill(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const gone = new Promise((resolve) => child.once('exit', resolve))
  child.kill('SIGKILL')
  await gone
}
const lines = (name: string): string[] => (existsSync(join(folder, name)) ? readFileSync(join(folder, name), 'utf8').split('\n').filter(Boolean) : [])
/** Waits until more work was acknowledged: the next kill then strikes in the middle of it. */
async function progress(by: number): Promise<void> {
  for (const goal = lines('acknowledged').length + by; lines('acknowledged').length < goal; ) await new Promise((r) => setTimeout(r, 10))
}

test('two servers and the database killed -9 in turn: nothing lost, nothing twice, the ledger says the same', { timeout: 180_000 }, async () => {
  const setUp = await openStore({ dataDir: join(folder, 'data') })
  await sql.raw(`create table reglaze.chaos_grants (id text primary key, state text not null); ${life.sql}`).execute(setUp.db)
  await setUp.close()

  const servers = await Promise.all([server('work', 'ready'), server('work', 'ready')])
  for (const [round, what] of (['server', 'database', 'both', 'server', 'database', 'both', 'database', 'server', 'both'] as const).entries()) {
    await progress(40)
    const at = round % 2
    if (what !== 'database') await kill(servers[at] as ChildProcess)
    if (what !== 'server') {
      const pid = embeddedPid(join(folder, 'data'))
      if (pid !== null) process.kill(pid, 'SIGKILL')
    }
    if (what !== 'database') servers[at] = await server('work', 'ready')
  }
  await progress(40)
  for (const s of servers) await kill(s)
  await server('drain', 'drained')

  const acknowledged = lines('acknowledged')
  const store = await openStore({ dataDir: join(folder, 'data') })
  try {
    const { rows: grants } = await sql<{ id: string; state: string }>`select id, state from reglaze.chaos_grants`.execute(store.db)
    const ids = new Set(grants.map((g) => g.id))
    expect(acknowledged.filter((id) => !ids.has(id)), 'acknowledged grants that are lost').toEqual([])
    expect(grants.filter((g) => g.state !== 'revoked'), 'grants past their end').toEqual([])
    const { rows: told } = await sql<{ kind: string; subject: string }>`select bytes::json ->> 'kind' as kind, bytes::json ->> 'subject' as subject from reglaze.ledger_entries`.execute(store.db)
    for (const kind of ['grant.active', 'grant.revoked']) {
      const subjects = told.filter((e) => e.kind === kind).map((e) => e.subject)
      expect(subjects.length, kind).toBe(grants.length)
      expect(new Set(subjects)).toEqual(ids)
    }
    expect(await checkLedger(store.db)).toEqual({ ok: true, size: grants.length * 2, problems: [] })
    const effects = lines('effects')
    expect(new Set(effects)).toEqual(ids)
    console.log(`chaos: ${grants.length} grants, ${acknowledged.length} acknowledged, 0 lost, ${effects.length - ids.size} effects repeated outside`)
  } finally {
    await store.close()
  }
})
