import { spawn, type ChildProcess } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export const REGLAZE = join(import.meta.dirname, '..', '..', 'dist', 'src', 'cli', 'main.js')
export const median = (list: readonly number[]): number => [...list].sort((a, b) => a - b)[Math.floor(list.length / 2)] as number
export const ms = (n: number): string => `${Math.round(n)} ms`

export function folder(): { dir: string; remove(): void } {
  const dir = mkdtempSync(join(tmpdir(), 'reglaze-bench-'))
  return { dir, remove: () => rmSync(dir, { recursive: true, force: true }) }
}

/** Starts `reglaze serve` and waits for its ready line; tells how long that took. */
export async function serve(dataDir: string): Promise<{ child: ChildProcess; url: string; token: string | null; tookMs: number; stop(): Promise<void> }> {
  const started = performance.now()
  const child = spawn(process.execPath, [REGLAZE, '--json', 'serve', '--data', dataDir, '--port', '0'], { stdio: ['ignore', 'pipe', 'ignore'] })
  const line = await new Promise<string>((done, fail) => {
    let text = ''
    child.stdout.on('data', (c: Buffer) => {
      text += c.toString()
      if (text.includes('\n')) done(text.split('\n')[0] as string)
    })
    child.once('exit', (code) => fail(new Error(`reglaze serve ended with ${code}`)))
  })
  const ready = JSON.parse(line) as { url: string; admin_token: string | null }
  return {
    child, url: ready.url, token: ready.admin_token, tookMs: performance.now() - started,
    stop: () => new Promise((done) => {
      child.once('exit', () => done())
      child.kill('SIGTERM')
    }),
  }
}
