import { generateKeyPairSync } from 'node:crypto'
import { expect, test } from 'vitest'
import { memoryTree } from './log.ts'
import { checkpointText, makeVerifier, openCheckpoint, openNote, parseCheckpoint, parseVerifier, signNote } from './note.ts'
import { appendLeaves, subtreesOf } from './tiles.ts'
import { EMPTY_ROOT, consistencyPath, inclusionPath, leafHash, nodeHash, sha256, treeRoot, verifyConsistency, verifyInclusion } from './tree.ts'

/** Public vectors of Certificate Transparency: eight leaves and the roots of the first 1 to 8 of them. */
const LEAVES = ['', '00', '10', '2021', '3031', '40414243', '5051525354555657', '606162636465666768696a6b6c6d6e6f']
const ROOTS = `6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d
fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125
aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77
d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7
4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4
76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef
ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c
5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328`.split('\n')

test('the public vectors', async () => {
  const sub = memoryTree(LEAVES.map((l) => leafHash(Buffer.from(l, 'hex'))))
  for (let n = 1; n <= 8; n++) expect((await treeRoot(sub, n)).toString('hex')).toBe(ROOTS[n - 1])
  expect(EMPTY_ROOT.toString('hex')).toBe('e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855')
})

/** The definition of RFC 6962 §2.1, as it stands there: the oracle. */
function naiveRoot(leaves: readonly Buffer[]): Buffer {
  if (leaves.length === 1) return leaves[0] as Buffer
  let k = 1
  while (k * 2 < leaves.length) k *= 2
  return nodeHash(naiveRoot(leaves.slice(0, k)), naiveRoot(leaves.slice(k)))
}

test('all inclusion and consistency proofs for n <= 130', async () => {
  const leaves = Array.from({ length: 130 }, (_, i) => sha256(Buffer.from(`leaf ${i}`)))
  const sub = memoryTree(leaves)
  let proofs = 0
  const bad: string[] = []
  for (let n = 1; n <= 130; n++) {
    const root = await treeRoot(sub, n)
    if (!root.equals(naiveRoot(leaves.slice(0, n)))) bad.push(`root ${n}`)
    for (let m = 0; m < n; m++) {
      const path = await inclusionPath(sub, m, n)
      if (!verifyInclusion(leaves[m] as Buffer, m, n, path, root)) bad.push(`inclusion ${m} ${n}`)
      if (n > 1 && verifyInclusion(leaves[m] as Buffer, (m + 1) % n, n, path, root)) bad.push(`accepted at a wrong place ${m} ${n}`)
      if (verifyInclusion(leaves[m] as Buffer, m, n, path.slice(1), root) && n > 1) bad.push(`accepted a short path ${m} ${n}`)
      const first = await treeRoot(sub, m + 1)
      const steps = await consistencyPath(sub, m + 1, n)
      if (!verifyConsistency(m + 1, n, steps, first, root)) bad.push(`consistency ${m + 1} ${n}`)
      if (m + 1 < n && verifyConsistency(m + 1, n, steps, sha256(first), root)) bad.push(`accepted another past ${m + 1} ${n}`)
      proofs += 2
    }
  }
  expect(bad).toEqual([])
  expect(proofs).toBe(17_030)
})

test('tiles grown in batches hold the same tree, over two levels', async () => {
  const leaves = Array.from({ length: 1_100 }, (_, i) => sha256(Buffer.from(`leaf ${i}`)))
  const tiles = new Map<string, Buffer>()
  const load = async (level: number, n: number): Promise<Buffer> => tiles.get(`${level}/${n}`) ?? Buffer.alloc(0)
  let size = 0
  for (const step of [1, 2, 252, 1, 1, 255, 300, 288]) {
    for (const t of (await appendLeaves(load, size, leaves.slice(size, size + step))).values()) tiles.set(`${t.level}/${t.n}`, t.hashes)
    size += step
    expect((await treeRoot(subtreesOf(load), size)).equals(naiveRoot(leaves.slice(0, size)))).toBe(true)
  }
  expect(size).toBe(1_100)
  const root = await treeRoot(subtreesOf(load), size)
  for (const at of [0, 255, 256, 700, 1_099]) expect(verifyInclusion(leaves[at] as Buffer, at, size, await inclusionPath(subtreesOf(load), at, size), root)).toBe(true)
})

const pair = generateKeyPairSync('ed25519')
const verifier = makeVerifier('tailwind.test/ledger', pair.publicKey)

test('a checkpoint note goes round, and its verifier key too', () => {
  const note = signNote(checkpointText(verifier.name, 42, sha256(Buffer.from('x'))), verifier, pair.privateKey)
  const read = openCheckpoint(note, parseVerifier(verifier.text))
  expect(read).toMatchObject({ origin: 'tailwind.test/ledger', size: 42, note })
  expect(read?.root.equals(sha256(Buffer.from('x')))).toBe(true)
  expect(note).toMatch(/^tailwind\.test\/ledger\n42\n[A-Za-z0-9+/]{43}=\n\n— tailwind\.test\/ledger [A-Za-z0-9+/=]+\n$/)
})

test('a note with any byte changed, another key or another origin is refused', () => {
  const note = signNote(checkpointText(verifier.name, 42, sha256(Buffer.from('x'))), verifier, pair.privateKey)
  const bytes = Buffer.from(note)
  for (let i = 0; i < bytes.length; i++) {
    const changed = Buffer.from(bytes)
    changed[i] = (changed[i] as number) ^ 1
    expect(openCheckpoint(changed.toString('utf8'), verifier), `byte ${i}`).toBe(null)
  }
  expect(openNote(note, makeVerifier(verifier.name, generateKeyPairSync('ed25519').publicKey))).toBe(null)
  const foreign = signNote(checkpointText('other.test/log', 42, sha256(Buffer.from('x'))), verifier, pair.privateKey)
  expect(openCheckpoint(foreign, verifier)).toBe(null)
  // A signature of an unknown key beside ours is ignored, as the format says.
  expect(openCheckpoint(`${note}— witness.test ${Buffer.alloc(68, 7).toString('base64')}\n`, verifier)?.size).toBe(42)
})

test('what is no checkpoint or key is refused', () => {
  for (const text of ['', 'x', 'a\n1\nAAAA\n\n', 'a\n01\n' + Buffer.alloc(32).toString('base64') + '\n\n', 'a\n-1\n' + Buffer.alloc(32).toString('base64') + '\n\n']) expect(parseCheckpoint(text)).toBe(null)
  for (const text of ['', 'name', 'name+00000000+AAAA', verifier.text.replace(/\+[0-9a-f]{8}\+/, '+00000000+')]) expect(() => parseVerifier(text)).toThrow(/verifier key/)
})
