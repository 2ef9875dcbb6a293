import { spawn, type ChildProcess } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { sql } from '../store/index.ts'
import { useTestStore } from '../store/testing/index.ts'
import { FIRING } from './testing/samples.ts'
import { until, world, type World } from './testing/world.ts'

const t = useTestStore()
const children: ChildProcess[] = []
let w: World
beforeEach(async () => {
  await sql`create table test_mail (id text, node int)`.execute(t.store.db)
  w = await world(t.store)
})
afterEach(async () => {
  await Promise.all(children.splice(0).map(kill))
})
function kill(child: ChildProcess): Promise<void> {
  return new Promise((resolve) => {
    if (child.exitCode !== null || child.signalCode !== null) return resolve()
    child.once('exit', () => resolve())
    child.kill('SIGKILL')
  })
}
/** Starts a process and waits for its line. */
function start(mode: string, line = 'ready'): Promise<ChildProcess> {
  const child = spawn(process.execPath, ['--import', 'tsx', 'src/oncall/testing/process.ts', t.url, t.dataDir, mode], { stdio: ['ignore', 'pipe', 'pipe'] })
  children.push(child)
  return new Promise((resolve, reject) => {
    let out = ''
    child.stdout?.on('data', (d) => ((out += d), out.includes(line) && resolve(child)))
    child.stderr?.on('data', (d) => (out += d))
    child.on('exit', (code, signal) => reject(new Error(`ended (${code ?? signal}): ${out}`)))
  })
}
const rows = async (table: string) => (await sql<Record<string, any>>`select * from ${sql.table(table)} order by 1`.execute(t.store.db)).rows
const kinds = async () => (await sql<{ bytes: string }>`select bytes from ledger_entries order by id`.execute(t.store.db)).rows.map((r) => JSON.parse(r.bytes).kind as string)
const quiet = () => until(async () => (await sql`select 1 from timers where due_at <= reglaze.now()`.execute(t.store.db)).rows.length === 0)
const firing = readFileSync(FIRING)
const variant = (i: number, service = 'checkout') => {
  const body = JSON.parse(firing.toString())
  Object.assign(body.alerts[0], { fingerprint: i.toString(16), labels: { ...body.alerts[0].labels, service, instance: `${i}` } })
  return JSON.stringify(body)
}
async function withLoops(body: () => Promise<void>): Promise<void> {
  const loops = w.part.start()
  try {
    await body()
  } finally {
    await loops.stop()
  }
}

describe('kill -9', () => {
  it('after the answer, before the processing: another process does it', async () => {
    await kill(await start('receive'))
    expect(await rows('deliveries')).toMatchObject([{ state: 'stored' }])
    await withLoops(quiet)
    expect(await rows('deliveries')).toMatchObject([{ state: 'processed', alerts: 1 }])
    expect(w.mail.sent).toHaveLength(1)
    expect(await kinds()).toEqual(['alert.firing', 'page.queued', 'page.sent'])
  })

  it('in the middle of the processing: nothing of it stays, another process does it whole', async () => {
    await w.deliver(firing)
    const child = await start('hang-alert', 'in the transaction')
    expect(await rows('alerts')).toEqual([])
    await kill(child)
    await withLoops(quiet)
    expect((await rows('alerts')).length + (await rows('test_incidents')).length + (await rows('pages')).length).toBe(3)
    expect(await kinds()).toEqual(['alert.firing', 'page.queued', 'page.sent'])
  })

  it('after a mail went out, before that was written down: the same mail again, never another one', async () => {
    await w.deliver(firing)
    const child = await start('hang-mail', 'mail is out')
    await kill(child)
    await withLoops(quiet)
    const [page] = await rows('pages')
    expect(page).toMatchObject({ state: 'sent' })
    expect([...(await rows('test_mail')).map((m) => m['id']), ...w.mail.sent.map((m) => m.id)]).toEqual([page?.['id'], page?.['id']])
  })
})

describe('two processes', () => {
  it('share deliveries and escalation; one is killed on the way; every alert once, every page once', async () => {
    const both = await Promise.all([start('work'), start('work')])
    for (let i = 0; i < 60; i++) await w.deliver(variant(i % 40, i % 2 ? 'checkout' : 'unknown'))
    await kill(both[0] as ChildProcess)
    await quiet()
    expect((await rows('deliveries')).every((d) => d['state'] === 'processed')).toBe(true)
    expect(await rows('alerts')).toHaveLength(40)
    expect((await rows('alerts')).reduce((sum, a) => sum + a['deliveries'], 0)).toBe(60)
    expect(await rows('test_incidents')).toHaveLength(2)
    expect((await rows('pages')).map((p) => p['state'])).toEqual(['sent', 'sent'])
    children.push(await start('work'))
    await t.advance(5.1 * 60_000)
    await until(async () => (await kinds()).filter((k) => k === 'page.escalated' || k === 'page.exhausted').length === 2)
    await quiet()
    const pages = (await rows('pages')).map((p) => `${p['incident_id']} ${p['person']} ${p['round']} ${p['step']}`)
    expect(new Set(pages).size).toBe(pages.length)
    expect(pages).toHaveLength(4)
    const mails = (await rows('test_mail')).map((m) => m['id'])
    expect(new Set(mails).size).toBe(4)
  })
})
