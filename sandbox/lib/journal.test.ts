import { appendFileSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { openJournal } from './journal.ts'

let dir: string
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'journal-'))
})
afterEach(() => rmSync(dir, { recursive: true, force: true }))

const open = (snapshotEvery?: number) => openJournal<{ list: number[] }, number>({ dir, initial: () => ({ list: [] }), apply: (s, r) => void s.list.push(r), snapshotEvery })

test('what was committed is there after a new start', async () => {
  const a = open()
  await Promise.all([1, 2, 3].map((n) => a.commit(n)))
  a.note(4)
  await a.settled()
  await a.close()
  expect(open().state.list).toEqual([1, 2, 3, 4])
})

test('a torn last line is cut off, and writing goes on behind the cut', async () => {
  const a = open()
  await a.commit(1)
  await a.close()
  const file = readdirSync(dir).find((f) => f.endsWith('.jsonl')) as string
  appendFileSync(join(dir, file), '23')
  const b = open()
  expect(b.state.list).toEqual([1])
  await b.commit(5)
  await b.close()
  expect(readFileSync(join(dir, file), 'utf8')).toBe('1\n5\n')
})

test('a kill at any point of a snapshot loses nothing', async () => {
  const a = open(10)
  for (let n = 0; n < 15; n++) await a.commit(n)
  const all = Array.from({ length: 15 }, (_, i) => i)
  // The next file exists, the snapshot that names it does not yet, or only as a torn temporary file.
  writeFileSync(join(dir, 'journal.00000002.jsonl'), '')
  writeFileSync(join(dir, 'journal.snapshot.json.tmp'), '{"generation":2,"sta')
  const b = open(10)
  expect(b.state.list).toEqual(all)
  // The snapshot is there, the file before it is not yet removed.
  writeFileSync(join(dir, 'journal.00000000.jsonl'), '0\n')
  const c = open(10)
  expect(c.state.list).toEqual(all)
  for (let n = 15; n < 40; n++) await c.commit(n)
  expect(open(10).state.list).toHaveLength(40)
})

test('a snapshot replaces old files and loses nothing', async () => {
  const a = open(10)
  for (let n = 0; n < 35; n++) await a.commit(n)
  await a.close()
  expect(readdirSync(dir).filter((f) => f.endsWith('.jsonl'))).toHaveLength(1)
  const b = open(10)
  expect(b.state.list).toEqual(Array.from({ length: 35 }, (_, i) => i))
  await b.close()
})
