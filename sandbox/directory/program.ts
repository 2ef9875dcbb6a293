import { readOptions, runProgram } from '../lib/index.ts'
import { openDirectory, serveDirectory } from './server.ts'

/** `directory --data DIR [--host H] [--port N] [--root-key KEY] [--parent-pid PID]`; serves until SIGTERM. */
export async function directoryProgram(argv: readonly string[]): Promise<void> {
  await runProgram({
    name: 'directory',
    parentPid: Number(/--parent-pid[= ](\d+)/.exec(argv.join(' '))?.[1] ?? 0),
    async start() {
      const options = readOptions(argv, { values: ['data', 'host', 'port', 'root-key', 'parent-pid'] })
      const data = options.get('data')
      if (!data) throw new Error('--data DIR is missing: the folder for its state')
      const journal = await openDirectory(data, options.get('root-key'))
      const server = await serveDirectory(journal, { host: options.get('host') ?? '127.0.0.1', port: Number(options.get('port') ?? 0) })
      return { url: server.url, close: async () => (await server.close(), await journal.close()) }
    },
  })
}
