#!/usr/bin/env node
import { cloudProgram } from './program.ts'

await cloudProgram(process.argv.slice(2))
