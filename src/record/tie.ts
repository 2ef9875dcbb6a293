/**
 * Ties the program's whole process tree to the life of the recorder: when the recorder is killed, the terminal closes,
 * its session leader `unshare` gets SIGHUP, and with it the kernel kills everything in its process-id namespace, also
 * what ignores SIGHUP or left the session (measured, recording-and-ledger.md §3.4).
 */
import { spawnSync } from 'node:child_process'
import * as fs from 'node:fs'

export interface Tie {
  readonly tied: 'pid-namespace' | 'hangup-only'
  readonly why: string | null
}
export interface Launch {
  readonly command: string
  readonly args: readonly string[]
}

const UNSHARE = ['/usr/bin/unshare', '/bin/unshare']
let probed: { unshare: string | null; why: string | null } | null = null

/** May this process make a process-id namespace? Asked once, by trying. */
function probe(): { unshare: string | null; why: string | null } {
  if (probed) return probed
  const unshare = UNSHARE.find((path) => fs.existsSync(path))
  if (!unshare) return (probed = { unshare: null, why: 'unshare is not installed' })
  const tried = spawnSync(unshare, ['--pid', '--fork', '--kill-child=KILL', '/bin/true'], { encoding: 'utf8', timeout: 5000 })
  probed = tried.status === 0 ? { unshare, why: null } : { unshare: null, why: (tried.stderr || 'unshare failed').trim().split('\n')[0] as string }
  return probed
}

/**
 * The command to start so that its tree dies with us. A small shell is process 1 of the namespace: an interactive shell
 * there would not react to signals as usual. It waits through Ctrl-C, which is meant for the program, and turns death by signal n into status 128 + n.
 */
export function tie(command: string, args: readonly string[], wish: 'auto' | 'off'): Launch & Tie {
  const report = ['-c', 'trap : INT QUIT; "$@"; exit $?', 'reglaze-record', command, ...args]
  if (wish === 'off') return { command: '/bin/sh', args: report, tied: 'hangup-only', why: 'switched off' }
  const { unshare, why } = probe()
  if (!unshare) return { command: '/bin/sh', args: report, tied: 'hangup-only', why }
  return { command: unshare, args: ['--pid', '--fork', '--kill-child=KILL', '/bin/sh', ...report], tied: 'pid-namespace', why: null }
}
