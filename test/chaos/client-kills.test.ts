// Kill -9 of the command-line program in the middle of every command of the story, then the same command again: the end
// state is the one of a run without kills.
import { existsSync, writeFileSync } from 'node:fs'
import { afterAll, beforeAll, expect, test } from 'vitest'
import * as story from '../../src/cli/demo/story.ts'
import { startCli, type Running } from '../testing/cli.ts'
import { KillingNarrator, type Person } from '../testing/killing.ts'
import { processesOf } from '../testing/processes.ts'
import { ledgerIsWhole, lowerStage, nobodyInside, raiseStage, type Stage } from '../testing/stage.ts'

// eslint-disable-next-line @typescript-eslint/no-explicit-any
type Any = any
interface Middle {
  readonly command: string
  /** When it is killed: at the first new ledger entry, after a line of its progress, after milliseconds, or as soon as its Terraform runs (`apply`, `plan`). */
  readonly at: 'entry' | RegExp | number | { readonly terraform: string }
}
const MIDDLE: readonly Middle[] = [
  { command: 'alerts send', at: 250 },
  { command: 'access request', at: 'entry' },
  { command: 'access credentials', at: 'entry' },
  { command: 'pause', at: 'entry' },
  { command: 'reconcile baseline', at: { terraform: 'plan' } },
  { command: 'assess', at: 'entry' },
  { command: 'reconcile check', at: { terraform: 'plan' } },
  { command: 'reconcile decide', at: 'entry' },
  { command: 'reconcile codify', at: { terraform: 'plan' } },
  { command: 'reconcile codify', at: /planning the edited code/ },
  { command: 'reconcile apply', at: { terraform: '-refresh-only' } },
  { command: 'reconcile apply', at: /applying/ },
  { command: 'reconcile prove', at: { terraform: 'plan' } },
  { command: 'resume', at: 'entry' },
  { command: 'access end', at: 'entry' },
  { command: 'incident close', at: 'entry' },
]

const isTerraform = (command: string) => /^\S*terraform /.test(command)

class ClientKills extends KillingNarrator<Middle> {
  protected async inTheMiddle(person: Person, argv: readonly string[], m: Middle): Promise<string> {
    const stage = this.stage()
    await stage.ledger.look()
    const running = startCli(person, argv)
    const over = { yes: false }
    void running.ended.then(() => (over.yes = true))
    await this.#moment(running, m, () => over.yes)
    const { signal, code } = await running.kill()
    await stage.ledger.holdsAll()
    const how = typeof m.at === 'number' ? `${m.at} ms` : m.at === 'entry' ? 'first entry' : m.at instanceof RegExp ? `"${m.at.source}"` : `its terraform ${m.at.terraform} ran`
    return `"reglaze ${argv.slice(0, 2).join(' ')}" at ${how}: ${signal ?? `had ended with ${code}`}`
  }
  async #moment(running: Running, m: Middle, over: () => boolean): Promise<void> {
    if (typeof m.at === 'number') await Promise.race([new Promise((done) => setTimeout(done, m.at as number)), running.ended])
    else if (m.at instanceof RegExp) await running.says(m.at)
    else if (m.at === 'entry') while (!over() && (await this.stage().ledger.look()).length === 0);
    else {
      const { terraform } = m.at
      const clone = this.stage().cast.clone
      // A moment later it has the state lock.
      while (!over() && !processesOf(clone).some((p) => isTerraform(p.command) && p.command.includes(terraform))) await new Promise((done) => setTimeout(done, 20))
      await new Promise((done) => setTimeout(done, 150))
    }
  }
}

let stage: Stage
let kills: ClientKills
beforeAll(async () => {
  stage = await raiseStage('client-kills', (s) => (kills = new ClientKills(s, MIDDLE)))
}, 120_000)
afterAll(async () => {
  if (stage) await lowerStage(stage)
}, 60_000)

const step = (name: string, play: (c: story.Cast) => Promise<void>) => test(name, () => play(stage.cast), 180_000)

step('alert, page, acknowledgement', story.alert)
step('break glass', story.breakGlass)
step('pause and baseline', story.pause)
step('assessment', story.assess)

/** Types into a recorded terminal and kills the recorder when the last line was begun. */
async function killedShell(name: string, script: string, begun: () => Promise<boolean> | boolean): Promise<string> {
  const { world, cast } = stage
  const bin = story.writeCommands(world)
  writeFileSync(world.path(`${name}.sh`), script)
  const file = world.path('people', cast.dri, `${name}.rec`)
  const person = { env: { ...cast.person.env, PATH: `${bin}:${cast.person.env['PATH']}` }, cwd: cast.clone }
  const shell = startCli(person, ['record', 'shell', '--incident', cast.incident, '--grant', cast.grant, '--file', file, '--script', world.path(`${name}.sh`)])
  let over = false
  void shell.ended.then(() => (over = true))
  while (!over && !(await begun())) await new Promise((done) => setTimeout(done, 20))
  // What came from the terminal is in the file some milliseconds later.
  await new Promise((done) => setTimeout(done, 300))
  const { signal, err } = await shell.kill()
  expect(signal, err).toBe('SIGKILL')
  return file
}

test('a killed recorder leaves a recording that is listed and closed as partial, with what was typed before', async () => {
  const { world, cast } = stage
  const mark = world.path('mark')
  const file = await killedShell('cut', `echo typed-before\ntouch ${mark}; sleep 30\n`, () => existsSync(mark))
  const [open] = await cast.n.reglaze<Any[]>(cast.person, ['record', 'list', '--incident', cast.incident])
  expect(open).toMatchObject({ state: 'open', person: cast.dri })
  await cast.n.reglaze(cast.person, ['record', 'upload', file])
  const [closed] = await cast.n.reglaze<Any[]>(cast.person, ['record', 'list', '--incident', cast.incident])
  expect(closed).toMatchObject({ id: open.id, state: 'partial', reason: expect.any(String) })
  const typed = await cast.n.reglaze<Any[]>(cast.person, ['record', 'commands', file])
  expect(typed.map((c) => c.command)).toContain('echo typed-before')
  kills.cases.push('"reglaze record shell" under a command: listed as open, uploaded as partial')
}, 60_000)

test.each([
  ['quarantine', 'reglaze repair quarantine infra sandbox_instance.gateway --incident INCIDENT', 'plan'],
  ['release', 'reglaze repair release infra sandbox_instance.gateway --incident INCIDENT', ''],
  ['replace', `reglaze repair replace infra 'module.web.sandbox_instance.this["web-3"]' --incident INCIDENT`, 'plan'],
  ['replace', `reglaze repair replace infra 'module.web.sandbox_instance.this["web-3"]' --incident INCIDENT`, 'apply'],
])('repair %s killed, then again', async (play, line, terraform) => {
  const { cast } = stage
  const person = { env: cast.repairer.env, cwd: cast.clone }
  const argv = line.replace(/^reglaze /, '').split(' ').map((a) => a.replaceAll("'", '').replace('INCIDENT', cast.incident))
  await stage.ledger.look()
  const before = (await cast.find('instances', 'web-3')).id as string
  const running = startCli(person, argv)
  let over = false
  void running.ended.then(() => (over = true))
  const begun = () => processesOf(cast.clone).some((p) => isTerraform(p.command) && p.command.includes(` ${terraform} `))
  if (terraform === '') while (!over && !(await stage.ledger.look()).includes('quarantine.released'));
  else {
    while (!over && !begun()) await new Promise((done) => setTimeout(done, 20))
    await new Promise((done) => setTimeout(done, 120))
  }
  const { signal, code } = await running.kill()
  kills.cases.push(`"reglaze repair ${play}" at ${terraform === '' ? 'its first entry' : `its terraform ${terraform}`}: ${signal ?? `had ended with ${code}`}`)
  const end = performance.now() + 45_000
  for (;;) {
    const again = await startCli(person, ['--json', ...argv]).ended
    if (again.code === 0) break
    if (performance.now() > end) throw new Error(again.out + again.err)
    await new Promise((done) => setTimeout(done, 500))
  }
  const web3 = ((await stage.world.cloud('GET', '/v1/instances'))['items'] as Any[]).filter((i) => i.name === 'web-3')
  expect(web3.length).toBe(1)
  if (play === 'replace') expect(web3[0].id).not.toBe(before)
  else expect(web3[0].id).toBe(before)
  if (play === 'release') expect(await cast.git('status', '--porcelain', '-uno')).toBe('')
}, 120_000)

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
  expect((await ledgerIsWhole(stage)).size).toBeGreaterThan(60)
  console.log(`kill -9 of the command-line program, ${kills.cases.length} cases:\n${kills.cases.map((c) => `  ${c}`).join('\n')}`)
  expect(kills.left).toEqual([])
}, 60_000)
