import { timingSafeEqual, createHash } from 'node:crypto'
import { readFileSync, statSync } from 'node:fs'

export interface User {
  readonly name: string
  readonly uid: string
  readonly groups: readonly string[]
}

/**
 * The bearer tokens of an API, from a file in the format of Kubernetes' `--token-auth-file`: a line
 * `token,user,uid,"group1,group2"` each; a line with a token alone is user `admin` in group `admins`. The file is read
 * again when it changes, so that a key can be rotated without a restart. Group `readers` may only read, `admins` all.
 */
export class Tokens {
  #file: string
  #stamp = ''
  #users: { hash: Buffer; user: User }[] = []
  constructor(file: string) {
    this.#file = file
    this.#load()
  }
  find(bearer: string | null): User | null {
    if (bearer === null) return null
    this.#load()
    const hash = digest(bearer)
    return this.#users.find((u) => timingSafeEqual(u.hash, hash))?.user ?? null
  }
  #load(): void {
    const { mtimeMs, size } = statSync(this.#file)
    const stamp = `${mtimeMs}/${size}`
    if (stamp === this.#stamp) return
    this.#users = readFileSync(this.#file, 'utf8')
      .split('\n')
      .map((line) => line.trim())
      .filter((line) => line !== '' && !line.startsWith('#'))
      .map(readLine)
    this.#stamp = stamp
  }
}

function readLine(line: string): { hash: Buffer; user: User } {
  const [, token = '', name = 'admin', uid = name, groups] = /^([^,]+)(?:,([^,]+))?(?:,([^,]+))?(?:,"?([^"]*)"?)?$/.exec(line) ?? []
  if (token === '') throw new Error('a line of the token file is not `token,user,uid,"groups"`')
  const list = groups === undefined ? (line.includes(',') ? [] : ['admins']) : groups.split(',').map((g) => g.trim())
  return { hash: digest(token), user: { name, uid, groups: list.filter(Boolean) } }
}
function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}
