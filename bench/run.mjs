// npm run bench: round trips over a trap socket through the whole daemon (copy in, verdict, platform, checks, copy out),
// as a ratio to the same socket served by a C program that only echoes, interleaved in one run. Needs a C compiler.
import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { ControlClient } from '../dist/cli/client.js'

const roundTrips = Number(process.argv[2] ?? 20_000)
const rounds = 9
const root = fileURLToPath(new URL('..', import.meta.url))
const compiler = ['cc', 'gcc', 'clang'].find(name => spawnSync(name, ['--version']).status === 0)
if (compiler === undefined) {
  console.error('bench: the baseline is a C program, and there is no C compiler here')
  process.exit(1)
}
const directory = mkdtempSync(join(tmpdir(), 'scmid-bench-'))
const program = join(directory, 'trap-bench')
execFileSync(compiler, ['-O2', '-Wall', '-o', program, join(root, 'bench/trap-bench.c')], {
  stdio: 'inherit',
})

const cpus = availableParallelism()
const pinning = spawnSync('taskset', ['--version']).status === 0
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

const CLOCK_RATE_GET = (0x06 | (0x14 << 10)) >>> 0
const CLOCK_CONFIG_SET = (0x07 | (0x14 << 10)) >>> 0
/** Header and payload words: what guest-a of the example machine may ask of its clock 0, and of somebody else's. */
const messages = {
  'forwarded query (CLOCK_RATE_GET)': [CLOCK_RATE_GET, 0],
  'forwarded, audited control (CLOCK_CONFIG_SET)': [CLOCK_CONFIG_SET, 0, 1, 0],
  'placeholder (CLOCK_RATE_GET, not owned)': [CLOCK_RATE_GET, 1],
}

/** p50, p99 and mean of one batch, in nanoseconds. */
function measure(cpu, path, message, count = roundTrips) {
  const [command, args] = pinned(cpu, program, ['driver', path, String(count), ...message.map(String)])
  return execFileSync(command, args, { encoding: 'utf8' }).trim().split(' ').map(Number)
}
const median = values => [...values].sort((a, b) => a - b)[values.length >> 1]

async function placement(name, serverCpu, driverCpu) {
  const echoPath = join(directory, 'echo.sock')
  const guestPath = join(directory, 'guest-a.sock')
  const echo = start(serverCpu, program, ['echo', echoPath])
  const config = join(directory, 'scmid.yaml')
  const [host, platform] = ['host.dtb', 'platform.yaml'].map(name => join(root, 'fixtures/example', name))
  const firmware = { link: 'embedded', platform, management: { channel: 0 } }
  writeFileSync(config, JSON.stringify({ host, firmware, log: { level: 'warn' } })) // JSON is YAML
  const daemon = start(serverCpu, process.execPath, [
    join(root, 'dist/main.js'),
    '-c',
    config,
    '--directory',
    directory,
  ])
  const client = new ControlClient(join(directory, 'scmid.sock'))
  for (let tries = 0; ; tries++) {
    try {
      await client.status()
      break
    } catch (error) {
      if (tries > 200) throw error
      await new Promise(done => setTimeout(done, 25))
    }
  }
  await client.addDomain(
    {
      name: 'guest-a',
      dtb: readFileSync(join(root, 'fixtures/example/guest-a.dtb')),
      link: { kind: 'trap-socket', path: guestPath },
    },
    { dryRun: false },
  )
  console.log(`\n${name}`)
  console.log(
    '                                                  C p50 µs   ours p50 µs   ratio p50   ratio p99',
  )
  for (const [what, message] of Object.entries(messages)) {
    measure(driverCpu, guestPath, message, 2000)
    const p50 = []
    const p99 = []
    const ours = []
    const theirs = []
    // A control's audit record is written to disk by the other thread: where that lags, BUSY is waited out, untimed.
    for (let round = 0; round < rounds; round++) {
      const c = measure(driverCpu, echoPath, message)
      const us = measure(driverCpu, guestPath, message)
      p50.push(us[0] / c[0])
      p99.push(us[1] / c[1])
      ours.push(us[0])
      theirs.push(c[0])
    }
    const cell = (value, width, digits) => value.toFixed(digits).padStart(width)
    console.log(
      `${what.padEnd(48)}${cell(median(theirs) / 1000, 10, 1)}${cell(median(ours) / 1000, 14, 1)}${cell(median(p50), 12, 2)}${cell(median(p99), 12, 2)}`,
    )
  }
  const ended = [once(echo, 'exit'), once(daemon, 'exit')]
  echo.kill()
  daemon.kill()
  await Promise.all(ended)
  rmSync(join(directory, 'state'), { recursive: true, force: true })
}

console.log(
  `${rounds} interleaved rounds of ${roundTrips} round trips; median of the rounds' ratios; Node ${process.versions.node}`,
)
if (!pinning) console.log('taskset is missing: processes are not pinned, and ratios vary from run to run')
await placement('both sides on CPU 0', 0, 0)
if (cpus > 1) await placement('server on CPU 0, guest on CPU 1', 0, 1)
