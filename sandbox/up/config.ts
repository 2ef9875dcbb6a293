// What `up` starts, and the control file for the automations (they need a git remote, which comes after the cloud).
import { readFileSync } from 'node:fs'

export const PROGRAMS = ['cloud', 'directory', 'gitops', 'runner', 'autoscaler'] as const
export type ProgramName = (typeof PROGRAMS)[number]
/** Programs that act in the cloud with a key of their own. */
export const AUTOMATIONS = ['gitops', 'runner', 'autoscaler'] as const
export type Automation = (typeof AUTOMATIONS)[number]

export interface AutomationConfig {
  /** Git remote that the GitOps agent and the runner work from. */
  readonly repo?: string
  readonly branch?: string
  /** The cloud's address, when it is not started in the same folder. */
  readonly cloudUrl?: string
  readonly gitops?: { readonly intervalMs?: number; readonly rootPath?: string; readonly roles?: readonly string[] }
  readonly runner?: {
    readonly organization?: string
    readonly workspace?: string
    readonly workingDirectory?: string
    readonly pollMs?: number
    readonly driftIntervalMs?: number
    readonly autoApply?: boolean
    readonly runsLock?: boolean
    readonly roles?: readonly string[]
    /** Variables for Terraform, e.g. TF_CLI_CONFIG_FILE, TF_HTTP_ADDRESS. SANDBOX_URL and SANDBOX_TOKEN are added. */
    readonly env?: Readonly<Record<string, string>>
  }
  readonly autoscaler?: { readonly intervalMs?: number; readonly graceMs?: number; readonly roles?: readonly string[]; readonly groups?: readonly { readonly name: string; readonly match: Readonly<Record<string, string>> }[] }
}

const KEYS: Record<string, readonly string[]> = {
  '': ['repo', 'branch', 'cloudUrl', 'gitops', 'runner', 'autoscaler'],
  gitops: ['intervalMs', 'rootPath', 'roles'],
  runner: ['organization', 'workspace', 'workingDirectory', 'pollMs', 'driftIntervalMs', 'autoApply', 'runsLock', 'roles', 'env'],
  autoscaler: ['intervalMs', 'graceMs', 'roles', 'groups'],
}

/** Reads the control file; an unknown key is an error, because it would be ignored in silence. */
export function readConfig(file: string): AutomationConfig {
  let config: AutomationConfig
  try {
    config = JSON.parse(readFileSync(file, 'utf8')) as AutomationConfig
  } catch (e) {
    throw new Error(`${file}: ${(e as Error).message}`, { cause: e })
  }
  for (const [part, known] of Object.entries(KEYS)) {
    const value = (part === '' ? config : (config as Record<string, unknown>)[part]) ?? {}
    if (typeof value !== 'object' || Array.isArray(value)) throw new Error(`${file}: ${part || 'the file'} must be an object`)
    const unknown = Object.keys(value).find((k) => !known.includes(k))
    if (unknown !== undefined) throw new Error(`${file}: ${part ? `${part}.` : ''}${unknown} is not known; known are ${known.join(', ')}`)
  }
  return config
}

export function readNames(text: string): ProgramName[] {
  const names = text.split(',').map((n) => n.trim()).filter(Boolean)
  const unknown = names.find((n) => !PROGRAMS.includes(n as ProgramName))
  if (unknown !== undefined) throw new Error(`--with ${unknown}: programs are ${PROGRAMS.join(', ')}`)
  return PROGRAMS.filter((p) => names.includes(p))
}
