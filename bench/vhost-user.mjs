// npm run bench:vhost-user: a virtio SCMI device's commands through the whole daemon (ring, verdict, platform, checks,
// ring), as a ratio to a C back end that only echoes, interleaved in one run, with 1 and with 32 commands in the ring.
// Needs a C compiler. Arguments: commands a round, rounds.
import { availableParallelism, loadavg } from 'node:os'
import { cell, compiled, echoPath, guestPath, measured, median, pinning, serving } from './bench.mjs'

const commands = Number(process.argv[2] ?? 100_000)
const rounds = Number(process.argv[3] ?? 9)
const program = compiled('vhost-bench.c')

/** Header and payload words: what guest-a of the example machine may ask. */
const messages = {
  'PROTOCOL_VERSION of Base (answered here)': [0x10 << 10],
  'CLOCK_RATE_GET (forwarded to the virtual SCP)': [0x06 | (0x14 << 10), 0],
}

/** Nanoseconds: p50 and p99 of a batch's way, and wall time per command. */
const measure = (cpu, path, depth, message, count) =>
  measured(cpu, program, ['driver', path, count, depth, ...message])

const placement = (name, serverCpu, driverCpu) =>
  serving(serverCpu, program, { kind: 'vhost-user', path: guestPath, role: 'server' }, () => {
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
        console.log(
          `${what.padEnd(47)}${cell(depth, 5, 0)}${cell(median(samples.c), 10, 0)}${cell(median(samples.ours), 13, 0)}${cell(median(ratios), 9, 2)}   (${Math.min(...ratios).toFixed(2)}-${Math.max(...ratios).toFixed(2)})${cell(median(samples.cp50), 16, 1)}${cell(median(samples.p50), 14, 1)}`,
        )
      }
    }
  })

console.log(
  `${rounds} interleaved rounds; medians; Node ${process.versions.node}; load average ${loadavg()[0].toFixed(1)} on ${availableParallelism()} CPUs`,
)
if (!pinning) console.log('taskset is missing: processes are not pinned, and ratios vary from run to run')
await placement('both sides on CPU 0', 0, 0)
if (availableParallelism() > 1) await placement('server on CPU 0, guest on CPU 1', 0, 1)
