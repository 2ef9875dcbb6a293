import { readFileSync } from 'node:fs'
import { ReglazeError } from '../core/index.ts'
import { CONFIG } from './errors.ts'

/** The value behind `env:NAME` or `file:PATH`, read at each use so that a rotated secret is seen. Throws SECRET_MISSING. */
export function readSecret(reference: string, env: NodeJS.ProcessEnv = process.env): string {
  if (reference.startsWith('env:')) {
    const value = env[reference.slice(4)]
    if (value) return value
    throw new ReglazeError(CONFIG.SECRET_MISSING, `environment variable ${reference.slice(4)} is not set`, { place: reference })
  }
  const path = reference.slice('file:'.length)
  try {
    const value = readFileSync(path, 'utf8').trim()
    if (value) return value
  } catch (cause) {
    throw new ReglazeError(CONFIG.SECRET_MISSING, `secret file ${path} cannot be read: ${(cause as Error).message}`, { place: reference, cause })
  }
  throw new ReglazeError(CONFIG.SECRET_MISSING, `secret file ${path} is empty`, { place: reference })
}

/** A plain setting that may also be given as `env:NAME` (addresses that differ between installations). */
export function readSetting(text: string): string {
  return text.startsWith('env:') || text.startsWith('file:') ? readSecret(text) : text
}
