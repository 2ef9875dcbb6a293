import { disk, loadConfig, type Config, type Files, type HclFile } from '../terraform/index.ts'
import type { Session } from './session.ts'

/** The configuration with edited files in place of those on disk. */
export function editedConfig(s: Session, changed: ReadonlyMap<string, string>, cache: Map<string, HclFile>): Config {
  const below = (dir: string): string[] => [...changed.keys()].filter((p) => p.slice(0, p.lastIndexOf('/')) === dir).map((p) => p.slice(dir.length + 1))
  const files: Files = {
    list: (dir) => [...new Set([...disk.list(dir), ...below(dir)])],
    read: (path) => changed.get(path) ?? disk.read(path),
  }
  return loadConfig(files, s.dir, { varFiles: s.varFiles, cache })
}
