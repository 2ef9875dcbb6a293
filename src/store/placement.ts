import { createHash, randomBytes } from 'node:crypto'
import { chmodSync, chownSync, existsSync, linkSync, lstatSync, mkdirSync, readFileSync, realpathSync, rmdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { ReglazeError } from '../core/errors.ts'
import { canPass } from './account.ts'
import { STORE } from './errors.ts'
import type { Account } from './account.ts'
import type { Log } from './log.ts'

/** Named in the folder that was asked for; holds the path of the folder that holds the cluster instead. */
export const POINTER = 'cluster-location'
/** sockaddr_un.sun_path has 108 bytes with its final zero. */
const SOCKET_PATH_LIMIT = 107

function hashOf(folder: string): string {
  return createHash('sha256').update(realpathSync(folder)).digest('hex').slice(0, 16)
}

function follow(folder: string): string | null {
  const pointer = join(folder, POINTER)
  if (!existsSync(pointer)) return null
  const target = readFileSync(pointer, 'utf8').trim()
  if (existsSync(target)) return target
  throw new ReglazeError(STORE.STORE_START_FAILED, `${pointer} says that the database is in ${target}, but that folder is gone`, {
    place: pointer,
    hint: `Bring ${target} back. If its content is lost for good, remove ${pointer}, start, and restore a backup.`,
  })
}

/**
 * The folder in which a cluster's data can lie: `folder` itself, or, when the account that has to read it cannot get
 * there (a root-only home, for example), another one that `folder` then points to.
 */
export function placeCluster(folder: string, account: Account | null, log: Log): string {
  mkdirSync(folder, { recursive: true, mode: account === null ? 0o700 : 0o711 })
  const elsewhere = follow(folder)
  if (elsewhere !== null) return elsewhere
  if (account === null || existsSync(join(folder, 'data', 'PG_VERSION')) || canPass(account, folder)) return folder
  if (canPass(account, dirname(folder))) {
    // Only the folder's own mode is in the way, and the folder is ours: let others through, not in.
    chmodSync(folder, (statSync(folder).mode & 0o777) | 0o011)
    if (canPass(account, folder)) return folder
  }
  const temporary = realpathSync(folder).startsWith(`${realpathSync(tmpdir())}/`)
  for (const base of temporary ? [tmpdir()] : ['/var/lib/reglaze', '/var/tmp']) {
    // A new name each time: a data folder that was removed and made anew must not find the database of the old one.
    const place = join(base, `reglaze-cluster-${hashOf(folder)}-${randomBytes(4).toString('hex')}`)
    try {
      mkdirSync(place, { recursive: true, mode: 0o711 })
    } catch {
      continue
    }
    const found = lstatSync(place)
    if (!found.isDirectory() || found.uid !== process.getuid?.() || !canPass(account, place)) {
      rmdirSync(place)
      continue
    }
    const draft = join(folder, `${POINTER}.${process.pid}`)
    writeFileSync(draft, `${place}\n`)
    try {
      // Whole or not at all, and the first wins.
      linkSync(draft, join(folder, POINTER))
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
      rmdirSync(place)
      return follow(folder) as string
    } finally {
      rmSync(draft, { force: true })
    }
    log.warn({ wanted: folder, cluster: place, account: account.name }, `PostgreSQL cannot run as root and ${account.name} cannot reach ${folder}: the database is in ${place}`)
    return place
  }
  throw new ReglazeError(STORE.STORE_START_FAILED, `the account ${account.name}, under which PostgreSQL has to run, cannot reach ${folder}`, {
    place: folder,
    hint: `Use a data folder that ${account.name} can reach, for example /var/lib/reglaze, or run as an ordinary user.`,
  })
}

function runtimeBases(account: Account | null): string[] {
  const uid = process.getuid?.() ?? 0
  const own = process.env['REGLAZE_RUNTIME_DIR']
  if (own !== undefined && own !== '') return [own]
  return account === null ? [`/run/user/${uid}`, '/tmp', tmpdir()] : ['/run', '/tmp', tmpdir()]
}

/**
 * The private folder (0700, of the account) for a cluster's socket; short, because a socket's path has at most 107 bytes.
 * The same data folder always gets the same one. Throws STORE_RUNTIME_FOLDER.
 */
export function socketFolder(data: string, account: Account | null): string {
  const uid = account?.uid ?? process.getuid?.() ?? 0
  for (const base of runtimeBases(account)) {
    const folder = join(base, `reglaze-${hashOf(data)}`)
    if (Buffer.byteLength(folder) + '/.s.PGSQL.65535'.length > SOCKET_PATH_LIMIT) continue
    try {
      mkdirSync(folder, { mode: 0o700 })
      if (account !== null) chownSync(folder, account.uid, account.gid)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') continue
    }
    // Somebody else may have put it there first: a folder of another user would let him serve our socket.
    const found = lstatSync(folder)
    if (found.isDirectory() && (found.mode & 0o077) === 0) {
      if (found.uid === uid) return folder
      if (account !== null && found.uid === process.getuid?.()) {
        chownSync(folder, account.uid, account.gid)
        return folder
      }
    }
  }
  throw new ReglazeError(STORE.STORE_RUNTIME_FOLDER, `no private folder for the database socket in ${runtimeBases(account).join(', ')}`)
}
