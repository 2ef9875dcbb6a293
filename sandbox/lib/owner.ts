import { closeSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs'
import { join } from 'node:path'

/**
 * Makes this process the only one that writes `<name>` in a folder; throws when another living process is. The lock of a
 * process that was killed is taken over. Returns the release.
 */
export function ownFolder(dir: string, name: string): () => void {
  const path = join(dir, `${name}.pid`)
  for (let attempt = 0; ; attempt++) {
    try {
      const fd = openSync(path, 'wx')
      writeSync(fd, String(process.pid))
      closeSync(fd)
      return () => rmSync(path, { force: true })
    } catch (e) {
      if ((e as NodeJS.ErrnoException).code !== 'EEXIST' || attempt > 3) throw e
      const owner = Number(readPid(path))
      if (owner !== process.pid && isAlive(owner)) throw new Error(`${dir} is in use by process ${owner}: stop it first (kill ${owner}), or give another folder`, { cause: e })
      rmSync(path, { force: true })
    }
  }
}

function readPid(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}

// A killed process that nobody has waited for still has its id, but no command line any more.
function isAlive(pid: number): boolean {
  if (!Number.isSafeInteger(pid) || pid <= 0) return false
  try {
    process.kill(pid, 0)
  } catch (e) {
    return (e as NodeJS.ErrnoException).code === 'EPERM'
  }
  if (process.platform !== 'linux') return true
  try {
    return readFileSync(`/proc/${pid}/cmdline`).length > 0
  } catch {
    return false
  }
}
