// A listening Unix socket that lets in one peer at a time. What is said over the connection is its owner's matter.
import { lstatSync, rmSync } from 'node:fs'
import { accept4, close } from '../native/libc.ts'
import { EAGAIN, ECONNABORTED, EPOLLIN, errnoName, SOCK_CLOEXEC, SOCK_NONBLOCK } from '../native/linux.ts'
import type { Reactor, Source } from '../native/reactor.ts'
import type { Timer } from '../native/timer.ts'
import { listenUnix, type SocketAccess, type SocketKind } from '../native/unix-socket.ts'
import type { LinkCounters } from './link-parts.ts'
import type { LogShare } from './log-share.ts'

/** Who takes connections from a door. */
export interface Host {
  /** Whether a peer is inside, so that another one must be refused. */
  readonly occupied: boolean
  /** Whether that peer has hung up and only what it sent before is still read: the next one waits, unrefused. */
  readonly leaving: boolean
  /** A peer came in; the fd, non-blocking, is the host's to close. */
  admit(fd: number): void
}

/** How long to leave the door alone when the process cannot accept (no descriptors left, say). */
const restMs = 1000

/** Listens from its construction until `close`, which removes the socket file. */
export class SocketDoor implements Source {
  readonly #path: string
  readonly #reactor: Reactor
  readonly #host: Host
  readonly #counters: LinkCounters
  readonly #log: LogShare
  readonly #fd: number
  readonly #inode: number
  readonly #rest: Timer
  #open = true

  /** SOCKET_PATH when the path is too long, in use, or not a socket's. */
  constructor(
    path: string,
    kind: SocketKind,
    reactor: Reactor,
    host: Host,
    counters: LinkCounters,
    log: LogShare,
    access: SocketAccess = {},
  ) {
    this.#path = path
    this.#reactor = reactor
    this.#host = host
    this.#counters = counters
    this.#log = log
    this.#fd = listenUnix(path, kind, access)
    this.#inode = lstatSync(path).ino
    this.#rest = reactor.timer({ expired: () => reactor.modify(this.#fd, EPOLLIN) })
    reactor.add(this.#fd, EPOLLIN, this)
  }

  /** One connection per round. */
  ready(events: number): void {
    if (this.#host.leaving) return
    if (this.#host.occupied && events !== 0) {
      // The peer inside may have hung up in this very round: ask again when the round is over.
      this.#reactor.again(this.#fd)
      return
    }
    const fd = accept4(this.#fd, SOCK_NONBLOCK | SOCK_CLOEXEC)
    if (fd === -EAGAIN || fd === -ECONNABORTED) return
    if (fd < 0) {
      this.#log.say('error', `cannot accept a connection: ${errnoName(fd)}`)
      this.#reactor.modify(this.#fd, 0)
      this.#rest.set(restMs)
      return
    }
    if (this.#host.occupied) {
      close(fd)
      this.#counters.refusedConnections++
      this.#log.say('warn', 'refused a second connection while the first lives')
      return
    }
    this.#counters.connections++
    this.#host.admit(fd)
  }

  /** Stops listening and removes the socket file, if it is still this one. Twice is once. */
  close(): void {
    if (!this.#open) return
    this.#open = false
    this.#rest.clear()
    this.#reactor.remove(this.#fd)
    if (lstatSync(this.#path, { throwIfNoEntry: false })?.ino === this.#inode)
      rmSync(this.#path, { force: true })
    close(this.#fd)
  }
}
