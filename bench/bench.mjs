// What both benches are made of: a C program as baseline, processes pinned to CPUs, and a scmid with one guest.
import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { ControlClient } from '../dist/cli/client.js'

const root = fileURLToPath(new URL('..', import.meta.url))
const example = name => join(root, 'fixtures/example', name)

export const directory = mkdtempSync(join(tmpdir(), 'scmid-bench-'))
export const guestPath = join(directory, 'guest-a.sock')
export const echoPath = join(directory, 'echo.sock')
/** Whether processes can be pinned; without, ratios vary from run to run. */
export const pinning = spawnSync('taskset', ['--version']).status === 0

const pinned = (cpu, command, args) =>
  pinning ? ['taskset', ['-c', String(cpu), command, ...args]] : [command, args]
const children = new Set()
const start = (cpu, command, args) => {
  const child = spawn(...pinned(cpu, command, args), { stdio: ['ignore', 'ignore', 'inherit'] })
  children.add(child)
  return child
}
// However it ends, nothing goes on running or stays behind.
process.on('exit', () => {
  for (const child of children) child.kill()
  rmSync(directory, { recursive: true, force: true })
})
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => process.exit(1))

/** Compiles the baseline. Ends the process where there is no C compiler. */
export function compiled(source) {
  const compiler = ['cc', 'gcc', 'clang'].find(name => spawnSync(name, ['--version']).status === 0)
  if (compiler === undefined) {
    console.error('bench: the baseline is a C program, and there is no C compiler here')
    process.exit(1)
  }
  const program = join(directory, 'baseline')
  execFileSync(compiler, ['-O2', '-Wall', '-o', program, join(root, 'bench', source)], { stdio: 'inherit' })
  return program
}

/** Runs a batch on a CPU, and gives the numbers that it prints. */
export function measured(cpu, program, args) {
  const [command, all] = pinned(cpu, program, args.map(String))
  return execFileSync(command, all, { encoding: 'utf8' }).trim().split(' ').map(Number)
}

/** Runs `rounds` over a baseline and a daemon that serves guest-a by `link`, both on `cpu`; then ends both. */
export async function serving(cpu, program, link, rounds) {
  const echo = start(cpu, program, ['echo', echoPath])
  const config = join(directory, 'scmid.yaml')
  const firmware = { link: 'embedded', platform: example('platform.yaml'), management: { channel: 0 } }
  // JSON is YAML.
  writeFileSync(config, JSON.stringify({ host: example('host.dtb'), firmware, log: { level: 'warn' } }))
  const main = join(root, 'dist/main.js')
  const daemon = start(cpu, process.execPath, [main, '-c', config, '--directory', directory])
  const client = new ControlClient(join(directory, 'scmid.sock'))
  for (let tries = 0; ; tries++) {
    try {
      await client.status()
      break
    } catch (error) {
      if (tries > 400) throw error
      await new Promise(done => setTimeout(done, 25))
    }
  }
  const dtb = readFileSync(example('guest-a.dtb'))
  await client.addDomain({ name: 'guest-a', dtb, link }, { dryRun: false })
  rounds()
  const ended = [once(echo, 'exit'), once(daemon, 'exit')]
  echo.kill()
  daemon.kill()
  await Promise.all(ended)
  rmSync(join(directory, 'state'), { recursive: true, force: true })
}

export const median = values => [...values].sort((a, b) => a - b)[values.length >> 1]
export const cell = (value, width, digits) => value.toFixed(digits).padStart(width)
