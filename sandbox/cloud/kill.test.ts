import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { startProgram } from '../lib/index.ts'
import type { Started } from '../lib/index.ts'
import { apiCall } from './testing/cloud.ts'

const dir = mkdtempSync(join(tmpdir(), 'sandbox-kill-'))
let running: Started | null = null
afterEach(async () => {
  await running?.stop('SIGKILL')
  rmSync(dir, { recursive: true, force: true })
})
const start = async () => (running = await startProgram(['dist/sandbox/main.js', 'cloud', '--data', dir, '--port', '0']))

test('kill -9 in the middle of writes: every answered write is there after the next start', async () => {
  const answered = new Set<string>()
  let n = 0
  for (let round = 0; round < 4; round++) {
    const cloud = await start()
    const key = readFileSync(join(dir, 'root.key'), 'utf8').trim()
    let killed = false
    const writer = async (): Promise<void> => {
      while (!killed) {
        const name = `i${n++}`
        const res = await apiCall(cloud.url, key, 'POST', '/v1/instances', { name, image: 'v1' }).catch(() => null)
        if (res?.status === 201) answered.add(name)
      }
    }
    const before = answered.size
    const writers = [writer(), writer(), writer(), writer()]
    await expect.poll(() => answered.size - before).toBeGreaterThan(25)
    await cloud.stop('SIGKILL')
    killed = true
    await Promise.all(writers)
  }
  const cloud = await start()
  const key = readFileSync(join(dir, 'root.key'), 'utf8').trim()
  const names = new Set((await apiCall(cloud.url, key, 'GET', '/v1/instances')).body.items.map((i: any) => i.name))
  expect([...answered].filter((name) => !names.has(name))).toEqual([])
  const events = (await apiCall(cloud.url, key, 'GET', '/v1/audit?writes=1&limit=5000')).body.events
  expect(events.filter((e: any) => e.status === 201)).toHaveLength(names.size)
  expect(new Set(events.map((e: any) => e.seq)).size).toBe(events.length)
})

test('a second cloud on the same folder is refused; after kill -9 the folder is free again', async () => {
  const first = await start()
  await expect(startProgram(['dist/sandbox/main.js', 'cloud', '--data', dir])).rejects.toThrow(new RegExp(`in use by process ${first.pid}`))
  await first.stop('SIGKILL')
  await start()
})

test('a parent that dies takes the cloud with it; SIGTERM ends it with code 0', async () => {
  const parent = await startProgram(['-e', 'console.log(JSON.stringify({ready:true,url:"",pid:process.pid}));setInterval(()=>{},1000)'])
  const cloud = await startProgram(['dist/sandbox/cloud/main.js', '--data', dir, `--parent-pid=${parent.pid}`])
  running = cloud
  await parent.stop('SIGKILL')
  expect((await cloud.exited).code).toBe(0)
})
