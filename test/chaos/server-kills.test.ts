// Kill -9 of the server after every step of the story and in the middle of every step that goes through it. The story has
// to go on each time with the same commands, and to end in the same end state.
import { existsSync, writeFileSync } from 'node:fs'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { waitFor } from '../../src/cli/io.ts'
import * as story from '../../src/cli/demo/story.ts'
import { runCli } from '../../src/cli/run.ts'
import { startCli } from '../testing/cli.ts'
import { KillingNarrator, type Person } from '../testing/killing.ts'
import { ledgerIsWhole, lowerStage, nobodyInside, QUIET, raiseStage, type Stage } from '../testing/stage.ts'

// eslint-disable-next-line @typescript-eslint/no-explicit-any
type Any = any
let kills: ServerKills

/** When the server dies in the middle of a command: at the first sign of it in the ledger, after some milliseconds, or right after its answer. */
const MIDDLE: readonly { command: string; at: 'entry' | 'answer' | number }[] = [
  { command: 'alerts send', at: 'answer' },
  { command: 'incident ack', at: 'answer' },
  { command: 'access request', at: 'entry' },
  { command: 'pause', at: 'entry' },
  { command: 'reconcile baseline', at: 1200 },
  { command: 'assess', at: 60 },
  { command: 'reconcile check', at: 1500 },
  { command: 'reconcile decide', at: 'entry' },
  { command: 'reconcile codify', at: 1000 },
  { command: 'reconcile apply', at: 1500 },
  { command: 'reconcile prove', at: 800 },
  { command: 'resume', at: 'entry' },
  { command: 'access end', at: 'entry' },
  { command: 'incident close', at: 'entry' },
]

class ServerKills extends KillingNarrator<(typeof MIDDLE)[number]> {
  protected override async between(name: string): Promise<void> {
    await this.stage().crash()
    this.cases.push(`after "${name}"`)
  }
  /** The command that loses its server may fail or not; it never says that all is done when it is not: the story reads back. */
  protected async inTheMiddle(person: Person, argv: readonly string[], m: (typeof MIDDLE)[number]): Promise<string> {
    const stage = this.stage()
    await stage.ledger.look()
    let code: number | null = null
    const running = runCli(['--json', ...argv], { ...QUIET, env: person.env, cwd: person.cwd }).then((c) => (code = c))
    if (m.at === 'answer') await running
    else if (m.at === 'entry') while (code === null && (await stage.ledger.look()).length === 0);
    else await Promise.race([new Promise((done) => setTimeout(done, m.at as number)), running])
    const when = code === null ? (typeof m.at === 'number' ? `${m.at} ms` : 'first entry') : 'its answer had come'
    await stage.crash()
    await running
    return `in the middle of "reglaze ${argv.slice(0, 2).join(' ')}" (${when}): ended with ${code}, the same command again with 0`
  }
}

let stage: Stage
beforeAll(async () => {
  stage = await raiseStage('server-kills', (s) => (kills = new ServerKills(s, MIDDLE)))
  await stage.crash()
  kills.cases.push('after "The world of Tailwind Traders"')
}, 120_000)
afterAll(async () => {
  if (stage) await lowerStage(stage)
}, 60_000)

// One test per step: each starts from the state that the kills before it left behind.
const step = (name: string, play: (c: story.Cast) => Promise<void>) =>
  test(name, async () => {
    const before = kills.cases.length
    await play(stage.cast)
    expect(kills.cases.length).toBeGreaterThan(before)
  }, 180_000)

step('alert, page, acknowledgement', story.alert)
step('break glass', story.breakGlass)
step('pause and baseline', story.pause)
step('assessment', story.assess)
test('the server dies under a recorded terminal: the recording is uploaded when it is back', async () => {
  const { world, cast } = stage
  story.writeCommands(world)
  const file = world.path('people', cast.dri, 'cut.rec')
  const mark = world.path('mark')
  writeFileSync(world.path('cut.sh'), `echo before\ntouch ${mark}; sleep 1\necho after\n`)
  const shell = startCli({ env: cast.person.env, cwd: cast.clone }, ['--json', 'record', 'shell', '--incident', cast.incident, '--grant', cast.grant, '--file', file, '--script', world.path('cut.sh')])
  await waitFor(async () => existsSync(mark) || null, { timeoutMs: 20_000, everyMs: 20, what: () => 'the shell did not begin' })
  await stage.ledger.look()
  await world.killServer('SIGKILL')
  const lost = await shell.ended
  expect(lost.code).toBe(6)
  await world.startServer()
  await stage.ledger.holdsAll()
  const id = (await cast.n.reglaze<Any[]>(cast.person, ['record', 'list', '--incident', cast.incident]))[0]
  expect(id).toMatchObject({ state: 'open', size: 0 })
  await cast.n.reglaze(cast.person, ['record', 'upload', file])
  expect((await cast.n.reglaze<Any[]>(cast.person, ['record', 'list', '--incident', cast.incident]))[0]).toMatchObject({ id: id.id, state: 'complete' })
  kills.cases.push('under "reglaze record shell"; the upload failed with 6, `record upload` brought it')
}, 60_000)
step('repair in a recorded terminal', story.repair)
step('everything on record', story.recordStep)
step('end state', story.endState)
step('reconcile and proof', story.reconcile)
step('resume', story.resume)
step('access ends', story.revoke)
step('close', story.close)

test('the end state is the one of a run without kills', async () => {
  await nobodyInside(stage)
  expect(await stage.cast.settings()).toEqual(stage.cast.before)
  const { size } = await ledgerIsWhole(stage)
  expect(size).toBeGreaterThan(60)
  console.log(`kill -9 of the server, ${kills.cases.length} cases:\n${kills.cases.map((c) => `  ${c}`).join('\n')}`)
  expect(kills.left).toEqual([])
}, 60_000)
