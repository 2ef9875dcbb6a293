import * as fs from 'node:fs'

/** Start time of a process in kernel ticks since boot; with the pid it names one process for good. Null where /proc is not there. */
export function startTicks(pid: number): string | null {
  try {
    const stat = fs.readFileSync(`/proc/${pid}/stat`, 'utf8')
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? null
  } catch {
    return null
  }
}

/** Does exactly this process still run? Without start ticks: does any process have this id? */
export function stillRuns(pid: number, ticks: string | null): boolean {
  try {
    process.kill(pid, 0)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EPERM') return false
  }
  const now = startTicks(pid)
  return ticks === null || now === null || now === ticks
}
