// Deadlines that a reactor keeps: set, cleared, and called when due. Only those that are set cost anything.
import { MediatorError } from '../errors.ts'
import type { ReactorClock } from './clock.ts'
import { close, timerfdCreate, timerfdSettime } from './libc.ts'
import { CLOCK_MONOTONIC, errnoName, TFD_TIMER_ABSTIME } from './linux.ts'
import { NativeMemory } from './native-memory.ts'

/** What a timer calls. */
export interface TimerSource {
  /** The time set has passed; `now` as `Reactor.now`. The timer is clear again. */
  expired(now: number): void
}

/** Longest time a timer can be set to, in milliseconds: half the range of the microsecond clock. */
const timerMsLimit = 2_000_000

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
  /** One was set, or the alarm has gone off: the alarm may have to be set anew. */
  changed = false
  readonly #set: Timer[] = []
  #count = 0

  /** Adds a timer, unless it is there. */
  put(timer: Timer): void {
    this.changed = true
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

  /** Microseconds until the first one is due, 0 when it is; -1 when none is set. */
  first(): number {
    let first = -1
    for (let i = 0; i < this.#count; i++) {
      const left = Math.max(0, this.#set[i]!.left())
      if (first < 0 || left < first) first = left
    }
    return first
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

/** A timer file that is ready when the first of a reactor's timers is due. It is not read: each time is an edge. */
export class Alarm {
  readonly fd: number
  readonly #clock: ReactorClock
  /** struct itimerspec: interval, then value, each 64-bit seconds and nanoseconds. */
  readonly #spec = NativeMemory.allocate(32)

  constructor(clock: ReactorClock) {
    this.#clock = clock
    this.fd = timerfdCreate(CLOCK_MONOTONIC)
    if (this.fd < 0) throw new MediatorError('SYSTEM', `timerfd_create: ${errnoName(this.fd)}`)
  }

  /** Nothing to do: that it was ready ended the wait. */
  ready(): void {}

  /** Sets it to the first timer; when none is set it goes off for nothing, at most once. */
  arm(timers: Timers): void {
    timers.changed = false
    const left = timers.first()
    if (left < 0) return
    const due = (this.#clock.times[1] as number) + left
    const seconds = Math.floor(due / 1e6)
    const { words } = this.#spec
    words[4] = seconds % 2 ** 32
    words[5] = Math.floor(seconds / 2 ** 32)
    words[6] = (due - seconds * 1e6) * 1000
    timerfdSettime(this.fd, TFD_TIMER_ABSTIME, this.#spec.address)
  }

  close(): void {
    close(this.fd)
    this.#spec.release()
  }
}
