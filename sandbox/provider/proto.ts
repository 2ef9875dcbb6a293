// The subset of protobuf that the plugin protocol needs: varint and length-delimited fields.

/** Field number → the values that came for it, in order: numbers for varints, bytes for everything else. */
export type Fields = Map<number, (number | Buffer)[]>

/** Reads one message. Throws on a wire type that the protocol does not use. */
export function readFields(bytes: Buffer): Fields {
  const fields: Fields = new Map()
  let at = 0
  const varint = (): number => {
    let value = 0
    let factor = 1
    for (;;) {
      const byte = bytes[at++]
      if (byte === undefined) throw new Error('the message is cut off')
      value += (byte & 127) * factor
      if (byte < 128) return value
      factor *= 128
    }
  }
  while (at < bytes.length) {
    const tag = varint()
    const wire = tag & 7
    let value: number | Buffer
    if (wire === 0) value = varint()
    else if (wire === 2) {
      const size = varint()
      value = bytes.subarray(at, at + size)
      at += size
    } else throw new Error(`wire type ${wire} is not used here`)
    const number = Math.floor(tag / 8)
    const list = fields.get(number)
    if (list) list.push(value)
    else fields.set(number, [value])
  }
  return fields
}

export function bytesOf(fields: Fields, number: number): Buffer {
  const value = fields.get(number)?.at(-1)
  return Buffer.isBuffer(value) ? value : EMPTY
}
export function textOf(fields: Fields, number: number): string {
  return bytesOf(fields, number).toString('utf8')
}
const EMPTY = Buffer.alloc(0)

type Value = string | number | boolean | Buffer | undefined

/** One message from `[field number, value]` pairs. Zero, false, empty text and undefined are left out, as proto3 does; a Buffer is always written. */
export function message(...fields: readonly (readonly [number: number, value: Value])[]): Buffer {
  const parts: Buffer[] = []
  for (const [number, value] of fields) {
    if (value === undefined || value === false || value === 0 || value === '') continue
    if (value === true || typeof value === 'number') parts.push(varint(number * 8), varint(Number(value)))
    else {
      const bytes = typeof value === 'string' ? Buffer.from(value) : value
      parts.push(varint(number * 8 + 2), varint(bytes.length), bytes)
    }
  }
  return Buffer.concat(parts)
}

function varint(value: number): Buffer {
  const out: number[] = []
  let rest = value
  while (rest >= 128) {
    out.push((rest % 128) | 128)
    rest = Math.floor(rest / 128)
  }
  out.push(rest)
  return Buffer.from(out)
}
