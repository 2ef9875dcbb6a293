// D/world.json: where everything is. Written by `up`, read by whoever uses the world.
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { ProgramName } from './config.ts'

export interface World {
  readonly dir: string
  readonly urls: Partial<Record<ProgramName, string>>
  readonly ports: Partial<Record<ProgramName, number>>
  /** Files with one secret each, by a name such as `cloud-root`, `svc-gitops`, `runner-operator`. */
  readonly files: Record<string, string>
  /** `terraformRc`: CLI configuration with which Terraform finds the cloud's provider. */
  readonly paths: { readonly terraformRc?: string }
  readonly logs: Partial<Record<ProgramName, string>>
}

export function readWorld(dir: string): World {
  const file = join(dir, 'world.json')
  if (!existsSync(file)) return { dir, urls: {}, ports: {}, files: {}, paths: {}, logs: {} }
  return JSON.parse(readFileSync(file, 'utf8')) as World
}

/** Adds to what stands there (the cloud is usually started by an earlier `up` than the automations). */
export function addToWorld(dir: string, add: Omit<World, 'dir'>): World {
  const old = readWorld(dir)
  const world: World = { dir, urls: { ...old.urls, ...add.urls }, ports: { ...old.ports, ...add.ports }, files: { ...old.files, ...add.files }, paths: { ...old.paths, ...add.paths }, logs: { ...old.logs, ...add.logs } }
  mkdirSync(dir, { recursive: true, mode: 0o700 })
  const file = join(dir, 'world.json')
  writeFileSync(`${file}.${process.pid}`, `${JSON.stringify(world, null, 2)}\n`, { mode: 0o600 })
  renameSync(`${file}.${process.pid}`, file)
  return world
}
