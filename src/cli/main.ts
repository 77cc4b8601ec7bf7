#!/usr/bin/env node
// scmictl's entry: this process's streams and environment, one run, one exit code.
import { writeSync } from 'node:fs'
import { readEnvironment } from '../config/environment.ts'
import { runScmictl } from './program.ts'

// A reader that has seen enough, as `head`, is no error; a full disk is one, and says so.
const lost = (error: NodeJS.ErrnoException): never => {
  if (error.code === 'EPIPE') process.exit()
  try {
    writeSync(2, `scmictl: output: ${error.message}\n`)
  } catch {
    // nowhere left to say it
  }
  process.exit(1)
}
for (const stream of [process.stdout, process.stderr]) stream.on('error', lost)

const terminal = process.stdout.isTTY === true
process.exitCode = await runScmictl(process.argv.slice(2), {
  stdin: process.stdin,
  stdout: process.stdout,
  stderr: process.stderr,
  terminal,
  colour: terminal && !readEnvironment().noColor,
})
