// What both README commands need before they can start: a supported Node, Terraform on PATH, installed packages, a build.
import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { createHash } from 'node:crypto'
import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'

const stamp = 'node_modules/.reglaze-installed'

function fail(text) {
  console.error(`reglaze: ${text}`)
  process.exit(2)
}

function run(what, command, args) {
  const done = spawnSync(command, args, { stdio: ['ignore', 'inherit', 'inherit'], shell: false })
  if (done.error) fail(`${what}: ${done.error.message}`)
  if (done.status !== 0) fail(`${what} failed (exit code ${done.status}); its output is above.`)
}

function checkNode() {
  const [major, minor] = process.versions.node.split('.').map(Number)
  if (major < 20 || (major === 20 && minor < 19)) fail(`Node ${process.versions.node} is too old: 20.19 or newer is needed (https://nodejs.org).`)
}

/** Terraform >= 1.5 or OpenTofu is the one prerequisite that we cannot install. */
function checkTerraform() {
  const candidates = process.env.REGLAZE_TERRAFORM ? [process.env.REGLAZE_TERRAFORM] : ['terraform', 'tofu']
  for (const name of candidates) {
    const asked = spawnSync(name, ['version', '-json'], { encoding: 'utf8', env: { ...process.env, CHECKPOINT_DISABLE: '1' } })
    if (asked.status !== 0) continue
    const version = JSON.parse(asked.stdout).terraform_version
    const [major, minor] = version.split('.').map(Number)
    if (major > 1 || (major === 1 && minor >= 5)) return
    fail(`${name} ${version} is too old: Terraform >= 1.5 or OpenTofu is needed (https://developer.hashicorp.com/terraform/install, https://opentofu.org/docs/intro/install/).`)
  }
  fail(
    `neither terraform nor tofu was found on PATH. Reglaze works on real Terraform: install Terraform >= 1.5 ` +
      `(https://developer.hashicorp.com/terraform/install) or OpenTofu (https://opentofu.org/docs/intro/install/), ` +
      `or name the binary in REGLAZE_TERRAFORM.`,
  )
}

function install() {
  const wanted = createHash('sha256').update(readFileSync('package-lock.json')).digest('hex')
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === wanted) return
  console.error('reglaze: installing packages (once) …')
  // Not `npm ci`: it refuses a lock file that lacks the optional package of some other platform (npm/cli#4828).
  // The versions are those of the lock file all the same, and --no-save leaves it as it is.
  run('npm install', process.platform === 'win32' ? 'npm.cmd' : 'npm', ['install', '--no-save', '--no-audit', '--no-fund', '--loglevel=error'])
  writeFileSync(stamp, wanted)
}

export function prepare() {
  process.chdir(dirname(dirname(fileURLToPath(import.meta.url))))
  checkNode()
  checkTerraform()
  install()
  run('the build', process.execPath, ['node_modules/typescript/bin/tsc', '-b'])
}
