import { execFile, execFileSync, spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { installProvider } from '../../../dist/sandbox/provider/install.js'

/** Whether `terraform` is on PATH. Under CI=true a missing one is an error, not a skip. */
export function hasTerraform(): boolean {
  try {
    execFileSync('terraform', ['version'], { stdio: 'ignore' })
    return true
  } catch {
    if (process.env['CI'] === 'true') throw new Error('terraform is not on PATH, and CI=true allows no skip: install Terraform >= 1.5 (https://developer.hashicorp.com/terraform/install)')
    return false
  }
}

export interface Workspace {
  readonly dir: string
  /** Of every run; may be changed. */
  readonly env: Record<string, string | undefined>
  write(file: string, text: string): void
  /** Runs terraform; never throws for an exit code. */
  run(...args: string[]): Promise<{ code: number; out: string }>
  /** Starts terraform and leaves it running; `providers` are the processes that it started. */
  start(...args: string[]): { child: ChildProcess; providers(): number[] }
  /** `plan` and its JSON. */
  plan(...args: string[]): Promise<{ code: number; out: string; json: any }>
  /** Applies and fails the test when terraform fails. */
  apply(...args: string[]): Promise<string>
  /** The attributes of an address in the state. */
  state(address: string): Promise<any>
}

export interface Terraform {
  workspace(main: string): Promise<Workspace>
  close(): void
}

const HEAD = `terraform {
  required_providers {
    sandbox = { source = "sandbox.test/cloud/sandbox", version = "1.0.0" }
  }
}
`

/** Real Terraform against a cloud, with the provider installed in a folder of its own. */
export function terraformFor(cloud: { url: string; rootKey: string }): Terraform {
  const root = mkdtempSync(join(tmpdir(), 'sandbox-terraform-'))
  const { cliConfig } = installProvider(join(root, 'install'))
  let n = 0
  return {
    close: () => rmSync(root, { recursive: true, force: true }),
    async workspace(main) {
      const dir = join(root, `w${n++}`)
      mkdirSync(dir)
      const env: Record<string, string | undefined> = { ...process.env, TF_CLI_CONFIG_FILE: cliConfig, SANDBOX_URL: cloud.url, SANDBOX_TOKEN: cloud.rootKey, TF_IN_AUTOMATION: '1' }
      const run: Workspace['run'] = (...args) =>
        new Promise((resolve) => {
          const at = args[0] === 'state' ? 2 : 1
          const color = args[0] === 'state' ? [] : ['-no-color']
          execFile('terraform', [...args.slice(0, at), ...color, ...args.slice(at)], { cwd: dir, env, maxBuffer: 1 << 26 }, (e, stdout, stderr) => resolve({ code: e ? Number(e.code ?? 1) : 0, out: stdout + stderr }))
        })
      const must = async (...args: string[]): Promise<string> => {
        const { code, out } = await run(...args)
        if (code !== 0) throw new Error(`terraform ${args.join(' ')} ended with ${code}\n${out}`)
        return out
      }
      const show = async (...args: string[]): Promise<any> => JSON.parse(await must('show', '-json', ...args))
      const w: Workspace = {
        dir,
        env,
        write: (file, text) => writeFileSync(join(dir, file), text),
        run,
        start(...args) {
          const child = spawn('terraform', args, { cwd: dir, env, stdio: 'ignore' })
          return { child, providers: () => childrenOf(child.pid as number) }
        },
        async plan(...args) {
          const { code, out } = await run('plan', '-input=false', '-out=p', ...args)
          return { code, out, json: code === 0 ? await show('p') : null }
        },
        apply: (...args) => must('apply', '-input=false', '-auto-approve', ...args),
        async state(address) {
          const all = (await show()).values?.root_module?.resources ?? []
          return all.find((r: any) => r.address === address)?.values ?? null
        },
      }
      w.write('head.tf', HEAD)
      w.write('main.tf', main)
      await must('init', '-input=false')
      return w
    },
  }
}

function childrenOf(parent: number): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => {
      try {
        // The fourth field is the parent; the second, a name in parentheses, may contain blanks.
        return readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ')[1] === String(parent)
      } catch {
        return false
      }
    })
}

/** `create`, `update`, `delete`, `create/delete`… by address, without no-ops. */
export function actionsOf(plan: any): Record<string, string> {
  const changes = (plan.resource_changes ?? []).filter((c: any) => c.change.actions.join() !== 'no-op' && c.mode === 'managed')
  return Object.fromEntries(changes.map((c: any) => [c.address, c.change.actions.join('/')]))
}
