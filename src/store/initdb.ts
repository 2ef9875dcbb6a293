import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { appendFileSync, chownSync, existsSync, mkdirSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { ReglazeError } from '../core/errors.ts'
import { alive } from './postmaster.ts'
import { STORE } from './errors.ts'
import type { Account } from './account.ts'
import type { Binaries } from './binaries.ts'

/** Environment of PostgreSQL's programs: nothing of ours, no secret of ours. */
export const PG_ENV: NodeJS.ProcessEnv = { PATH: '/usr/bin:/bin', LC_ALL: 'C', TZ: 'UTC' }

const SETTINGS = `
# Set once when the cluster was made; yours to change.
max_connections = 200
password_encryption = 'scram-sha-256'
timezone = 'UTC'
log_timezone = 'UTC'
`

export interface InitOptions {
  /** The cluster's folder; its `data` is made. */
  readonly home: string
  readonly binaries: Binaries
  readonly account: Account | null
  readonly user: string
  readonly password: string | null
}

function execute(program: string, args: readonly string[], account: Account | null): Promise<{ code: number | null; output: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { cwd: '/', env: PG_ENV, stdio: ['ignore', 'pipe', 'pipe'], ...(account === null ? {} : { uid: account.uid, gid: account.gid }) })
    let output = ''
    child.stdout.on('data', (d: Buffer) => (output += d.toString()))
    child.stderr.on('data', (d: Buffer) => (output += d.toString()))
    child.on('error', reject)
    child.on('close', (code) => resolve({ code, output }))
  })
}

/** Drafts of processes that died while making a cluster. */
function removeDeadDrafts(home: string): void {
  for (const name of readdirSync(home)) {
    const pid = /^\.draft-(\d+)-/.exec(name)?.[1]
    if (pid !== undefined && !alive(Number(pid))) rmSync(join(home, name), { recursive: true, force: true })
  }
}

/**
 * Makes `home/data`. It is made beside and renamed into place: a kill leaves no half cluster, and of two processes at
 * once one wins. Checksums on; the builtin locale provider exists from 17 on (a libc update cannot reorder its indexes).
 */
export async function initCluster(o: InitOptions): Promise<void> {
  removeDeadDrafts(o.home)
  const draft = join(o.home, `.draft-${process.pid}-${randomBytes(4).toString('hex')}`)
  const passwordFile = `${draft}.password`
  mkdirSync(draft, { mode: 0o700 })
  if (o.account !== null) chownSync(draft, o.account.uid, o.account.gid)
  const args = ['-D', draft, '-U', o.user, '-E', 'UTF8', '-k', '--auth-local=trust', '--auth-host=scram-sha-256', '--no-instructions']
  args.push(...(o.binaries.major >= 17 ? ['--locale-provider=builtin', '--locale=C.UTF-8', '--lc-collate=C', '--lc-ctype=C'] : ['--locale=C']))
  try {
    if (o.password !== null) {
      writeFileSync(passwordFile, `${o.password}\n`, { mode: 0o600 })
      if (o.account !== null) chownSync(passwordFile, o.account.uid, o.account.gid)
      args.push(`--pwfile=${passwordFile}`)
    }
    const { code, output } = await execute(join(o.binaries.bin, 'initdb'), args, o.account)
    if (code !== 0) {
      throw new ReglazeError(STORE.STORE_START_FAILED, `initdb (PostgreSQL ${o.binaries.version}) failed: ${output.trim().split('\n').slice(-3).join(' | ')}`, {
        place: o.home,
        ...(output.includes('could not look up effective user ID') ? { hint: 'This user id has no account (no line in /etc/passwd): add one, run under another user, or set DATABASE_URL.' } : {}),
      })
    }
    appendFileSync(join(draft, 'postgresql.conf'), SETTINGS)
    if (!existsSync(join(o.home, 'data', 'PG_VERSION'))) renameSync(draft, join(o.home, 'data'))
  } catch (error) {
    if (!['ENOTEMPTY', 'EEXIST'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error
  } finally {
    rmSync(draft, { recursive: true, force: true })
    rmSync(passwordFile, { force: true })
  }
}
