// A deadline that a reactor keeps: set, cleared, and called when due. Milliseconds; a reactor has few of them.
import type { ReactorClock } from './clock.ts'

/** What a timer calls. */
export interface TimerSource {
  /** The time set has passed; `now` as `Reactor.now`. The timer is clear again. */
  expired(now: number): void
}

/** Longest time a timer can be set to, in milliseconds: half the range of the microsecond clock. */
export const timerMsLimit = 2_000_000

/** One deadline. Setting it allocates nothing. */
export class Timer {
  readonly source: TimerSource
  readonly #clock: ReactorClock
  readonly #forget: () => void
  #set = false
  #dueAt = 0

  constructor(clock: ReactorClock, source: TimerSource, forget: () => void) {
    this.#clock = clock
    this.source = source
    this.#forget = forget
  }

  /** Fires once, `milliseconds` after this round's time; replaces what was set. */
  set(milliseconds: number): void {
    this.#dueAt = (this.#clock.now + Math.min(milliseconds, timerMsLimit) * 1000) | 0
    this.#set = true
  }

  /** Never mind. */
  clear(): void {
    this.#set = false
  }

  /** Clears the timer and takes it from its reactor. */
  remove(): void {
    this.#set = false
    this.#forget()
  }

  /** Milliseconds until it is due, rounded up; -1 when it is not set. */
  millisecondsLeft(): number {
    if (!this.#set) return -1
    const left = (this.#dueAt - this.#clock.now) | 0
    return left <= 0 ? 0 : Math.ceil(left / 1000)
  }

  /** Whether its time has come; it is then clear. */
  due(): boolean {
    if (!this.#set || ((this.#dueAt - this.#clock.now) | 0) > 0) return false
    this.#set = false
    return true
  }
}
