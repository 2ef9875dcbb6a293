#!/usr/bin/env node
import { processIo } from './io.ts'
import { runCli } from './run.ts'

// exitCode, not exit(): what is still in the pipes gets written.
process.exitCode = await runCli(process.argv.slice(2), processIo)
