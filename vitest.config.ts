import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['src/**/*.test.ts', 'sandbox/**/*.test.ts', 'test/**/*.test.ts'],
    globalSetup: ['test/build.ts'],
    testTimeout: 60_000,
    hookTimeout: 120_000,
    // How long expect.poll looks: the default of one second is short on a busy machine.
    expect: { poll: { timeout: 30_000 } },
    // One line for each file; what is slow is listed at the end by scripts/test.mjs.
    slowTestThreshold: 3_600_000,
    pool: 'forks',
    maxWorkers: 2,
  },
})
