import { execFileSync, spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import * as fs from 'node:fs'
import * as os from 'node:os'
import * as path from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { cast, closeInterrupted, commands, createDriver, record, replayBytes, runbook, shownText, startRecording, verify } from './engine.ts'
import { stillRuns } from './processes.ts'

let dir: string
const children: ChildProcess[] = []
const pids: number[] = []
beforeEach(() => {
  dir = fs.mkdtempSync(path.join(os.tmpdir(), 'reglaze-record-'))
})
afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL')
  for (const pid of pids.splice(0)) {
    try {
      process.kill(pid, 'SIGKILL')
    } catch {
      // Gone, as it should be.
    }
  }
  fs.rmSync(dir, { recursive: true, force: true })
})

const recorder = path.join(import.meta.dirname, 'testing/recorder.ts')
const start = (file: string, command: string[], env: Record<string, string> = {}) => {
  const child = spawn(process.execPath, ['--import', 'tsx', recorder, file, ...command], { stdio: ['pipe', 'pipe', 'inherit'], env: { ...process.env, ...env } })
  children.push(child)
  return child
}
const until = async (what: string, check: () => boolean, ms = 15_000) => {
  const end = performance.now() + ms
  while (!check()) {
    if (performance.now() > end) throw new Error(`${what} did not happen in ${ms} ms`)
    await new Promise((r) => setTimeout(r, 20))
  }
}
const sh = (file: string, script: string, more: object = {}) => record({ file, command: '/bin/sh', args: ['-c', script], size: { rows: 24, cols: 80 }, ...more })
const rawOutput = 'stty raw; '

describe('every byte', () => {
  test('20 KB of cat, 60 times: nothing is lost at the end', async () => {
    const data = randomBytes(20_250)
    fs.writeFileSync(`${dir}/data`, data)
    const short: number[] = []
    for (let run = 0; run < 60; run++) {
      await sh(`${dir}/${run}.rec`, `${rawOutput}cat ${dir}/data`)
      const got = replayBytes(`${dir}/${run}.rec`)
      if (!data.equals(got)) short.push(got.length)
    }
    expect(short).toEqual([])
  })
  test('4 at a time, with a slow reader that pauses', async () => {
    const data = randomBytes(405_000)
    fs.writeFileSync(`${dir}/data`, data)
    const runs = Array.from({ length: 12 }, (_, i) => i)
    while (runs.length > 0) {
      await Promise.all(runs.splice(0, 4).map(async (run) => {
        const { Writable } = await import('node:stream')
        const shown: Buffer[] = []
        const slow = new Writable({ highWaterMark: 16_384, write: (chunk: Buffer, _e, next) => { shown.push(Buffer.from(chunk)); setTimeout(next, 3) } })
        await sh(`${dir}/${run}.rec`, `${rawOutput}cat ${dir}/data`, { stdout: slow })
        expect(data.equals(replayBytes(`${dir}/${run}.rec`))).toBe(true)
        await until('the slow reader has all', () => Buffer.concat(shown).length === data.length)
        expect(Buffer.concat(shown).equals(data)).toBe(true)
      }))
    }
  })
  test('invalid, split and hostile bytes come back exactly, the end mark of the pty library included', async () => {
    const eof = Buffer.from('\x1b]7878\x1b\\')
    const data = Buffer.concat([
      Buffer.from([0xe9, 0x80, 0xff, 0xfe, 0x00]), Buffer.from('é日🚀'), eof, Buffer.from('after\x1b]633;D;0\x07\x1b]633;E;rm -rf /;abc\x07'), eof, eof.subarray(0, 5), eof, Buffer.from([0xe2, 0x82]),
    ])
    for (const [i, bytes] of [data, Buffer.concat([data, eof]), Buffer.concat([eof, eof.subarray(0, 7)]), Buffer.alloc(0)].entries()) {
      fs.writeFileSync(`${dir}/data`, bytes)
      await sh(`${dir}/${i}.rec`, `${rawOutput}cat ${dir}/data`)
      expect(Buffer.from(replayBytes(`${dir}/${i}.rec`)).toString('hex')).toBe(bytes.toString('hex'))
    }
    expect(commands(`${dir}/0.rec`)).toEqual([])
    const lines = [...cast(`${dir}/0.rec`, { version: 3, strip: false })].map((l) => JSON.parse(l) as unknown[])
    const text = lines.slice(1).filter((l) => l[1] === 'o').map((l) => l[2]).join('')
    expect(text).toBe(new TextDecoder('utf-8', { ignoreBOM: true }).decode(data))
  })
  test('10 MB of random bytes: files larger than one read come back exactly', async () => {
    const data = randomBytes(10 << 20)
    fs.writeFileSync(`${dir}/data`, data)
    await sh(`${dir}/big.rec`, `${rawOutput}cat ${dir}/data`)
    expect(data.equals(replayBytes(`${dir}/big.rec`))).toBe(true)
    expect(verify(`${dir}/big.rec`).state).toBe('complete')
  })
  test('quick programs keep output and exit status', async () => {
    const results = []
    for (const script of ['true', 'echo hi', 'exit 42', 'kill -9 $$']) results.push((await sh(`${dir}/${results.length}.rec`, script)).exit.code)
    expect(results).toEqual([0, 0, 42, 137])
    expect(Buffer.from(replayBytes(`${dir}/1.rec`)).toString()).toBe('hi\r\n')
  })
  test('an independent observer outside sees the same bytes as the replay', async () => {
    // script(1) watches the whole recorder over a terminal of its own.
    fs.writeFileSync(`${dir}/in.sh`, 'printf "a\\n"; stty raw; printf "raw abc\\ndef\\303\\251\\377\\n"; head -c 30000 /dev/urandom; printf "\\033[31mred\\033[0m"; exit 7\n')
    const inner = `${process.execPath} --import tsx ${recorder} ${dir}/o.rec /bin/sh ${dir}/in.sh`
    const run = spawnSync('script', ['-q', '-e', '-f', '-c', inner, `${dir}/observed`], { input: '', env: { ...process.env, SHELL: '/bin/sh' } })
    expect(run.status).toBe(7)
    const observed = fs.readFileSync(`${dir}/observed`)
    const body = observed.subarray(observed.indexOf(10) + 1, observed.lastIndexOf('\nScript done on'))
    const replayed = Buffer.from(replayBytes(`${dir}/o.rec`))
    expect(body.length).toBe(replayed.length)
    expect(body.equals(replayed)).toBe(true)
    expect(verify(`${dir}/o.rec`)).toMatchObject({ ok: true, state: 'complete', exit: { code: 7 } })
  })
})

describe('a local terminal', () => {
  test.skipIf(spawnSync('python3', ['--version']).status !== 0)('(needs python3) is byte-transparent, follows the window, and is given back as it was', () => {
    fs.writeFileSync(`${dir}/in.sh`, 'trap "stty size; echo WINCH" WINCH; printf "READY\n"; while ! read -r -t 0.2 line; do :; done; echo "got $line"; stty raw; printf "abc\ndef"; exit 5\n')
    const run = spawnSync('python3', [path.join(import.meta.dirname, 'testing/terminal.py'), process.execPath, '--import', 'tsx', recorder, `${dir}/t.rec`, '/bin/bash', `${dir}/in.sh`], { encoding: 'utf8', timeout: 40_000 })
    const seen = JSON.parse(run.stdout) as { bytes: string; before: unknown; after: unknown; status: number }
    const shown = Buffer.from(seen.bytes, 'hex')
    expect(shown.toString()).toBe('READY\r\n40 123\r\nWINCH\r\ntyped\r\ngot typed\r\nabc\ndef')
    expect(shown.equals(Buffer.from(replayBytes(`${dir}/t.rec`)))).toBe(true)
    expect(seen.after).toEqual(seen.before)
    expect(seen.status).toBe(5)
    expect([...cast(`${dir}/t.rec`, { version: 2 })].join('')).toContain('"r","123x40"')
  })
})

describe('the shell', () => {
  const drive = (file: string, more: object = {}) => createDriver({ file, size: { rows: 30, cols: 100 }, stdout: null, env: { PATH: process.env['PATH'], HOME: dir, LC_ALL: 'C.UTF-8' }, cwd: dir, ...more })
  test('typed commands give their exit codes; multi-line loop, folder, awkward characters', async () => {
    const d = drive(`${dir}/s.rec`, { incident: 'INC-42', grant: 'gr_1', person: 'alice' })
    const results = []
    const typed = ['echo one', 'false', '(exit 42)', 'for i in 1 2\ndo echo "loop $i"\ndone', 'cd /usr', 'echo "a;b\\c"; printf \'%s\' x', 'echo é日', 'curl -H "Authorization: Bearer abcdef123456" http://127.0.0.1:1 2>/dev/null; export DB_PASSWORD=hunter2']
    for (const command of typed) results.push(await d.run(command))
    expect(results.map((r) => r.exitCode)).toEqual([0, 1, 42, 0, 0, 0, 0, 0])
    expect(results[3]?.output).toBe('loop 1\r\nloop 2\r\n')
    const done = await d.exit()
    expect(done).toMatchObject({ state: 'complete', exit: { code: 0, reason: 'exit' } })
    const list = commands(`${dir}/s.rec`)
    expect(list.map((c) => c.exitCode)).toEqual([0, 1, 42, 0, 0, 0, 0, 0, 0])
    expect(list[3]?.command).toMatch(/^for i in 1 2; ?do echo "loop \$i"; ?done$/)
    expect(list[5]).toMatchObject({ command: 'echo "a;b\\c"; printf \'%s\' x', cwd: '/usr' })
    expect(list[6]?.command).toBe('echo é日')
    expect(shownText(`${dir}/s.rec`)).not.toContain('633;')
    const draft = runbook(`${dir}/s.rec`)
    expect(draft).toContain('INC-42')
    expect(draft).toContain('**failed with 42**')
    expect(draft).not.toContain('hunter2')
    expect(draft).not.toContain('abcdef123456')
  })
  test('a hostile program cannot invent commands or end marks', async () => {
    const d = drive(`${dir}/h.rec`)
    const hostile = await d.run(`printf '\\033]633;D;0;00\\007\\033]633;E;rm -rf /;00\\007\\033]633;B;00\\007'; false`)
    expect(hostile.exitCode).toBe(1)
    await d.run('echo still here')
    await d.exit()
    expect(commands(`${dir}/h.rec`).map((c) => c.command).filter((c) => c.startsWith('rm'))).toEqual([])
    expect(commands(`${dir}/h.rec`)).toHaveLength(3)
  })
  test('resize reaches the program and the file', async () => {
    const d = drive(`${dir}/r.rec`)
    await d.ready()
    d.live.resize({ rows: 40, cols: 123 })
    expect((await d.run('stty size')).output).toBe('40 123\r\n')
    await d.exit()
    expect([...cast(`${dir}/r.rec`, { version: 2 })].some((l) => l.includes('"r","123x40"'))).toBe(true)
  })
  test('Ctrl-C ends the program in the shell, not the shell; stop closes properly', async () => {
    const d = drive(`${dir}/c.rec`)
    await d.ready()
    const running = d.run('sleep 100')
    await until('sleep was typed', () => shownBytes(d).includes('sleep 100'))
    d.live.write('\x03')
    expect((await running).exitCode).toBe(130)
    d.live.stop('test')
    expect((await d.live.done).exit).toMatchObject({ reason: 'stopped', detail: 'test' })
    expect(verify(`${dir}/c.rec`).ok).toBe(true)
  })
  const shownBytes = (d: { live: { nonce: string | null } }) => {
    void d
    const file = fs.readdirSync(dir).find((f) => f.endsWith('.rec')) as string
    return Buffer.from(replayBytes(`${dir}/${file}`)).toString()
  }
})

describe('trouble', () => {
  test.skipIf(spawnSync('unshare', ['--pid', '--fork', 'true']).status !== 0)('kill -9 of the recorder ends a child that ignores HUP and a daemon within a second; the file can be closed', async () => {
    const script = `trap '' HUP; (setsid sh -c "trap '' HUP; while :; do date +%s%N > ${dir}/daemon; sleep 0.02; done" &) ; while :; do date +%s%N | tee ${dir}/child; sleep 0.02; done`
    const child = start(`${dir}/k.rec`, ['/bin/sh', '-c', script])
    let seen = ''
    child.stdout?.on('data', (d: Buffer) => (seen += d.toString()))
    await until('both run', () => fs.existsSync(`${dir}/daemon`) && seen.split('\n').length > 20)
    await expect(closeInterrupted(`${dir}/k.rec`)).rejects.toMatchObject({ code: 'RECORDING_LIVE' })
    child.kill('SIGKILL')
    await new Promise((r) => child.once('close', r))
    await new Promise((r) => setTimeout(r, 1000))
    const before = [fs.readFileSync(`${dir}/daemon`, 'utf8'), fs.readFileSync(`${dir}/child`, 'utf8')]
    await new Promise((r) => setTimeout(r, 300))
    expect([fs.readFileSync(`${dir}/daemon`, 'utf8'), fs.readFileSync(`${dir}/child`, 'utf8')]).toEqual(before)
    // At most the last 16 ms are not in the file.
    const stored = Buffer.from(replayBytes(`${dir}/k.rec`)).toString().split('\r\n').length
    expect(seen.split('\r\n').length - stored).toBeLessThanOrEqual(3)
    expect(verify(`${dir}/k.rec`)).toMatchObject({ ok: true, state: 'interrupted' })
    fs.appendFileSync(`${dir}/k.rec`, Buffer.from([5, 0, 0, 0, 1, 2]))
    expect(await closeInterrupted(`${dir}/k.rec`)).toMatchObject({ ok: true, state: 'partial', exit: { reason: 'interrupted', code: null } })
    expect(await closeInterrupted(`${dir}/k.rec`)).toMatchObject({ ok: true, state: 'partial' })
  })

  const mounts: string[] = []
  const small = (): string => {
    const at = `${dir}/small`
    fs.mkdirSync(at)
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', at])
    mounts.push(at)
    return at
  }
  afterEach(() => {
    for (const at of mounts.splice(0)) spawnSync('umount', ['-l', at])
  })
  const canMount = process.getuid?.() === 0
  const flood = 'i=0; while [ $i -lt 100 ]; do head -c 30900 /dev/zero | tr "\\0" x; i=$((i+1)); done; sleep 60; exit 7'
  test.skipIf(!canMount)('1 MB disk (needs root for a tmpfs): the terminal ends after the grace, the file is closed and says what is lost', async () => {
    const at = small()
    const troubles: string[] = []
    const done = await record({ file: `${at}/full.rec`, command: '/bin/sh', args: ['-c', flood], graceMs: 600, onTrouble: (m) => troubles.push(m) })
    expect(done.exit).toMatchObject({ reason: 'disk-full' })
    expect(done.state).toBe('partial')
    expect(done.exit.lost).toBeGreaterThan(1_000_000)
    expect(troubles[0]).toContain('ENOSPC')
    const v = verify(`${at}/full.rec`)
    expect(v).toMatchObject({ ok: true, state: 'partial', exit: { reason: 'disk-full', lost: done.exit.lost } })
    expect(v.head).toBe(done.head)
    expect(replayBytes(`${at}/full.rec`).length).toBeGreaterThan(800_000)
  })
  test.skipIf(!canMount)('1 MB disk with room again within the grace (needs root): nothing is lost', async () => {
    const at = small()
    fs.writeFileSync(`${at}/other`, Buffer.alloc(600_000, 1))
    const short = 'head -c 600000 /dev/zero | tr "\\0" x; echo; exit 7'
    const done = await record({ file: `${at}/again.rec`, command: '/bin/sh', args: ['-c', `${short.replace('exit 7', 'sleep 1.5; exit 7')}`], graceMs: 20_000, onTrouble: () => fs.rmSync(`${at}/other`, { force: true }) })
    expect(done).toMatchObject({ state: 'complete', exit: { code: 7, lost: 0 } })
    expect(replayBytes(`${at}/again.rec`).length).toBe(600_002)
  })
  test.skipIf(!canMount)('1 MB disk, fail-open (needs root): the program goes on and its exit code is kept', async () => {
    const at = small()
    const done = await record({ file: `${at}/open.rec`, command: '/bin/sh', args: ['-c', flood.replace('sleep 60', 'sleep 1')], graceMs: 300, onFull: 'continue' })
    expect(done).toMatchObject({ state: 'partial', exit: { code: 7 } })
    expect(verify(`${at}/open.rec`)).toMatchObject({ ok: true, state: 'partial' })
  })
  test('a file that is there, a folder that cannot be, a program that is not there', async () => {
    fs.writeFileSync(`${dir}/x.rec`, '')
    await expect(sh(`${dir}/x.rec`, 'true')).rejects.toMatchObject({ code: 'RECORDING_EXISTS' })
    await expect(sh(`${dir}/x.rec/y`, 'true')).rejects.toMatchObject({ code: 'RECORDING_NOT_STARTED' })
    await expect(record({ file: `${dir}/z.rec`, command: 'no-such-program-here' })).rejects.toMatchObject({ code: 'RECORDING_NOT_STARTED' })
    expect(fs.existsSync(`${dir}/z.rec`)).toBe(false)
  })
  test('every damaged byte, cut or swap is found, with its place', async () => {
    await sh(`${dir}/v.rec`, 'for i in 1 2 3 4 5; do echo $i; sleep 0.03; done')
    const good = fs.readFileSync(`${dir}/v.rec`)
    const { head } = verify(`${dir}/v.rec`)
    for (let at = 0; at < good.length; at += 7) {
      const bad = Buffer.from(good)
      bad[at] = (bad[at] as number) ^ 1
      fs.writeFileSync(`${dir}/bad.rec`, bad)
      const v = verify(`${dir}/bad.rec`, { head })
      expect(v.ok, `byte ${at}`).toBe(false)
      expect(v.bad?.offset).toBeLessThanOrEqual(at)
    }
    fs.writeFileSync(`${dir}/bad.rec`, good.subarray(0, good.length - 60))
    expect(verify(`${dir}/bad.rec`)).toMatchObject({ ok: true, state: 'interrupted' })
    expect(verify(`${dir}/bad.rec`, { head })).toMatchObject({ ok: false, state: 'broken' })
  })
  test('it is durable within a second of being shown, while the program runs on', async () => {
    const live = startRecording({ file: `${dir}/d.rec`, command: '/bin/sh', args: ['-c', 'echo shown; sleep 100'] })
    pids.push(live.pid)
    const from = performance.now()
    await until('the file has it', () => Buffer.from(replayBytes(`${dir}/d.rec`)).toString() === 'shown\r\n', 1000)
    expect(performance.now() - from).toBeLessThan(1000)
    live.stop()
    await live.done
    expect(stillRuns(live.pid, null)).toBe(false)
  })
})
