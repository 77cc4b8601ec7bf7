// A domain's vCPUs that called: their registers while they wait, the answers put there, and when each is let go, which
// is later where the domain calls too often. What they call for is the link's matter.
import type { Xen } from '../../native/libxen.ts'
import { EAGAIN, ENOMEM, errnoName } from '../../native/linux.ts'
import { NO_CALL, NOTHING, ringPlaces } from '../../native/monitor-ring.ts'
import type { Reactor } from '../../native/reactor.ts'
import type { Timer } from '../../native/timer.ts'
import { VcpuContext } from '../../native/vcpu-context.ts'
import type { Bucket } from './bucket.ts'
import type { DomainMonitor } from './monitor.ts'
import { WaitingVcpus } from './waiting-vcpus.ts'

/** How soon a call that Xen could not take is tried again, in milliseconds. */
const retryMs = 10

/** Whose vCPUs they are. */
export interface VcpuOwner {
  readonly xen: Xen
  readonly domid: number
  readonly vcpus: number
  readonly monitor: DomainMonitor
  /** How fast their calls may follow one another. */
  readonly bucket: Bucket
  readonly reactor: Reactor
  /** Told why the domain is no more; `stop` has been called when this returns. */
  readonly gone: (reason: string) => void
}

/** Serves until `stop`. */
export class CallingVcpus {
  /** Those let go later than they were answered. */
  delayed = 0
  readonly #owner: VcpuOwner
  /** By vCPU: its registers, whether it waits, and when it is let go once it is answered. */
  readonly #contexts: readonly VcpuContext[]
  readonly #waits = new Uint8Array(ringPlaces)
  readonly #dueAt = new Float64Array(ringPlaces)
  /** Those that are answered and held back. */
  readonly #held = new WaitingVcpus()
  readonly #release: Timer
  /** Between `begin` and `end`: the bell is rung once, at the end. */
  #together = false
  #rings = false
  #stopped = false

  constructor(owner: VcpuOwner) {
    this.#owner = owner
    this.#contexts = Array.from({ length: owner.vcpus }, () => new VcpuContext())
    this.#release = owner.reactor.timer({ expired: () => this.#letGo() })
  }

  /** From here to `end`, Xen is told once of all that are let go. */
  begin(): void {
    this.#together = true
  }
  end(): void {
    this.#together = false
    this.#ring()
  }

  /** The next one that calls, its registers read; NOTHING when there is none, or no domain any more. */
  next(): number {
    const { xen, domid, monitor } = this.#owner
    while (!this.#stopped) {
      const vcpu = monitor.ring.take()
      if (vcpu === NOTHING) break
      if (vcpu === NO_CALL || vcpu >= this.#contexts.length || this.#waits[vcpu] === 1) {
        this.#rings = true
        continue
      }
      const result = this.context(vcpu).read(xen, domid, vcpu)
      if (result < 0) {
        this.#gone(`its registers cannot be read: ${errnoName(result)}`)
        break
      }
      this.#waits[vcpu] = 1
      return vcpu
    }
    return NOTHING
  }

  /** The registers of one that waits. */
  context(vcpu: number): VcpuContext {
    return this.#contexts[vcpu] as VcpuContext
  }

  /** Its call returns `x0`. */
  answer(vcpu: number, x0: number): void {
    this.context(vcpu).setX0(x0)
    this.answerUnchanged(vcpu)
  }

  /** Its call returns, and no register changes. It goes on when its domain has not called too often. */
  answerUnchanged(vcpu: number): void {
    this.context(vcpu).advance()
    const waitMs = this.#owner.bucket.take(this.#owner.reactor.clock)
    if (waitMs === 0 && this.#held.empty) return this.#resume(vcpu)
    this.delayed++
    this.#putOff(vcpu, waitMs)
  }

  /** Its call returns `x0`, and it goes on however often its domain called. */
  answerNow(vcpu: number, x0: number): void {
    const context = this.context(vcpu)
    context.setX0(x0)
    context.advance()
    this.#resume(vcpu)
  }

  /** It goes on as it stood: it calls again. */
  repeat(vcpu: number): void {
    this.#owner.monitor.ring.release(vcpu)
    this.#rings = true
  }

  /** All that were held back go on, and those that call now call again. */
  letAllGo(): void {
    const { ring } = this.#owner.monitor
    for (let left = ringPlaces; left > 0 && !this.#held.empty; left--) this.#resume(this.#held.take())
    while (!this.#stopped) {
      const vcpu = ring.take()
      if (vcpu === NOTHING) return
      if (vcpu >= 0) this.repeat(vcpu)
    }
  }

  /** Nothing more is asked of them. */
  stop(): void {
    if (this.#stopped) return
    this.#stopped = true
    this.#rings = false
    this.#held.clear()
    this.#release.clear()
    for (const context of this.#contexts) context.release()
  }

  #putOff(vcpu: number, waitMs: number): void {
    this.#dueAt[vcpu] = (this.#owner.reactor.clock[1] as number) + waitMs * 1000
    this.#held.add(vcpu)
    if (!this.#release.isSet) this.#release.set(waitMs)
  }

  /** Lets those go whose time has come. */
  #letGo(): void {
    const now = this.#owner.reactor.clock[1] as number
    this.begin()
    for (let left = ringPlaces; left > 0 && !this.#held.empty; left--) {
      if ((this.#dueAt[this.#held.first] as number) > now) break
      this.#resume(this.#held.take())
    }
    this.end()
    if (this.#held.empty || this.#release.isSet) return
    const leftUs = (this.#dueAt[this.#held.first] as number) - now
    this.#release.set(Math.max(1, Math.ceil(leftUs / 1000)))
  }

  /** Gives the vCPU its registers and lets it go. */
  #resume(vcpu: number): void {
    const { xen, domid, monitor } = this.#owner
    const result = this.context(vcpu).write(xen, domid, vcpu)
    if (result === -ENOMEM || result === -EAGAIN) return this.#putOff(vcpu, retryMs)
    if (result < 0) return this.#gone(`its registers cannot be written: ${errnoName(result)}`)
    this.#waits[vcpu] = 0
    monitor.ring.release(vcpu)
    this.#rings = true
    if (!this.#together) this.#ring()
  }

  #ring(): void {
    if (!this.#rings) return
    this.#rings = false
    this.#owner.monitor.channel.notify()
  }

  #gone(reason: string): void {
    this.#owner.gone(reason)
  }
}
