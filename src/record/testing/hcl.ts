import { spawnSync } from 'node:child_process'

/** What Terraform itself says about the syntax: `ok`, or its message. */
export function parseHcl(text: string): string {
  const run = spawnSync('terraform', ['fmt', '-no-color', '-'], { input: text, encoding: 'utf8' })
  return run.status === 0 ? 'ok' : run.stderr
}
