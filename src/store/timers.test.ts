import { expect, test } from 'vitest'
import { dbNow, dueAt, poke, sql, startWorker, step, transaction, unpoke } from './index.ts'
import type { TimerHandler, Worker } from './index.ts'
import { backoffMs } from './worker.ts'
import { useTestStore } from './testing/store.ts'

const t = useTestStore()

/** Resolves when the condition holds; the test's own time limit ends it otherwise. */
async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await new Promise((r) => setTimeout(r, 5))
}
async function withWorker(handle: TimerHandler, body: (w: Worker) => Promise<void>, concurrency = 4): Promise<void> {
  const worker = startWorker(t.store, { kind: 'k', handle, concurrency, pollMs: 10 })
  try {
    await body(worker)
  } finally {
    await worker.stop()
  }
}
const rows = async (): Promise<number> => (await sql`select from reglaze.timers`.execute(t.store.db)).rows.length

test('a due timer runs once and is gone', async () => {
  const ran: string[] = []
  await poke(t.store.db, 'k', 'a')
  await poke(t.store.db, 'k', 'a')
  await withWorker(async (s) => (ran.push(s), 'done'), async () => {
    await until(async () => (await rows()) === 0)
  })
  expect(ran).toEqual(['a'])
})

test('a timer rolled back with its transaction never runs', async () => {
  await expect(transaction(t.store.db, async (tx) => {
    await poke(tx, 'k', 'a')
    throw new Error('no')
  })).rejects.toThrow('no')
  expect(await rows()).toBe(0)
})

test('a later poke does not delay, an earlier one brings forward, replace sets', async () => {
  const base = await dbNow(t.store.db)
  const at = (ms: number) => new Date(base.getTime() + ms)
  await poke(t.store.db, 'k', 'a', at(60_000))
  await poke(t.store.db, 'k', 'a', at(90_000))
  expect(await dueAt(t.store.db, 'k', 'a')).toEqual(at(60_000))
  await poke(t.store.db, 'k', 'a', at(30_000))
  expect(await dueAt(t.store.db, 'k', 'a')).toEqual(at(30_000))
  await poke(t.store.db, 'k', 'a', at(120_000), { replace: true })
  expect(await dueAt(t.store.db, 'k', 'a')).toEqual(at(120_000))
})

test('a deadline is reached when the clock of the database says so', async () => {
  const ran: string[] = []
  await poke(t.store.db, 'k', 'in 40 days', { inMs: 40 * 86_400_000 })
  await poke(t.store.db, 'k', 'now')
  await withWorker(async (s) => (ran.push(s), 'done'), async () => {
    await until(() => ran.length === 1)
    expect(ran).toEqual(['now'])
    await t.advance(40 * 86_400_000)
    await until(() => ran.length === 2)
  })
})

test('a poke while the handler runs makes it run again, never at the same time', async () => {
  let running = 0
  let most = 0
  let runs = 0
  let release = (): void => {}
  const gate = new Promise<void>((r) => (release = r))
  await poke(t.store.db, 'k', 'a')
  await withWorker(async () => {
    runs++
    most = Math.max(most, ++running)
    if (runs === 1) await gate
    running--
    return 'done'
  }, async (w) => {
    await until(() => runs === 1)
    await poke(t.store.db, 'k', 'a')
    w.poke()
    release()
    await until(async () => (await rows()) === 0)
  })
  expect([runs, most]).toEqual([2, 1])
})

test('unpoke takes work away, also from under a running handler', async () => {
  let runs = 0
  let release = (): void => {}
  const gate = new Promise<void>((r) => (release = r))
  await poke(t.store.db, 'k', 'idle', { inMs: 60_000 })
  await unpoke(t.store.db, 'k', 'idle')
  expect(await rows()).toBe(0)
  await poke(t.store.db, 'k', 'a')
  await withWorker(async () => {
    runs++
    await gate
    return { again: 0 }
  }, async () => {
    await until(() => runs === 1)
    await unpoke(t.store.db, 'k', 'a')
    release()
    await until(async () => (await rows()) === 0)
  })
  expect(runs).toBe(1)
})

test('again: the next run is that much later, and a failure backs off and counts', async () => {
  const seen: number[] = []
  const errors: number[] = []
  await poke(t.store.db, 'k', 'a')
  const worker = startWorker(t.store, {
    kind: 'k', pollMs: 10,
    onError: (_e, _s, attempts) => errors.push(attempts),
    handle: async (_s, { attempts }) => {
      seen.push(attempts)
      if (seen.length <= 2) throw new Error('not yet')
      return seen.length === 3 ? { again: 3_600_000 } : 'done'
    },
  })
  try {
    await until(() => errors.length === 1)
    await until(async () => (await sql`select from reglaze.timers where last_error like '%not yet%' and owner is null`.execute(t.store.db)).rows.length === 1)
    await t.advance(31_000)
    await until(() => errors.length === 2)
    await until(async () => (await sql`select from reglaze.timers where attempts = 2 and owner is null`.execute(t.store.db)).rows.length === 1)
    await t.advance(31_000)
    await until(async () => (await sql`select from reglaze.timers where attempts = 0 and owner is null and last_error is null and due_at > reglaze.now() + interval '59 minutes'`.execute(t.store.db)).rows.length === 1)
    await t.advance(3_600_000)
    await until(async () => (await rows()) === 0)
  } finally {
    await worker.stop()
  }
  expect(seen).toEqual([1, 2, 3, 1])
})

test('a handler that hangs is given up at its time limit, and the work is tried again', async () => {
  const seen: number[] = []
  const errors: string[] = []
  let aborted = 0
  await poke(t.store.db, 'k', 'a')
  const worker = startWorker(t.store, {
    kind: 'k', pollMs: 10, timeLimitMs: 30,
    onError: (e) => errors.push(String(e)),
    handle: (_s, { attempts, signal }) => {
      seen.push(attempts)
      signal.addEventListener('abort', () => aborted++)
      return attempts === 1 ? new Promise(() => {}) : Promise.resolve('done' as const)
    },
  })
  try {
    await until(async () => (await sql`select from reglaze.timers where attempts = 1 and owner is null`.execute(t.store.db)).rows.length === 1)
    await t.advance(1_000)
    await until(async () => (await rows()) === 0)
  } finally {
    await worker.stop()
  }
  expect([seen, aborted, errors.length]).toEqual([[1, 2], 1, 1])
  expect(errors[0]).toContain('not done within 30 ms')
})

test('backoff: 250 ms doubled, at most 30 s, jitter down to a half', () => {
  expect([1, 2, 3, 7, 8, 50].map((n) => backoffMs(n, () => 1))).toEqual([250, 500, 1000, 16_000, 30_000, 30_000])
  expect(backoffMs(1, () => 0)).toBe(125)
})

test('two processes share the work and none is done twice', async () => {
  const other = await t.another()
  const ran = new Map<string, number>()
  const handle: TimerHandler = async (s) => {
    ran.set(s, (ran.get(s) ?? 0) + 1)
    return 'done'
  }
  await sql`insert into reglaze.timers (kind, subject, due_at) select 'k', 's' || n, reglaze.now() from generate_series(1, 500) n`.execute(t.store.db)
  const workers = [t.store, other].map((s) => startWorker(s, { kind: 'k', handle, concurrency: 8, pollMs: 10 }))
  try {
    await until(async () => (await rows()) === 0)
  } finally {
    await Promise.all(workers.map((w) => w.stop()))
  }
  expect(ran.size).toBe(500)
  expect([...ran.values()].every((n) => n === 1)).toBe(true)
})

test('work of a dead process is taken over; a lost lease completes nothing', async () => {
  let aborted = false
  let started = false
  let release = (): void => {}
  const gate = new Promise<void>((r) => (release = r))
  await poke(t.store.db, 'k', 'a')
  const other = await t.another()
  const first = startWorker(t.store, { kind: 'k', pollMs: 10, handle: async (_s, { signal }) => {
    started = true
    signal.addEventListener('abort', () => (aborted = true))
    await gate
    return { again: 0 }
  } })
  await until(() => started)
  const before = t.store.nodeId
  await sql`delete from reglaze.nodes where key = ${before}`.execute(t.store.db)
  let taken = 0
  const second = startWorker(other, { kind: 'k', pollMs: 10, handle: async () => (taken++, 'done') })
  try {
    await until(async () => taken === 1 && aborted && (await rows()) === 0)
    expect(t.store.nodeId).not.toBe(before)
  } finally {
    release()
    await first.stop()
    await second.stop()
  }
  expect(await rows()).toBe(0)
})

test('a step runs once, and its result is given again', async () => {
  let runs = 0
  const run = async () => ({ n: ++runs, list: [1, 2] })
  expect(await step(t.store.db, 'f', 'one', run)).toEqual({ n: 1, list: [1, 2] })
  expect(await step(t.store.db, 'f', 'one', run)).toEqual({ n: 1, list: [1, 2] })
  expect(await step(t.store.db, 'f', 'nothing', async () => null)).toBe(null)
  await expect(step(t.store.db, 'f', 'two', async () => { throw new Error('x') })).rejects.toThrow('x')
  expect(await step(t.store.db, 'f', 'two', async () => 7)).toBe(7)
})

test('the claim uses its index, with the movable clock too', async () => {
  await sql`insert into reglaze.timers (kind, subject, due_at) select 'k', 's' || n, reglaze.now() + make_interval(mins => n) from generate_series(1, 20000) n`.execute(t.store.db)
  await sql`analyze reglaze.timers`.execute(t.store.db)
  const { rows: plan } = await sql<{ 'QUERY PLAN': string }>`explain select t.id from reglaze.timers t where t.kind = 'k' and t.due_at <= reglaze.now()
    and (t.owner is null or not exists (select 1 from reglaze.nodes n where n.key = t.owner and n.beat_at > pg_catalog.now() - interval '3 seconds'))
    order by t.due_at limit 10 for update skip locked`.execute(t.store.db)
  const text = plan.map((r) => r['QUERY PLAN']).join('\n')
  expect(text).toMatch(/Index Scan using timers_due/)
  expect(text).toMatch(/Index Cond: .*kind.*due_at <=/)
})
