import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { closeSync, existsSync, openSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import pg from 'pg'
import { ReglazeError } from '../core/errors.ts'
import { databaseAccount } from './account.ts'
import { findBinaries } from './binaries.ts'
import { STORE } from './errors.ts'
import { initCluster, PG_ENV } from './initdb.ts'
import { silent } from './log.ts'
import { placeCluster, socketFolder } from './placement.ts'
import { pidFileIsForeign, runningPostmaster, stopPostmaster } from './postmaster.ts'
import type { Account } from './account.ts'
import type { Binaries } from './binaries.ts'
import type { Log } from './log.ts'
import type { Postmaster } from './postmaster.ts'

const START_TIMEOUT_MS = 60_000
const LOG_LIMIT_BYTES = 10_000_000

export interface ClusterOptions {
  /** The cluster's own folder; its data is in `data`, the server's log in `postgres.log` (or where `cluster-location` points). */
  readonly dir: string
  /** Also listen on loopback TCP (scram-sha-256): a port, or 0 for a free one. Without it: the unix socket only. */
  readonly tcpPort?: number
  /** The superuser's name; default `postgres`. */
  readonly user?: string
  /** The superuser's password over TCP. The socket needs none: only this account and root can open it. */
  readonly password?: string
  /** A folder with PostgreSQL's programs, or `npm`; overrides REGLAZE_PG_BIN. */
  readonly pgBin?: string
  /** Ends the server when this process ends, however it ends. For tests and demos; else the server outlives its parent. */
  readonly withParent?: boolean
  readonly log?: Log
}

export interface Cluster {
  /** Of the database `postgres`: over TCP if there is a port, else over the socket. */
  readonly url: string
  /** Of any database over the socket. */
  socketUrl(database: string): string
  readonly socketDir: string
  readonly port: number
  /** The folder that holds the data; another than asked for when the account could not reach that one. */
  readonly dataDir: string
  readonly pid: number
  readonly version: string
  /** It ran already and was found through postmaster.pid. */
  readonly attached: boolean
  stop(): Promise<void>
}

interface Setup {
  readonly o: ClusterOptions
  readonly home: string
  readonly data: string
  readonly account: Account | null
  readonly log: Log
}

/** The account under which an existing cluster runs: who owns its data, else the one for new clusters. */
function accountFor(home: string, fallback: Account | null): Account | null {
  const data = statSync(join(home, 'data'), { throwIfNoEntry: false })
  if (data === undefined || process.getuid?.() !== 0 || data.uid === 0) return fallback
  return data.uid === fallback?.uid ? fallback : { name: `uid ${data.uid}`, uid: data.uid, gid: data.gid }
}

/** Major version of an existing data folder, null when there is none. */
export function dataMajor(data: string): number | null {
  try {
    return Number.parseInt(readFileSync(join(data, 'PG_VERSION'), 'utf8'), 10)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw new ReglazeError(STORE.STORE_START_FAILED, `the data folder ${data} cannot be read: ${String(error)}`, { place: data, hint: 'Run as the user who made it, or use another data folder.' })
  }
}

async function portIsFree(port: number): Promise<number | null> {
  return new Promise((resolve) => {
    const probe = createServer()
    probe.once('error', () => resolve(null))
    probe.listen({ host: '127.0.0.1', port, exclusive: true }, () => {
      const found = (probe.address() as AddressInfo).port
      probe.close(() => resolve(found))
    })
  })
}

/** Port to listen on: 5432 only names the socket when there is no TCP; with `0` the last one again if it is free. */
async function choosePort(s: Setup): Promise<number> {
  if (s.o.tcpPort === undefined) return 5432
  if (s.o.tcpPort !== 0) return s.o.tcpPort
  const file = join(s.home, 'port')
  const last = existsSync(file) ? Number(readFileSync(file, 'utf8')) : 0
  const port = (last > 0 ? await portIsFree(last) : null) ?? (await portIsFree(0))
  if (port === null) throw new ReglazeError(STORE.STORE_START_FAILED, 'no free port on 127.0.0.1')
  writeFileSync(file, `${port}\n`)
  return port
}

function logTail(s: Setup, from: number): string {
  try {
    return readFileSync(join(s.home, 'postgres.log')).subarray(from).toString('utf8').trim()
  } catch {
    return ''
  }
}

/** Started through a shell that waits on a pipe from us: the pipe closes whenever and however we end. */
const WITH_PARENT = 'exec 3<&0 </dev/null; "$@" 3<&- & server=$!; (read _ <&3; kill -INT "$server" 2>/dev/null) & watch=$!; exec 3<&-; wait "$server"; status=$?; kill "$watch" 2>/dev/null; exit "$status"'

function launch(s: Setup, binaries: Binaries, port: number): { child: ChildProcess; logFrom: number } {
  const file = join(s.home, 'postgres.log')
  if ((statSync(file, { throwIfNoEntry: false })?.size ?? 0) > LOG_LIMIT_BYTES) rmSync(file)
  const out = openSync(file, 'a', 0o600)
  const logFrom = statSync(file).size
  const command = [
    join(binaries.bin, 'postgres'), '-D', s.data, '-k', socketFolder(s.data, s.account), '-p', String(port),
    '-c', `listen_addresses=${s.o.tcpPort === undefined ? '' : '127.0.0.1'}`, '-c', 'unix_socket_permissions=0700', '-c', 'logging_collector=off',
  ]
  const [program, ...args] = s.o.withParent === true ? ['/bin/sh', '-c', WITH_PARENT, 'sh', ...command] : command
  try {
    const child = spawn(program as string, args, {
      cwd: '/', env: PG_ENV, detached: true, stdio: [s.o.withParent === true ? 'pipe' : 'ignore', out, out],
      ...(s.account === null ? {} : { uid: s.account.uid, gid: s.account.gid }),
    })
    child.on('error', () => {})
    child.unref()
    child.stdin?.on('error', () => {})
    ;(child.stdin as unknown as { unref?(): void } | null)?.unref?.()
    return { child, logFrom }
  } finally {
    closeSync(out)
  }
}

/** Reasons that pass by themselves: dying backends of a killed server, somebody else's start, a port taken meanwhile. */
const PASSING = /pre-existing shared memory block|lock file ".*" already exists|could not bind IPv4|Address already in use/

/** One try: null when the reason to fail may pass. */
async function tryStart(s: Setup, binaries: Binaries): Promise<Postmaster | null> {
  if (pidFileIsForeign(s.data)) rmSync(join(s.data, 'postmaster.pid'), { force: true })
  const port = await choosePort(s)
  const { child, logFrom } = launch(s, binaries, port)
  for (const end = Date.now() + START_TIMEOUT_MS; Date.now() < end; await pause(10)) {
    const running = runningPostmaster(s.data)
    if (running?.status === 'ready') return running
    if (child.exitCode === null && child.signalCode === null && child.pid !== undefined) continue
    const tail = logTail(s, logFrom)
    if (PASSING.test(tail) && !(s.o.tcpPort !== undefined && s.o.tcpPort > 0 && /bind|Address already/.test(tail))) return null
    throw new ReglazeError(STORE.STORE_START_FAILED, `PostgreSQL ${binaries.version} did not start: ${tail.split('\n').slice(-4).join(' | ')}`, {
      place: join(s.home, 'postgres.log'),
      ...(/bind|Address already/.test(tail) ? { hint: `Port ${port} is in use: choose another one.` } : {}),
    })
  }
  throw new ReglazeError(STORE.STORE_START_FAILED, `PostgreSQL was not ready after ${START_TIMEOUT_MS / 1000} s`, { place: join(s.home, 'postgres.log') })
}

/** Waits for a server that is starting or stopping. Null when none is left; one without its socket is stopped. */
async function attach(s: Setup): Promise<Postmaster | null> {
  let withoutSocket = 0
  for (const end = Date.now() + START_TIMEOUT_MS; Date.now() < end; await pause(20)) {
    const running = runningPostmaster(s.data)
    if (running === null) return null
    if (running.status !== 'ready') continue
    if (existsSync(join(running.socketDir, `.s.PGSQL.${running.port}`))) return running
    // Its socket was cleaned away (a logout removes /run/user/N): nobody can reach it any more.
    if (++withoutSocket > 50) await stopPostmaster(s.data)
  }
  throw new ReglazeError(STORE.STORE_START_FAILED, `a PostgreSQL server runs on ${s.data}, but does not get ready`, { place: join(s.home, 'postgres.log') })
}

/**
 * Starts a PostgreSQL cluster of its own in a folder, or attaches to it when it runs already; makes it when there is none.
 * Safe when several processes do it at once, and after a kill of any of them. Started detached: it outlives this process
 * (unless `withParent`) and is found again. Throws STORE_NO_POSTGRES, STORE_VERSION_MISMATCH, STORE_START_FAILED, STORE_RUNTIME_FOLDER.
 */
export async function startCluster(o: ClusterOptions): Promise<Cluster> {
  const log = o.log ?? silent
  const fallback = databaseAccount()
  const home = placeCluster(o.dir, fallback, log)
  const s: Setup = { o, home, data: join(home, 'data'), account: accountFor(home, fallback), log }
  const began = Date.now()
  while (Date.now() - began < START_TIMEOUT_MS) {
    const running = await attach(s)
    if (running !== null) return describe(s, running, true)
    const binaries = await findBinaries({ major: dataMajor(s.data), dir: s.data, account: s.account, log, ...(o.pgBin === undefined ? {} : { pgBin: o.pgBin }) })
    if (dataMajor(s.data) === null) {
      log.info({ folder: s.data, version: binaries.version, programs: binaries.bin }, 'making a new PostgreSQL cluster')
      await initCluster({ home, binaries, account: s.account, user: o.user ?? 'postgres', password: o.password ?? null })
    }
    const started = await tryStart(s, binaries)
    if (started !== null) {
      log.info({ folder: s.data, version: binaries.version, pid: started.pid, ms: Date.now() - began }, 'PostgreSQL started')
      return describe(s, started, false)
    }
    await pause(100)
  }
  throw new ReglazeError(STORE.STORE_START_FAILED, `PostgreSQL did not start within ${START_TIMEOUT_MS / 1000} s`, { place: join(home, 'postgres.log') })
}

/** Stops the cluster of a folder and removes its data, wherever that lies, and its socket folder. For tests and `demo --exit`. */
export async function removeCluster(dir: string): Promise<void> {
  if (!existsSync(dir)) return
  const account = databaseAccount()
  const home = placeCluster(dir, account, silent)
  const data = join(home, 'data')
  if (existsSync(data)) {
    const socket = socketFolder(data, accountFor(home, account))
    await stopPostmaster(data)
    rmSync(socket, { recursive: true, force: true })
  }
  rmSync(home, { recursive: true, force: true })
  rmSync(dir, { recursive: true, force: true })
}

async function describe(s: Setup, running: Postmaster, attached: boolean): Promise<Cluster> {
  const user = s.o.user ?? 'postgres'
  const socketUrl = (database: string): string => `postgresql://${encodeURIComponent(user)}@${encodeURIComponent(running.socketDir)}:${running.port}/${encodeURIComponent(database)}`
  const client = new pg.Client({ connectionString: socketUrl('postgres') })
  client.on('error', () => {})
  await client.connect()
  try {
    if (s.o.password !== undefined) {
      await client.query(`alter role ${client.escapeIdentifier(user)} password ${client.escapeLiteral(s.o.password)}`)
    }
    const { rows } = await client.query<{ server_version: string }>('show server_version')
    const url = s.o.tcpPort === undefined ? socketUrl('postgres') : `postgresql://${encodeURIComponent(user)}:${encodeURIComponent(s.o.password ?? '')}@127.0.0.1:${running.port}/postgres`
    return {
      url, socketUrl, socketDir: running.socketDir, port: running.port, dataDir: s.data, pid: running.pid, attached,
      version: rows[0]?.server_version ?? '',
      stop: async () => {
        await stopPostmaster(s.data)
      },
    }
  } finally {
    await client.end()
  }
}
