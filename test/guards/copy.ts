import { spawnSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { PACKAGE_ROOT } from '../../src/cli/version.ts'

export interface Copy {
  readonly dir: string
  /** Puts the files in, looks, and takes them out again. */
  planted<T>(files: Readonly<Record<string, string>>, look: () => T): T
  /** Runs a tool of node_modules in the copy. */
  tool(script: string, ...args: string[]): { ok: boolean; text: string }
  remove(): void
}

/** A copy of what is compiled, so that a violation can be planted while others work in the tree. */
export function copyTree(): Copy {
  const dir = mkdtempSync(join(tmpdir(), 'rgz-guard-'))
  const isTest = (path: string): boolean => /\.(test|suite)\.ts$|\/testing(\/|$)/.test(path)
  for (const part of ['src', 'sandbox', 'dist']) cpSync(join(PACKAGE_ROOT, part), join(dir, part), { recursive: true, preserveTimestamps: true, filter: (from) => !isTest(from.slice(PACKAGE_ROOT.length)) })
  for (const file of ['package.json', 'tsconfig.json', 'tsconfig.base.json', 'tsconfig.pure.json', '.oxlintrc.json']) cpSync(join(PACKAGE_ROOT, file), join(dir, file))
  symlinkSync(join(PACKAGE_ROOT, 'node_modules'), join(dir, 'node_modules'))
  return {
    dir,
    planted(files, look) {
      for (const [path, text] of Object.entries(files)) {
        mkdirSync(dirname(join(dir, path)), { recursive: true })
        writeFileSync(join(dir, path), text)
      }
      try {
        return look()
      } finally {
        for (const path of Object.keys(files)) rmSync(join(dir, path))
      }
    },
    tool(script, ...args) {
      const done = spawnSync(process.execPath, [join(dir, 'node_modules', script), ...args], { cwd: dir, encoding: 'utf8', maxBuffer: 64 << 20 })
      return { ok: done.status === 0, text: `${done.stdout}${done.stderr}` }
    },
    remove: () => rmSync(dir, { recursive: true, force: true }),
  }
}
