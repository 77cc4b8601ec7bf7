// Whether every channel of a platform answers, asked until it does or until patience ends. For the start only.
import { MediatorError } from '../../errors.ts'
import type { Reactor } from '../../native/reactor.ts'
import type { Timer, TimerSource } from '../../native/timer.ts'
import { base } from '../../scmi/base.ts'
import { PROTOCOL_VERSION } from '../../scmi/common.ts'
import { header } from '../../scmi/header.ts'
import { COMMS_ERROR } from '../../scmi/status.ts'
import { type Transfer, TransferPool } from '../../transfer.ts'

/** `Transfer.guest` of these questions. */
export const PROBE = -2
/** Milliseconds between looks at who has not answered. */
const lookMs = 10

/** What is asked over. */
export interface Probed {
  readonly channels: number
  send(channel: number, transfer: Transfer): boolean
  /** A channel as an operator knows it, with what is wrong there. */
  describe(channel: number): string
}

/**
 * Asks each channel for PROTOCOL_VERSION of Base: a socket that takes connections proves nothing, an answer does. Any
 * answer will do; what it says is for discovery to judge.
 */
export class Readiness implements TimerSource {
  readonly #link: Probed
  readonly #patienceMs: number
  readonly #reactor: Reactor
  readonly #timer: Timer
  readonly #probes: readonly Transfer[]
  readonly #asking: Uint8Array
  readonly #answered: Uint8Array
  #waiting: ((error?: unknown) => void)[] = []
  /** Monotonic microseconds, as in `Reactor.clock[1]`, at which patience ends. */
  #until = 0

  /** @param patienceMs milliseconds from the first `whenReady` until it fails */
  constructor(link: Probed, patienceMs: number, reactor: Reactor) {
    this.#link = link
    this.#patienceMs = patienceMs
    this.#reactor = reactor
    this.#timer = reactor.timer(this)
    const pool = new TransferPool(link.channels, 32, PROBE)
    this.#probes = Array.from({ length: link.channels }, () => pool.take() as Transfer)
    this.#asking = new Uint8Array(link.channels)
    this.#answered = new Uint8Array(link.channels)
  }

  /** Calls back when every channel has answered, at once where that is so; FIRMWARE_SILENT naming those that did not. */
  whenReady(done: (error?: unknown) => void): void {
    if (!this.#answered.includes(0)) return done()
    this.#waiting.push(done)
    if (this.#waiting.length > 1) return
    this.#until = this.#reactor.clock[1]! + this.#patienceMs * 1000
    this.#ask()
  }

  expired(): void {
    if (this.#waiting.length === 0) return
    if (this.#reactor.clock[1]! < this.#until) return this.#ask()
    const silent = Array.from(this.#answered.keys()).filter(channel => this.#answered[channel] === 0)
    const [first = 0, ...others] = silent
    const more = others.length === 0 ? '' : `, nor did ${others.length} other channels`
    this.#finish(
      new MediatorError(
        'FIRMWARE_SILENT',
        `the firmware did not answer within ${this.#patienceMs} ms on ${this.#link.describe(first)}${more}`,
      ),
    )
  }

  /** What became of one of these questions. */
  completed(probe: Transfer): void {
    const channel = probe.cookie
    this.#asking[channel] = 0
    if (probe.length === 8 && probe.ints[1] === COMMS_ERROR) return
    this.#answered[channel] = 1
    if (!this.#answered.includes(0)) this.#finish()
  }

  /** Forgets who waits. */
  close(): void {
    this.#timer.clear()
    this.#waiting = []
  }

  #ask(): void {
    this.#timer.set(lookMs)
    for (const [channel, probe] of this.#probes.entries()) {
      if (this.#answered[channel] === 1 || this.#asking[channel] === 1) continue
      probe.words[0] = header(base.id, PROTOCOL_VERSION)
      probe.header = probe.ints[0]!
      probe.length = 4
      probe.cookie = channel
      this.#asking[channel] = 1 // before the answer, which may come at once
      if (!this.#link.send(channel, probe)) this.#asking[channel] = 0
    }
  }

  #finish(error?: unknown): void {
    this.#timer.clear()
    const waiting = this.#waiting
    this.#waiting = []
    for (const done of waiting) done(error)
  }
}
