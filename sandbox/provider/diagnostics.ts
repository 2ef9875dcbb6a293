import { message } from './proto.ts'
import type { Spec } from './schema.ts'

export type PathStep = string | number

/** What Terraform shows to the user as an error, with the attribute it is about where that is known. */
export class Diagnostic extends Error {
  readonly summary: string
  readonly path: readonly PathStep[]
  constructor(summary: string, detail: string, path: readonly PathStep[] = []) {
    super(detail)
    this.summary = summary
    this.path = path
  }
}

export function encodeDiagnostic(d: Diagnostic): Buffer {
  return message([1, 1], [2, d.summary], [3, d.message], [4, d.path.length > 0 ? encodePath(d.path) : undefined])
}
export function encodePath(path: readonly PathStep[]): Buffer {
  return message(...path.map((step): [number, Buffer] => [1, typeof step === 'number' ? elementKey(step) : message([1, step])]))
}
// A member of a oneof is written even when it is zero, unlike an ordinary field.
function elementKey(index: number): Buffer {
  return index === 0 ? Buffer.from([3 * 8, 0]) : message([3, index])
}

/** The attribute that a message of the cloud begins with: `disk[1].size_gb must be…` → disk, 1, size_gb. */
export function pathIn(text: string, spec: Spec): PathStep[] {
  const found = /^([a-z_]+)(?:\[(\d+)\](?:\.([a-z_]+))?)?\b/.exec(text)
  const [, key, index, inner] = found ?? []
  if (!key || !(key in spec.attributes || key in spec.blocks)) return []
  if (!index || !(key in spec.blocks)) return [key]
  return [key, Number(index), ...(inner ? [inner] : [])]
}
