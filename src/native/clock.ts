// The time of a reactor's round, read once and without a heap number. It keeps no timers.
import { clockGettime } from './libc.ts'
import { CLOCK_MONOTONIC, CLOCK_REALTIME } from './linux.ts'
import { NativeMemory } from './native-memory.ts'

/** How long the distance between the two clocks is believed: a step of the wall clock shows within this time. */
const offsetMicroseconds = 100_000

/** The two clocks of one reactor. */
export class ReactorClock {
  /** Monotonic microseconds modulo 2^32, as a signed number, which V8 holds without a heap number. */
  now = 0
  /** [0] microseconds since 1970, [1] monotonic microseconds, [2] their difference, [3] when that was taken. */
  readonly times = new Float64Array(4)
  readonly #timespec = NativeMemory.allocate(16)

  constructor() {
    this.times[3] = -offsetMicroseconds
    this.refresh()
  }

  /** Reads the clock. */
  refresh(): void {
    const times = this.times
    this.#read(CLOCK_MONOTONIC, 1)
    if (times[1]! - times[3]! >= offsetMicroseconds) {
      this.#read(CLOCK_REALTIME, 0)
      times[2] = times[0]! - times[1]!
      times[3] = times[1]!
    } else {
      times[0] = times[1]! + times[2]!
    }
    this.now = times[1]! | 0 // modulo 2^32
  }

  release(): void {
    this.#timespec.release()
  }

  #read(clock: number, slot: number): void {
    clockGettime(clock, this.#timespec.address)
    const words = this.#timespec.words
    this.times[slot] = (words[0]! + words[1]! * 4294967296) * 1e6 + Math.floor(words[2]! / 1000)
  }
}
