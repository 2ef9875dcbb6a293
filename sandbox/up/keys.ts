// Credentials of the world: each automation's own key in the cloud, and the tokens of each automation's API.
import { randomBytes } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { CloudClient, CloudError } from '../lib/index.ts'
import type { Automation } from './config.ts'

function writeSecret(file: string, text: string): void {
  writeFileSync(file, text, { mode: 0o600 })
}
export function keyFolder(dir: string): string {
  const folder = join(dir, 'keys')
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  return folder
}

/** The key file of `svc-<name>` in the cloud. Principal, roles and key are made when they are missing. */
export async function cloudKey(dir: string, cloudUrl: string, name: Automation, roles: readonly string[]): Promise<string> {
  const root = new CloudClient({ url: cloudUrl, tokenFile: join(dir, 'cloud', 'root.key'), agent: 'sandbox-up' })
  const principal = `svc-${name}`
  const file = join(keyFolder(dir), `${principal}.key`)
  await root.call('POST', '/v1/principals', { id: principal, kind: 'service', display_name: DISPLAY[name] }).catch((e: unknown) => {
    if (!(e instanceof CloudError) || e.status !== 409) throw e
  })
  for (const role of roles) await root.call('PUT', `/v1/memberships/${role}/${principal}`, { note: 'standing right of an automation' })
  if (existsSync(file)) {
    const works = await new CloudClient({ url: cloudUrl, tokenFile: file, agent: 'sandbox-up' }).call('GET', '/v1/whoami').then(() => true, (e: unknown) => {
      if (e instanceof CloudError && e.status === 401) return false
      throw e
    })
    if (works) return file
  }
  const made = (await root.call('POST', `/v1/principals/${principal}/keys`, { note: 'made by sandbox up' })) as { secret: string }
  writeSecret(file, `${made.secret}\n`)
  return file
}
const DISPLAY: Record<Automation, string> = { gitops: 'GitOps agent', runner: 'Terraform runner', autoscaler: 'Autoscaler' }

export const API_USERS = { admin: 'admins', operator: 'operators', viewer: 'readers' } as const

/** The token file of an automation's API with users admin, operator and viewer; each secret also in a file of its own. */
export function apiTokens(dir: string, name: Automation): { tokenFile: string; files: Record<keyof typeof API_USERS, string> } {
  const folder = keyFolder(dir)
  const tokenFile = join(folder, `${name}.tokens`)
  const users = Object.keys(API_USERS) as (keyof typeof API_USERS)[]
  const files = Object.fromEntries(users.map((u) => [u, join(folder, `${name}-${u}.token`)])) as Record<keyof typeof API_USERS, string>
  for (const user of users) if (!existsSync(files[user])) writeSecret(files[user], `${randomBytes(24).toString('base64url')}\n`)
  writeSecret(tokenFile, users.map((u) => `${readFileSync(files[u], 'utf8').trim()},${u},${name}-${u},"${API_USERS[u]}"\n`).join(''))
  return { tokenFile, files }
}

/** The runner's environment file; `secrets` are read from their files. */
export function runnerEnv(dir: string, values: Readonly<Record<string, string>>, secrets: Readonly<Record<string, string>>): string {
  const file = join(keyFolder(dir), 'runner.env')
  const read = Object.fromEntries(Object.entries(secrets).map(([k, from]) => [k, readFileSync(from, 'utf8').trim()]))
  writeSecret(file, Object.entries({ ...values, ...read }).map(([k, v]) => `${k}=${v}\n`).join(''))
  return file
}
