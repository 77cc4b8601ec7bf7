// What a front end has said of one ring, and the queue that runs once all of it has been said. No messages.
import { close } from '../native/libc.ts'
import { Reactor } from '../native/reactor.ts'
import { DeviceQueue, type RingFeatures } from './device-queue.ts'
import type { GuestMemory } from './guest-memory.ts'
import type { InflightLog } from './inflight.ts'

/** One ring of a back end. */
export class Vring {
  /** Entries, and the front end's addresses of the parts; 0 entries and -1: not said yet. */
  size = 0
  descriptors = -1
  available = -1
  used = -1
  /** The entry to begin with. */
  base = 0
  /** Eventfds: -1 when there is none. */
  kickFd = -1
  callFd = -1
  errFd = -1
  /** Whether SET_VRING_ENABLE said so; before it said anything, features decide. */
  enabled = false
  /** Where what is under way is written, so that a successor can take it up. */
  log: InflightLog | undefined = undefined
  /** The queue, from its start to its stop. */
  queue: DeviceQueue | undefined = undefined
  /** Nothing more is taken from it: until it is started anew, or because its stop is awaited. */
  broken = false
  stopping = false
  /** It ran until its memory was taken away, and runs again when that is back. */
  adrift = false

  /** Whether new entries may be taken. */
  get serving(): boolean {
    return this.queue !== undefined && this.enabled && !this.broken && !this.stopping
  }

  /** Whether all has been said that a start needs. */
  get complete(): boolean {
    return this.kickFd >= 0 && this.size > 0 && this.descriptors >= 0
  }

  /** Opens the queue where the former one came to, or at `base`; the reason when it cannot be. */
  open(memory: GuestMemory, features: RingFeatures): string | undefined {
    const { resuming = [], next = this.base } = this.queue ?? {}
    this.queue?.release()
    this.base = next
    const opened = DeviceQueue.open(memory, this, features, next, this.log)
    if (typeof opened !== 'string') opened.resume(resuming, next)
    this.queue = typeof opened === 'string' ? undefined : opened
    return typeof opened === 'string' ? opened : undefined
  }

  /**
   * Takes up what was under way when a former queue ended, if the log tells of it and fits the ring. `known`: the log was
   * written for this ring.
   */
  takeUp(known: boolean): void {
    const { log, queue, base } = this
    if (log === undefined || queue === undefined) return
    const { used } = queue
    const heads = known ? log.recover(used) : undefined
    const next = (used + (heads?.length ?? 0)) & 0xffff
    const fits = heads !== undefined && (base === used || base === next) && queue.mayResume(heads)
    if (!fits) log.reset(used)
    else if (heads.length > 0) queue.resume(heads, next)
  }

  /** Ends the queue; the next one begins where this one came to. */
  stop(): void {
    if (this.queue !== undefined) this.base = this.queue.next
    this.queue?.release()
    this.queue = undefined
    this.log = undefined
    this.broken = false
    this.stopping = false
    this.adrift = false
  }

  /** Tells the driver that something is used. */
  signal(): void {
    if (this.callFd >= 0) Reactor.wake(this.callFd)
  }

  /** Takes nothing more, and tells the front end. */
  fail(): void {
    this.broken = true
    if (this.errFd >= 0) Reactor.wake(this.errFd)
  }

  setCall(fd: number): void {
    if (this.callFd >= 0) close(this.callFd)
    this.callFd = fd
  }

  setErr(fd: number): void {
    if (this.errFd >= 0) close(this.errFd)
    this.errFd = fd
  }

  /** As nobody has said anything yet; `kickFd` has been dropped before. */
  forget(): void {
    this.stop()
    this.setCall(-1)
    this.setErr(-1)
    this.size = 0
    this.descriptors = -1
    this.available = -1
    this.used = -1
    this.base = 0
    this.enabled = false
  }
}
