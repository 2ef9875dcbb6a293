import { execFileSync, spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'

/** The unprivileged account that PostgreSQL runs under when we are root (initdb and postgres refuse root). */
export interface Account {
  readonly name: string
  readonly uid: number
  readonly gid: number
}

function lookUp(name: string): Account | null {
  try {
    const line = readFileSync('/etc/passwd', 'utf8').split('\n').find((l) => l.startsWith(`${name}:`))
    if (line !== undefined) {
      const [, , uid, gid] = line.split(':')
      return { name, uid: Number(uid), gid: Number(gid) }
    }
    const id = (flag: string): number => Number(execFileSync('id', [flag, name], { stdio: ['ignore', 'pipe', 'ignore'], encoding: 'utf8' }))
    return { name, uid: id('-u'), gid: id('-g') }
  } catch {
    return null
  }
}

/** Null when we are not root: the programs then run as ourselves. As root: `postgres` if that account exists, else `nobody`. */
export function databaseAccount(): Account | null {
  if (process.getuid?.() !== 0) return null
  return lookUp('postgres') ?? lookUp('nobody') ?? { name: 'nobody', uid: 65534, gid: 65534 }
}

/** Whether the account can go into the folder. Asked by really trying: modes, groups and ACLs together decide. */
export function canEnter(account: Account | null, folder: string): boolean {
  if (account === null) return true
  return spawnSync('/bin/sh', ['-c', 'cd "$1" && test -r .', 'sh', folder], { uid: account.uid, gid: account.gid, stdio: 'ignore', env: {} }).status === 0
}

/** Whether the account can go through the folder to something in it that it may read. */
export function canPass(account: Account | null, folder: string): boolean {
  if (account === null) return true
  return spawnSync('/bin/sh', ['-c', 'cd "$1"', 'sh', folder], { uid: account.uid, gid: account.gid, stdio: 'ignore', env: {} }).status === 0
}
