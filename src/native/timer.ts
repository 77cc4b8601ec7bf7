// Deadlines that a reactor keeps: set, cleared, and called when due. Only those that are set cost anything.
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
  readonly #timers: Timers
  readonly #clock: ReactorClock
  /** Its place among the timers that are set; -1 when it is not. Kept by `Timers`. */
  place = -1
  #dueAt = 0

  constructor(timers: Timers, clock: ReactorClock, source: TimerSource) {
    this.#timers = timers
    this.#clock = clock
    this.source = source
  }

  /** Whether it is set. */
  get isSet(): boolean {
    return this.place >= 0
  }

  /** Fires once, `milliseconds` after this round's time; replaces what was set. */
  set(milliseconds: number): void {
    this.#dueAt = (this.#clock.now + Math.min(milliseconds, timerMsLimit) * 1000) | 0
    this.#timers.put(this)
  }

  /** Never mind. A timer that is not used any more needs no more than this. */
  clear(): void {
    this.#timers.drop(this)
  }

  /** Microseconds until it is due; 0 and less when it is. */
  left(): number {
    return (this.#dueAt - this.#clock.now) | 0
  }
}

/** The timers of one reactor that are set, in no order: there are few. */
export class Timers {
  readonly #set: Timer[] = []
  #count = 0

  /** Adds a timer, unless it is there. */
  put(timer: Timer): void {
    if (timer.place >= 0) return
    timer.place = this.#count
    this.#set[this.#count++] = timer
  }

  /** Takes a timer out, if it is there; the last one takes its place. */
  drop(timer: Timer): void {
    const place = timer.place
    if (place < 0) return
    const last = this.#set[--this.#count]!
    this.#set[place] = last
    last.place = place
    timer.place = -1
  }

  /** The shorter of `timeoutMs` (-1: for ever) and the time to the first timer, in milliseconds, rounded up. */
  shorten(timeoutMs: number): number {
    let wait = timeoutMs
    for (let i = 0; i < this.#count; i++) {
      const left = this.#set[i]!.left()
      const leftMs = left <= 0 ? 0 : Math.ceil(left / 1000)
      if (wait < 0 || leftMs < wait) wait = leftMs
    }
    return wait
  }

  /** A timer whose time has come, now clear; undefined when there is none. */
  takeDue(): Timer | undefined {
    for (let i = 0; i < this.#count; i++) {
      const timer = this.#set[i]!
      if (timer.left() > 0) continue
      this.drop(timer)
      return timer
    }
    return undefined
  }

  /** How many are set. */
  get count(): number {
    return this.#count
  }
}
