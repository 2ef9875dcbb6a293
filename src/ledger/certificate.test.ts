import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { useTestStore } from '../store/testing/index.ts'
import { readCertificate, writeCertificate } from './certificate-text.ts'
import type { Content } from './certificate-text.ts'
import { verifyFile } from './engine.ts'
import { append, buildCertificate, publicKeyText, startSequencer, verifyCertificate } from './index.ts'
import type { Anchors, Sequencer } from './index.ts'
import { signingKey } from './keys.ts'
import type { SigningKey } from './keys.ts'

const t = useTestStore()
let folder: string
let keyDir: string
let sequencer: Sequencer
let first: string
let publicKey: string
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'reglaze-certificate-'))
  keyDir = join(folder, 'keys')
  sequencer = startSequencer(t.store, { keyDir, origin: 'tailwind.test/ledger' })
  first = (await sequencer.flush()).note
  publicKey = (await publicKeyText(t.store.db)) as string
  for (let n = 0; n < 6; n++) await append(t.store.db, { kind: 'grant.active', incident: n % 2 === 0 ? 'inc_a' : 'inc_b', subject: `gr_${n}`, actor: 'mary', data: { n } })
})
afterEach(async () => {
  await sequencer.stop()
  rmSync(folder, { recursive: true, force: true })
})
const build = (incident = 'inc_a', since?: string) => buildCertificate(t.store, {
  incident, body: { title: 'orders-db down', open: [], proofs: ['sha256:00'] }, actor: 'reglaze', sequencer, keyDir, ...(since === undefined ? {} : { since }),
})
const reason = (text: string, anchors: Anchors): string => {
  const verdict = verifyCertificate(text, anchors)
  return verdict.ok ? 'ok' : verdict.reason
}
const ownKey = (): SigningKey => signingKey(keyDir, false) as SigningKey
/** Rewrites a certificate, signed again by the log's own key: what an insider with the key could do. */
const rewritten = (text: string, change: (c: Content) => Content): string => writeCertificate(change(readCertificate(text) as Content), ownKey().verifier('tailwind.test/ledger'), ownKey())
/** Rewrites the content but keeps the old signature. */
function tampered(text: string, change: (c: Content) => Content): string {
  return rewritten(text, change).replace(/\u2014 .*\n$/, text.slice(text.lastIndexOf('\u2014')))
}

test('a certificate is accepted against the public key, the first checkpoint, and one in between', async () => {
  const middle = (await sequencer.flush()).note
  const text = await build()
  const verdict = verifyCertificate(text, { publicKey, incident: 'inc_a' })
  expect(verdict).toMatchObject({ ok: true, incident: 'inc_a', body: { title: 'orders-db down' } })
  expect(verdict.ok && verdict.entries.map((e) => e.subject)).toEqual(['gr_0', 'gr_2', 'gr_4', 'inc_a'])
  expect(reason(text, { checkpoint: first })).toBe('ok')
  expect(reason(text, { checkpoint: middle })).toBe('ok')
  expect(reason(text, { publicKey, checkpoint: middle })).toBe('ok')
  expect(reason(text, { checkpoint: (readCertificate(text) as Content).checkpoint })).toBe('ok')
})

test('it cannot vouch for itself, and a bad anchor is no verdict', async () => {
  const text = await build()
  expect(() => verifyCertificate(text, {})).toThrow(/neither a public key/)
  expect(() => verifyCertificate(text, { publicKey: 'x' })).toThrow(/verifier key/)
  expect(() => verifyCertificate(text, { checkpoint: 'x' })).toThrow(/no signed checkpoint/)
})

test('any byte changed', async () => {
  const bytes = Buffer.from(await build())
  const accepted: number[] = []
  for (let i = 0; i < bytes.length; i++) {
    const changed = Buffer.from(bytes)
    changed[i] = (changed[i] as number) ^ 1
    if (verifyCertificate(changed.toString('utf8'), { publicKey }).ok) accepted.push(i)
  }
  expect(accepted).toEqual([])
  fc.assert(fc.property(fc.nat(bytes.length - 1), fc.integer({ min: 1, max: 255 }), fc.constantFrom('flip', 'cut', 'insert', 'end'), (at, x, how) => {
    const changed = how === 'flip' ? Buffer.concat([bytes.subarray(0, at), Buffer.of((bytes[at] as number) ^ x), bytes.subarray(at + 1)])
      : how === 'cut' ? Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + 1)])
        : how === 'insert' ? Buffer.concat([bytes.subarray(0, at), Buffer.of(x), bytes.subarray(at)])
          : bytes.subarray(0, at)
    const text = changed.toString('utf8')
    return text === bytes.toString('utf8') || !verifyCertificate(text, { publicKey }).ok
  }), { numRuns: 300 })
})

test('signed again by another key', async () => {
  const text = await build()
  const other = signingKey(join(folder, 'other'), true) as SigningKey
  const verifier = other.verifier('tailwind.test/ledger')
  const content = readCertificate(text) as Content
  const forged = writeCertificate({ ...content, body: { title: 'nothing happened' }, vkey: verifier.text }, verifier, other)
  expect(reason(forged, { publicKey })).toBe('other-key')
  expect(reason(forged, { checkpoint: first })).toBe('other-key')
  expect(reason(writeCertificate(content, verifier, other), { publicKey })).toBe('changed')
})

test('tail dropped: unsigned, signed again by the own key, and with the count corrected', async () => {
  const text = await build()
  const drop = (c: Content): Content => ({ ...c, entries: c.entries.slice(0, -2) })
  const dropAndCount = (c: Content): Content => ({ ...drop(c), count: c.count - 2 })
  const keepClosing = (c: Content): Content => ({ ...c, entries: [...c.entries.slice(0, -2), ...c.entries.slice(-1)], count: c.count - 1 })
  for (const change of [drop, dropAndCount, keepClosing]) expect(reason(rewritten(text, change), { publicKey })).toBe('entries-missing')
  expect(reason(tampered(text, drop), { publicKey })).toBe('entries-missing')
  expect(reason(tampered(text, keepClosing), { publicKey })).toBe('changed')
})

test('entries swapped', async () => {
  const text = await build()
  const swap = (c: Content): Content => ({ ...c, entries: [c.entries[1], c.entries[0], ...c.entries.slice(2)] as Content['entries'] })
  const swapBytes = (c: Content): Content => {
    const [a, b, ...rest] = c.entries as [Content['entries'][0], Content['entries'][0]]
    return { ...c, entries: [{ ...a, bytes: b.bytes }, { ...b, bytes: a.bytes }, ...rest] }
  }
  expect(reason(tampered(text, swap), { publicKey })).toBe('entries-swapped')
  expect(reason(rewritten(text, swap), { publicKey })).toBe('entries-swapped')
  expect(reason(rewritten(text, swapBytes), { publicKey })).toBe('entries-missing')
})

test('an entry that never was in the ledger, and another body', async () => {
  const text = await build()
  const invent = (c: Content): Content => ({ ...c, entries: c.entries.map((e, i) => (i === c.entries.length - 1 ? { ...e, proof: e.proof.map(() => Buffer.alloc(32).toString('base64')) } : e)) })
  expect(reason(rewritten(text, invent), { publicKey })).toBe('entry-not-in-log')
  expect(reason(rewritten(text, (c) => ({ ...c, body: { title: 'harmless' } })), { publicKey })).toBe('changed')
})

test('an older certificate replayed: a newer checkpoint is known, or another incident was asked for', async () => {
  const text = await build()
  await append(t.store.db, { kind: 'grant.active', incident: 'inc_a', subject: 'gr_9', actor: 'mary', data: null })
  const newer = (await sequencer.flush()).note
  expect(reason(text, { checkpoint: newer })).toBe('older')
  expect(reason(text, { publicKey, incident: 'inc_b' })).toBe('other-incident')
  const again = await build('inc_a', newer)
  expect(reason(again, { checkpoint: newer, incident: 'inc_a' })).toBe('ok')
})

test('a ledger that does not continue the checkpoint held outside', async () => {
  const kept = (await sequencer.flush()).note
  const text = await build()
  const { checkpointText, signNote } = await import('./note.ts')
  const verifier = ownKey().verifier('tailwind.test/ledger')
  const split = signNote(checkpointText('tailwind.test/ledger', 6, Buffer.alloc(32, 1)), verifier, ownKey().privateKey)
  expect(reason(text, { checkpoint: split })).toBe('inconsistent')
  expect(reason(rewritten(text, (c) => ({ ...c, consistency: [] })), { checkpoint: kept })).toBe('checkpoint-not-covered')
})

test('the command verifies files: key as text or file, checkpoint as file', async () => {
  const text = await build()
  mkdirSync(folder, { recursive: true })
  const file = (name: string, content: string): string => (writeFileSync(join(folder, name), content), join(folder, name))
  const certificate = file('certificate.txt', text)
  expect(verifyFile({ file: certificate, key: publicKey })).toMatchObject({ ok: true, incident: 'inc_a', entries: 4, anchors: ['public key'] })
  expect(verifyFile({ file: certificate, key: file('key', `${publicKey}\n`), checkpoint: file('first', first) })).toMatchObject({ ok: true, anchors: ['public key', 'earlier checkpoint'] })
  expect(verifyFile({ file: file('cut', text.slice(0, -5)), key: publicKey })).toMatchObject({ ok: false, reason: 'unreadable' })
  expect(() => verifyFile({ file: join(folder, 'none'), key: publicKey })).toThrow(/cannot be read/)
  expect(() => verifyFile({ file: certificate })).toThrow(/neither/)
})
