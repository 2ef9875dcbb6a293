import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { startRunner } from '../runner/server.ts'
import { api, removeDir, tempDir, testRemote, testTokens, until, type TestRemote } from './world.ts'

export const FIRST = 'resource "terraform_data" "a" {\n  input = "one"\n}\n'

export interface TestRunner {
  readonly url: string
  readonly dir: string
  readonly remote: TestRemote
  readonly tokenFile: string
  readonly envFile: string
  readonly args: readonly string[]
  workspace(): Promise<any>
  /** Newest first. */
  runs(): Promise<any[]>
  call(method: string, path: string, body?: unknown, user?: string): Promise<{ status: number; body: any; headers: Headers }>
  /** Waits until no run works and at least this many are finished. */
  quiet(finished: number): Promise<any[]>
  close(): Promise<void>
}
export const WORKSPACE = '/api/v2/organizations/acme/workspaces/production'
const FINAL = ['applied', 'planned_and_finished', 'errored', 'discarded', 'canceled']
const atRest = (a: any): boolean => FINAL.includes(a.status) || (a.status === 'planned' && !a['auto-apply'])

/** A remote with one `terraform_data` and (unless `start: false`) the runner in this process. */
export async function testRunner(o: { files?: Record<string, string>; env?: Record<string, string>; driftIntervalMs?: number; autoApply?: boolean; runsLock?: boolean; start?: boolean; workingDirectory?: string } = {}): Promise<TestRunner> {
  const dir = tempDir()
  const workingDirectory = o.workingDirectory ?? 'live'
  const remote = testRemote(dir, o.files ?? { 'live/main.tf': FIRST })
  const tokenFile = testTokens(dir)
  const envFile = join(dir, 'runner.env')
  writeFileSync(join(dir, 'empty.rc'), '')
  writeFileSync(envFile, Object.entries({ TF_CLI_CONFIG_FILE: join(dir, 'empty.rc'), ...o.env }).map(([k, v]) => `${k}=${v}\n`).join(''))
  const options = { dataDir: join(dir, 'runner'), port: 0, organization: 'acme', workspace: 'production', repo: remote.url, branch: 'main', workingDirectory, envFile, tokenFile, pollMs: 50, driftIntervalMs: o.driftIntervalMs ?? 0, autoApply: o.autoApply ?? true, runsLock: o.runsLock ?? false }
  const running = o.start === false ? null : await startRunner(options)
  const url = running?.url ?? ''
  const call: TestRunner['call'] = (method, path, body, user = 'human') => api(url, user, method, path, body, { 'content-type': 'application/vnd.api+json' })
  const workspace = async (): Promise<any> => (await call('GET', WORKSPACE, undefined, 'viewer')).body.data
  const runs = async (): Promise<any[]> => (await call('GET', `/api/v2/workspaces/${(await workspace()).id}/runs?page[size]=100`, undefined, 'viewer')).body.data
  return {
    url, dir, remote, tokenFile, envFile, workspace, runs, call,
    args: ['runner', '--data', options.dataDir, '--organization', 'acme', '--workspace', 'production', '--repo', remote.url, '--working-directory', workingDirectory, '--env-file', envFile, '--token-file', tokenFile, '--poll-ms', '50'],
    quiet: (finished) => until(`${finished} finished runs`, async () => {
      const all = await runs()
      return all.length >= finished && all.every((r) => atRest(r.attributes)) ? all : null
    }, 30_000),
    close: async () => {
      await running?.close()
      removeDir(dir)
    },
  }
}
