import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { removeEmbedded, startCluster } from '../../src/store/index.ts'
import type { Row } from './bench.ts'
import { folder, median, ms, serve } from './tools.ts'

/** Start-up of `reglaze serve` until it answers; the peer is what it stands on: a bare PostgreSQL cluster, and an empty Node. */
export async function benchStart(): Promise<Row[]> {
  const f = folder()
  const data = join(f.dir, 'data')
  try {
    const first = await serve(data)
    await first.stop()
    const warm: number[] = []
    for (let i = 0; i < 5; i++) {
      const s = await serve(data)
      warm.push(s.tookMs)
      await s.stop()
    }
    const cluster = { dir: join(f.dir, 'bare') }
    const t0 = performance.now()
    await (await startCluster(cluster)).stop()
    const bareFirst = performance.now() - t0
    const bare: number[] = []
    for (let i = 0; i < 5; i++) {
      const t = performance.now()
      const c = await startCluster(cluster)
      bare.push(performance.now() - t)
      await c.stop()
    }
    const node: number[] = []
    for (let i = 0; i < 5; i++) {
      const t = performance.now()
      spawnSync(process.execPath, ['-e', '0'])
      node.push(performance.now() - t)
    }
    const peer = median(bare) + median(node)
    return [
      { what: 'reglaze serve, first start', value: ms(first.tookMs), peer: `bare PostgreSQL, first start ${ms(bareFirst)}`, ratio: `${(first.tookMs / bareFirst).toFixed(2)}×` },
      { what: 'reglaze serve, later start', value: ms(median(warm)), peer: `bare PostgreSQL + empty node ${ms(peer)}`, ratio: `${(median(warm) / peer).toFixed(2)}×` },
    ]
  } finally {
    await removeEmbedded(data).catch(() => undefined)
    f.remove()
  }
}
