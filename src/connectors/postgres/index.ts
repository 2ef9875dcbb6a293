/**
 * Access to a PostgreSQL database: a login role that exists for one grant only. What the server can end by itself is in
 * README.md; what it cannot (open sessions) is ended by us and read back.
 */
import { randomBytes } from 'node:crypto'
import { CORE, ReglazeError } from '../../core/errors.ts'
import type { Json } from '../../core/json.ts'
import type { Grantable, GrantSpec, GrantState, Observation, PersonRef } from '../../core/ports.ts'
import { CONNECTOR } from '../errors.ts'
import { ident, literal, passwordOf, scramVerifier, type Session, withSession } from './sql.ts'

export interface PostgresOptions {
  /** An administrator of roles at the database server; README.md says what it must be allowed. */
  readonly url: string
  /** Name of this connector, for messages. */
  readonly name: string
  /** The break-glass role whose rights are given; `right.role` of a grant comes before it. */
  readonly role: string
  /** Key of at least 16 bytes from which the passwords are made; not the database's. */
  readonly secretKey: string | Uint8Array
  /** Where people connect to, when it is not where we connect to. */
  readonly publicUrl?: string
  /** For one statement, in ms; default 15 s. */
  readonly timeoutMs?: number
}

/** After the deadline the server refuses the password by itself, this much later, so that clocks may differ. */
const BACKSTOP_MS = 60_000
const TERMINATE_MS = 5000
const MARK = 'reglaze:'

interface RoleRow {
  readonly oid: string
  readonly canlogin: boolean
  readonly until: Date | null
  readonly comment: string | null
  readonly member: boolean
  readonly memberships: number
  readonly regranted: number
}

function place(o: PostgresOptions): { url: string; system: string; timeoutMs?: number } {
  return { url: o.url, system: o.name, ...(o.timeoutMs === undefined ? {} : { timeoutMs: o.timeoutMs }) }
}

export function loginRole(grantId: string): string {
  return `rg_${grantId.toLowerCase()}`
}

export function postgresGrantable(options: PostgresOptions): Grantable {
  if (Buffer.from(options.secretKey).length < 16) throw new ReglazeError(CORE.INVALID_INPUT, `the key of ${options.name} is shorter than 16 bytes`)
  const at = place(options)
  const roleOf = (spec: { right: Record<string, Json> }) => (typeof spec.right['role'] === 'string' ? spec.right['role'] : options.role)
  const session = <T>(work: (s: Session) => Promise<T>) => withSession(at, work)
  return {
    prepare: (person, right) => session((s) => prepare(s, options, person, roleOf({ right }))),
    grant: (spec) => session((s) => grant(s, options, spec, roleOf(spec))),
    observe: (spec) => observe(options, spec, roleOf(spec)),
    revoke: (spec) => session((s) => revoke(s, loginRole(spec.grantId))),
    endSessions: async (spec) => {
      await session((s) => endSessions(s, loginRole(spec.grantId), options.name))
      await drop(options, loginRole(spec.grantId), roleOf(spec))
    },
    credentials: (spec) => Promise.resolve(credentials(options, spec)),
    manual: (spec) => manual(loginRole(spec.grantId), roleOf(spec)),
    marked: () => session(marked),
  }
}

async function prepare(s: Session, options: PostgresOptions, person: PersonRef, role: string) {
  const [found] = await s.query<{ oid: string; super: boolean }>('select oid::text, rolsuper as super from pg_roles where rolname = $1', [role])
  if (!found) throw new ReglazeError(CONNECTOR.CONNECTOR_NOT_THERE, `${options.name} has no role "${role}"`, { hint: `Create it with the rights that an emergency needs: create role ${ident(role)} nologin;` })
  return { principal: person.accounts['postgres'] ?? person.id, prior: { role_oid: found.oid } }
}

async function grant(s: Session, options: PostgresOptions, spec: GrantSpec, role: string): Promise<void> {
  const login = loginRole(spec.grantId)
  const until = literal(new Date(Date.parse(spec.expiresAt) + BACKSTOP_MS).toISOString())
  const password = literal(scramVerifier(passwordOf(options.secretKey, options.name, spec.grantId), randomBytes(16)))
  await s.query('begin')
  await s.query('select pg_advisory_xact_lock(hashtext($1))', [login])
  const present = await find(s, login, role)
  if (present && grantOf(present.comment) !== spec.grantId) throw new ReglazeError(CONNECTOR.CONNECTOR_CONFLICT, `${options.name} has a role ${login} that is not ours`, { hint: 'Remove or rename that role.' })
  await s.query(`${present ? 'alter' : 'create'} role ${ident(login)} login inherit password ${password} valid until ${until} connection limit 20`)
  if (!present?.member) await s.query(`grant ${ident(role)} to ${ident(login)}`)
  const mark = { grant: spec.grantId, person: spec.person, incident: spec.incident, expires: spec.expiresAt }
  await s.query(`comment on role ${ident(login)} is ${literal(MARK + JSON.stringify(mark))}`)
  await s.query('commit')
}

async function find(s: Session, login: string, role: string): Promise<RoleRow | undefined> {
  const [row] = await s.query<RoleRow & { memberships: string; regranted: string }>(
    `select r.oid::text, r.rolcanlogin as canlogin, case when r.rolvaliduntil = 'infinity' then null else r.rolvaliduntil end as until, shobj_description(r.oid, 'pg_authid') as comment,
       exists (select from pg_roles b where b.rolname = $2 and pg_has_role(r.oid, b.oid, 'member')) as member,
       (select count(*)::int from pg_auth_members m where m.member = r.oid) as memberships,
       (select count(*)::int from pg_auth_members m where m.grantor = r.oid) as regranted
     from pg_roles r where r.rolname = $1`, [login, role])
  return row
}

/** Live sessions of the role; also those whose role was dropped under them, because nobody else can own such a session. */
const SESSIONS = `from pg_stat_activity a where a.pid <> pg_backend_pid() and a.usesysid is not null
  and (a.usesysid = (select oid from pg_roles where rolname = $1) or not exists (select from pg_roles r where r.oid = a.usesysid))`

async function observe(options: PostgresOptions, spec: GrantSpec, role: string): Promise<Observation<GrantState>> {
  const login = loginRole(spec.grantId)
  const asked = `pg_roles, pg_auth_members, pg_stat_activity of ${login}`
  try {
    return await withSession(place(options), async (s) => {
      const row = await find(s, login, role)
      const [live] = await s.query<{ n: number }>(`select count(*)::int as n ${SESSIONS}`, [login])
      const [clock] = await s.query<{ now: Date }>('select clock_timestamp() as now')
      const member = row !== undefined && (row.canlogin || row.member || row.memberships > 0 || row.regranted > 0)
      const until = row?.canlogin ? (row.until?.toISOString() ?? null) : null
      const answer: Record<string, Json> = row ? { login: row.canlogin, member: row.member, memberships: row.memberships, granted_on: row.regranted, valid_until: until, note: 'VALID UNTIL stops new logins by password; open sessions end only when they are ended' } : { role: 'does not exist' }
      return {
        status: 'known' as const, at: (clock as { now: Date }).now.toISOString(), value: { member, sessions: live?.n ?? 0, backstopUntil: until },
        evidence: { source: `${options.name} (PostgreSQL)`, request: asked, answer: { ...answer, sessions: live?.n ?? 0 } },
      }
    })
  } catch (error) {
    return { status: 'unknown', at: new Date().toISOString(), reason: (error as Error).message }
  }
}

/** No new use: no login, no membership, and what this role granted on is taken back with the sessions that got it. */
async function revoke(s: Session, login: string): Promise<void> {
  await s.query('begin')
  await s.query('select pg_advisory_xact_lock(hashtext($1))', [login])
  const [role] = await s.query<{ oid: string }>('select oid::text from pg_roles where rolname = $1', [login])
  const others = role ? await takeBack(s, role.oid, login) : []
  await s.query('commit')
  for (const oid of others) await s.query(`select pg_terminate_backend(pid, ${TERMINATE_MS}) from pg_stat_activity where usesysid = $1::oid and pid <> pg_backend_pid()`, [oid])
}
async function takeBack(s: Session, oid: string, login: string): Promise<string[]> {
  await s.query(`alter role ${ident(login)} nologin password null`)
  const [version] = await s.query<{ num: number }>("select current_setting('server_version_num')::int as num")
  const links = await s.query<{ role: string; member: string; member_oid: string; grantor: string; on: boolean }>(
    `select b.rolname as role, m.rolname as member, m.oid::text as member_oid, g.rolname as grantor, a.grantor = $1::oid as on
     from pg_auth_members a join pg_roles b on b.oid = a.roleid join pg_roles m on m.oid = a.member join pg_roles g on g.oid = a.grantor
     where a.member = $1::oid or a.grantor = $1::oid order by (a.grantor = $1::oid) desc`, [oid])
  for (const link of links) {
    // From 16 on a membership belongs to its grantor and is only removed in its name.
    const by = (version?.num ?? 0) >= 160_000 ? ` granted by ${ident(link.grantor)}` : ''
    await s.query(`revoke ${ident(link.role)} from ${ident(link.member)}${by} cascade`)
  }
  return links.filter((l) => l.on).map((l) => l.member_oid)
}

/** Ends every session, after revoke: somebody who did SET ROLE keeps the rights until then. Again until none is left. */
async function endSessions(s: Session, login: string, system: string): Promise<void> {
  for (let round = 0; round < 5; round++) {
    const ended = await s.query<{ pid: number; gone: boolean }>(`select a.pid, pg_terminate_backend(a.pid, ${TERMINATE_MS}) as gone ${SESSIONS}`, [login])
    if (ended.length === 0) return
  }
  const [left] = await s.query<{ n: number }>(`select count(*)::int as n ${SESSIONS}`, [login])
  if ((left?.n ?? 0) > 0) throw new ReglazeError(CORE.OUTSIDE_FAILED, `${left?.n} sessions of ${login} at ${system} do not end`)
}

/** Removes the role. What it owns goes to the break-glass role, in every database, so that no work is lost. */
async function drop(options: PostgresOptions, login: string, role: string): Promise<void> {
  const at = place(options)
  const databases = await withSession(at, (s) => s.query<{ name: string | null }>(
    `select distinct d.datname as name from pg_roles r left join pg_shdepend p on p.refobjid = r.oid and p.refclassid = 'pg_authid'::regclass
     left join pg_database d on d.oid = p.dbid where r.rolname = $1`, [login]))
  if (databases.length === 0) return
  for (const { name } of databases) if (name !== null) await withSession({ ...at, database: name }, (s) => handOver(s, login, role))
  await withSession(at, async (s) => {
    await handOver(s, login, role)
    await s.query(`drop role if exists ${ident(login)}`)
  })
}
async function handOver(s: Session, login: string, role: string): Promise<void> {
  const [me] = await s.query<{ super: boolean; both: boolean; there: boolean }>(
    `select m.rolsuper as super, exists (select from pg_roles where rolname = $1) as there,
       (select bool_and(pg_has_role(m.oid, r.oid, 'usage')) from pg_roles r where r.rolname in ($1, $2)) as both from pg_roles m where m.rolname = current_user`, [login, role])
  if (!me?.there) return
  // REASSIGN needs the rights of both roles; an administrator of roles may give himself those for the moment.
  if (!me.super && !me.both) await s.query(`grant ${ident(login)} to current_user`)
  await s.query(`reassign owned by ${ident(login)} to ${ident(role)}`)
  await s.query(`drop owned by ${ident(login)}`)
}

function credentials(options: PostgresOptions, spec: GrantSpec): Record<string, string> {
  const url = new URL(options.publicUrl ?? options.url)
  const user = loginRole(spec.grantId)
  const password = passwordOf(options.secretKey, options.name, spec.grantId)
  url.username = user
  url.password = password
  const host = url.searchParams.get('host') ?? url.hostname
  return { PGHOST: host, PGPORT: url.port || '5432', PGDATABASE: decodeURIComponent(url.pathname.slice(1)) || 'postgres', PGUSER: user, PGPASSWORD: password, url: url.toString() }
}

function manual(login: string, role: string): string {
  return `psql -c 'alter role ${ident(login)} nologin' -c 'revoke ${ident(role)} from ${ident(login)} cascade' -c "select pg_terminate_backend(pid, ${TERMINATE_MS}) from pg_stat_activity where usename = ${literal(login)}"`
}

async function marked(s: Session): Promise<{ grantId: string; principal: string; detail: Json }[]> {
  const found = await s.query<{ name: string; canlogin: boolean; comment: string }>(
    `select r.rolname as name, r.rolcanlogin as canlogin, shobj_description(r.oid, 'pg_authid') as comment from pg_roles r where left(r.rolname, 3) = 'rg_' and shobj_description(r.oid, 'pg_authid') like $1`, [`${MARK}%`])
  return found.flatMap((row) => {
    const grantId = grantOf(row.comment)
    return grantId === null ? [] : [{ grantId, principal: row.name, detail: { login: row.canlogin, mark: row.comment.slice(MARK.length) } }]
  })
}
function grantOf(comment: string | null): string | null {
  try {
    const mark = JSON.parse(comment?.startsWith(MARK) ? comment.slice(MARK.length) : 'null') as { grant?: unknown } | null
    return typeof mark?.grant === 'string' ? mark.grant : null
  } catch {
    return null
  }
}
