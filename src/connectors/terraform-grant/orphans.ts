/** Terraform runs that outlived the server that started them. */
import * as fs from 'node:fs'

const ASK_MS = 4000
const FORCE_MS = 2000

/** Processes whose working folder is `dir`, other than this one. Empty where /proc is not there (then the state lock alone protects). */
export function runsIn(dir: string): number[] {
  let real: string
  let pids: string[]
  try {
    real = fs.realpathSync(dir)
    pids = fs.readdirSync('/proc').filter((name) => /^\d+$/.test(name))
  } catch {
    return []
  }
  return pids.map(Number).filter((pid) => {
    if (pid === process.pid) return false
    try {
      return fs.readlinkSync(`/proc/${pid}/cwd`) === real && fs.readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.[0] !== 'Z'
    } catch {
      return false
    }
  })
}

/** Ends every run in the folder: asked first, so that Terraform can save its state, then forced. Nobody else works in a grant's folder. */
export async function endRunsIn(dir: string): Promise<void> {
  for (const [signal, ms] of [['SIGINT', ASK_MS], ['SIGKILL', FORCE_MS]] as const) {
    const pids = runsIn(dir)
    if (pids.length === 0) return
    for (const pid of pids) {
      try {
        process.kill(pid, signal)
      } catch {
        // Gone meanwhile.
      }
    }
    const end = performance.now() + ms
    while (runsIn(dir).length > 0 && performance.now() < end) await new Promise((resolve) => setTimeout(resolve, 50))
  }
}
