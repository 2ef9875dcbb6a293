import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { asciicast, joinAll } from './asciicast.ts'
import { MarkParser } from './marks.ts'
import type { Frame, RecordingHeader } from './model.ts'
import { maskSecrets } from './secrets.ts'

const NONCE = 'abcdef0123456789'
const bytes = (text: string) => new TextEncoder().encode(text)
const parse = (data: Uint8Array, cuts: number[], nonce: string | null = NONCE) => {
  const parser = new MarkParser(nonce)
  const pieces = []
  let from = 0
  for (const cut of [...cuts.map((c) => c % (data.length + 1)).sort((a, b) => a - b), data.length]) {
    pieces.push(...parser.push(data.subarray(from, cut)))
    from = cut
  }
  pieces.push(...parser.end())
  const plain = joinAll(pieces.filter((p) => p.kind === 'bytes').map((p) => p.bytes))
  return { plain: new TextDecoder().decode(plain), marks: pieces.flatMap((p) => (p.kind === 'mark' ? [p.mark] : [])), all: joinAll(pieces.map((p) => (p.kind === 'bytes' ? p.bytes : p.raw))) }
}

describe('marks', () => {
  const stream = `a\x1b]633;E;echo \\x3b \\\\ x\\x0ay;${NONCE}\x07b\x1b]633;D;42;${NONCE}\x1b\\c\x1b]633;P;Cwd=/tmp/a\\x3bb;${NONCE}\x07`
  test('are found and taken out, wherever the stream is cut', () => {
    fc.assert(fc.property(fc.array(fc.nat(200), { maxLength: 6 }), (cuts) => {
      const { plain, marks, all } = parse(bytes(stream), cuts)
      expect(plain).toBe('abc')
      expect(marks).toEqual([{ mark: 'E', command: 'echo ; \\ x\ny' }, { mark: 'D', exitCode: 42 }, { mark: 'P', key: 'Cwd', value: '/tmp/a;b' }])
      expect(all).toEqual(bytes(stream))
    }))
  })
  test('without the nonce they are output like any other, and nothing is ever lost', () => {
    const hostile = '\x1b]633;D;0\x07\x1b]633;E;rm;wrong\x07\x1b]633;\x1b]633;D;0;x\x1b[0m\x1b]633;unfinished'
    expect(parse(bytes(hostile), []).marks).toEqual([])
    expect(parse(bytes(stream), [], null).marks).toEqual([])
    const part = fc.constantFrom('\x1b', ']', '633;', 'D;0', `;${NONCE}`, '\x07', '\x1b\\', 'x', '\x18', '\x1b]633;')
    fc.assert(fc.property(fc.array(part, { maxLength: 30 }), fc.array(fc.nat(100), { maxLength: 5 }), (parts, cuts) => {
      const data = bytes(parts.join(''))
      expect(parse(data, cuts).all).toEqual(data)
    }))
  })
})

describe('asciicast', () => {
  const header = { wall: '2026-01-01T00:00:00.000Z', command: ['sh'], size: { rows: 24, cols: 80 }, env: { TERM: 'xterm' }, incident: null, nonce: null } as unknown as RecordingHeader
  const frame = (type: Frame['type'], at: number, payload: Uint8Array): Frame => ({ type, at, payload, offset: 0 })
  const events = (version: 2 | 3, frames: Frame[]) => [...asciicast(header, frames, { version })].slice(1).map((l) => JSON.parse(l) as [number, string, string])
  test('characters cut between frames are whole; a trailing part is not dropped', () => {
    const data = Uint8Array.from([...bytes('é日🚀'), 0xff, 0xe2, 0x82])
    const frames = [...data].map((b, i) => frame('o', i * 1e6, Uint8Array.of(b)))
    expect(events(3, frames).map((e) => e[2]).join('')).toBe(new TextDecoder().decode(data))
  })
  test('v3 intervals never drift: over a million events at most 1 ms', () => {
    function* many() {
      for (let i = 1; i <= 1_000_000; i++) yield frame('o', i * 1_333_333, bytes('x'))
    }
    let sum = 0
    let lines = 0
    for (const line of asciicast(header, many(), { version: 3 })) if (lines++ > 0) sum += Math.round(Number(line.slice(1, line.indexOf(','))) * 1000)
    expect(Math.abs(sum - 1_333_333)).toBeLessThanOrEqual(1)
  })
  test('v2 times are absolute with microseconds, v3 has the exit code', () => {
    const frames = [frame('o', 1_234_567_890, bytes('a')), frame('r', 2e9, bytes('100x30')), frame('x', 3e9, bytes('{"code":7}'))]
    expect(events(2, frames)).toEqual([[1.234568, 'o', 'a'], [2, 'r', '100x30']])
    expect(events(3, frames)).toEqual([[1.235, 'o', 'a'], [0.765, 'r', '100x30'], [1, 'x', '7']])
  })
})

test.each([
  ['export DB_PASSWORD=hunter2 X=1', 'hunter2'], ['mysql -u root -phunter2 db', 'hunter2'], ['curl -u me:hunter2 http://h', 'hunter2'], ['psql postgres://u:hunter2@h/db', 'hunter2'],
  ['cmd --token hunter2hunter2', 'hunter2'], ['curl -H "Authorization: Bearer hunter2hunter2"', 'hunter2'], ['aws_secret_access_key = "hunter2"', 'hunter2'], ['echo AKIAABCDEFGHIJKLMNOP', 'AKIAABCD'],
  [`sandbox login --api-key='hunter2'`, 'hunter2'], [`{"client_secret": "hunter2"}`, 'hunter2'],
])('secrets are masked: %s', (text, secret) => {
  expect(maskSecrets(text)).not.toContain(secret)
  expect(maskSecrets('ls -la /tmp; psql -h db.example.com -p 5432')).toBe('ls -la /tmp; psql -h db.example.com -p 5432')
})
