// A link's share of the log: a guest that errs without end costs a line a second, not a disk. It writes nothing itself.
import type { Reactor } from '../native/reactor.ts'
import type { LinkLog } from './link-parts.ts'

/** Lines at once, and the microseconds after which one more is granted. */
const burst = 8
const refillMicroseconds = 1_000_000

/** Lets through a burst of lines and then one per second; the next line says how many were left out. */
export class LogShare {
  readonly #reactor: Reactor
  readonly #log: LinkLog
  readonly #prefix: string
  #tokens = burst
  #filledAt: number
  #leftOut = 0

  /** Lines begin with `prefix`. */
  constructor(prefix: string, reactor: Reactor, log: LinkLog) {
    this.#prefix = prefix
    this.#reactor = reactor
    this.#log = log
    this.#filledAt = reactor.clock[1]!
  }

  say(level: 'info' | 'warn' | 'error', text: string): void {
    const now = this.#reactor.clock[1]!
    const refill = Math.floor((now - this.#filledAt) / refillMicroseconds)
    if (refill > 0) {
      this.#tokens = Math.min(burst, this.#tokens + refill)
      this.#filledAt += refill * refillMicroseconds
    }
    if (this.#tokens === 0) {
      this.#leftOut++
      return
    }
    this.#tokens--
    const leftOut = this.#leftOut === 0 ? '' : ` (${this.#leftOut} lines left out before)`
    this.#leftOut = 0
    this.#log(level, `${this.#prefix}: ${text}${leftOut}`)
  }
}
