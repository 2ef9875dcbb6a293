import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** Root of the installed package, from source (src/cli) and from the build (dist/src/cli). */
export const PACKAGE_ROOT = (() => {
  let dir = dirname(fileURLToPath(import.meta.url))
  for (;;) {
    try {
      const found = JSON.parse(readFileSync(join(dir, 'package.json'), 'utf8')) as { name?: string }
      if (found.name === 'reglaze') return dir
    } catch {
      // not here: look one folder up
    }
    if (dirname(dir) === dir) throw new Error('the package.json of reglaze was not found')
    dir = dirname(dir)
  }
})()
export const VERSION = (JSON.parse(readFileSync(join(PACKAGE_ROOT, 'package.json'), 'utf8')) as { version: string }).version
