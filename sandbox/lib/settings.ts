import { readOptions } from './process.ts'

export interface Settings {
  has(name: string): boolean
  all(name: string): string[]
  /** The value, the fallback, or an error that names the option and the usage. */
  text(name: string, fallback?: string): string
  whole(name: string, fallback: number): number
}

/** Command-line options of a program that have values; a missing or malformed one is an error with the usage line. */
export function readSettings(argv: readonly string[], o: { values: readonly string[]; flags?: readonly string[]; usage: string }): Settings {
  const options = readOptions(argv, { values: [...o.values, 'parent-pid'], flags: o.flags ?? [] })
  if (options.rest.length > 0) throw new Error(`unexpected argument ${options.rest[0]}\nusage: ${o.usage}`)
  return {
    has: (name) => options.has(name) || options.get(name) !== undefined,
    all: (name) => options.all(name),
    text: (name, fallback) => {
      const value = options.get(name) ?? fallback
      if (value === undefined) throw new Error(`--${name} is missing\nusage: ${o.usage}`)
      return value
    },
    whole: (name, fallback) => {
      const value = Number(options.get(name) ?? fallback)
      if (!Number.isInteger(value) || value < 0) throw new Error(`--${name} must be a whole number`)
      return value
    },
  }
}
