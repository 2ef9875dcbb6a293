// Runs the benches that are named (default: all) and prints one table. Absolute times mean little on a shared computer: look at the ratios.
import { benchIntake } from './intake.ts'
import { benchStart } from './start.ts'
import { benchStory } from './story.ts'

export interface Row {
  readonly what: string
  readonly value: string
  readonly peer: string
  readonly ratio: string
}
const ALL: Record<string, () => Promise<Row[]>> = { start: benchStart, intake: benchIntake, story: benchStory }

const names = process.argv.slice(2).length > 0 ? process.argv.slice(2) : Object.keys(ALL)
const rows: Row[] = []
for (const name of names) {
  const bench = ALL[name]
  if (!bench) throw new Error(`there is no bench "${name}"; there are ${Object.keys(ALL).join(', ')}`)
  process.stderr.write(`${name} …\n`)
  rows.push(...(await bench()))
}
const all = [{ what: 'WHAT', value: 'MEASURED', peer: 'PEER OR BOUND', ratio: 'RATIO' }, ...rows]
const width = (key: keyof Row): number => Math.max(...all.map((r) => r[key].length))
for (const r of all) process.stdout.write(`${r.what.padEnd(width('what'))}  ${r.value.padStart(width('value'))}  ${r.peer.padEnd(width('peer'))}  ${r.ratio.padStart(width('ratio'))}\n`)
