#!/usr/bin/env node
import { directoryProgram } from './program.ts'

await directoryProgram(process.argv.slice(2))
