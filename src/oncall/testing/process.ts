/**
 * On-call in a process of its own, to be killed by tests. Arguments: database URL, data folder, mode:
 * `receive` stores one delivery from stdin's file and waits; `work` runs the loops; `hang-alert` stops inside the processing
 * transaction; `hang-mail` stops after a mail went out, before it is written down. Prints one line when it got there.
 */
import { readFileSync } from 'node:fs'
import { openStore, sql } from '../../store/index.ts'
import { oncallPart } from '../index.ts'
import { FIRING } from './samples.ts'
import { incidentPort, testConfig, TOKEN } from './world.ts'

const [databaseUrl = '', dataDir = '', mode = ''] = process.argv.slice(2)
const store = await openStore({ databaseUrl, dataDir, testClock: true })
const config = testConfig()
const port = await incidentPort(store)
const never = () => new Promise<never>(() => {})
const log = { debug() {}, info() {}, warn() {}, error() {} }
const part = oncallPart({
  store, config: () => config, publicUrl: () => 'https://reglaze.example', secret: () => TOKEN, log,
  incidents: {
    ...port,
    async onAlert(tx, alert, more) {
      const id = await port.onAlert(tx, alert, more)
      if (mode !== 'hang-alert') return id
      console.log('in the transaction')
      return never()
    },
  },
  notifier: () => ({
    async send(message) {
      await sql`insert into test_mail (id, node) values (${message.id}, ${process.pid})`.execute(store.db)
      if (mode !== 'hang-mail') return { receipt: `by ${process.pid}` }
      console.log('mail is out')
      return never()
    },
  }),
})
if (mode === 'receive') {
  const intake = part.routes.find((r) => r.route.id === 'intake.alertmanager')
  const caller = { name: 'sender', role: 'public', person: null, tokenId: null } as const
  await intake?.handle({ params: { source: 'prometheus' }, query: {}, body: undefined, caller, request: { headers: { authorization: `Bearer ${TOKEN}` }, rawBody: readFileSync(FIRING) } })
} else {
  part.start()
}
console.log('ready')
setInterval(() => {}, 60_000)
