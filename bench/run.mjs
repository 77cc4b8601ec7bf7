// npm run bench: round trips over a trap socket through the whole daemon (copy in, verdict, platform, checks, copy out),
// as a ratio to the same socket served by a C program that only echoes, interleaved in one run. Needs a C compiler.
import { availableParallelism } from 'node:os'
import { cell, compiled, echoPath, guestPath, measured, median, pinning, serving } from './bench.mjs'

const roundTrips = Number(process.argv[2] ?? 20_000)
const rounds = 9
const program = compiled('trap-bench.c')

const CLOCK_RATE_GET = (0x06 | (0x14 << 10)) >>> 0
const CLOCK_CONFIG_SET = (0x07 | (0x14 << 10)) >>> 0
/** Header and payload words: what guest-a of the example machine may ask of its clock 0, and of somebody else's. */
const messages = {
  'forwarded query (CLOCK_RATE_GET)': [CLOCK_RATE_GET, 0],
  'forwarded, audited control (CLOCK_CONFIG_SET)': [CLOCK_CONFIG_SET, 0, 1, 0],
  'placeholder (CLOCK_RATE_GET, not owned)': [CLOCK_RATE_GET, 1],
}

/** p50, p99 and mean of one batch, in nanoseconds. */
const measure = (cpu, path, message, count = roundTrips) =>
  measured(cpu, program, ['driver', path, count, ...message])

const placement = (name, serverCpu, driverCpu) =>
  serving(serverCpu, program, { kind: 'trap-socket', path: guestPath }, () => {
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
      console.log(
        `${what.padEnd(48)}${cell(median(theirs) / 1000, 10, 1)}${cell(median(ours) / 1000, 14, 1)}${cell(median(p50), 12, 2)}${cell(median(p99), 12, 2)}`,
      )
    }
  })

console.log(
  `${rounds} interleaved rounds of ${roundTrips} round trips; median of the rounds' ratios; Node ${process.versions.node}`,
)
if (!pinning) console.log('taskset is missing: processes are not pinned, and ratios vary from run to run')
await placement('both sides on CPU 0', 0, 0)
if (availableParallelism() > 1) await placement('server on CPU 0, guest on CPU 1', 0, 1)
