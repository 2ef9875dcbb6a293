import { connect, createServer, type Socket } from 'node:net'
import type { GrantCall, GrantFault } from '../../contracts/grantable.suite.ts'

/** Statements by which a call of the connector is known on the wire. */
const SIGN: Record<GrantCall, RegExp> = { grant: /login inherit password/, observe: /count\(\*\)::int as n from pg_stat_activity/, revoke: /nologin password null/, 'end-sessions': /pg_terminate_backend/ }
const CODE: Partial<Record<GrantFault, string>> = { '429': '53300', '401': '28P01', '500': 'XX000' }

/** A way to a real PostgreSQL on which statements meet the server's errors, silence, or lost answers. */
export async function faultyProxy(port: number) {
  const faults: { mode: GrantFault; on: GrantCall; times: number }[] = []
  const sockets = new Set<Socket>()
  const server = createServer((client) => {
    const upstream = connect(port, '127.0.0.1')
    let dead: 'silent' | 'losing' | null = null
    let loseAtCommit = false
    for (const s of [client, upstream]) {
      sockets.add(s)
      s.on('error', () => undefined)
    }
    client.on('data', (data) => {
      const text = data.toString('latin1')
      const found = faults.find((f) => f.times > 0 && SIGN[f.on].test(text))
      if (found) {
        found.times -= 1
        const code = CODE[found.mode]
        if (code) {
          client.write(refusal(code))
          upstream.destroy()
          return
        }
        if (found.mode === 'hang') dead = 'silent'
        else loseAtCommit = true
      }
      if (loseAtCommit && /commit/.test(text)) dead = 'losing'
      if (dead !== 'silent') upstream.write(data)
    })
    upstream.on('data', (data) => {
      // The effect is there: the server has answered, and nobody hears it.
      if (dead === 'losing') client.destroy()
      else if (dead === null) client.write(data)
    })
    upstream.on('close', () => client.end())
    client.on('close', () => upstream.end())
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    port: (server.address() as { port: number }).port,
    fault: (mode: GrantFault, on: GrantCall, times = 1) => Promise.resolve(void faults.push({ mode, on, times })),
    clear: () => Promise.resolve(void faults.splice(0)),
    async close() {
      for (const s of sockets) s.destroy()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

/** ErrorResponse and ReadyForQuery of the wire protocol. */
function refusal(code: string): Buffer {
  const fields = Buffer.from(`SERROR\0C${code}\0Minjected\0\0`)
  const head = Buffer.alloc(5)
  head.write('E')
  head.writeInt32BE(fields.length + 4, 1)
  return Buffer.concat([head, fields, Buffer.from([0x5a, 0, 0, 0, 5, 0x49])])
}
