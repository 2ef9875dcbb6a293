// The subset of MessagePack that Terraform uses for values.

/** A value that Terraform does not know yet. */
export const UNKNOWN = Symbol('unknown')
export type Value = null | boolean | number | string | typeof UNKNOWN | Value[] | { [key: string]: Value }
export type Obj = { [key: string]: Value }

/** Decodes one value. Every extension is an unknown value: type 0 is a plain one, 12 one with refinements. */
// oxlint-disable-next-line max-lines-per-function -- one row for each wide byte of the format
export function unpack(bytes: Buffer): Value {
  let at = 0
  const take = (n: number): Buffer => bytes.subarray(at, (at += n))
  const text = (n: number): string => take(n).toString('utf8')
  const uint = (n: number): number => take(n).readUIntBE(0, n)
  const list = (n: number): Value[] => Array.from({ length: n }, one)
  const map = (n: number): Obj => {
    const out: Obj = {}
    for (let i = 0; i < n; i++) {
      const key = String(one())
      out[key] = one()
    }
    return out
  }
  const ext = (n: number): typeof UNKNOWN => {
    at += n + 1
    return UNKNOWN
  }
  const wide: Readonly<Record<number, () => Value>> = {
    0xc0: () => null,
    0xc2: () => false,
    0xc3: () => true,
    0xc4: () => text(uint(1)),
    0xc5: () => text(uint(2)),
    0xc6: () => text(uint(4)),
    0xc7: () => ext(uint(1)),
    0xc8: () => ext(uint(2)),
    0xc9: () => ext(uint(4)),
    0xca: () => take(4).readFloatBE(),
    0xcb: () => take(8).readDoubleBE(),
    0xcc: () => uint(1),
    0xcd: () => uint(2),
    0xce: () => uint(4),
    0xcf: () => Number(take(8).readBigUInt64BE()),
    0xd0: () => take(1).readInt8(),
    0xd1: () => take(2).readInt16BE(),
    0xd2: () => take(4).readInt32BE(),
    0xd3: () => Number(take(8).readBigInt64BE()),
    0xd4: () => ext(1),
    0xd5: () => ext(2),
    0xd6: () => ext(4),
    0xd7: () => ext(8),
    0xd8: () => ext(16),
    0xd9: () => text(uint(1)),
    0xda: () => text(uint(2)),
    0xdb: () => text(uint(4)),
    0xdc: () => list(uint(2)),
    0xdd: () => list(uint(4)),
    0xde: () => map(uint(2)),
    0xdf: () => map(uint(4)),
  }
  function one(): Value {
    const byte = uint(1)
    if (byte < 0x80) return byte
    if (byte < 0x90) return map(byte & 15)
    if (byte < 0xa0) return list(byte & 15)
    if (byte < 0xc0) return text(byte & 31)
    if (byte >= 0xe0) return byte - 256
    const read = wide[byte]
    if (!read) throw new Error(`MessagePack byte ${byte} is not used here`)
    return read()
  }
  return one()
}

export function pack(value: Value): Buffer {
  const parts: Buffer[] = []
  put(value, parts)
  return Buffer.concat(parts)
}

function put(value: Value, parts: Buffer[]): void {
  if (value === null) parts.push(Buffer.from([0xc0]))
  else if (value === UNKNOWN) parts.push(Buffer.from([0xd4, 0, 0]))
  else if (typeof value === 'boolean') parts.push(Buffer.from([value ? 0xc3 : 0xc2]))
  else if (typeof value === 'number') putNumber(value, parts)
  else if (typeof value === 'string') {
    const bytes = Buffer.from(value)
    parts.push(head(bytes.length, 0xa0, 31, [0xd9, 0xda, 0xdb]), bytes)
  } else if (Array.isArray(value)) {
    parts.push(head(value.length, 0x90, 15, [null, 0xdc, 0xdd]))
    for (const v of value) put(v, parts)
  } else {
    const entries = Object.entries(value as Obj)
    parts.push(head(entries.length, 0x80, 15, [null, 0xde, 0xdf]))
    for (const [k, v] of entries) {
      put(k, parts)
      put(v, parts)
    }
  }
}

function putNumber(value: number, parts: Buffer[]): void {
  if (Number.isInteger(value) && value >= 0 && value < 128) parts.push(Buffer.from([value]))
  else if (Number.isSafeInteger(value)) {
    const out = Buffer.alloc(9)
    out[0] = 0xd3
    out.writeBigInt64BE(BigInt(value), 1)
    parts.push(out)
  } else {
    const out = Buffer.alloc(9)
    out[0] = 0xcb
    out.writeDoubleBE(value, 1)
    parts.push(out)
  }
}

function head(n: number, small: number, smallMax: number, [b8, b16, b32]: readonly [number | null, number, number]): Buffer {
  if (n <= smallMax) return Buffer.from([small | n])
  if (b8 !== null && n < 256) return Buffer.from([b8, n])
  if (n < 65_536) return Buffer.from([b16, n >> 8, n & 255])
  const out = Buffer.alloc(5)
  out[0] = b32
  out.writeUInt32BE(n, 1)
  return out
}
