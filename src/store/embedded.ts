import { databaseAccount } from './account.ts'
import { removeCluster, startCluster } from './cluster.ts'
import { silent } from './log.ts'
import { placeCluster } from './placement.ts'
import { runningPostmaster, stopPostmaster } from './postmaster.ts'
import { embeddedFolder } from './store.ts'
import { existsSync } from 'node:fs'
import { join } from 'node:path'

export { removeCluster, startCluster }

function dataOf(dataDir: string): string | null {
  const folder = embeddedFolder(dataDir)
  return existsSync(folder) ? join(placeCluster(folder, databaseAccount(), silent), 'data') : null
}

/** Orderly stop of a data folder's embedded database, whoever started it. False when none ran. */
export async function stopEmbedded(dataDir: string): Promise<boolean> {
  const data = dataOf(dataDir)
  return data === null ? false : stopPostmaster(data)
}

/** Process id of the embedded database's server, or null when it does not run. */
export function embeddedPid(dataDir: string): number | null {
  const data = dataOf(dataDir)
  return data === null ? null : (runningPostmaster(data)?.pid ?? null)
}

/** Stops the embedded database and removes all its data. For tests and `demo --exit`. */
export async function removeEmbedded(dataDir: string): Promise<void> {
  await removeCluster(embeddedFolder(dataDir))
}
