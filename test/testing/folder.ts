import { chmodSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { removeCluster, removeEmbedded } from '../../src/store/index.ts'

/** A folder under the system's temporary one that the database's own account may pass (PostgreSQL never runs as root). */
export function worldFolder(name: string): string {
  const dir = mkdtempSync(join(tmpdir(), `reglaze-${name}-`))
  chmodSync(dir, 0o755)
  return dir
}

/** Removes the folder and the databases of a world in it, wherever they lie. */
export async function removeWorld(dir: string): Promise<void> {
  await removeEmbedded(join(dir, 'reglaze')).catch(() => {})
  await removeCluster(join(dir, 'orders-db')).catch(() => {})
  rmSync(dir, { recursive: true, force: true })
}
