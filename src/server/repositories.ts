import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { readSetting, type Workspace } from '../config/index.ts'

const run = promisify(execFile)

/** The commit at the tip of the branch that a workspace's automation follows, asked of the repository itself. */
export async function tipOf(workspace: Workspace): Promise<{ commit: string } | { unknown: string } | null> {
  let repository: string
  try {
    repository = readSetting(workspace.repository)
  } catch (error) {
    return { unknown: (error as Error).message }
  }
  if (!/^(https?:|ssh:|git:|file:|\/|[\w.-]+@[\w.-]+:)/.test(repository)) return null
  const env = { ...process.env, GIT_TERMINAL_PROMPT: '0', GIT_ALLOW_PROTOCOL: 'https:http:ssh:git:file' }
  try {
    const { stdout } = await run('git', ['ls-remote', '--', repository, `refs/heads/${workspace.branch}`], { env, timeout: 15_000 })
    const commit = stdout.split(/\s/)[0] ?? ''
    return /^[0-9a-f]{40,64}$/.test(commit) ? { commit } : { unknown: `${repository} has no branch ${workspace.branch}` }
  } catch (error) {
    return { unknown: `${repository} could not be asked: ${((error as { stderr?: string }).stderr ?? (error as Error).message).trim().split('\n')[0]}` }
  }
}
