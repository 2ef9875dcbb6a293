// The real programs that tests work with. Without one, its tests are skipped by name; under CI=true a missing one is a failure.
import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'

interface Peer {
  readonly name: string
  /** What is not tested without it. */
  readonly for: string
  /** How to get it (Debian). */
  readonly get: string
  here(): boolean
}
const runs = (command: string, ...args: string[]): boolean => spawnSync(command, args, { stdio: 'ignore' }).status === 0

const PEERS: readonly Peer[] = [
  { name: 'terraform', for: 'everything that plans and applies', get: 'https://developer.hashicorp.com/terraform/install', here: () => runs('terraform', 'version') },
  { name: 'git', for: 'repositories, GitOps, codify', get: 'apt-get install git', here: () => runs('git', '--version') },
  {
    name: 'PostgreSQL of the system', for: 'the embedded database from system programs, moves between versions', get: 'apt-get install postgresql-15',
    here: () => existsSync('/usr/lib/postgresql') && readdirSync('/usr/lib/postgresql').some((v) => existsSync(`/usr/lib/postgresql/${v}/bin/initdb`)),
  },
  { name: 'Alertmanager', for: 'alert intake from the real sender', get: 'apt-get install prometheus-alertmanager', here: () => [process.env['REGLAZE_ALERTMANAGER'], 'prometheus-alertmanager', 'alertmanager'].some((b) => b !== undefined && runs(b, '--version')) },
  { name: 'python3', for: 'the recorder seen from an independent program', get: 'apt-get install python3', here: () => runs('python3', '--version') },
  { name: 'script', for: 'the recorder seen from an independent program', get: 'apt-get install bsdutils', here: () => runs('script', '--version') },
  { name: 'openssl', for: 'TLS', get: 'apt-get install openssl', here: () => runs('openssl', 'version') },
  { name: 'ps', for: 'processes that must have ended', get: 'apt-get install procps', here: () => runs('ps', '--version') },
  { name: 'unshare, setpriv', for: 'killed recorders, ordinary users', get: 'apt-get install util-linux', here: () => process.platform !== 'linux' || (runs('unshare', '--version') && runs('setpriv', '--version')) },
]

export function missingPeers(): readonly Peer[] {
  return PEERS.filter((p) => !p.here())
}
