/** The `http` state backend as Terraform's documentation describes it, in memory: for code that is written for it. */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'

export interface StateServer {
  readonly env: Record<string, string>
  /** How often the state was locked. */
  locks(): number
  close(): Promise<void>
}
export async function startStateServer(): Promise<StateServer> {
  let state: string | null = null
  let lock: string | null = null
  let locks = 0
  const server = createServer((req, res) => {
    let body = ''
    req.on('data', (b: Buffer) => (body += b.toString()))
    req.on('end', () => {
      const end = (code: number, text = ''): void => void res.writeHead(code).end(text)
      if (req.method === 'GET') return state === null ? end(404) : end(200, state)
      if (req.method === 'POST') return (state = body), end(200)
      if (req.method === 'LOCK') return lock ? end(423, lock) : ((lock = body), locks++, end(200))
      if (req.method === 'UNLOCK') return (lock = null), end(200)
      return end(405)
    })
  })
  await new Promise<void>((ok) => server.listen(0, '127.0.0.1', ok))
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/state`
  return {
    env: { TF_HTTP_ADDRESS: url, TF_HTTP_LOCK_ADDRESS: url, TF_HTTP_UNLOCK_ADDRESS: url },
    locks: () => locks,
    close: () => new Promise((ok) => (server.closeAllConnections(), server.close(() => ok()))),
  }
}
