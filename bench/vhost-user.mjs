// npm run bench:vhost-user: a virtio SCMI device's commands through the whole daemon (ring, verdict, platform, checks,
// ring), as a ratio to a C back end that only echoes, interleaved in one run, with 1 and with 32 commands in the ring.
// Needs a C compiler. Arguments: commands a round, rounds.
import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { availableParallelism, loadavg, tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { ControlClient } from '../dist/cli/client.js'

const commands = Number(process.argv[2] ?? 100_000)
const rounds = Number(process.argv[3] ?? 9)
const root = fileURLToPath(new URL('..', import.meta.url))
const compiler = ['cc', 'gcc', 'clang'].find(name => spawnSync(name, ['--version']).status === 0)
if (compiler === undefined) {
  console.error('bench: the baseline is a C program, and there is no C compiler here')
  process.exit(1)
}
const directory = mkdtempSync(join(tmpdir(), 'scmid-bench-'))
const program = join(directory, 'vhost-bench')
execFileSync(compiler, ['-O2', '-Wall', '-o', program, join(root, 'bench/vhost-bench.c')], {
  stdio: 'inherit',
})

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

/** Header and payload words: what guest-a of the example machine may ask. */
const messages = {
  'PROTOCOL_VERSION of Base (answered here)': [0x10 << 10],
  'CLOCK_RATE_GET (forwarded to the virtual SCP)': [0x06 | (0x14 << 10), 0],
}

/** Nanoseconds: p50 and p99 of a batch's way, and wall time per command. */
function measure(cpu, path, depth, message, count) {
  const args = ['driver', path, String(count), String(depth), ...message.map(String)]
  const [command, all] = pinned(cpu, program, args)
  return execFileSync(command, all, { encoding: 'utf8' }).trim().split(' ').map(Number)
}
const median = values => [...values].sort((a, b) => a - b)[values.length >> 1]

async function placement(name, serverCpu, driverCpu) {
  const echoPath = join(directory, 'echo.sock')
  const guestPath = join(directory, 'guest-a.sock')
  const echo = start(serverCpu, program, ['echo', echoPath])
  const config = join(directory, 'scmid.yaml')
  const [host, platform] = ['host.dtb', 'platform.yaml'].map(file => join(root, 'fixtures/example', file))
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
      if (tries > 400) throw error
      await new Promise(done => setTimeout(done, 25))
    }
  }
  await client.addDomain(
    {
      name: 'guest-a',
      dtb: readFileSync(join(root, 'fixtures/example/guest-a.dtb')),
      link: { kind: 'vhost-user', path: guestPath, role: 'server' },
    },
    { dryRun: false },
  )
  console.log(`\n${name}`)
  console.log(
    'message                                        depth   C cmd/s   ours cmd/s   ours/C   (lowest-highest)   p50 C µs   p50 ours µs',
  )
  for (const [what, message] of Object.entries(messages)) {
    for (const depth of [1, 32]) {
      const count = depth === 1 ? commands / 2 : commands * 4
      measure(driverCpu, guestPath, depth, message, count)
      const ratios = []
      const samples = { c: [], ours: [], cp50: [], p50: [] }
      for (let round = 0; round < rounds; round++) {
        const c = measure(driverCpu, echoPath, depth, message, count)
        const us = measure(driverCpu, guestPath, depth, message, count)
        ratios.push(c[2] / us[2])
        samples.c.push(1e9 / c[2])
        samples.ours.push(1e9 / us[2])
        samples.cp50.push(c[0] / 1000)
        samples.p50.push(us[0] / 1000)
      }
      const cell = (value, width, digits) => value.toFixed(digits).padStart(width)
      console.log(
        `${what.padEnd(47)}${cell(depth, 5, 0)}${cell(median(samples.c), 10, 0)}${cell(median(samples.ours), 13, 0)}${cell(median(ratios), 9, 2)}   (${Math.min(...ratios).toFixed(2)}-${Math.max(...ratios).toFixed(2)})${cell(median(samples.cp50), 16, 1)}${cell(median(samples.p50), 14, 1)}`,
      )
    }
  }
  const ended = [once(echo, 'exit'), once(daemon, 'exit')]
  echo.kill()
  daemon.kill()
  await Promise.all(ended)
  rmSync(join(directory, 'state'), { recursive: true, force: true })
}

console.log(
  `${rounds} interleaved rounds; medians; Node ${process.versions.node}; load average ${loadavg()[0].toFixed(1)} on ${availableParallelism()} CPUs`,
)
if (!pinning) console.log('taskset is missing: processes are not pinned, and ratios vary from run to run')
await placement('both sides on CPU 0', 0, 0)
if (availableParallelism() > 1) await placement('server on CPU 0, guest on CPU 1', 0, 1)
