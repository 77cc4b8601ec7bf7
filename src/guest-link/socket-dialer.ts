// Connects to a Unix socket on which the peer listens, and connects again whenever the connection has ended. What is said
// over it is its owner's matter.
import { errnoName } from '../native/linux.ts'
import type { Reactor } from '../native/reactor.ts'
import type { Timer } from '../native/timer.ts'
import { type SocketKind, tryConnectUnix } from '../native/unix-socket.ts'
import type { LinkCounters } from './link-parts.ts'
import type { LogShare } from './log-share.ts'
import type { Host } from './socket-door.ts'

/** How often a peer that is not there is looked for, in milliseconds. */
const dialMs = 200

/** Dials from its construction until `close`. */
export class SocketDialer {
  readonly #path: string
  readonly #kind: SocketKind
  readonly #host: Host
  readonly #counters: LinkCounters
  readonly #log: LogShare
  readonly #timer: Timer
  /** Whether it has been told that the peer is not there. */
  #told = false
  #open = true

  constructor(
    path: string,
    kind: SocketKind,
    reactor: Reactor,
    host: Host,
    counters: LinkCounters,
    log: LogShare,
  ) {
    this.#path = path
    this.#kind = kind
    this.#host = host
    this.#counters = counters
    this.#log = log
    this.#timer = reactor.timer({ expired: () => this.#dial() })
    this.#timer.set(0)
  }

  /** The connection has ended: there will be another. */
  redial(): void {
    if (this.#open) this.#timer.set(dialMs)
  }

  /** Dials no more. Twice is once. */
  close(): void {
    this.#open = false
    this.#timer.clear()
  }

  #dial(): void {
    if (!this.#open || this.#host.occupied) return
    const fd = tryConnectUnix(this.#path, this.#kind)
    if (fd < 0) {
      if (!this.#told) this.#log.say('info', `nobody there yet: ${errnoName(fd)}`)
      this.#told = true
      this.#timer.set(dialMs)
      return
    }
    this.#told = false
    this.#counters.connections++
    this.#host.admit(fd)
  }
}
