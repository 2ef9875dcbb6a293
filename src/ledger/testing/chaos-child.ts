// One server of the chaos test: makes grants with a deadline, and ends them. Killed at any moment.
// Arguments: data folder, `work` or `drain`.
import { appendFileSync } from 'node:fs'
import { join } from 'node:path'
import { newId, openStore, poke, sql, startWorker, transaction } from '../../store/index.ts'
import { append, startSequencer } from '../index.ts'

const [folder, mode] = process.argv.slice(2) as [string, 'work' | 'drain']
const store = await openStore({ dataDir: join(folder, 'data') })
const sequencer = startSequencer(store, { keyDir: join(folder, 'keys'), origin: 'chaos.test/ledger' })
const worker = startWorker(store, {
  kind: 'revoke',
  concurrency: 16,
  handle: async (id) => {
    // The outside effect: it happens again when a kill comes before its record.
    appendFileSync(join(folder, 'effects'), `${id}\n`)
    await transaction(store.db, async (tx) => {
      const { rows } = await sql`update reglaze.chaos_grants set state = 'revoked' where id = ${id} and state = 'active' returning id`.execute(tx)
      if (rows.length > 0) await append(tx, { kind: 'grant.revoked', incident: 'inc_chaos', subject: id, actor: 'reglaze', data: null })
    })
    return 'done'
  },
})
console.log('ready')
// The test's end of the pipe closes when the test ends, however it ends.
process.stdin.on('end', () => process.exit(9)).resume()

async function makeGrant(): Promise<void> {
  const id = newId('grant')
  await transaction(store.db, async (tx) => {
    await sql`insert into reglaze.chaos_grants (id, state) values (${id}, 'active')`.execute(tx)
    await poke(tx, 'revoke', id, { inMs: 200 + Math.random() * 1_000 })
    await append(tx, { kind: 'grant.active', incident: 'inc_chaos', subject: id, actor: 'mary', data: null })
  })
  appendFileSync(join(folder, 'acknowledged'), `${id}\n`)
}

const pause = (ms: number): Promise<void> => new Promise((r) => setTimeout(r, ms))
if (mode === 'work') {
  const maker = async (): Promise<void> => {
    for (;;) await makeGrant().then(() => pause(10), () => pause(50))
  }
  await Promise.all(Array.from({ length: 4 }, maker))
}
for (;;) {
  const { rows } = await sql`select from reglaze.timers limit 1`.execute(store.db)
  if (rows.length === 0) break
  await pause(50)
}
await worker.stop()
await sequencer.flush()
await sequencer.stop()
await store.close()
console.log('drained')
process.exit(0)
