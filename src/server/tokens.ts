import { createHash, randomBytes } from 'node:crypto'
import { CORE, parseDuration, ReglazeError, type ApiRole, type Caller } from '../core/index.ts'
import { append } from '../ledger/index.ts'
import { newId, sql, type Store, type Tx } from '../store/index.ts'

interface Row {
  id: string
  name: string
  role: ApiRole
  person: string | null
  scopes: string[]
  created_at: Date
  expires_at: Date | null
  revoked_at: Date | null
}
const digest = (secret: string) => createHash('sha256').update(secret).digest('hex')

export interface NewToken {
  readonly name: string
  readonly role: ApiRole
  readonly person?: string | undefined
  readonly scopes?: readonly string[] | undefined
  readonly ttl?: string | undefined
}

/** Makes a token; only its hash is stored. The secret is in the answer and nowhere else. */
export async function createToken(store: Store, t: NewToken, by: string): Promise<{ token: ReturnType<typeof view>; secret: string }> {
  return store.db.transaction().execute((tx) => insertToken(tx, t, by))
}

async function insertToken(tx: Tx, t: NewToken, by: string): Promise<{ token: ReturnType<typeof view>; secret: string }> {
  const secret = `rgz_${randomBytes(24).toString('base64url')}`
  const ttlMs = t.ttl ? parseDuration(t.ttl) : null
  const { rows } = await sql<Row>`insert into api_tokens (id, name, role, person, scopes, hash, created_by, expires_at)
    values (${newId('token')}, ${t.name}, ${t.role}, ${t.person ?? null}, ${JSON.stringify(t.scopes ?? ['api'])}::jsonb, ${digest(secret)}, ${by},
      ${ttlMs === null ? null : sql`reglaze.now() + ${ttlMs} * interval '1 millisecond'`}) returning *`.execute(tx)
  const made = rows[0] as Row
  await append(tx, { kind: 'token.created', subject: made.id, actor: by, data: { name: t.name, role: t.role, person: t.person ?? null, scopes: [...(t.scopes ?? ['api'])] } })
  return { token: view(made), secret }
}

export function view(r: Row) {
  return { id: r.id, name: r.name, role: r.role, person: r.person, scopes: r.scopes, created_at: r.created_at.toISOString(), expires_at: r.expires_at?.toISOString() ?? null, revoked_at: r.revoked_at?.toISOString() ?? null }
}

export async function listTokens(store: Store) {
  return (await sql<Row>`select * from api_tokens order by created_at`.execute(store.db)).rows.map(view)
}

export async function revokeToken(store: Store, id: string, by: string): Promise<void> {
  await store.db.transaction().execute(async (tx) => {
    await sql`lock table api_tokens in share row exclusive mode`.execute(tx)
    const left = await sql`select 1 from api_tokens where id <> ${id} and role = 'admin' and scopes ? 'api' and revoked_at is null and expires_at is null`.execute(tx)
    const admin = await sql`select 1 from api_tokens where id = ${id} and role = 'admin' and scopes ? 'api' and revoked_at is null`.execute(tx)
    if (admin.rows.length > 0 && left.rows.length === 0) throw new ReglazeError(CORE.WRONG_STATE, `${id} is the last admin token that does not expire: nobody could make another one`, { hint: 'Make a new one first: `reglaze token create --role admin`.' })
    const { rows } = await sql`update api_tokens set revoked_at = coalesce(revoked_at, reglaze.now()) where id = ${id} returning id`.execute(tx)
    if (rows.length === 0) throw new ReglazeError(CORE.NOT_FOUND, `there is no token ${id}`)
    await append(tx, { kind: 'token.revoked', subject: id, actor: by, data: {} })
  })
}

/** The caller behind a secret, or null. A token of a person acts under the person's id. */
export async function callerOf(store: Store, secret: string): Promise<Caller | null> {
  const { rows } = await sql<Row>`select * from api_tokens where hash = ${digest(secret)} and revoked_at is null and (expires_at is null or expires_at > reglaze.now())`.execute(store.db)
  const row = rows[0]
  return row ? { name: row.person ?? row.name, role: row.role, person: row.person, tokenId: row.id, scopes: row.scopes } : null
}

/** At first start: one admin token, printed once. Null when tokens exist. Two processes that start at once make one. */
export async function firstToken(store: Store): Promise<string | null> {
  return store.db.transaction().execute(async (tx) => {
    await sql`lock table api_tokens in share row exclusive mode`.execute(tx)
    const { rows } = await sql<{ n: number }>`select count(*)::int as n from api_tokens`.execute(tx)
    return (rows[0]?.n ?? 0) > 0 ? null : (await insertToken(tx, { name: 'first-admin', role: 'admin', scopes: ['api', 'state'] }, 'first start')).secret
  })
}
