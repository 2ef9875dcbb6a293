import { execFileSync } from 'node:child_process'
import { readFileSync, readlinkSync, realpathSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'

/** What `postmaster.pid` says about a running server (one value a line, PostgreSQL's miscinit.h). */
export interface Postmaster {
  readonly pid: number
  readonly port: number
  readonly socketDir: string
  readonly status: string
}

export function alive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

/** A postmaster works in its data folder; a process that only got the same number does not. */
function worksIn(pid: number, data: string): boolean {
  if (process.platform === 'linux') {
    try {
      return readlinkSync(`/proc/${pid}/cwd`) === realpathSync(data)
    } catch {
      return false
    }
  }
  try {
    const command = execFileSync('ps', ['-p', String(pid), '-o', 'command='], { encoding: 'utf8' })
    return command.includes('postgres') && command.includes(data)
  } catch {
    return false
  }
}

/** The server that runs on this data folder now, or null. */
export function runningPostmaster(data: string): Postmaster | null {
  let lines: string[]
  try {
    lines = readFileSync(join(data, 'postmaster.pid'), 'utf8').split('\n')
  } catch {
    return null
  }
  const pid = Math.abs(Number(lines[0]))
  if (!Number.isInteger(pid) || pid <= 1 || !alive(pid) || !worksIn(pid, data)) return null
  return { pid, port: Number(lines[3] ?? 0), socketDir: lines[4] ?? '', status: (lines[7] ?? '').trim() }
}

/** A `postmaster.pid` whose number now belongs to another program keeps PostgreSQL from starting, although nothing runs. */
export function pidFileIsForeign(data: string): boolean {
  try {
    const pid = Math.abs(Number(readFileSync(join(data, 'postmaster.pid'), 'utf8').split('\n')[0]))
    return Number.isInteger(pid) && pid > 0 && alive(pid) && !worksIn(pid, data)
  } catch {
    return false
  }
}

async function gone(pid: number, data: string, ms: number): Promise<boolean> {
  for (const end = Date.now() + ms; Date.now() < end; await pause(10)) {
    if (runningPostmaster(data)?.pid !== pid) return true
  }
  return false
}

/** Orderly stop (clients are sent away, a checkpoint is written); after 20 s an immediate one. True if one ran. */
export async function stopPostmaster(data: string): Promise<boolean> {
  const running = runningPostmaster(data)
  if (running === null) return false
  for (const [signal, ms] of [['SIGINT', 20_000], ['SIGQUIT', 5_000], ['SIGKILL', 5_000]] as const) {
    try {
      process.kill(running.pid, signal)
    } catch {
      return true
    }
    if (await gone(running.pid, data, ms)) return true
  }
  return true
}
