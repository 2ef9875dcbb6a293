import { readSettings, runProgram } from '../lib/index.ts'
import { readGroup, startAutoscaler } from './server.ts'

export const AUTOSCALER_USAGE = 'autoscaler --data DIR --cloud URL --cloud-token-file F --token-file F --group NAME:tag=value[,tag=value] [--group …] [--port 0] [--interval-ms 1000] [--grace-ms 3000] [--parent-pid N]'

/** `autoscaler …`: the autoscaler as a program. */
export function autoscalerCommand(argv: readonly string[]): Promise<void> {
  const s = readSettings(argv, { usage: AUTOSCALER_USAGE, values: ['data', 'port', 'cloud', 'cloud-token-file', 'token-file', 'interval-ms', 'grace-ms', 'group'] })
  return runProgram({
    name: 'autoscaler',
    parentPid: s.whole('parent-pid', 0) || undefined,
    start: () => startAutoscaler({
      dataDir: s.text('data'),
      port: s.whole('port', 0),
      cloudUrl: s.text('cloud'),
      cloudTokenFile: s.text('cloud-token-file'),
      tokenFile: s.text('token-file'),
      intervalMs: s.whole('interval-ms', 1000),
      graceMs: s.whole('grace-ms', 3000),
      groups: s.all('group').map(readGroup),
    }),
  })
}
