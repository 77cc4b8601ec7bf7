// One event channel towards a domain: a descriptor that is readable when the other side rang, and a bell back.
import { errno } from 'koffi'
import { setNonBlocking } from './libc.ts'
import type { XenFunctions } from './xen-libraries.ts'

/** Bound from `bind` on, until `close`. The kernel unbinds it when the process dies. */
export class EventChannel {
  /** To watch for EPOLLIN. */
  readonly fd: number
  readonly #functions: XenFunctions
  readonly #handle: number
  readonly #port: number
  #open = true

  private constructor(functions: XenFunctions, handle: number, fd: number, port: number) {
    this.#functions = functions
    this.#handle = handle
    this.fd = fd
    this.#port = port
  }

  /** Binds a port that the domain keeps for us; -errno when it has none, or somebody listens on it. */
  static bind(functions: XenFunctions, domid: number, remotePort: number): EventChannel | number {
    const handle = functions.xenevtchn_open(0, 0)
    if (handle === 0) return -errno()
    const fd = functions.xenevtchn_fd(handle)
    const port = functions.xenevtchn_bind_interdomain(handle, domid, remotePort)
    const error = port < 0 ? -errno() : setNonBlocking(fd)
    if (error >= 0) return new EventChannel(functions, handle, fd, port)
    functions.xenevtchn_close(handle)
    return error
  }

  /** Takes one ring of the bell and lets the next one come; false when there was none. */
  take(): boolean {
    const port = this.#functions.xenevtchn_pending(this.#handle)
    if (port < 0) return false
    this.#functions.xenevtchn_unmask(this.#handle, port)
    return true
  }

  /** Rings the other side: 0 or -errno. */
  notify(): number {
    return this.#functions.xenevtchn_notify(this.#handle, this.#port) === -1 ? -errno() : 0
  }

  /** Unbinds and closes. Twice is once. */
  close(): void {
    if (!this.#open) return
    this.#open = false
    this.#functions.xenevtchn_unbind(this.#handle, this.#port)
    this.#functions.xenevtchn_close(this.#handle)
  }
}
