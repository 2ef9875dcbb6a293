import pg from 'pg'
import { CORE, ReglazeError } from '../../core/errors.ts'

type Query = <T extends pg.QueryResultRow>(text: string, values?: unknown[]) => Promise<T[]>

/** A short connection for looking and ending. Throws OUTSIDE_FAILED when the database does not answer. */
export async function withLockSession<T>(o: { url: string; name: string }, work: (query: Query) => Promise<T>): Promise<T> {
  const client = new pg.Client({ connectionString: o.url, application_name: 'reglaze looks', connectionTimeoutMillis: 5000, query_timeout: 10_000, statement_timeout: 10_000 })
  client.on('error', () => undefined)
  try {
    await client.connect()
    return await work(async (text, values) => (await client.query(text, values)).rows)
  } catch (error) {
    if (error instanceof ReglazeError) throw error
    throw new ReglazeError(CORE.OUTSIDE_FAILED, `${o.name}: ${(error as Error).message || String((error as { code?: string }).code)}`, { cause: error })
  } finally {
    await client.end().catch(() => undefined)
  }
}
