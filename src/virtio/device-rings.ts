// The rings of one device: started once all has been said of them, found again when memory moves, stopped. In which
// messages it is said is the back end's matter.
import { close } from '../native/libc.ts'
import { EPOLLET, EPOLLIN } from '../native/linux.ts'
import type { Reactor, Source } from '../native/reactor.ts'
import { F_EVENT_IDX, F_INDIRECT_DESC, F_PROTOCOL_FEATURES } from './features.ts'
import { GuestMemory } from './guest-memory.ts'
import type { UnsealedMemory } from './guest-region.ts'
import type { FrontEndLogs } from './inflight-memory.ts'
import { Refused } from './refused.ts'
import type { VhostDevice } from './vhost-device.ts'
import { Vring } from './vring.ts'

/** What they are built from. */
export interface RingParts {
  readonly device: VhostDevice
  readonly reactor: Reactor
  /** What the reactor calls when the front end rings for a ring, by ring. */
  readonly kicks: readonly Source[]
  readonly unsealed: UnsealedMemory
}

/** Rings and the memory that they are in. What may not be is a `Refused`. */
export class DeviceRings {
  readonly memory: GuestMemory
  readonly all: readonly Vring[]
  /** Feature bits of the low word that the driver agreed to; none before the front end has said it. */
  agreed = 0
  readonly #device: VhostDevice
  readonly #reactor: Reactor
  readonly #kicks: readonly Source[]
  #negotiated = false
  /** Logs of what is under way, where the front end keeps them. */
  #logs: FrontEndLogs | undefined = undefined

  constructor({ device, reactor, kicks, unsealed }: RingParts) {
    this.#device = device
    this.#reactor = reactor
    this.#kicks = kicks
    this.memory = new GuestMemory(unsealed)
    this.all = Array.from({ length: device.rings }, () => new Vring())
  }

  /** The ring of that index. */
  at(index: number | undefined): Vring {
    const ring = this.all[index ?? -1]
    if (ring === undefined) throw new Refused(`there is no ring ${index}`)
    return ring
  }

  /** The ring of that index, which does not run. */
  idle(index: number | undefined): Vring {
    const ring = this.at(index)
    if (ring.queue !== undefined) throw new Refused(`ring ${index} runs`)
    return ring
  }

  /** The driver agreed to these feature bits of the low word. */
  agree(low: number): void {
    this.agreed = low
    this.#negotiated = true
    for (const ring of this.all) {
      if ((low & F_PROTOCOL_FEATURES) === 0) ring.enabled = true
      if (ring.queue !== undefined) this.#reopen(ring)
    }
  }

  /** Where a ring lies, in addresses of the front end. */
  place(index: number, descriptors: number, used: number, available: number): void {
    const ring = this.at(index)
    Object.assign(ring, { descriptors, used, available, adrift: false })
    if (ring.queue !== undefined) this.#reopen(ring)
    else this.#start(index)
  }

  /** The eventfd that the front end rings for a ring; it is the ring's from here on. */
  setKick(index: number, fd: number): void {
    const ring = this.at(index)
    this.#dropKick(ring)
    ring.kickFd = fd
    // An edge for each kick, and nothing to read. What was rung before is an edge too.
    this.#reactor.add(fd, EPOLLIN | EPOLLET, this.#kicks[index] as Source)
    if (ring.queue === undefined) this.#start(index)
    else this.#reactor.again(fd)
  }

  enable(index: number, enabled: boolean): void {
    const ring = this.at(index)
    ring.enabled = enabled
    if (!enabled) return
    if (ring.queue === undefined) this.#start(index)
    else this.#reactor.again(ring.kickFd) // the kick may have come before
  }

  /** Stops a ring. Gives the entry that it would go on with. */
  stop(index: number): number {
    const ring = this.at(index)
    ring.stop()
    this.#dropKick(ring)
    return ring.base
  }

  /** Memory lies elsewhere: running rings are looked for there. One that is not there waits until it is. */
  moved(): void {
    for (const ring of this.all)
      if (ring.queue !== undefined) this.#reopen(ring)
      else if (ring.adrift) this.#return(ring)
  }

  /** There is more memory. */
  grown(): void {
    for (const ring of this.all) if (ring.adrift) this.#return(ring)
  }

  /** The front end keeps these logs from here on. No ring runs. */
  keep(logs: FrontEndLogs | undefined): void {
    this.#logs?.release()
    this.#logs = logs
  }

  /** As nobody has said anything of any ring; memory stays. */
  reset(): void {
    for (const [index, ring] of this.all.entries()) {
      if (ring.queue !== undefined) this.#device.ringDropped(index)
      this.#dropKick(ring)
      ring.forget()
    }
  }

  /** As before any front end came. */
  clear(): void {
    this.agreed = 0
    this.#negotiated = false
    this.reset()
    this.keep(undefined)
    this.memory.clear()
  }

  /** Clears for good. */
  release(): void {
    this.clear()
    this.memory.release()
  }

  /** Starts a ring of which all has been said. */
  #start(index: number): void {
    const ring = this.at(index)
    if (!ring.enabled || !ring.complete || ring.adrift) return
    const front = this.#logs?.log(index, ring.size)
    const own = front === undefined ? this.#device.ownLog?.(index, ring.size, ring.descriptors) : undefined
    ring.log = front ?? own?.log
    const fault = ring.open(this.memory, this.#features())
    if (fault !== undefined) throw new Refused(`ring ${index}: ${fault}`)
    ring.takeUp(front?.valid ?? own?.known ?? false)
    this.#device.ringStarted(index)
    this.#reactor.again(ring.kickFd)
  }

  #reopen(ring: Vring): void {
    if (ring.open(this.memory, this.#features()) === undefined) return
    ring.adrift = true
    this.#device.ringDropped(this.all.indexOf(ring))
  }

  /** Its memory may be there again: what was under way is taken up, for its answers had nowhere to go. */
  #return(ring: Vring): void {
    if (ring.open(this.memory, this.#features()) !== undefined) return
    ring.adrift = false
    ring.takeUp(true)
    this.#reactor.again(ring.kickFd)
  }

  #features(): { eventIdx: boolean | undefined; indirect: boolean } {
    const { agreed } = this
    if (!this.#negotiated) return { eventIdx: undefined, indirect: true }
    return { eventIdx: (agreed & F_EVENT_IDX) !== 0, indirect: (agreed & F_INDIRECT_DESC) !== 0 }
  }

  #dropKick(ring: Vring): void {
    if (ring.kickFd < 0) return
    this.#reactor.remove(ring.kickFd)
    close(ring.kickFd)
    ring.kickFd = -1
  }
}
