/** A real cloud process, the real Terraform with the sandbox provider, a real git repository: each in a folder of its own. */
import { execFile, execFileSync, spawn, type ChildProcess } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { promisify } from 'node:util'
import type { Json } from '../../core/json.ts'
import type { InventoryItem } from '../../core/ports.ts'
import { createRunner, type Runner } from '../../terraform/index.ts'

const SANDBOX = resolve('dist/sandbox/main.js')
export const TAILWIND = resolve('examples/tailwind/production')

/** Whether Terraform is on PATH. Under CI=true a missing one is an error, not a skip. */
export function hasTerraform(): boolean {
  try {
    execFileSync('terraform', ['version'], { stdio: 'ignore' })
    return true
  } catch {
    if (process.env['CI'] === 'true') throw new Error('terraform is not on PATH, and CI=true allows no skip: install Terraform ≥ 1.5')
    return false
  }
}

export interface World {
  readonly root: string
  /** Top of the git repository. */
  readonly repo: string
  /** The Terraform root module in it. */
  readonly infra: string
  readonly env: Record<string, string>
  readonly runner: Runner
  call(method: string, path: string, body?: unknown): Promise<any>
  inventory(): Promise<InventoryItem[]>
  git(...args: string[]): string
  terraform(...args: string[]): string
  read(file: string): string
  write(file: string, text: string): void
  close(): Promise<void>
}

const TYPES: Record<string, string> = { instances: 'sandbox_instance', databases: 'sandbox_database', routes: 'sandbox_route', firewalls: 'sandbox_firewall', 'role-assignments': 'sandbox_role_assignment' }

function startCloud(data: string): Promise<{ url: string; child: ChildProcess }> {
  const child = spawn(process.execPath, [SANDBOX, 'cloud', '--data', data, '--port', '0', '--parent-pid', String(process.pid)], { stdio: ['ignore', 'pipe', 'inherit'] })
  return new Promise((ok, fail) => {
    let text = ''
    child.on('error', fail)
    child.on('exit', (code) => fail(new Error(`the cloud ended with ${String(code)}`)))
    child.stdout?.on('data', (b: Buffer) => {
      text += b.toString()
      if (text.includes('\n')) ok({ url: (JSON.parse(text.split('\n')[0] as string) as { url: string }).url, child })
    })
  })
}

/** Files by path, or a folder to copy; `infra` names the root module below it. Everything is applied once and committed. */
export async function startWorld(o: { files?: Record<string, string>; copy?: string; infra?: string; env?: Record<string, string> }): Promise<World> {
  const root = mkdtempSync(join(tmpdir(), 'reglaze-world-'))
  const repo = join(root, 'repo')
  mkdirSync(repo)
  const { url, child } = await startCloud(join(root, 'cloud'))
  const stop = async (): Promise<void> => {
    const gone = new Promise((done) => child.once('exit', done))
    if (child.exitCode === null && child.signalCode === null) {
      child.kill('SIGKILL')
      await gone
    }
    rmSync(root, { recursive: true, force: true })
  }
  try {
    const key = readFileSync(join(root, 'cloud', 'root.key'), 'utf8').trim()
    const { cli_config } = JSON.parse(execFileSync(process.execPath, [SANDBOX, 'provider', 'install', join(root, 'provider')], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] })) as { cli_config: string }
    const env: Record<string, string> = {
      TF_CLI_CONFIG_FILE: cli_config, SANDBOX_URL: url, SANDBOX_TOKEN: key, TF_VAR_orders_password: 'a secret of the test',
      GIT_AUTHOR_NAME: 'Test', GIT_AUTHOR_EMAIL: 'test@example.test', GIT_COMMITTER_NAME: 'Test', GIT_COMMITTER_EMAIL: 'test@example.test', GIT_CONFIG_GLOBAL: '/dev/null', ...o.env,
    }
    const infra = join(repo, o.infra ?? 'infra')
    const at = (f: string): string => join(infra, f)
    if (o.copy) cpSync(o.copy, repo, { recursive: true })
    for (const [path, text] of Object.entries(o.files ?? {})) {
      mkdirSync(dirname(at(path)), { recursive: true })
      writeFileSync(at(path), text)
    }
    const exec = (cwd: string, cmd: string, args: readonly string[]): string => execFileSync(cmd, args, { cwd, env: { ...process.env, ...env }, encoding: 'utf8', maxBuffer: 1 << 26, stdio: ['ignore', 'pipe', 'pipe'] })
    const w: World = {
      root, repo, infra, env,
      runner: await createRunner({ env }),
      call: async (method, path, body) => {
        const res = await fetch(url + path, { method, headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' }, ...(body === undefined ? {} : { body: JSON.stringify(body) }) })
        const text = await res.text()
        if (!res.ok) throw new Error(`${method} ${path}: ${res.status} ${text}`)
        return text ? JSON.parse(text) : null
      },
      inventory: async () => {
        const out: InventoryItem[] = []
        for (const [coll, type] of Object.entries(TYPES)) {
          const answer = await w.call('GET', `/v1/${coll}`)
          const list = (Array.isArray(answer) ? answer : Object.values(answer).find(Array.isArray)) as Record<string, Json>[]
          out.push(...list.map((i) => ({ type, id: String(i['id']), name: String(i['name'] ?? i['id']), attributes: i })))
        }
        return out
      },
      git: (...args) => exec(repo, 'git', args),
      terraform: (...args) => exec(infra, 'terraform', args),
      read: (f) => readFileSync(at(f), 'utf8'),
      write: (f, text) => writeFileSync(at(f), text),
      close: stop,
    }
    writeFileSync(join(repo, '.gitignore'), '.terraform/\n*.tfstate*\n')
    w.git('init', '-q', '-b', 'main')
    for (const args of [['init', '-input=false', '-no-color'], ['apply', '-auto-approve', '-input=false', '-no-color']]) {
      // Not the synchronous way: a state server may live in this process.
      await promisify(execFile)('terraform', args, { cwd: infra, env: { ...process.env, ...env } })
    }
    w.git('add', '-A')
    w.git('commit', '-q', '-m', 'start')
    return w
  } catch (e) {
    await stop()
    throw e
  }
}
