import { writeFileSync } from 'node:fs'
import type { readOptions } from '../lib/index.ts'
import { api, collectionOf, pathOf } from './api.ts'
import type { Body } from './api.ts'
import { CliError, cell, table } from './io.ts'
import type { Io } from './io.ts'

export interface Command {
  readonly usage: string
  readonly about: string
  readonly examples: readonly string[]
  readonly values?: readonly string[]
  readonly flags?: readonly string[]
  run(c: Context): Promise<void>
}
export interface Context {
  readonly io: Io
  readonly json: boolean
  readonly args: readonly string[]
  readonly options: ReturnType<typeof readOptions>
}

function show(c: Context, value: unknown, human: string): void {
  c.io.out(c.json ? `${JSON.stringify(value)}\n` : human)
}
function fields(o: Body): string {
  const width = Math.max(...Object.keys(o).map((k) => k.length))
  return Object.entries(o)
    .map(([k, v]) => `${k.padEnd(width)}  ${cell(v)}\n`)
    .join('')
}
function rowsOf(items: Body[], columns: readonly string[]): string {
  return table(columns, items.map((i) => columns.map((c) => cell(i[c]))))
}

const LIST_COLUMNS: Readonly<Record<string, readonly string[]>> = {
  instances: ['name', 'id', 'status', 'health', 'image', 'size', 'ip'],
  databases: ['name', 'id', 'status', 'engine', 'engine_version', 'parameter_group', 'storage_gb'],
  routes: ['name', 'id', 'target_id'],
  firewalls: ['name', 'id', 'rule'],
  snapshots: ['name', 'id', 'database', 'engine_version', 'created_at'],
  'role-assignments': ['id', 'principal', 'role', 'scope', 'expires_at', 'expired'],
}

/** `key=value` as the cloud expects it: JSON where it is JSON (numbers, true, lists, objects), text otherwise. `tags.env=prod` sets one entry. */
function assignments(args: readonly string[], present: Body): Body {
  const patch: Body = {}
  for (const arg of args) {
    const at = arg.indexOf('=')
    if (at < 1) throw new CliError(2, `"${arg}" is not key=value`, 'For example: sandbox set instance web size=large tags.env=prod')
    const [key = '', inner] = arg.slice(0, at).split('.', 2)
    const value = valueOf(key, inner === undefined, arg.slice(at + 1))
    patch[key] = inner === undefined ? value : { ...((patch[key] ?? present[key] ?? {}) as Body), [inner]: value }
  }
  return patch
}
const NEVER_JSON = ['name', 'engine_version', 'user_data', 'policy', 'image', 'password']
function valueOf(key: string, whole: boolean, text: string): unknown {
  if (!whole || NEVER_JSON.includes(key)) return text
  try {
    return JSON.parse(text) as unknown
  } catch {
    return text
  }
}

async function action(c: Context, collection: string, verb: string | undefined, ref: string | undefined, body: Body): Promise<void> {
  if (!verb) throw new CliError(2, 'say what to do', `For example: sandbox ${collection.slice(0, -1)} stop NAME`)
  const result = await api(c.io, 'POST', `${pathOf(collection, ref)}/actions/${verb}`, body)
  const state = [result.status, result.health && `health ${result.health}`, result.engine_version && `version ${result.engine_version}`].filter(Boolean).join(', ')
  show(c, result, `${verb} ${result.name} (${result.id}): ${state}\n`)
}

async function login(c: Context): Promise<void> {
  const key = c.options.get('key')
  const io: Io = key ? { ...c.io, env: { ...c.io.env, SANDBOX_TOKEN: key } } : c.io
  const ttl = c.options.get('ttl')
  if (ttl !== undefined && !/^\d+$/.test(ttl)) throw new CliError(2, `--ttl "${ttl}" is not a number of seconds`)
  const s = await api(io, 'POST', '/v1/sessions', ttl ? { ttl_seconds: Number(ttl) } : {})
  const file = c.options.get('save')
  if (file) writeFileSync(file, `export SANDBOX_TOKEN=${s.token}\n`, { mode: 0o600 })
  const note = `session ${s.session_id} of ${s.principal}, roles ${s.roles.join(', ') || 'none'}, until ${s.expires_at}`
  if (c.json) c.io.out(`${JSON.stringify(file ? { ...s, token: undefined, file } : s)}\n`)
  else if (file) c.io.out(`${note}\nuse it with: . ${file}\n`)
  else {
    c.io.err(`# ${note}\n`)
    c.io.out(`export SANDBOX_TOKEN=${s.token}\n`)
  }
}

async function audit(c: Context): Promise<void> {
  const writes = c.options.has('reads') ? '' : '&writes=1'
  let cursor = c.options.get('after') ?? '0'
  let first = true
  for (;;) {
    const page = await api(c.io, 'GET', `/v1/audit?after=${cursor}&limit=1000${writes}`)
    if (!page.complete && first) c.io.err('# older events are no longer kept\n')
    for (const e of page.events) c.io.out(c.json ? `${JSON.stringify(e)}\n` : eventLine(e))
    const more = page.events.length === 1000
    cursor = page.cursor
    first = false
    if (more) continue
    if (!c.options.has('follow') || c.io.signal?.aborted) return
    await new Promise((resolve) => setTimeout(resolve, 500))
  }
}
function eventLine(e: any): string {
  const what = e.resource ? `${e.resource.type} ${e.resource.name ?? e.resource.id}` : e.path
  const changed = e.before && e.after ? Object.keys(e.after).filter((k) => JSON.stringify(e.before[k]) !== JSON.stringify(e.after[k])) : []
  const detail = changed.map((k) => `${k}: ${cell(e.before[k])} → ${cell(e.after[k])}`).join('; ')
  const refused = e.status >= 400 ? ` refused ${e.status}` : ''
  return `${e.time}  ${e.actor} (${e.credential}${e.source_identity ? `, ${e.source_identity}` : ''})  ${e.action} ${what}${refused}${detail ? `  ${detail}` : ''}\n`
}

export const COMMANDS: Readonly<Record<string, Command>> = {
  login: {
    usage: 'login [--key KEY] [--ttl SECONDS] [--save FILE]',
    about: 'Exchange a key (SANDBOX_TOKEN or --key) for a session with the roles you have now.',
    examples: ['eval "$(sandbox login)"', 'sandbox login --save ~/.sandbox-session && . ~/.sandbox-session'],
    values: ['key', 'ttl', 'save'],
    run: login,
  },
  whoami: {
    usage: 'whoami',
    about: 'Who you are, with which credential and roles.',
    examples: ['sandbox whoami'],
    async run(c) {
      const me = await api(c.io, 'GET', '/v1/whoami')
      show(c, me, fields(me))
    },
  },
  list: {
    usage: 'list COLLECTION',
    about: 'What exists: instances, databases, routes, firewalls, snapshots, role-assignments.',
    examples: ['sandbox list instances', 'sandbox list databases --json'],
    async run(c) {
      const collection = collectionOf(c.args[0])
      const { items } = await api(c.io, 'GET', `/v1/${collection}`)
      show(c, items, rowsOf(items, LIST_COLUMNS[collection] as readonly string[]))
    },
  },
  show: {
    usage: 'show COLLECTION NAME',
    about: 'All attributes of one object.',
    examples: ['sandbox show instance web-a', 'sandbox show database db-4af5c041f3'],
    async run(c) {
      const item = await api(c.io, 'GET', pathOf(collectionOf(c.args[0]), c.args[1]))
      show(c, item, fields(item))
    },
  },
  create: {
    usage: 'create COLLECTION key=value…',
    about: 'Make an object.',
    examples: ['sandbox create instance name=web-d image=v1 size=large', 'sandbox create route name=front target_id=i-77c01af60f'],
    async run(c) {
      const collection = collectionOf(c.args[0])
      const item = await api(c.io, 'POST', `/v1/${collection}`, assignments(c.args.slice(1), {}))
      show(c, item, `created ${item.name} (${item.id})\n`)
    },
  },
  set: {
    usage: 'set COLLECTION NAME key=value…',
    about: 'Change attributes. Values may be JSON; tags.KEY=VALUE changes one tag.',
    examples: ['sandbox set instance web-a size=large tags.env=prod', "sandbox set firewall fw 'rule=[{\"port\":443,\"protocol\":\"tcp\",\"source\":\"10.0.0.0/8\"}]'"],
    async run(c) {
      const path = pathOf(collectionOf(c.args[0]), c.args[1])
      if (c.args.length < 3) throw new CliError(2, 'say what to set', 'For example: sandbox set instance web size=large')
      const before = await api(c.io, 'GET', path)
      const patch = assignments(c.args.slice(2), before)
      const after = await api(c.io, 'PATCH', path, patch)
      const changes = Object.keys(patch).map((k) => `${k}: ${cell(before[k])} → ${cell(after[k])}`)
      show(c, after, `changed ${after.name} (${after.id}): ${changes.join('; ')}\n`)
    },
  },
  delete: {
    usage: 'delete COLLECTION NAME',
    about: 'Remove an object.',
    examples: ['sandbox delete instance web-a'],
    async run(c) {
      const path = pathOf(collectionOf(c.args[0]), c.args[1])
      const item = await api(c.io, 'GET', path)
      await api(c.io, 'DELETE', `/v1/${collectionOf(c.args[0])}/${item.id}`)
      show(c, { deleted: item.id, name: item.name }, `deleted ${item.name} (${item.id})\n`)
    },
  },
  instance: {
    usage: 'instance stop|start|mend|fail NAME',
    about: 'Act on an instance. What fails must be stopped before it can be mended.',
    examples: ['sandbox instance stop web-a', 'sandbox instance mend web-a', 'sandbox instance start web-a'],
    run: (c) => action(c, 'instances', c.args[0], c.args[1], {}),
  },
  database: {
    usage: 'database upgrade|snapshot|fail|mend NAME [--engine-version V] [--parameter-group G] [--name SNAPSHOT]',
    about: 'Act on a database. `upgrade` also does major versions; there is no way back but a snapshot.',
    examples: ['sandbox database snapshot orders --name orders-before-14', 'sandbox database upgrade orders --engine-version 14.9 --parameter-group orders-pg14'],
    values: ['engine-version', 'parameter-group', 'name'],
    async run(c) {
      const [verb, ref] = c.args
      const version = c.options.get('engine-version')
      if (verb === 'upgrade' && !version) throw new CliError(2, '--engine-version is missing', 'For example: sandbox database upgrade orders --engine-version 14.9')
      if (verb === 'snapshot' && !c.options.get('name')) throw new CliError(2, '--name is missing', 'For example: sandbox database snapshot orders --name before-upgrade')
      const group = c.options.get('parameter-group')
      const body: Body = verb === 'upgrade' ? { engine_version: version, ...(group ? { parameter_group: group } : {}) } : verb === 'snapshot' ? { name: c.options.get('name') } : {}
      await action(c, 'databases', verb, ref, body)
      if (verb === 'upgrade') await whenAvailable(c, ref)
    },
  },
  locks: {
    usage: 'locks',
    about: 'All control-plane locks.',
    examples: ['sandbox locks'],
    async run(c) {
      const { items } = await api(c.io, 'GET', '/v1/locks')
      show(c, items, rowsOf(items, ['name', 'level', 'scope', 'owner', 'except', 'reason']))
    },
  },
  lock: {
    usage: 'lock NAME [--level read-only|no-delete] [--scope /|COLLECTION/ID] [--reason TEXT] [--owner WHO] [--except PRINCIPAL]…',
    about: 'Set a lock. It never expires: somebody has to remove it.',
    examples: ['sandbox lock freeze --level no-delete --scope databases/name:orders --reason "upgrade" --except alice'],
    values: ['level', 'scope', 'reason', 'owner', 'except'],
    async run(c) {
      if (!c.args[0]) throw new CliError(2, 'say the name of the lock')
      const { get, all } = c.options
      const lock = await api(c.io, 'PUT', `/v1/locks/${encodeURIComponent(c.args[0])}`, { level: get('level') ?? 'read-only', scope: get('scope') ?? '/', reason: get('reason'), owner: get('owner'), except: all('except') })
      show(c, lock, `locked ${lock.scope} ${lock.level} as "${lock.name}"\n`)
    },
  },
  unlock: {
    usage: 'unlock NAME',
    about: 'Remove a lock.',
    examples: ['sandbox unlock freeze'],
    async run(c) {
      if (!c.args[0]) throw new CliError(2, 'say the name of the lock', 'See all: sandbox locks')
      await api(c.io, 'DELETE', `/v1/locks/${encodeURIComponent(c.args[0])}`)
      show(c, { unlocked: c.args[0] }, `removed lock "${c.args[0]}"\n`)
    },
  },
  members: {
    usage: 'members [--role R] [--principal P] | members add ROLE PRINCIPAL [--until TIME] | members remove ROLE PRINCIPAL',
    about: 'Who holds which role. Removing a membership does not end sessions that use it.',
    examples: ['sandbox members', 'sandbox members remove operator alice'],
    values: ['role', 'principal', 'until', 'note', 'source-identity'],
    run: members,
  },
  sessions: {
    usage: 'sessions [--principal P] | sessions end SESSION_ID',
    about: 'Live sessions; `end` ends one.',
    examples: ['sandbox sessions', 'sandbox sessions end sess-1b2c3d4e5f'],
    values: ['principal', 'source-identity'],
    async run(c) {
      if (c.args[0] === 'end') {
        if (!c.args[1]) throw new CliError(2, 'say which session', 'See all: sandbox sessions')
        await api(c.io, 'DELETE', `/v1/sessions/${encodeURIComponent(c.args[1])}`)
        return show(c, { ended: c.args[1] }, `ended ${c.args[1]}\n`)
      }
      const { items } = await api(c.io, 'GET', `/v1/sessions?${query(c, ['principal', 'source-identity'])}`)
      show(c, items, rowsOf(items, ['session_id', 'principal', 'roles', 'source_identity', 'expires_at']))
    },
  },
  audit: {
    usage: 'audit [--follow] [--reads] [--after CURSOR]',
    about: 'Every change and attempt: when, who, with which credential, what was before and after.',
    examples: ['sandbox audit', 'sandbox audit --follow'],
    flags: ['follow', 'reads'],
    values: ['after'],
    run: audit,
  },
}

async function whenAvailable(c: Context, ref: string | undefined): Promise<void> {
  for (let i = 0; i < 600; i++) {
    const db = await api(c.io, 'GET', pathOf('databases', ref))
    if (db.status !== 'upgrading') return c.json ? undefined : c.io.out(`${db.name} is ${db.status} at ${db.engine_version}\n`)
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
  throw new CliError(7, 'the upgrade is not done after 60 s', 'Look again: sandbox show database NAME')
}

function query(c: Context, names: readonly string[]): string {
  const wanted = new URLSearchParams()
  for (const n of names) if (c.options.get(n)) wanted.set(n.replace('-', '_'), c.options.get(n) as string)
  return wanted.toString()
}

async function members(c: Context): Promise<void> {
  const [verb, role, principal] = c.args
  if (verb === undefined) {
    const { items } = await api(c.io, 'GET', `/v1/memberships?${query(c, ['role', 'principal', 'source-identity'])}`)
    return show(c, items, rowsOf(items, ['role', 'principal', 'expires_at', 'expired', 'source_identity', 'note']))
  }
  if ((verb !== 'add' && verb !== 'remove') || !role || !principal) throw new CliError(2, 'unknown form of members', 'sandbox members remove ROLE PRINCIPAL')
  const path = `/v1/memberships/${encodeURIComponent(role)}/${encodeURIComponent(principal)}`
  if (verb === 'remove') {
    await api(c.io, 'DELETE', path)
    return show(c, { removed: `${role}/${principal}` }, `${principal} is no longer ${role}; live sessions go on: sandbox sessions --principal ${principal}\n`)
  }
  const m = await api(c.io, 'PUT', path, { expires_at: c.options.get('until') ?? null, note: c.options.get('note') ?? null, source_identity: c.options.get('source-identity') ?? null })
  show(c, m, `${principal} is ${role}${m.expires_at ? ` until ${m.expires_at}` : ''}\n`)
}
