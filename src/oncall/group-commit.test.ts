import { expect, test } from 'vitest'
import { GroupCommit } from './group-commit.ts'

test('callers share commits, each item is committed once, in order of arrival within a batch', async () => {
  const batches: number[][] = []
  const group = new GroupCommit<number>(async (items) => {
    batches.push([...items])
    await new Promise((r) => setImmediate(r))
  }, () => 1)
  await Promise.all(Array.from({ length: 500 }, (_, i) => group.add(i)))
  expect(batches.flat().sort((a, b) => a - b)).toEqual(Array.from({ length: 500 }, (_, i) => i))
  expect(batches.length).toBeLessThan(20)
  for (const b of batches) expect(b).toEqual([...b].sort((x, y) => x - y))
})

test('nobody is answered before the own item is committed, and a failed batch fails all of its callers and only them', async () => {
  let committed = 0
  const group = new GroupCommit<string>(async (items) => {
    if (items.includes('bad')) throw new Error('disk full')
    committed += items.length
  }, () => 10, { items: 2, bytes: 15 })
  const answers = await Promise.allSettled(['a', 'bad', 'c'].map((x) => group.add(x)))
  expect(answers.map((a) => a.status)).toEqual(['fulfilled', 'rejected', 'fulfilled'])
  expect(committed).toBe(2)
  await group.add('d')
  expect(committed).toBe(3)
})
