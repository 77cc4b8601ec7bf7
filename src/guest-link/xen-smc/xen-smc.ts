// The guest-link to a Xen domain whose SMCs the hypervisor's monitor hands over: shared memory for messages, the call
// for a doorbell. It knows areas, registers and vCPUs; what a message means is the handler's matter. docs/xen.md.
//
// A vCPU that called waits until it is answered: registers by setcontext, then a response on the ring. PSCI calls, where
// this link serves them, never wait for a message of another vCPU.
import { MediatorError } from '../../errors.ts'
import type { ForeignPage } from '../../native/foreign-page.ts'
import { pageBytes, type Xen } from '../../native/libxen.ts'
import { EAGAIN, ENOMEM, EPOLLIN, errnoName } from '../../native/linux.ts'
import { NO_CALL, NOTHING, ringPlaces } from '../../native/monitor-ring.ts'
import { uuidWords } from '../../native/provenance.ts'
import type { Reactor, Source } from '../../native/reactor.ts'
import type { Timer } from '../../native/timer.ts'
import { VcpuContext } from '../../native/vcpu-context.ts'
import { checkedXen, readDomainInfo } from '../../native/xen-domains.ts'
import { BAD_LENGTH, FREE, NOT_OWNED, SharedMemoryArea } from '../../scmi/shmem.ts'
import { BUSY, COMMS_ERROR, GENERIC_ERROR } from '../../scmi/status.ts'
import { defaultMaxMessageBytes, type Transfer, TransferPool } from '../../transfer.ts'
import type { AddressRange, Conduit, FrameHandler, GuestLink } from '../guest-link.ts'
import { LinkCounters, type LinkParts } from '../link-parts.ts'
import { LogShare } from '../log-share.ts'
import { Bucket } from './bucket.ts'
import { setSmcConduit } from './conduit.ts'
import { readGuestTree, refuse32Bit } from './guest-tree.ts'
import { MonitorJournal } from './journal.ts'
import { DomainMonitor } from './monitor.ts'
import {
  AFFINITY_INFO,
  answerCall,
  CallAnswer,
  CPU_OFF,
  CPU_ON,
  RETURN,
  SYSTEM_OFF,
  SYSTEM_RESET,
  UNCHANGED,
} from './psci.ts'
import { openSharedPage } from './shared-page.ts'
import { VcpuPower } from './vcpu-power.ts'
import { untoldVulnerabilities } from './vulnerabilities.ts'
import { WaitingVcpus } from './waiting-vcpus.ts'

/** What one domain's link is configured with. */
export interface XenSmcOptions {
  readonly xen: Xen
  readonly domid: number
  /** The UUID it must have, where it is known. */
  readonly uuid?: string
  /** It was served by a former run: a domain that no journal knows is another one of the same id. */
  readonly returning?: boolean
  /** Function id that the guest's tree names; its 32-bit and its 64-bit form are served. */
  readonly smcId: number
  /** The area that the guest's tree names, in guest-physical addresses. */
  readonly shmem: AddressRange
  readonly conduit: Conduit
  /** `arm,scmi-smc-param`: x1 (page) and x2 (offset) of the call must name the area. */
  readonly takesParameters?: boolean
  /** Registers passed through to the guest, which its page must not cover. */
  readonly devices?: readonly AddressRange[]
  /** Where the journal of monitors lies. */
  readonly journal: string
  /** Calls of all its vCPUs that may follow one another at once, and how many a second from then on. */
  readonly callsAtOnce?: number
  readonly callsPerSecond?: number
  /** When the daemon stops, leave its calls to wait for the next one instead of to Xen. */
  readonly leaveArmed?: boolean
  /** Where the kernel tells what the CPUs are vulnerable to, if not where Linux has it. */
  readonly vulnerabilities?: string
  readonly maxMessageBytes?: number
  /** The guest's slot, for its transfers. */
  readonly guest: number
}

/** One in flight, and room for those that a domain that died left at the firmware. */
const poolSize = 4
/** How often a domain that is silent is looked for, and how soon a call that Xen could not take is tried again. */
const watchMs = 1000
const retryMs = 10
const usualCallsAtOnce = 64
const usualCallsPerSecond = 2000

/** x0 of a call that was for us and carried a message, whatever became of the message. */
const CALL_DONE = 0
/** x0 of any other: SMCCC NOT_SUPPORTED. */
const CALL_NOT_SUPPORTED = -1
const SMC64 = 0x40000000

/** First word of `run`: a Xen domain's. */
const xenSmc = 2

/** What a vCPU does as far as this link knows. */
const RUNS = 0
/** Its message is with the handler, or waits for its turn. */
const CALLS = 1
/** It has its answer, and is let go when the bucket says so. */
const ANSWERED = 2

/** One domain's link: serves from its construction until `close`, or until the domain is gone. */
export class XenSmcLink implements GuestLink, Source {
  readonly kind = 'xen-smc'
  readonly maxInFlight = 1
  readonly hasP2A = false
  readonly maxMessageBytes: number
  /** The domain: its id and UUID. */
  readonly run: Uint32Array
  readonly counters = new LinkCounters()
  /** vCPUs let go later than they were answered, because their domain calls too often. */
  delayed = 0

  readonly #options: XenSmcOptions
  readonly #xen: Xen
  readonly #domid: number
  readonly #reactor: Reactor
  readonly #handler: FrameHandler
  readonly #log: LogShare
  readonly #pool: TransferPool
  readonly #smcId: number
  readonly #pageNumber: Int32Array
  readonly #bucket: Bucket
  readonly #power: VcpuPower
  readonly #answer = new CallAnswer()
  readonly #monitor: DomainMonitor
  readonly #watch: Timer
  readonly #release: Timer

  /** By vCPU: its registers while it waits, what it waits for, when it is let go, and whether a predecessor had it. */
  readonly #contexts: VcpuContext[] = []
  readonly #states = new Uint8Array(ringPlaces)
  readonly #dueAt = new Float64Array(ringPlaces)
  readonly #inherited = new Uint8Array(ringPlaces)
  /** vCPUs whose message waits for another's, and those that are answered and held back. */
  readonly #queue = new WaitingVcpus()
  readonly #held = new WaitingVcpus()
  #page: ForeignPage | undefined
  #area: SharedMemoryArea | undefined
  /** The command in flight, the vCPU that rang for it, and whether the handler has just been given it. */
  #current: Transfer | undefined = undefined
  #vcpu = 0
  #handling = false
  /** Within `ready`: the bell is rung once, at its end. */
  #serving = false
  #rings = false
  #announced = false
  /** Told apart in `transfer.cookie`, so that an answer after the end is known as late. */
  #generation = 0

  /**
   * Takes the domain over, pausing it meanwhile: puts its page there, sets its conduit, enables its monitor. Throws
   * XEN_REFUSED, DOMAIN_UNKNOWN, DTB_REFUSED, DTB_MALFORMED, NOT_SUPPORTED; the domain is then as it was, but for the
   * page.
   */
  constructor(options: XenSmcOptions, parts: LinkParts) {
    const { xen, domid } = options
    this.#options = options
    this.#xen = xen
    this.#domid = domid
    this.#reactor = parts.reactor
    this.#handler = parts.handler
    this.#log = new LogShare(`domain ${domid}`, parts.reactor, parts.log)
    this.maxMessageBytes = options.maxMessageBytes ?? defaultMaxMessageBytes
    this.#pool = new TransferPool(poolSize, this.maxMessageBytes, options.guest)
    this.#smcId = options.smcId & ~SMC64
    this.#pageNumber = registersOf(options.shmem.start)
    this.#bucket = new Bucket(
      options.callsPerSecond ?? usualCallsPerSecond,
      options.callsAtOnce ?? usualCallsAtOnce,
    )
    const found = checkedXen('xc_domain_getinfolist', domid, xen.domainInfo(domid))
    const info = readDomainInfo(xen)
    if (found === 0 || info.domid !== domid || info.dying)
      throw new MediatorError('DOMAIN_UNKNOWN', `Xen has no domain ${domid}, or it is being destroyed`)
    if (options.uuid !== undefined && options.uuid !== info.uuid) throw another(domid)
    if (info.vcpus > ringPlaces)
      throw new MediatorError(
        'NOT_SUPPORTED',
        `domain ${domid} has ${info.vcpus} vCPUs; by SMC a guest of at most ${ringPlaces} can be served`,
      )
    this.run = Uint32Array.of(xenSmc, domid, ...uuidWords(info.uuid), 0, 0)
    this.#power = new VcpuPower(xen, domid, info.vcpus)
    for (let vcpu = 0; vcpu < info.vcpus; vcpu++) this.#contexts.push(new VcpuContext())

    checkedXen('xc_domain_pause', domid, xen.pause(domid))
    try {
      const journal = new MonitorJournal(options.journal, domid, info.uuid)
      if (options.conduit === 'psci' && info.cpuTimeNs === 0) refuse32Bit(xen, domid)
      this.#monitor = this.#takeOver(journal, info.vcpus)
    } catch (error) {
      this.#free()
      throw error
    } finally {
      xen.unpause(domid)
    }
    if (this.#monitor.recovered) this.#inherited.fill(1)
    this.maxMessageBytes = this.#area?.maxMessageBytes ?? this.maxMessageBytes
    this.#watch = parts.reactor.timer({ expired: () => this.#lookAfter() })
    this.#release = parts.reactor.timer({ expired: () => this.#letGo() })
    this.#watch.set(watchMs)
    parts.reactor.add(this.#monitor.channel.fd, EPOLLIN, this)
    if (options.conduit === 'smc') this.#warnOfVulnerabilities()
    const how = this.#monitor.recovered ? 'taken over from a former run' : 'monitored'
    this.#log.say('info', `${how}: ${info.vcpus} vCPUs, page 0x${options.shmem.start.toString(16)}`)
  }

  /** Whether the domain is there. */
  get occupied(): boolean {
    return this.#area !== undefined
  }

  /** Every call that waits: at most one for each vCPU. */
  ready(): void {
    if (this.#area === undefined) return
    this.#monitor.channel.take()
    this.#serving = true
    for (;;) {
      const vcpu = this.#monitor.ring.take()
      if (vcpu === NOTHING) break
      if (vcpu === NO_CALL || vcpu >= this.#contexts.length || this.#states[vcpu] !== RUNS) this.#rings = true
      else this.#called(vcpu)
      if (this.#area === undefined) return
    }
    this.#serving = false
    this.#ring()
  }

  /** Answers GENERIC_ERROR to the command under which the handler broke, and goes on. */
  faulted(): void {
    this.#serving = false
    const transfer = this.#current
    if (this.#handling && transfer !== undefined) {
      this.#handling = false
      this.#current = undefined
      transfer.cookie = -1 // the handler may still complete it; until then nobody else may have it
      this.#area?.refuse(transfer.header, GENERIC_ERROR, FREE)
      this.#finish(this.#vcpu, CALL_DONE)
      this.#nextMessage()
    }
    this.#ring()
    // The bell that was taken may have been for more than this.
    if (this.#area !== undefined) this.#reactor.again(this.#monitor.channel.fd)
  }

  complete(transfer: Transfer): void {
    const area = this.#area
    if (transfer.cookie !== this.#generation || area === undefined) {
      this.counters.late++
      this.#pool.give(transfer)
      return
    }
    this.#current = undefined
    if (transfer.length > area.maxMessageBytes) {
      this.counters.oversized++
      transfer.answer(COMMS_ERROR)
    }
    area.respond(transfer.words, transfer.bytes, transfer.length)
    this.#pool.give(transfer)
    this.counters.responses++
    this.#finish(this.#vcpu, CALL_DONE)
    this.#nextMessage()
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
    if (this.#area === undefined) return
    this.#monitor.disarm()
    this.#serving = true
    const transfer = this.#current
    if (transfer !== undefined) {
      this.#current = undefined
      this.#area.refuse(transfer.header, COMMS_ERROR, FREE)
      this.#page?.flush()
      this.#answerNow(this.#vcpu, CALL_DONE)
    }
    for (let vcpu = this.#held.take(); vcpu >= 0; vcpu = this.#held.take()) this.#resume(vcpu)
    // These have not been looked at: they call again, and Xen answers.
    for (let vcpu = this.#queue.take(); vcpu >= 0; vcpu = this.#queue.take()) this.#monitor.ring.release(vcpu)
    for (let vcpu = this.#monitor.ring.take(); vcpu !== NOTHING; vcpu = this.#monitor.ring.take())
      if (vcpu >= 0) this.#monitor.ring.release(vcpu)
    this.#monitor.channel.notify()
    this.#reactor.remove(this.#monitor.channel.fd)
    const result = this.#monitor.close()
    if (!this.#lives()) this.#monitor.forget()
    else if (result < 0) this.#log.say('warn', `the monitor was not taken down: ${errnoName(result)}`)
    this.#end('closed')
  }

  /** The daemon stops: as `close`, or, by choice, leaves the guest's calls to wait for the next daemon. */
  suspend(): void {
    if (this.#options.leaveArmed !== true) return this.close()
    if (this.#area === undefined) return
    this.#reactor.remove(this.#monitor.channel.fd)
    this.#monitor.abandon()
    this.#end('left armed')
  }

  #takeOver(journal: MonitorJournal, vcpus: number): DomainMonitor {
    const { conduit, shmem } = this.#options
    const before = journal.load()
    if (before === undefined && this.#options.returning === true) throw another(this.#domid)
    const place = { domid: this.#domid, shmem, devices: this.#options.devices ?? [] }
    const { page: shared, put: page } = openSharedPage(this.#xen, place, before?.page ?? -1, journal)
    this.#page = shared
    let conduitSet = before?.conduitSet ?? false
    if (conduit === 'smc' && !conduitSet) {
      const tree = readGuestTree(this.#xen, this.#domid)
      setSmcConduit(this.#xen, this.#domid, tree)
      conduitSet = true
    }
    const monitor = DomainMonitor.open(this.#xen, this.#domid, vcpus, journal, { page, conduitSet })
    const offset = shmem.start % pageBytes
    this.#area = new SharedMemoryArea(shared.buffer, offset, shmem.size, this.maxMessageBytes)
    if (!monitor.recovered) this.#area.open()
    this.#page?.flush()
    return monitor
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
    const context = this.#contexts[vcpu] as VcpuContext
    const result = context.read(this.#xen, this.#domid, vcpu)
    if (result < 0) return this.#gone(`its registers cannot be read: ${errnoName(result)}`)
    const { registers } = context
    const id = registers[0] as number
    if (
      (id & ~SMC64) === this.#smcId &&
      (this.#options.takesParameters !== true || this.#namesArea(registers))
    ) {
      this.#states[vcpu] = CALLS
      if (this.#current === undefined) this.#take(vcpu)
      else this.#queue.add(vcpu)
      return
    }
    if (this.#options.conduit === 'off') {
      this.counters.unknownCalls++
      return this.#finish(vcpu, CALL_NOT_SUPPORTED)
    }
    answerCall(registers, this.#answer)
    this.#act(vcpu, context)
  }

  /** Does what a call of PSCI or SMCCC means. */
  #act(vcpu: number, context: VcpuContext): void {
    const answer = this.#answer
    switch (answer.action) {
      case RETURN:
        if (answer.value === CALL_NOT_SUPPORTED) this.counters.unknownCalls++
        return this.#finish(vcpu, answer.value)
      case UNCHANGED:
        context.advance()
        return this.#hold(vcpu)
      case CPU_ON:
        return this.#finish(vcpu, this.#power.start(answer, context.registers))
      case CPU_OFF:
        context.setOffline()
        return this.#finish(vcpu, CALL_DONE)
      case AFFINITY_INFO:
        return this.#finish(vcpu, this.#power.affinity(answer))
      case SYSTEM_OFF:
        this.#log.say('info', 'shuts down')
        this.#power.powerOff()
        return this.#finish(vcpu, answer.value)
      case SYSTEM_RESET:
        this.#log.say('info', 'restarts')
        this.#power.reset()
        return this.#finish(vcpu, answer.value)
    }
  }

  /** Takes the message that a vCPU rang for; the vCPU waits for its answer. */
  #take(vcpu: number): void {
    const area = this.#area as SharedMemoryArea
    if (!this.#announced) {
      this.#announced = true
      if (this.#options.returning === true) this.#handler.resumed?.(this)
      else this.#handler.restarted?.(this)
    }
    this.#page?.flush()
    const transfer = this.#pool.take()
    if (transfer === undefined) {
      this.counters.busy++
      area.refuseUnread(BUSY)
      return this.#finish(vcpu, CALL_DONE)
    }
    const length = area.take(transfer.words, transfer.bytes)
    const inherited = this.#inherited[vcpu] === 1
    this.#inherited[vcpu] = 0
    if (length < 0) {
      this.#refuse(area, length, transfer.words[0] as number, inherited)
      this.#pool.give(transfer)
      return this.#finish(vcpu, CALL_DONE)
    }
    transfer.length = length
    transfer.header = transfer.ints[0] as number
    transfer.cookie = this.#generation
    transfer.arrivedAt = this.#reactor.now
    this.#current = transfer
    this.#vcpu = vcpu
    this.counters.commands++
    this.#handling = true
    this.#handler.handle(transfer, this)
    this.#handling = false
  }

  /** A doorbell without a message, or with one of no length. */
  #refuse(area: SharedMemoryArea, fault: number, header: number, inherited: boolean): void {
    if (fault === BAD_LENGTH) {
      this.counters.badLengths++
      area.refuse(header)
    } else if (fault === NOT_OWNED && !inherited) {
      this.counters.spuriousDoorbells++
      area.reject()
    } // else a former daemon answered and died before it let the vCPU go: the answer stands
  }

  #nextMessage(): void {
    while (this.#current === undefined && !this.#queue.empty) this.#take(this.#queue.take())
  }

  /** Writes the answer into the registers of a vCPU that called. */
  #finish(vcpu: number, x0: number): void {
    if (this.#states[vcpu] === CALLS) this.#page?.flush()
    const context = this.#contexts[vcpu] as VcpuContext
    context.setX0(x0)
    context.advance()
    this.#hold(vcpu)
  }

  #answerNow(vcpu: number, x0: number): void {
    const context = this.#contexts[vcpu] as VcpuContext
    context.setX0(x0)
    context.advance()
    this.#resume(vcpu)
  }

  /** Lets an answered vCPU go, when its domain has not called too often. */
  #hold(vcpu: number): void {
    this.#states[vcpu] = ANSWERED
    const waitMs = this.#bucket.take(this.#reactor.clock)
    if (waitMs === 0 && this.#held.empty) return this.#resume(vcpu)
    this.delayed++
    this.#putOff(vcpu, waitMs)
  }

  #putOff(vcpu: number, waitMs: number): void {
    this.#dueAt[vcpu] = (this.#reactor.clock[1] as number) + waitMs * 1000
    this.#held.add(vcpu)
    if (!this.#release.isSet) this.#release.set(waitMs)
  }

  /** Lets those go whose time has come. */
  #letGo(): void {
    const now = this.#reactor.clock[1] as number
    this.#serving = true
    for (let left = ringPlaces; left > 0 && !this.#held.empty; left--) {
      if ((this.#dueAt[this.#held.first] as number) > now) break
      this.#resume(this.#held.take())
      if (this.#area === undefined) return
    }
    this.#serving = false
    this.#ring()
    if (this.#held.empty || this.#release.isSet) return
    const leftUs = (this.#dueAt[this.#held.first] as number) - now
    this.#release.set(Math.max(1, Math.ceil(leftUs / 1000)))
  }

  /** Gives the vCPU its registers and lets it go. */
  #resume(vcpu: number): void {
    const result = (this.#contexts[vcpu] as VcpuContext).write(this.#xen, this.#domid, vcpu)
    if (result === -ENOMEM || result === -EAGAIN) return this.#putOff(vcpu, retryMs)
    if (result < 0) return this.#gone(`its registers cannot be written: ${errnoName(result)}`)
    this.#states[vcpu] = RUNS
    this.#monitor.ring.release(vcpu)
    this.#rings = true
    if (!this.#serving) this.#ring()
  }

  #ring(): void {
    if (!this.#rings) return
    this.#rings = false
    this.#monitor.channel.notify()
  }

  /** Whether x1 and x2 of the call name this guest's area. They are compared, never followed. */
  #namesArea(registers: Int32Array): boolean {
    for (let i = 0; i < 4; i++) if (registers[2 + i] !== this.#pageNumber[i]) return false
    return true
  }

  /** A domain can die without a word. */
  #lookAfter(): void {
    if (!this.#lives()) return this.#gone('it was destroyed')
    this.#watch.set(watchMs)
  }

  /** Whether the domain is there and not being destroyed; true when Xen does not say. */
  #lives(): boolean {
    const result = this.#xen.domainInfo(this.#domid)
    if (result < 0) return true
    const { domid, dying } = readDomainInfo(this.#xen)
    return result > 0 && domid === this.#domid && !dying
  }

  /** The domain is dead: nothing more is asked of it, and its memory is let go so that Xen can free it. */
  #gone(reason: string): void {
    if (this.#area === undefined) return
    this.#reactor.remove(this.#monitor.channel.fd)
    this.#monitor.forget()
    this.#end(`gone: ${reason}`)
  }

  #end(reason: string): void {
    this.#generation++
    this.#current = undefined
    this.#handling = false
    this.#serving = false
    this.#rings = false
    this.#queue.clear()
    this.#held.clear()
    this.#watch.clear()
    this.#release.clear()
    this.#free()
    this.#log.say('info', reason)
  }

  #free(): void {
    this.#area = undefined
    this.#page?.close()
    this.#page = undefined
    this.#power.release()
    for (const context of this.#contexts) context.release()
  }
}

const another = (domid: number): MediatorError =>
  new MediatorError('DOMAIN_UNKNOWN', `domain ${domid} of now is another one than was to be served`)

/** x1 and x2 for an area at a guest-physical address, as four 32-bit words: page low, page high, offset, 0. */
function registersOf(address: number): Int32Array {
  const page = Math.floor(address / pageBytes)
  return new Int32Array([page | 0, Math.floor(page / 2 ** 32), address % pageBytes, 0])
}
