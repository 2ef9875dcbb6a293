import { X509Certificate } from 'node:crypto'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { pem, selfSigned } from './certificate.ts'
import { UNKNOWN, pack, unpack } from './msgpack.ts'
import type { Value } from './msgpack.ts'
import { bytesOf, message, readFields, textOf } from './proto.ts'

test('MessagePack: what is packed is unpacked the same, whatever its size', () => {
  const value = fc.letrec<{ v: Value }>((tie) => ({
    v: fc.oneof({ depthSize: 'small' }, fc.constant(null), fc.constant(UNKNOWN), fc.boolean(), fc.maxSafeInteger(), fc.double({ noNaN: true, noDefaultInfinity: true }).map((n) => n + 0), fc.string({ unit: 'binary', maxLength: 400 }), fc.array(tie('v'), { maxLength: 20 }), fc.dictionary(fc.string().filter((k) => k !== '__proto__'), tie('v')).map((o) => ({ ...o }))) as fc.Arbitrary<Value>,
  })).v
  fc.assert(fc.property(value, (v) => {
    expect(unpack(pack(v))).toEqual(v)
  }), { numRuns: 300 })
  const long = 'ä'.repeat(70_000)
  expect(unpack(pack([long, Array.from({ length: 70_000 }, (_, i) => i)]))).toEqual([long, Array.from({ length: 70_000 }, (_, i) => i)])
})
test('MessagePack: every extension is an unknown value, refined ones too', () => {
  expect(unpack(Buffer.from([0x93, 0xd4, 0, 0, 0xc7, 3, 12, 1, 2, 3, 5]))).toEqual([UNKNOWN, UNKNOWN, 5])
})
test('protobuf: fields come back, long ones too; a cut message is an error', () => {
  const big = 'x'.repeat(70_000)
  const f = readFields(message([1, 'a'], [2, true], [15, 300], [2047, big], [3, Buffer.alloc(0)], [4, 0]))
  expect([textOf(f, 1), f.get(2), f.get(15), textOf(f, 2047) === big, f.has(3), f.has(4), bytesOf(f, 9).length]).toEqual(['a', [1], [300], true, true, false, 0])
  expect(() => readFields(Buffer.from([0x80]))).toThrow(/cut off/)
})
test('no length of a certificate gives an empty line (a signature is 68 to 72 bytes; one start in 750 failed)', () => {
  for (let n = 370; n < 440; n++) expect(pem(Buffer.alloc(n))).toMatch(/^-----BEGIN CERTIFICATE-----\n([\w+/=]{1,64}\n)+-----END CERTIFICATE-----\n$/)
})
test('the certificate is what AutoMTLS expects', () => {
  const cert = new X509Certificate(selfSigned().cert)
  expect(cert).toMatchObject({ subject: 'CN=localhost', subjectAltName: 'DNS:localhost', ca: true })
  expect(cert.verify(cert.publicKey)).toBe(true)
  expect(Date.parse(cert.validFrom)).toBeLessThan(Date.now())
})
