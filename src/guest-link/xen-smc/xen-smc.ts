// The guest-link to a Xen domain whose SMCs the hypervisor's monitor hands over: shared memory for messages, the call
// for a doorbell. It knows areas and calls; what a message means is the handler's matter. docs/xen.md.
//
// A vCPU that called waits until it is answered: registers by setcontext, then a response on the ring. PSCI calls, where
// this link serves them, never wait for a message of another vCPU.
import type { ForeignPage } from '../../native/foreign-page.ts'
import { EPOLLIN, errnoName } from '../../native/linux.ts'
import { NOTHING, ringPlaces } from '../../native/monitor-ring.ts'
import { uuidWords } from '../../native/provenance.ts'
import type { Reactor, Source } from '../../native/reactor.ts'
import type { Timer } from '../../native/timer.ts'
import { readDomainInfo } from '../../native/xen-domains.ts'
import type { SharedMemoryArea } from '../../scmi/shmem.ts'
import { defaultMaxMessageBytes, type Transfer } from '../../transfer.ts'
import { AreaExchange } from '../area-exchange.ts'
import { namesArea, registersOf } from '../call-registers.ts'
import type { FrameHandler, GuestLink } from '../guest-link.ts'
import { LinkCounters, type LinkParts } from '../link-parts.ts'
import { LogShare } from '../log-share.ts'
import { Bucket } from './bucket.ts'
import { CallingVcpus } from './calling-vcpus.ts'
import type { DomainMonitor } from './monitor.ts'
import type { XenSmcOptions } from './options.ts'
import { OtherCalls } from './other-calls.ts'
import { takeOver } from './take-over.ts'
import { VcpuPower } from './vcpu-power.ts'
import { untoldVulnerabilities } from './vulnerabilities.ts'
import { WaitingVcpus } from './waiting-vcpus.ts'

/** How often a domain that is silent is looked for. */
const watchMs = 1000
const usualCallsAtOnce = 64
const usualCallsPerSecond = 2000

/** x0 of a call that was for us and carried a message, whatever became of the message. */
const CALL_DONE = 0
const SMC64 = 0x40000000
/** Of the words of x0, x1, …: the first of x1. */
const x1Word = 2

/** First word of `run`: a Xen domain's. */
const xenSmc = 2

/** One domain's link: serves from its construction until `close`, or until the domain is gone. */
export class XenSmcLink implements GuestLink, Source {
  readonly kind = 'xen-smc'
  readonly maxInFlight = 1
  readonly hasP2A = false
  readonly maxMessageBytes: number
  /** The domain: its id and UUID. */
  readonly run: Uint32Array
  readonly counters = new LinkCounters()

  readonly #options: XenSmcOptions
  readonly #reactor: Reactor
  readonly #handler: FrameHandler
  readonly #log: LogShare
  readonly #smcId: number
  readonly #areaRegisters: Int32Array
  readonly #monitor: DomainMonitor
  readonly #page: ForeignPage
  readonly #area: SharedMemoryArea
  readonly #exchange: AreaExchange
  readonly #vcpus: CallingVcpus
  readonly #otherCalls: OtherCalls
  readonly #watch: Timer
  /** By vCPU: whether its call was made when a predecessor served. */
  readonly #inherited = new Uint8Array(ringPlaces)
  /** vCPUs whose message waits for another's. */
  readonly #queue = new WaitingVcpus()
  #announced = false
  #open = true

  /** Takes the domain over: see `takeOver`, for what it throws too. */
  constructor(options: XenSmcOptions, parts: LinkParts) {
    const { xen, domid, shmem } = options
    this.#options = options
    this.#reactor = parts.reactor
    this.#handler = parts.handler
    this.#log = new LogShare(`domain ${domid}`, parts.reactor, parts.log)
    const maxMessageBytes = options.maxMessageBytes ?? defaultMaxMessageBytes
    this.#smcId = options.smcId & ~SMC64
    this.#areaRegisters = registersOf(shmem.start)
    const { uuid, vcpus, page, area, monitor } = takeOver(options, maxMessageBytes)
    this.run = Uint32Array.of(xenSmc, domid, ...uuidWords(uuid), 0, 0)
    this.#page = page
    this.#area = area
    this.#monitor = monitor
    this.maxMessageBytes = area.maxMessageBytes
    const answered = (vcpu: number): void => this.#answered(vcpu)
    const { counters } = this
    const { guest } = options
    this.#exchange = new AreaExchange({ link: this, ...parts, counters, maxMessageBytes, guest, answered })
    if (monitor.recovered) this.#inherited.fill(1)
    const bucket = new Bucket(
      options.callsPerSecond ?? usualCallsPerSecond,
      options.callsAtOnce ?? usualCallsAtOnce,
    )
    const gone = (reason: string): void => this.#gone(reason)
    this.#vcpus = new CallingVcpus({ xen, domid, vcpus, monitor, bucket, reactor: parts.reactor, gone })
    const power = new VcpuPower(xen, domid, vcpus)
    this.#otherCalls = new OtherCalls(this.#vcpus, power, this.counters, this.#log)
    this.#watch = parts.reactor.timer({ expired: () => this.#lookAfter() })
    this.#watch.set(watchMs)
    parts.reactor.add(monitor.channel.fd, EPOLLIN, this)
    if (options.conduit === 'smc') this.#warnOfVulnerabilities()
    const how = monitor.recovered ? 'taken over from a former run' : 'monitored'
    this.#log.say('info', `${how}: ${vcpus} vCPUs, page 0x${shmem.start.toString(16)}`)
  }

  /** Whether the domain is there. */
  get occupied(): boolean {
    return this.#open
  }

  /** vCPUs let go later than they were answered, because their domain calls too often. */
  get delayed(): number {
    return this.#vcpus.delayed
  }

  /** Every call that waits: at most one for each vCPU. */
  ready(): void {
    if (!this.#open) return
    this.#monitor.channel.take()
    this.#vcpus.begin()
    for (let vcpu = this.#vcpus.next(); vcpu !== NOTHING; vcpu = this.#vcpus.next()) this.#called(vcpu)
    this.#vcpus.end()
  }

  /** Answers GENERIC_ERROR to the command under which the handler broke, and goes on. */
  faulted(): void {
    this.#exchange.faulted()
    this.#vcpus.end()
    // The bell that was taken may have been for more than this.
    if (this.#open) this.#reactor.again(this.#monitor.channel.fd)
  }

  complete(transfer: Transfer): void {
    this.#exchange.complete(transfer)
  }

  /** There is no way to the guest that it did not ask for. */
  deliver(): boolean {
    this.counters.undelivered++
    return false
  }

  /**
   * Answers what waits, has Xen see to later calls itself (its PSCI lives on, SCMI is told -1) and lets go of the domain.
   */
  close(): void {
    if (!this.#open) return
    this.#monitor.disarm()
    this.#vcpus.begin()
    const vcpu = this.#exchange.refuse()
    if (vcpu >= 0) {
      this.#page.flush()
      this.#vcpus.answerNow(vcpu, CALL_DONE)
    }
    // These have not been looked at: they call again, and Xen answers.
    while (!this.#queue.empty) this.#vcpus.repeat(this.#queue.take())
    this.#vcpus.letAllGo()
    if (!this.#open) return // one of them was found dead
    this.#vcpus.end()
    this.#reactor.remove(this.#monitor.channel.fd)
    const result = this.#monitor.close()
    if (!this.#lives()) this.#monitor.forget()
    else if (result < 0) this.#log.say('warn', `the monitor was not taken down: ${errnoName(result)}`)
    this.#end('closed')
  }

  /** The daemon stops: as `close`, or, by choice, leaves the guest's calls to wait for the next daemon. */
  suspend(): void {
    if (this.#options.leaveArmed !== true) return this.close()
    if (!this.#open) return
    this.#reactor.remove(this.#monitor.channel.fd)
    this.#monitor.abandon()
    this.#end('left armed')
  }

  #warnOfVulnerabilities(): void {
    const names = untoldVulnerabilities(this.#options.vulnerabilities)
    if (names.length > 0)
      this.#log.say(
        'warn',
        `is not told of Xen's workarounds, and the CPUs have ${names.join(', ')} (docs/xen.md)`,
      )
  }

  #called(vcpu: number): void {
    if (!this.#carriesMessage(this.#vcpus.context(vcpu).registers)) {
      if (this.#options.conduit === 'off') this.#otherCalls.refuse(vcpu)
      else this.#otherCalls.serve(vcpu)
    } else if (!this.#exchange.busy) this.#take(vcpu)
    else this.#queue.add(vcpu)
  }

  /** Takes the message that a vCPU rang for; the vCPU waits for its answer. */
  #take(vcpu: number): void {
    if (!this.#announced) {
      this.#announced = true
      if (this.#options.returning === true) this.#handler.resumed?.(this)
      else this.#handler.restarted?.(this)
    }
    this.#page.flush()
    const inherited = this.#inherited[vcpu] === 1
    this.#inherited[vcpu] = 0
    this.#exchange.take(this.#area, vcpu, inherited)
  }

  /** The area holds the answer to the message that a vCPU rang for: the next one's turn. */
  #answered(vcpu: number): void {
    this.#page.flush()
    this.#vcpus.answer(vcpu, CALL_DONE)
    while (!this.#exchange.busy && !this.#queue.empty) this.#take(this.#queue.take())
  }

  /** Whether the call is a doorbell: the function id of the guest's tree, and this guest's area where it must be named. */
  #carriesMessage(registers: Int32Array): boolean {
    if (((registers[0] as number) & ~SMC64) !== this.#smcId) return false
    return this.#options.takesParameters !== true || namesArea(registers, x1Word, this.#areaRegisters)
  }

  /** A domain can die without a word. */
  #lookAfter(): void {
    if (!this.#lives()) return this.#gone('it was destroyed')
    this.#watch.set(watchMs)
  }

  /** Whether the domain is there and not being destroyed; true when Xen does not say. */
  #lives(): boolean {
    const { xen } = this.#options
    const result = xen.domainInfo(this.#options.domid)
    if (result < 0) return true
    const { domid, dying } = readDomainInfo(xen)
    return result > 0 && domid === this.#options.domid && !dying
  }

  /** The domain is dead: nothing more is asked of it, and its memory is let go so that Xen can free it. */
  #gone(reason: string): void {
    if (!this.#open) return
    this.#reactor.remove(this.#monitor.channel.fd)
    this.#monitor.forget()
    this.#end(`gone: ${reason}`)
  }

  #end(reason: string): void {
    this.#open = false
    this.#exchange.forget()
    this.#queue.clear()
    this.#watch.clear()
    this.#vcpus.stop()
    this.#otherCalls.release()
    this.#page.close()
    this.#log.say('info', reason)
  }
}
