import { generateKeyPairSync, randomBytes, sign } from 'node:crypto'

/** A self-signed certificate for `localhost` (EC P-256, one day), as go-plugin's AutoMTLS expects one; made anew at every start. */
export function selfSigned(): { key: string; cert: string; der: Buffer } {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const name = seq(set(seq(oid(2, 5, 4, 3), der(0x0c, Buffer.from('localhost')))))
  const ecdsaSha256 = seq(oid(1, 2, 840, 10045, 4, 3, 2))
  const now = Date.now()
  const extension = (id: Buffer, critical: boolean, value: Buffer): Buffer => seq(id, ...(critical ? [der(0x01, Buffer.from([0xff]))] : []), der(0x04, value))
  const extensions = seq(
    extension(oid(2, 5, 29, 15), true, der(0x03, Buffer.from([2, 0xac]))), // digitalSignature, keyEncipherment, keyAgreement, keyCertSign
    extension(oid(2, 5, 29, 37), false, seq(oid(1, 3, 6, 1, 5, 5, 7, 3, 2), oid(1, 3, 6, 1, 5, 5, 7, 3, 1))), // client, server
    extension(oid(2, 5, 29, 19), true, seq(der(0x01, Buffer.from([0xff])))), // CA
    extension(oid(2, 5, 29, 17), false, seq(der(0x82, Buffer.from('localhost')))),
  )
  const body = seq(
    der(0xa0, der(0x02, Buffer.from([2]))),
    der(0x02, Buffer.concat([Buffer.from([1]), randomBytes(15)])),
    ecdsaSha256,
    name,
    seq(time(now - 60_000), time(now + 86_400_000)),
    name,
    publicKey.export({ type: 'spki', format: 'der' }),
    der(0xa3, extensions),
  )
  const signature = sign('sha256', body, privateKey)
  const certificate = seq(body, ecdsaSha256, der(0x03, Buffer.concat([Buffer.from([0]), signature])))
  return { key: privateKey.export({ type: 'pkcs8', format: 'pem' }) as string, cert: pem(certificate), der: certificate }
}

/** Certificate text with lines of 64 characters and no empty line, also when the last one is full: OpenSSL refuses an empty line. */
export function pem(certificate: Buffer): string {
  const lines = certificate.toString('base64').match(/.{1,64}/g) ?? []
  return `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`
}

function der(tag: number, content: Buffer): Buffer {
  const n = content.length
  const length = n < 128 ? [n] : n < 256 ? [0x81, n] : [0x82, n >> 8, n & 255]
  return Buffer.concat([Buffer.from([tag, ...length]), content])
}
function seq(...items: Buffer[]): Buffer {
  return der(0x30, Buffer.concat(items))
}
function set(...items: Buffer[]): Buffer {
  return der(0x31, Buffer.concat(items))
}
function time(at: number): Buffer {
  return der(0x17, Buffer.from(`${new Date(at).toISOString().replace(/[-:T]/g, '').slice(2, 14)}Z`))
}
function oid(a: number, b: number, ...rest: number[]): Buffer {
  const out = [a * 40 + b]
  for (const part of rest) {
    const bytes = [part & 127]
    for (let n = part >> 7; n > 0; n >>= 7) bytes.unshift((n & 127) | 128)
    out.push(...bytes)
  }
  return der(0x06, Buffer.from(out))
}
