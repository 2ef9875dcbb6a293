import { resolve } from 'node:path'
import { readSettings, runProgram } from '../lib/index.ts'
import { startRunner } from './server.ts'

export const RUNNER_USAGE = 'runner --data DIR --organization ORG --workspace NAME --repo URL --env-file F --token-file F [--branch main] [--working-directory .] [--port 0] [--poll-ms 500] [--drift-interval-ms 0] [--no-auto-apply] [--runs-lock] [--parent-pid N]'

/** `runner …`: the Terraform runner as a program. */
export function runnerCommand(argv: readonly string[]): Promise<void> {
  const s = readSettings(argv, { usage: RUNNER_USAGE, flags: ['no-auto-apply', 'runs-lock'], values: ['data', 'port', 'organization', 'workspace', 'repo', 'branch', 'working-directory', 'env-file', 'token-file', 'poll-ms', 'drift-interval-ms'] })
  return runProgram({
    name: 'runner',
    patienceMs: 9000,
    parentPid: s.whole('parent-pid', 0) || undefined,
    start: () => startRunner({
      dataDir: resolve(s.text('data')),
      port: s.whole('port', 0),
      organization: s.text('organization'),
      workspace: s.text('workspace'),
      repo: s.text('repo'),
      branch: s.text('branch', 'main'),
      workingDirectory: s.text('working-directory', '.'),
      envFile: resolve(s.text('env-file')),
      tokenFile: s.text('token-file'),
      pollMs: s.whole('poll-ms', 500),
      driftIntervalMs: s.whole('drift-interval-ms', 0),
      autoApply: !s.has('no-auto-apply'),
      runsLock: s.has('runs-lock'),
    }),
  })
}
