/** Terraform runs that outlived the server that started them. */
import * as fs from 'node:fs'

const ASK_MS = 4000
const FORCE_MS = 2000

/** Terraform itself, or a provider that it started; not the shell of a person who looks into the folder. */
function isTerraform(pid: string): boolean {
  const program = fs.readlinkSync(`/proc/${pid}/exe`).split('/').at(-1) ?? ''
  return /terraform|tofu/.test(program) || fs.readFileSync(`/proc/${pid}/environ`, 'latin1').includes('TF_PLUGIN_MAGIC_COOKIE=')
}

/** Runs of Terraform whose working folder is `dir`. Empty where /proc is not there (then the state lock alone protects). */
export function runsIn(dir: string): number[] {
  let real: string
  let pids: string[]
  try {
    real = fs.realpathSync(dir)
    pids = fs.readdirSync('/proc').filter((name) => /^\d+$/.test(name))
  } catch {
    return []
  }
  return pids.filter((pid) => {
    try {
      return fs.readlinkSync(`/proc/${pid}/cwd`) === real && isTerraform(pid)
    } catch {
      // Ended meanwhile (a dead one that waits for its parent has no folder either), or somebody else's.
      return false
    }
  }).map(Number)
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
