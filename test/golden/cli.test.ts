import type { Command } from 'commander'
import { expect, test } from 'vitest'
import { createProgram } from '../../src/cli/program.ts'

const silent = { env: {}, cwd: '.', colour: false, out: () => {}, err: () => {} }

function all(command: Command, path: string): [string, Command][] {
  return [[path, command], ...command.commands.filter((c) => c.name() !== 'help').flatMap((c) => all(c, `${path} ${c.name()}`))]
}

test('help of every command', async () => {
  const before = process.env['REGLAZE_DATA']
  delete process.env['REGLAZE_DATA']
  const program = await createProgram(silent)
  if (before !== undefined) process.env['REGLAZE_DATA'] = before
  const pages = all(program, 'reglaze').map(([path, command]) => {
    let help = ''
    command.configureOutput({ writeOut: (t) => (help += t), writeErr: (t) => (help += t), getOutHelpWidth: () => 100 })
    command.outputHelp()
    return `$ ${path} --help\n${help.trimEnd()}`
  })
  for (const [path, command] of all(program, 'reglaze')) expect(command.description(), `${path} says what it does`).not.toBe('')
  await expect(`${pages.join('\n\n')}\n`).toMatchFileSnapshot('./help.txt')
})
