import { installProvider } from './install.ts'

/** `provider install DIR` */
export async function providerProgram(argv: readonly string[]): Promise<void> {
  const [command, dir] = argv
  if (command !== 'install' || !dir) {
    process.stderr.write('usage: sandbox provider install DIR\n')
    process.exitCode = 2
    return
  }
  const { cliConfig, launcher } = installProvider(dir)
  process.stdout.write(`${JSON.stringify({ cli_config: cliConfig, launcher })}\n`)
  process.stderr.write(`use it with: export TF_CLI_CONFIG_FILE=${cliConfig}\n`)
}
