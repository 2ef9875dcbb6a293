import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { execFile } from 'node:child_process'
import { createServer, type Server } from 'node:http'
import { promisify } from 'node:util'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { startProgram, type Started } from '../lib/index.ts'
import { ROUTE, storefrontApp, AUTOMATED } from '../testing/gitops.ts'
import { FIRST } from '../testing/runner.ts'
import { removeDir, tempDir, testRemote, until } from '../testing/world.ts'
import { commandLine, isOurs, readPids } from './pids.ts'

const run = promisify(execFile)
const MAIN = fileURLToPath(new URL('../../dist/sandbox/main.js', import.meta.url))
let dir: string
let world: string
const started: Started[] = []
let server: Server | null = null
beforeEach(() => {
  dir = tempDir()
  world = join(dir, 'world')
})
afterEach(async () => {
  for (const p of started.splice(0).reverse()) await p.stop()
  await down()
  server?.close()
  server = null
  removeDir(dir)
})
const up = async (...args: string[]): Promise<Started> => {
  const p = await startProgram([MAIN, 'up', '--dir', world, ...args])
  started.push(p)
  return p
}
const down = async (): Promise<{ stopped: string[]; stale: string[] }> => JSON.parse((await run(process.execPath, [MAIN, 'down', '--dir', world])).stdout)
const file = (): any => JSON.parse(readFileSync(join(world, 'world.json'), 'utf8'))
const secret = (name: string): string => readFileSync(file().files[name], 'utf8').trim()
const pidOf = (name: string): number => readPids(world).find((p) => p.name === name)?.pid as number
async function get(program: string, path: string, key: string): Promise<any> {
  const res = await fetch(file().urls[program] + path, { headers: { authorization: `Bearer ${secret(key)}` } })
  return { status: res.status, body: await res.json() }
}
function automations(): string {
  const remote = testRemote(dir, { 'gitops/storefront/all.yaml': ROUTE.slice(ROUTE.indexOf('---')), 'live/main.tf': FIRST })
  remote.commit({ 'gitops/root/storefront.yaml': storefrontApp(remote.url, AUTOMATED) })
  writeFileSync(join(dir, 'empty.rc'), '')
  const config = join(dir, 'automations.json')
  writeFileSync(config, JSON.stringify({ repo: remote.url, gitops: { intervalMs: 100 }, runner: { workingDirectory: 'live', driftIntervalMs: 60_000, pollMs: 100, env: { TF_CLI_CONFIG_FILE: join(dir, 'empty.rc') } }, autoscaler: { groups: [{ name: 'web', match: { role: 'web' } }] } }))
  return config
}

test('cloud first, automations later: each with a key of its own, and all of them work', async () => {
  await up('--with', 'cloud')
  await up('--with', 'gitops,runner,autoscaler', '--config', automations())
  const { urls, files } = file()
  expect(Object.keys(urls).sort()).toEqual(['autoscaler', 'cloud', 'gitops', 'runner'])
  for (const name of ['gitops', 'runner', 'autoscaler']) expect((await get('cloud', '/v1/whoami', `svc-${name}`)).body).toMatchObject({ principal: `svc-${name}`, roles: ['operator'] })
  for (const path of [join(world, 'world.json'), ...Object.values(files as Record<string, string>)]) expect(statSync(path).mode & 0o077).toBe(0)
  await until('the firewall is there', async () => (await get('cloud', '/v1/firewalls', 'cloud-root')).body.items.length === 1)
  const ws = (await get('runner', '/api/v2/organizations/sandbox/workspaces/production', 'runner-operator')).body.data.id
  await until('Terraform ran', async () => (await get('runner', `/api/v2/workspaces/${ws}/runs`, 'runner-viewer')).body.data[0]?.attributes.status === 'applied', 20_000)
  expect((await get('autoscaler', '/v1/groups/web', 'autoscaler-viewer')).status).toBe(200)
  const { stopped } = await down()
  expect(stopped.filter((n) => n.startsWith('supervisor-'))).toHaveLength(2)
  expect(readPids(world)).toEqual([])
})

test('a killed program comes back on its address with its data; so does the whole world', async () => {
  await up('--with', 'cloud')
  const { urls } = file()
  const before = pidOf('cloud')
  process.kill(before, 'SIGKILL')
  const answer = await until('it answers again', async () => fetch(`${urls.cloud}/healthz`).then((r) => (pidOf('cloud') !== before ? r.status : null)).catch(() => null))
  expect(answer).toBe(200)
  expect(readFileSync(file().logs.cloud, 'utf8')).toContain('supervisor: cloud ended with SIGKILL')
  await down()
  expect(commandLine(pidOf('cloud') ?? 0)).toEqual([])
  await up('--with', 'cloud')
  expect(file().urls).toEqual(urls)
  expect((await get('cloud', '/v1/whoami', 'cloud-root')).body.principal).toBe('root')
})

test('a killed supervisor leaves nothing running; down is content with that', async () => {
  const p = await up('--with', 'cloud')
  const cloud = pidOf('cloud')
  await p.stop('SIGKILL')
  await until('the cloud ended with it', async () => commandLine(cloud).length === 0)
  expect((await down()).stopped).toEqual([])
})

test('down does not touch a process that only has the pid', async () => {
  await up('--with', 'cloud')
  const pid = { name: 'gitops', pid: process.pid, mark: ['gitops', join(world, 'gitops')] }
  writeFileSync(join(world, 'run', 'gitops.pid'), JSON.stringify(pid))
  expect(isOurs(pid)).toBe(false)
  expect((await down()).stopped).not.toContain('gitops')
  expect(existsSync(join(world, 'run', 'gitops.pid'))).toBe(false)
})

test('mistakes are told in one line', async () => {
  const fails = async (...args: string[]): Promise<string> => up(...args).then(() => 'started', (e: Error) => e.message)
  expect(await fails('--with', 'cloud,rain')).toContain('--with rain: programs are cloud, directory')
  expect(await fails('--with', 'gitops')).toContain('gitops needs the cloud: start it first')
  expect(await fails('--ports', 'cloud=http')).toContain('write NAME=PORT')
  writeFileSync(join(dir, 'bad.json'), '{"runner":{"drift":1}}')
  expect(await fails('--with', 'runner', '--config', join(dir, 'bad.json'))).toContain('runner.drift is not known')
  server = createServer()
  await new Promise<void>((resolve) => server?.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as { port: number }
  expect(await fails('--with', 'cloud', '--ports', `cloud=${port}`)).toContain(`port ${port} on 127.0.0.1 is in use`)
  await up('--with', 'cloud')
  expect(await fails('--with', 'cloud')).toContain('cloud already runs in')
})
