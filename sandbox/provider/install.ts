import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'

export const PROVIDER_SOURCE = 'sandbox.test/cloud/sandbox'
export const PROVIDER_VERSION = '1.0.0'

// Terraform starts the provider three times for one plan, and Node would parse certificate bundles every time: measured,
// 45 ms for NODE_EXTRA_CA_CERTS and 22 ms for its own list, of 90 ms from start to handshake. The provider needs neither for
// its connection to Terraform; for an https cloud it reads both itself.
const LAUNCHER = `#!/bin/sh
SANDBOX_CA_FILE="\${SANDBOX_CA_FILE-$NODE_EXTRA_CA_CERTS}" SSL_CERT_FILE=/dev/null SSL_CERT_DIR=/dev/null
export SANDBOX_CA_FILE SSL_CERT_FILE SSL_CERT_DIR
unset NODE_EXTRA_CA_CERTS NODE_OPTIONS
`

/**
 * Writes `DIR/mirror` (a filesystem mirror with the provider) and `DIR/terraform.rc`; returns the path of the latter, to be
 * used as TF_CLI_CONFIG_FILE. The launcher holds only the paths of this Node and of the compiled provider, so that its
 * hash in lock files stays the same as long as the program stays where it is. May be repeated.
 */
export function installProvider(dir: string): { cliConfig: string; launcher: string } {
  const root = resolve(dir)
  const program = join(dirname(fileURLToPath(import.meta.url)), 'main.js')
  if (!existsSync(program)) throw new Error(`${program} is missing: build first (npx tsc -b)`)
  const launcher = join(root, 'mirror', PROVIDER_SOURCE, PROVIDER_VERSION, platform(), `terraform-provider-sandbox_v${PROVIDER_VERSION}`)
  writeIfChanged(launcher, LAUNCHER + `exec ${quoted(process.execPath)} --use-openssl-ca ${quoted(program)}\n`, 0o755)
  const cliConfig = join(root, 'terraform.rc')
  const host = PROVIDER_SOURCE.split('/')[0]
  writeIfChanged(
    cliConfig,
    `provider_installation {\n  filesystem_mirror {\n    path    = ${JSON.stringify(join(root, 'mirror'))}\n    include = ["${host}/*/*"]\n  }\n  direct {\n    exclude = ["${host}/*/*"]\n  }\n}\ndisable_checkpoint = true\n`,
  )
  return { cliConfig, launcher }
}

function platform(): string {
  const os = process.platform === 'win32' ? 'windows' : process.platform
  const arch = ({ x64: 'amd64', ia32: '386' } as Record<string, string>)[process.arch] ?? process.arch
  return `${os}_${arch}`
}
function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`
}
// Another process may be starting the launcher at this moment: replace the file as a whole, and only if it differs.
function writeIfChanged(path: string, text: string, mode = 0o644): void {
  if (existsSync(path) && readFileSync(path, 'utf8') === text) return
  mkdirSync(dirname(path), { recursive: true })
  const temporary = `${path}.${process.pid}.tmp`
  writeFileSync(temporary, text, { mode })
  renameSync(temporary, path)
}
