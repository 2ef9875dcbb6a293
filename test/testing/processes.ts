import { readdirSync, readFileSync, readlinkSync } from 'node:fs'

export interface Seen {
  readonly pid: number
  readonly command: string
}
const read = <T>(look: () => T, otherwise: T): T => {
  try {
    return look()
  } catch {
    return otherwise
  }
}

/** Every process that works in or for this folder: named in its command line or environment, or as its current folder. Linux only. */
export function processesOf(dir: string): Seen[] {
  const found: Seen[] = []
  for (const name of readdirSync('/proc')) {
    const pid = Number(name)
    if (!Number.isInteger(pid) || pid === process.pid) continue
    const command = read(() => readFileSync(`/proc/${pid}/cmdline`, 'utf8'), '').replaceAll('\0', ' ').trim()
    // A process without a command line is a zombie: it has ended.
    if (command === '') continue
    const cwd = read(() => readlinkSync(`/proc/${pid}/cwd`), '')
    const environment = read(() => readFileSync(`/proc/${pid}/environ`, 'utf8'), '')
    if (command.includes(dir) || cwd === dir || cwd.startsWith(`${dir}/`) || environment.includes(dir)) found.push({ pid, command: command.slice(0, 160) })
  }
  return found
}

export function isAlive(pid: number): boolean {
  return read(() => readFileSync(`/proc/${pid}/cmdline`, 'utf8'), '') !== ''
}

/** Waits until nothing works for the folder any more; gives what is left at the end. */
export async function noneLeft(dir: string, ms = 10_000): Promise<Seen[]> {
  const end = performance.now() + ms
  for (;;) {
    const left = processesOf(dir)
    if (left.length === 0 || performance.now() > end) return left
    await new Promise((done) => setTimeout(done, 100))
  }
}
