// Pid files, and the question whether a pid is still the process that wrote it.
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

export interface PidFile { readonly name: string; readonly pid: number; readonly mark: readonly string[] }

function folder(dir: string): string {
  const path = join(dir, 'run')
  mkdirSync(path, { recursive: true })
  return path
}
/** `mark`: words that must all stand in the command line of the process. */
export function writePid(dir: string, name: string, pid: number, mark: readonly string[]): void {
  writeFileSync(join(folder(dir), `${name}.pid`), `${JSON.stringify({ name, pid, mark })}\n`)
}
export function dropPid(dir: string, name: string): void {
  rmSync(join(folder(dir), `${name}.pid`), { force: true })
}
export function readPids(dir: string): PidFile[] {
  if (!existsSync(join(dir, 'run'))) return []
  return readdirSync(folder(dir)).filter((f) => f.endsWith('.pid')).map((f) => JSON.parse(readFileSync(join(folder(dir), f), 'utf8')) as PidFile)
}

/** The words of a process's command line; none when it does not run (a zombie has none either). */
export function commandLine(pid: number): string[] {
  try {
    if (existsSync('/proc/self/cmdline')) return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').filter(Boolean)
    return execFileSync('ps', ['-o', 'command=', '-p', String(pid)], { encoding: 'utf8' }).trim().split(/\s+/)
  } catch {
    return []
  }
}
/** A pid may have been given to somebody else since: only a process with our words is ours. */
export function isOurs(p: PidFile): boolean {
  const words = commandLine(p.pid)
  return p.mark.every((m) => words.includes(m))
}
