#!/usr/bin/env node
// scmictl's entry: this process's streams and environment, one run, one exit code.
import { readEnvironment } from '../config/environment.ts'
import { runScmictl } from './program.ts'

// A reader that has seen enough, as `head`, is no error.
for (const stream of [process.stdout, process.stderr])
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error
    process.exit()
  })

const terminal = process.stdout.isTTY === true
process.exitCode = await runScmictl(process.argv.slice(2), {
  stdin: process.stdin,
  stdout: process.stdout,
  stderr: process.stderr,
  terminal,
  colour: terminal && !readEnvironment().noColor,
})
