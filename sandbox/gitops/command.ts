import { readSettings, runProgram } from '../lib/index.ts'
import { startGitOps } from './server.ts'

export const GITOPS_USAGE = 'gitops --data DIR --repo URL --cloud URL --cloud-token-file F --token-file F [--branch main] [--port 0] [--interval-ms 1000] [--root-path gitops/root] [--parent-pid N]'

/** `gitops …`: the GitOps agent as a program. */
export function gitopsCommand(argv: readonly string[]): Promise<void> {
  const s = readSettings(argv, { usage: GITOPS_USAGE, values: ['data', 'port', 'repo', 'branch', 'cloud', 'cloud-token-file', 'token-file', 'interval-ms', 'root-path'] })
  return runProgram({
    name: 'gitops',
    parentPid: s.whole('parent-pid', 0) || undefined,
    start: () => startGitOps({
      dataDir: s.text('data'),
      port: s.whole('port', 0),
      repo: s.text('repo'),
      branch: s.text('branch', 'main'),
      cloudUrl: s.text('cloud'),
      cloudTokenFile: s.text('cloud-token-file'),
      tokenFile: s.text('token-file'),
      intervalMs: s.whole('interval-ms', 1000),
      rootPath: s.text('root-path', 'gitops/root'),
    }),
  })
}
