/** The journal of plays in flight: one JSON file, replaced as a whole, so that a crash leaves the old or the new one. */
import { createHash } from 'node:crypto'
import { closeSync, existsSync, fsyncSync, mkdirSync, openSync, readFileSync, renameSync, writeFileSync, writeSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { Journal, JournalItem } from './model.ts'

export function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}

/** Replaces a file durably; readers see the old or the new text, never a part. */
export function writeWhole(path: string, text: string, mode = 0o644): void {
  mkdirSync(dirname(path), { recursive: true })
  const fresh = `${path}.reglaze-new`
  const fd = openSync(fresh, 'w', mode)
  try {
    writeSync(fd, text)
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
  renameSync(fresh, path)
}

export class JournalFile {
  readonly path: string
  readonly folder: string
  constructor(folder: string) {
    mkdirSync(folder, { recursive: true, mode: 0o700 })
    // Saved states hold secrets: the folder stays out of git wherever it is.
    if (!existsSync(join(folder, '.gitignore'))) writeFileSync(join(folder, '.gitignore'), '*\n')
    this.folder = folder
    this.path = join(folder, 'repair.json')
  }
  read(): readonly JournalItem[] {
    try {
      return (JSON.parse(readFileSync(this.path, 'utf8')) as Journal).items
    } catch (e) {
      if ((e as NodeJS.ErrnoException).code === 'ENOENT') return []
      throw e
    }
  }
  find(address: string): JournalItem | undefined {
    return this.read().find((i) => i.address === address)
  }
  put(item: JournalItem): void {
    const items = this.read().filter((i) => i.address !== item.address)
    writeWhole(this.path, `${JSON.stringify({ version: 1, items: [...items, item] }, null, 2)}\n`, 0o600)
  }
  remove(address: string): void {
    writeWhole(this.path, `${JSON.stringify({ version: 1, items: this.read().filter((i) => i.address !== address) }, null, 2)}\n`, 0o600)
  }
  /** Keeps a pulled state; mode 0600, because secrets are in clear in it. */
  keepState(serial: number, lineage: string, text: string): string {
    const path = join(this.folder, 'states', `${lineage || 'empty'}-${serial}.tfstate`)
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
    writeFileSync(path, text, { mode: 0o600 })
    return path
  }
}
