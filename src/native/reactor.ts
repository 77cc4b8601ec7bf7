// The epoll loop of one thread: sources of events, timers, and a way for other threads to wake it. No promises.
//
// Sources are level-triggered unless they ask for EPOLLET: a socket is read once per round, so that a lone message
// costs one read and no source can hold up the others. An eventfd that is only a bell wants EPOLLET and no read.
import { MediatorError } from '../errors.ts'
import { ReactorClock } from './clock.ts'
import * as libc from './libc.ts'
import { EPOLL_CTL_ADD, EPOLL_CTL_DEL, EPOLL_CTL_MOD, EPOLLET, EPOLLIN, errnoName } from './linux.ts'
import { NativeMemory } from './native-memory.ts'
import { Alarm, Timer, type TimerSource, Timers } from './timer.ts'

/** What the reactor calls when a file descriptor has events. */
export interface Source {
  /**
   * Handles a bounded share of what is there. `events` are EPOLL bits, 0 when it asked for `again`.
   * What it throws is a fault of ours: the reactor tells `onFault` and goes on with the others.
   */
  ready(events: number): void
  /** Called after `onFault` was told that this source threw: its chance to answer for itself and go on, or to close. */
  faulted?(error: unknown): void
}

/** Told of what a source or a timer threw, at the edge: to log and count it. */
export type FaultHandler = (source: Source | TimerSource, error: unknown) => void

const eventsPerRound = 64
/** How often a vain look for events halves how often it is tried: to once in 4096 rounds at last. */
const vainMost = 12
const eventWords = libc.epollEventBytes / 4
const dataWord = libc.epollDataOffset / 4
/** A native 8-byte 1, for eventfds. Lives as long as its thread. */
const one = NativeMemory.allocate(8)
one.words[0] = 1

/** One thread's event loop. `step` is the whole of it; `run` repeats it until `stop`. */
export class Reactor {
  /** An eventfd: a write to it from any thread ends the wait and calls `onWake`. See `Reactor.wake`. */
  readonly wakeFd: number
  /** Called after another thread woke this one: the place to look at a message port. */
  onWake: () => void = () => {}
  readonly #onFault: FaultHandler
  readonly #spin: number
  /** Rounds until events are looked for again; looks in vain since the last one that found some; the former round's time. */
  #untilLook = 0
  #vain = 0
  #former = 0
  readonly #epoll: number
  readonly #events = NativeMemory.allocate(eventsPerRound * libc.epollEventBytes)
  readonly #control = NativeMemory.allocate(16)
  readonly #clock = new ReactorClock()
  readonly #timers = new Timers()
  /** Ends a wait when the first timer is due. A timeout of each wait would have the kernel set a timer each time. */
  readonly #alarm: Alarm
  /** By slot. A slot's generation tells an event of a source that has just been removed from one of its successor. */
  readonly #sources: (Source | undefined)[] = []
  readonly #fds: number[] = []
  readonly #generations: number[] = []
  readonly #vacantSlots: number[] = []
  readonly #slotOfFd = new Map<number, number>()
  /** Slots to call again next round without waiting, those of this round, and whether a slot is among them. */
  #again = new Int32Array(16)
  #againNow = new Int32Array(16)
  #againCount = 0
  readonly #isAgain: boolean[] = []
  #running = false
  #open = true

  /**
   * `spinMicros`: while events come within as many microseconds of one another, they are looked for that long before
   * this thread sleeps, for being woken takes longer. Where that is in vain (whoever causes them needs this very CPU), it
   * is hardly tried any more. 0: never.
   */
  constructor(onFault: FaultHandler, spinMicros = 0) {
    this.#onFault = onFault
    this.#spin = spinMicros
    this.#epoll = checked('epoll_create1', libc.epollCreate())
    this.wakeFd = checked('eventfd', libc.eventfd())
    // Edge-triggered and never read: each write is an edge, and the count cannot fill up in this universe.
    this.add(this.wakeFd, EPOLLIN | EPOLLET, { ready: () => this.onWake() })
    this.#alarm = new Alarm(this.#clock)
    this.add(this.#alarm.fd, EPOLLIN | EPOLLET, this.#alarm)
  }

  /** Wakes the reactor whose `wakeFd` this is; from any thread. */
  static wake(wakeFd: number): void {
    libc.write(wakeFd, one.address, 8)
  }

  /** Monotonic microseconds of this round modulo 2^32, as a signed number: compare by `(a - b) | 0`. */
  get now(): number {
    return this.#clock.now
  }

  /** Reads the clock within a round: for a deadline that begins now, in a round that may have taken its time already. */
  refresh(): number {
    this.#clock.refresh()
    return this.#clock.now
  }

  /** [0] microseconds since 1970 of this round, [1] monotonic microseconds. Read the slot; do not pass the number on. */
  get clock(): Float64Array {
    return this.#clock.times
  }

  /** How many file descriptors are watched, the reactor's own included. */
  get sourceCount(): number {
    return this.#slotOfFd.size
  }

  /** Watches `fd` for the EPOLL bits in `events`; EPOLLERR and EPOLLHUP come unasked. */
  add(fd: number, events: number, source: Source): void {
    if (this.#slotOfFd.has(fd)) throw new MediatorError('SYSTEM', `fd ${fd} is watched already`)
    const slot = this.#vacantSlots.pop() ?? this.#sources.length
    const generation = ((this.#generations[slot] ?? 0) + 1) | 0
    const result = this.#ctl(EPOLL_CTL_ADD, fd, events, slot, generation)
    if (result < 0) {
      this.#vacantSlots.push(slot)
      this.#sources[slot] ??= undefined
      throw new MediatorError('SYSTEM', `epoll_ctl add of fd ${fd}: ${errnoName(result)}`)
    }
    this.#sources[slot] = source
    this.#fds[slot] = fd
    this.#generations[slot] = generation
    this.#isAgain[slot] = false
    this.#slotOfFd.set(fd, slot)
    if (slot >= this.#again.length) this.#growAgain()
  }

  /** Changes the events awaited of `fd`. With EPOLLET, what is ready already counts as a new edge. */
  modify(fd: number, events: number): void {
    const slot = this.#slotOfFd.get(fd)
    if (slot === undefined) return
    const result = this.#ctl(EPOLL_CTL_MOD, fd, events, slot, this.#generations[slot] ?? 0)
    if (result < 0) throw new MediatorError('SYSTEM', `epoll_ctl modify of fd ${fd}: ${errnoName(result)}`)
  }

  /** Forgets `fd`, before it is closed; events of this round that were still to come for it are dropped. */
  remove(fd: number): void {
    const slot = this.#slotOfFd.get(fd)
    if (slot === undefined) return
    this.#slotOfFd.delete(fd)
    this.#sources[slot] = undefined
    this.#generations[slot] = ((this.#generations[slot] ?? 0) + 1) | 0
    if (this.#isAgain[slot] === true) this.#dropAgain(slot)
    this.#vacantSlots.push(slot)
    this.#ctl(EPOLL_CTL_DEL, fd, 0, 0, 0)
  }

  /** Calls the source of `fd` again next round, with events 0, for work it left undone for fairness. */
  again(fd: number): void {
    const slot = this.#slotOfFd.get(fd)
    if (slot === undefined || this.#isAgain[slot] === true) return
    this.#isAgain[slot] = true
    this.#again[this.#againCount++] = slot
  }

  /** A timer that calls `source.expired`; it is not set yet. */
  timer(source: TimerSource): Timer {
    return new Timer(this.#timers, this.#clock, source)
  }

  /**
   * One round: waits up to `timeoutMs` (-1: for ever) or until a timer is due, then calls each source that has
   * events once, then the timers. Gives how many sources it called.
   */
  step(timeoutMs: number): number {
    if (this.#timers.changed) this.#alarm.arm(this.#timers)
    const wait = this.#againCount > 0 ? 0 : timeoutMs
    let count = wait !== 0 && this.#spin > 0 ? this.#look() : 0
    if (count === 0) count = libc.epollWait(this.#epoll, this.#events.address, eventsPerRound, wait)
    this.#clock.refresh()
    if (count < 0) throw new MediatorError('SYSTEM', `epoll_wait: ${errnoName(count)}`)
    const words = this.#events.ints
    let called = this.#repeat()
    for (let i = 0; i < count; i++) {
      const at = i * eventWords
      const slot = words[at + dataWord]!
      const source = this.#sources[slot]
      if (source === undefined || this.#generations[slot] !== words[at + dataWord + 1]) continue
      if (source === this.#alarm) {
        this.#timers.changed = true // whatever is still set wants its alarm
        continue
      }
      this.#call(source, words[at]!)
      called++
    }
    this.#expire()
    return called
  }

  /** Looks for events without sleeping, while they come densely: how many there are, 0, or -errno. */
  #look(): number {
    const clock = this.#clock
    const sparse = ((clock.now - this.#former) | 0) > this.#spin
    this.#former = clock.now
    if (this.#untilLook > 0) {
      this.#untilLook--
      return 0
    }
    if (sparse) return 0
    const until = (clock.now + this.#spin) | 0
    do {
      const count = libc.epollWait(this.#epoll, this.#events.address, eventsPerRound, 0)
      if (count !== 0) {
        this.#vain = 0
        return count
      }
      clock.refresh()
    } while (((until - clock.now) | 0) > 0)
    if (this.#vain < vainMost) this.#vain++
    this.#untilLook = 1 << this.#vain
    return 0
  }

  /** Rounds until `stop`. */
  run(): void {
    this.#running = true
    while (this.#running) this.step(-1)
  }

  /** Ends `run` after the present round; from this thread. Another thread wakes the reactor and `onWake` stops it. */
  stop(): void {
    this.#running = false
  }

  /** Closes the reactor's own descriptors; those of its sources belong to their owners. Twice is once. */
  close(): void {
    if (!this.#open) return
    this.#open = false
    this.stop()
    libc.close(this.wakeFd)
    this.#alarm.close()
    libc.close(this.#epoll)
    this.#events.release()
    this.#control.release()
    this.#clock.release()
  }

  #call(source: Source, events: number): void {
    try {
      source.ready(events)
    } catch (error) {
      this.#fault(source, error)
    }
  }

  #fault(source: Source, error: unknown): void {
    this.#onFault(source, error)
    try {
      source.faulted?.(error)
    } catch (second) {
      this.#onFault(source, second)
    }
  }

  /** Calls the sources that asked for it, those of this round only. */
  #repeat(): number {
    const count = this.#againCount
    if (count === 0) return 0
    const swapped = this.#again
    this.#again = this.#againNow
    this.#againNow = swapped
    this.#againCount = 0
    let called = 0
    for (let i = 0; i < count; i++) {
      const slot = this.#againNow[i]!
      const source = slot < 0 ? undefined : this.#sources[slot]
      if (source === undefined) continue
      this.#isAgain[slot] = false
      this.#call(source, 0)
      called++
    }
    return called
  }

  /** Takes a slot out of both lists: its next owner has not asked to be called. */
  #dropAgain(slot: number): void {
    this.#isAgain[slot] = false
    const at = this.#again.subarray(0, this.#againCount).indexOf(slot)
    if (at >= 0) this.#again[at] = this.#again[--this.#againCount]!
    const now = this.#againNow.indexOf(slot)
    if (now >= 0) this.#againNow[now] = -1
  }

  /** Makes room for as many slots as there are. */
  #growAgain(): void {
    const again = new Int32Array(this.#again.length * 2)
    const againNow = new Int32Array(again.length)
    again.set(this.#again)
    againNow.set(this.#againNow)
    this.#again = again
    this.#againNow = againNow
  }

  /** Calls the timers that are due; one that sets itself to 0 has its next turn in the next round. */
  #expire(): void {
    for (let left = this.#timers.count; left > 0; left--) {
      const timer = this.#timers.takeDue()
      if (timer === undefined) return
      try {
        timer.source.expired(this.#clock.now)
      } catch (error) {
        this.#onFault(timer.source, error)
      }
    }
  }

  #ctl(operation: number, fd: number, events: number, slot: number, generation: number): number {
    const words = this.#control.ints
    words[0] = events
    words[dataWord] = slot
    words[dataWord + 1] = generation
    return libc.epollCtl(this.#epoll, operation, fd, this.#control.address)
  }
}

function checked(call: string, result: number): number {
  if (result < 0) throw new MediatorError('SYSTEM', `${call}: ${errnoName(result)}`)
  return result
}
