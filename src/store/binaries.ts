import { execFile } from 'node:child_process'
import { accessSync, constants, readdirSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { promisify } from 'node:util'
import { ReglazeError } from '../core/errors.ts'
import { STORE } from './errors.ts'
import { npmBinaries } from './npm-binaries.ts'
import type { Account } from './account.ts'
import type { Log } from './log.ts'

const run = promisify(execFile)
export const OLDEST_MAJOR = 14

/** PostgreSQL's programs of one version: a folder with `initdb` and `postgres`. */
export interface Binaries {
  readonly bin: string
  readonly major: number
  /** As the program prints it, e.g. `15.18 (Debian 15.18-0+deb12u1)`. */
  readonly version: string
  readonly from: 'REGLAZE_PG_BIN' | 'system' | 'PATH' | 'npm'
}

function hasPrograms(bin: string): boolean {
  try {
    for (const program of ['initdb', 'postgres']) accessSync(join(bin, program), constants.X_OK)
    return true
  } catch {
    return false
  }
}

/** Versioned folders of the usual packages, highest version first. */
function systemFolders(): string[] {
  const roots: [string, RegExp][] = [
    ['/usr/lib/postgresql', /^(\d+)$/],
    ['/usr', /^pgsql-(\d+)$/],
    ['/opt/homebrew/opt', /^postgresql@(\d+)$/],
    ['/usr/local/opt', /^postgresql@(\d+)$/],
  ]
  const found: { bin: string; major: number }[] = []
  for (const [root, pattern] of roots) {
    let names: string[] = []
    try {
      names = readdirSync(root)
    } catch {
      continue
    }
    for (const name of names) {
      const major = pattern.exec(name)?.[1]
      if (major !== undefined) found.push({ bin: join(root, name, 'bin'), major: Number(major) })
    }
  }
  return found.sort((a, b) => b.major - a.major).map((f) => f.bin)
}

async function inspect(bin: string, from: Binaries['from']): Promise<Binaries | null> {
  if (!hasPrograms(bin)) return null
  try {
    const { stdout } = await run(join(bin, 'postgres'), ['--version'], { env: { LC_ALL: 'C' } })
    const version = stdout.trim().replace(/^postgres \(PostgreSQL\) /, '')
    const major = Number.parseInt(version, 10)
    return Number.isInteger(major) ? { bin, major, version, from } : null
  } catch {
    return null
  }
}

async function* candidates(log: Log, account: Account | null): AsyncGenerator<Binaries> {
  for (const bin of systemFolders()) {
    const b = await inspect(bin, 'system')
    if (b) yield b
  }
  for (const folder of (process.env['PATH'] ?? '').split(delimiter).filter(Boolean)) {
    const b = await inspect(folder, 'PATH')
    if (b) yield b
  }
  const npm = await npmBinaries(log, account)
  const b = npm === null ? null : await inspect(npm, 'npm')
  if (b) yield b
}

export interface FindOptions {
  /** The data folder's major version; null = a new cluster. */
  readonly major: number | null
  /** Where the data lies, for the message. */
  readonly dir: string
  /** Overrides REGLAZE_PG_BIN; `npm` = only the packaged programs. */
  readonly pgBin?: string
  readonly account: Account | null
  readonly log: Log
}

/**
 * The programs to use: REGLAZE_PG_BIN, system folders (highest version first), PATH, the npm package. A data folder's
 * own major version decides; without one the first usable (>= 14) is taken.
 * Throws STORE_VERSION_MISMATCH or STORE_NO_POSTGRES.
 */
export async function findBinaries(o: FindOptions): Promise<Binaries> {
  const wanted = o.pgBin ?? process.env['REGLAZE_PG_BIN']
  const seen: Binaries[] = []
  const usable = (b: Binaries): boolean => b.major >= OLDEST_MAJOR && (o.major === null || b.major === o.major)
  if (wanted !== undefined && wanted !== '') {
    const bin = wanted === 'npm' ? await npmBinaries(o.log, o.account) : wanted
    const b = bin === null ? null : ((await inspect(bin, 'REGLAZE_PG_BIN')) ?? (await inspect(join(bin, 'bin'), 'REGLAZE_PG_BIN')))
    if (b === null) throw new ReglazeError(STORE.STORE_NO_POSTGRES, `REGLAZE_PG_BIN is ${wanted}, but initdb and postgres are not there or do not run`, { place: wanted })
    if (usable(b)) return b
    seen.push(b)
  } else {
    for await (const b of candidates(o.log, o.account)) {
      if (usable(b)) return b
      seen.push(b)
    }
  }
  throw notUsable(o, seen)
}

function notUsable(o: FindOptions, seen: readonly Binaries[]): ReglazeError {
  const list = seen.map((b) => `${b.major} (${b.from === 'npm' ? 'npm package' : b.bin})`).join(', ')
  if (o.major === null) {
    return new ReglazeError(STORE.STORE_NO_POSTGRES, list === '' ? 'no PostgreSQL programs found' : `only PostgreSQL ${list} found; ${OLDEST_MAJOR} or newer is needed`)
  }
  return new ReglazeError(STORE.STORE_VERSION_MISMATCH, `the data in ${o.dir} was made by PostgreSQL ${o.major}, but found: ${list === '' ? 'none' : list}`, {
    place: o.dir,
    hint: `Install PostgreSQL ${o.major} or set REGLAZE_PG_BIN to its bin folder. Or make a backup with it (reglaze backup FILE) and restore that into a new data folder (reglaze restore from FILE).`,
    data: { wanted: o.major, found: seen.map((b) => b.major) },
  })
}

