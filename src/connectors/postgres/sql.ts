/** Connections and quoting for administrative SQL. Names of roles cannot be parameters, so they are quoted. */
import { createHmac, hash, pbkdf2Sync } from 'node:crypto'
import pg from 'pg'
import { CORE, outcomeUnknown, ReglazeError } from '../../core/errors.ts'
import { CONNECTOR } from '../errors.ts'

const CONNECT_MS = 5000
const STATEMENT_MS = 15_000

export interface Session {
  query<T extends pg.QueryResultRow = pg.QueryResultRow>(text: string, values?: unknown[]): Promise<T[]>
}

/** `"a""b"`; a NUL cannot be in a name. */
export function ident(name: string): string {
  if (name.includes('\0') || name === '' || Buffer.byteLength(name) > 63) throw new ReglazeError(CONNECTOR.CONNECTOR_BAD_TARGET, `"${name.replaceAll('\0', '\\0')}" cannot be the name of a role`, { hint: 'PostgreSQL names have 1 to 63 bytes.' })
  return pg.escapeIdentifier(name)
}
export function literal(text: string): string {
  return pg.escapeLiteral(text.replaceAll('\0', ''))
}

/**
 * One connection for one piece of work. Could not connect: OUTSIDE_FAILED, nothing happened. Lost after that:
 * OUTCOME_UNKNOWN. The server's own refusals are OUTSIDE_FAILED with their SQLSTATE in `data`.
 */
export async function withSession<T>(o: { url: string; system: string; database?: string; timeoutMs?: number }, work: (s: Session) => Promise<T>): Promise<T> {
  const client = new pg.Client({
    ...connection(o.url, o.database), application_name: 'reglaze', connectionTimeoutMillis: Math.min(CONNECT_MS, o.timeoutMs ?? CONNECT_MS), query_timeout: (o.timeoutMs ?? STATEMENT_MS) + 500,
    statement_timeout: o.timeoutMs ?? STATEMENT_MS, lock_timeout: 5000, keepAlive: true,
  })
  // A backend that is terminated emits an error on its own: without a listener the process would end.
  client.on('error', () => undefined)
  try {
    await client.connect()
  } catch (error) {
    throw new ReglazeError(CORE.OUTSIDE_FAILED, `${o.system} could not be reached: ${(error as Error).message || (error as { code?: string }).code}`, { cause: error })
  }
  const query = async <R extends pg.QueryResultRow>(text: string, values?: unknown[]): Promise<R[]> => {
    try {
      return (await client.query<R>(text, values)).rows
    } catch (error) {
      const code = (error as { code?: string }).code
      // 57P01 to 57P03: the server ended the connection; without SQLSTATE the connection was lost.
      if (code === undefined || !/^[0-9A-Z]{5}$/.test(code) || code.startsWith('57P') || code.startsWith('08')) throw outcomeUnknown(`the connection to ${o.system} was lost: ${(error as Error).message}`, error)
      throw new ReglazeError(CORE.OUTSIDE_FAILED, `${o.system} refused: ${(error as Error).message}`, { cause: error, data: { sqlstate: code } })
    }
  }
  try {
    return await work({ query })
  } finally {
    await client.end().catch(() => undefined)
  }
}

function connection(url: string, database?: string): pg.ClientConfig {
  if (database === undefined) return { connectionString: url }
  const rest = url.indexOf('?')
  const base = rest < 0 ? url : url.slice(0, rest)
  const changed = base.replace(/^(postgres(?:ql)?:\/\/[^/]*)(\/.*)?$/, (_, front: string) => `${front}/${encodeURIComponent(database)}`)
  return { connectionString: changed + (rest < 0 ? '' : url.slice(rest)) }
}

/** The grant's password: made from our key each time it is needed, never stored anywhere. */
export function passwordOf(key: string | Uint8Array, system: string, grantId: string): string {
  return createHmac('sha256', key).update(`reglaze postgres\0${system}\0${grantId}`).digest('base64url')
}

/** What PostgreSQL keeps instead of a password (RFC 5803): sent like this, the password itself is in no statement and no log. */
export function scramVerifier(password: string, salt: Uint8Array, iterations = 4096): string {
  const salted = pbkdf2Sync(password, salt, iterations, 32, 'sha256')
  const hmac = (text: string) => createHmac('sha256', salted).update(text).digest()
  const stored = hash('sha256', hmac('Client Key'), 'buffer')
  return `SCRAM-SHA-256$${iterations}:${Buffer.from(salt).toString('base64')}$${stored.toString('base64')}:${hmac('Server Key').toString('base64')}`
}
