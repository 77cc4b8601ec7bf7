// The back end of one vhost-user device: does what a front end's messages say, refuses what they may not say, and runs
// its rings. What is in the rings is the device's matter.
import { acceptEventfd } from '../native/eventfd.ts'
import { close } from '../native/libc.ts'
import { EAGAIN, EPOLLET, EPOLLIN, errnoName } from '../native/linux.ts'
import type { Reactor, Source } from '../native/reactor.ts'
import {
  F_EVENT_IDX,
  F_INDIRECT_DESC,
  F_PROTOCOL_FEATURES,
  F_VERSION_1_HIGH,
  PROTOCOL_CONFIGURE_MEM_SLOTS,
  PROTOCOL_INFLIGHT_SHMFD,
  PROTOCOL_MQ,
  PROTOCOL_REPLY_ACK,
} from './features.ts'
import { GuestMemory, maxRegions } from './guest-memory.ts'
import type { RegionPlace, UnsealedMemory } from './guest-region.ts'
import { type InflightLog, inflightBytes } from './inflight.ts'
import { FrontEndLogs, inflightMemfd } from './inflight-memory.ts'
import { ENDED, MessageStream, MORE, SENSELESS } from './message-stream.ts'
import * as wire from './vhost-user-wire.ts'
import { Vring } from './vring.ts'
import { numberAt, putNumber } from './words64.ts'

/** What runs behind a back end. */
export interface VhostDevice {
  /** Rings it has. */
  readonly rings: number
  /** Its own feature bits, below bit 24. */
  readonly features: number
  /** Whether memory may be told region by region (CONFIGURE_MEM_SLOTS). */
  readonly memorySlots: boolean
  /** A ring runs from now on. */
  ringStarted(index: number): void
  /**
   * A ring is to stop: whether nothing of it is under way any more. If not, `stopped` is called when that is so; until
   * then nothing new is taken from it.
   */
  ringStopping(index: number): boolean
  /**
   * The device's own log of a ring whose front end keeps none: the ring's size, and where its table is in the front end.
   * `known`: it was written for this very ring. Undefined: none is kept; a ring whose memory goes loses what is under way.
   */
  ownLog?(index: number, size: number, address: number): { log: InflightLog; known: boolean } | undefined
  /** A ring is gone with its memory, whatever was under way. */
  ringDropped(index: number): void
}

/** The message was answered by itself; the acknowledgement that it may have asked for is due. */
type Outcome = 'replied' | 'done' | 'later'

const offeredLow = (features: number): number =>
  features | F_INDIRECT_DESC | F_EVENT_IDX | F_PROTOCOL_FEATURES
const offeredHigh = F_VERSION_1_HIGH
const offeredProtocol = ({ memorySlots }: VhostDevice): number =>
  PROTOCOL_MQ |
  PROTOCOL_REPLY_ACK |
  PROTOCOL_INFLIGHT_SHMFD |
  (memorySlots ? PROTOCOL_CONFIGURE_MEM_SLOTS : 0)

/** A refusal that the front end is told of, or for which its connection ends. */
class Refused extends Error {}

/** One front end's back end; it outlives connections. */
export class VhostUserBackend {
  readonly memory: GuestMemory
  readonly rings: readonly Vring[]
  /** What the driver agreed to; undefined until the front end has said it on this connection. */
  features: number | undefined = undefined
  /** The same as bits alone: none before. */
  #agreed = 0
  readonly #stream = new MessageStream()
  readonly #reactor: Reactor
  readonly #device: VhostDevice
  readonly #kicks: readonly Source[]
  /** Logs of what is under way, where the front end keeps them. */
  #logs: FrontEndLogs | undefined = undefined
  /** The ring whose stop is awaited; -1: none. */
  #stopping = -1
  #fd = -1

  /** `kicks`: what the reactor calls when the front end rings for a ring, by ring. */
  constructor(device: VhostDevice, reactor: Reactor, kicks: readonly Source[], unsealed: UnsealedMemory) {
    this.#device = device
    this.#reactor = reactor
    this.#kicks = kicks
    this.memory = new GuestMemory(unsealed)
    this.rings = Array.from({ length: device.rings }, () => new Vring())
  }

  /** Whether the driver agreed to a feature bit of the low word. */
  has(feature: number): boolean {
    return (this.#agreed & feature) !== 0
  }

  /** Whether the front end must wait for something before its next message is read. */
  get busy(): boolean {
    return this.#stream.sending || this.#stopping >= 0
  }

  /** Whether something has not left yet. */
  get sending(): boolean {
    return this.#stream.sending
  }

  /** Serves the front end at the other end of `fd` from now on. */
  connect(fd: number): void {
    this.#fd = fd
  }

  /** Reads at most one message and does what it says. Gives the reason when the connection must end. */
  receive(): string | undefined {
    const stream = this.#stream
    const read = stream.read(this.#fd)
    if (read === MORE) return undefined
    if (read === ENDED) return 'the front end disconnected'
    if (read === SENSELESS)
      return `refused: a message that is none (request ${stream.request}, flags ${stream.flags}, ${stream.size} bytes)`
    if (read < 0) return `the front end disconnected: ${errnoName(read)}`
    const fault = this.#do()
    if (this.#stopping < 0) stream.next()
    return fault ?? this.flush()
  }

  /** Sends what waits. Gives the reason when the connection must end. */
  flush(): string | undefined {
    const result = this.#stream.flush(this.#fd)
    return result === 0 || result === -EAGAIN ? undefined : `the front end disconnected: ${errnoName(result)}`
  }

  /** Nothing of the ring that is to stop is under way any more. Gives the reason when the connection must end. */
  stopped(): string | undefined {
    const index = this.#stopping
    if (index < 0) return undefined
    this.#stopping = -1
    this.#answerBase(index)
    this.#stream.next()
    return this.flush()
  }

  /** The front end is gone: its memory, rings and descriptors with it. */
  disconnect(): void {
    this.#fd = -1
    this.#stopping = -1
    this.features = undefined
    this.#agreed = 0
    this.#stream.clear()
    this.#reset()
    this.#dropLogs()
    this.memory.clear()
  }

  release(): void {
    this.disconnect()
    this.#stream.release()
    this.memory.release()
  }

  /** Does what the message says. Gives the reason when the connection must end. */
  #do(): string | undefined {
    const { request, flags, size } = this.#stream
    const form = wire.requests.get(request)
    const name = form?.name ?? `request ${request}`
    let refusal: string | undefined
    let outcome: Outcome = 'done'
    try {
      if (form === undefined) throw new Refused('not supported')
      if (form.size >= 0 && size !== form.size) throw new Refused(`${size} bytes, not ${form.size}`)
      if (this.#stream.fdCount > form.fds) throw new Refused(`${this.#stream.fdCount} file descriptors`)
      outcome = this.#execute(request)
    } catch (error) {
      if (!(error instanceof Refused)) throw error
      refusal = error.message
    }
    if (outcome !== 'done') return undefined
    if ((flags & wire.NEED_REPLY) !== 0) {
      this.#number(refusal === undefined ? 0 : 1)
      return undefined
    }
    return refusal === undefined ? undefined : `refused: ${name}: ${refusal}`
  }

  #execute(request: number): Outcome {
    const { payload } = this.#stream
    switch (request) {
      case wire.GET_FEATURES:
        return this.#words(offeredLow(this.#device.features), offeredHigh)
      case wire.SET_FEATURES:
        return this.#setFeatures(payload[0] ?? 0, payload[1] ?? 0)
      case wire.GET_PROTOCOL_FEATURES:
        return this.#words(offeredProtocol(this.#device), 0)
      case wire.SET_PROTOCOL_FEATURES:
        if (((payload[0] ?? 0) & ~offeredProtocol(this.#device)) !== 0 || payload[1] !== 0)
          throw new Refused('protocol features that were not offered')
        return 'done'
      case wire.GET_QUEUE_NUM:
        return this.#number(this.rings.length)
      case wire.GET_MAX_MEM_SLOTS:
        return this.#number(maxRegions)
      case wire.SET_OWNER:
        return 'done'
      case wire.RESET_OWNER: // obsolete; it never meant the same twice
        return 'done'
      case wire.RESET_DEVICE:
        this.#reset()
        return 'done'
      case wire.SET_MEM_TABLE:
        return this.#setTable()
      case wire.ADD_MEM_REG:
        return this.#addRegion()
      case wire.REM_MEM_REG:
        return this.#removeRegion()
      case wire.SET_VRING_NUM:
        this.#idle(payload[0]).size = sizeOf(payload[1] ?? 0)
        return 'done'
      case wire.SET_VRING_BASE:
        this.#idle(payload[0]).base = (payload[1] ?? 0) & 0xffff
        return 'done'
      case wire.SET_VRING_ADDR:
        return this.#setAddresses()
      case wire.GET_VRING_BASE:
        return this.#getBase()
      case wire.SET_VRING_KICK:
        return this.#setKick()
      case wire.SET_VRING_CALL:
        return this.#setCall()
      case wire.SET_VRING_ERR:
        this.#ringOfFd().setErr(this.#eventfd())
        return 'done'
      case wire.GET_INFLIGHT_FD:
        return this.#giveLogs()
      case wire.SET_INFLIGHT_FD:
        return this.#takeLogs()
      case wire.SET_VRING_ENABLE:
        return this.#enable(payload[0] ?? 0, payload[1] ?? 0)
      default:
        throw new Refused('not supported')
    }
  }

  #setFeatures(low: number, high: number): Outcome {
    if ((low & ~offeredLow(this.#device.features)) !== 0 || (high & ~offeredHigh) !== 0)
      throw new Refused('features that were not offered')
    if ((high & F_VERSION_1_HIGH) === 0) throw new Refused('a driver without VERSION_1')
    this.features = low | 0
    this.#agreed = low | 0
    for (const ring of this.rings) {
      if ((low & F_PROTOCOL_FEATURES) === 0) ring.enabled = true
      if (ring.queue !== undefined) this.#reopen(ring)
    }
    return 'done'
  }

  #setTable(): Outcome {
    const { payload, size, fdCount } = this.#stream
    const count = payload[0] ?? 0
    if (size < wire.tableBytes || count > wire.maxTableRegions)
      throw new Refused(`a table of ${size} bytes and ${count} regions`)
    if (size !== wire.tableBytes + count * wire.regionBytes || fdCount !== count)
      throw new Refused(`a table of ${count} regions, in ${size} bytes with ${fdCount} file descriptors`)
    this.memory.clear()
    let fault: string | undefined
    for (let i = 0; i < count && fault === undefined; i++) {
      fault = this.memory.add(
        this.#stream.take(i),
        placeAt(payload, (wire.tableBytes + i * wire.regionBytes) / 4),
      )
    }
    if (fault !== undefined) this.memory.clear()
    this.#moved()
    if (fault !== undefined) throw new Refused(fault)
    return 'done'
  }

  #addRegion(): Outcome {
    const fd = this.#stream.take(0)
    if (fd < 0) throw new Refused('a region without a file descriptor')
    const fault = this.memory.add(fd, placeAt(this.#stream.payload, 2))
    if (fault !== undefined) throw new Refused(fault)
    for (const ring of this.rings) if (ring.adrift) this.#return(ring)
    return 'done'
  }

  #removeRegion(): Outcome {
    if (!this.memory.remove(placeAt(this.#stream.payload, 2))) throw new Refused('there is no such region')
    this.#moved()
    return 'done'
  }

  /** Memory lies elsewhere: running rings are looked for there. One that is not there waits until it is. */
  #moved(): void {
    for (const ring of this.rings)
      if (ring.queue !== undefined) this.#reopen(ring)
      else if (ring.adrift) this.#return(ring)
  }

  #reopen(ring: Vring): void {
    if (ring.open(this.memory, this.#ringFeatures()) === undefined) return
    ring.adrift = true
    this.#device.ringDropped(this.rings.indexOf(ring))
  }

  /** Its memory may be there again: what was under way is taken up, for its answers had nowhere to go. */
  #return(ring: Vring): void {
    if (ring.open(this.memory, this.#ringFeatures()) !== undefined) return
    ring.adrift = false
    this.#takeUp(ring, true)
    this.#reactor.again(ring.kickFd)
  }

  #setAddresses(): Outcome {
    const { payload } = this.#stream
    const ring = this.#ring(payload[0])
    if (((payload[1] ?? 0) & ~1) !== 0) throw new Refused('unknown flags')
    const [descriptors, used, available] = [numberAt(payload, 2), numberAt(payload, 4), numberAt(payload, 6)]
    if (descriptors < 0 || used < 0 || available < 0) throw new Refused('an address beyond all memory')
    Object.assign(ring, { descriptors, used, available, adrift: false })
    if (ring.queue !== undefined) this.#reopen(ring)
    else this.#start(payload[0] ?? 0)
    return 'done'
  }

  #getBase(): Outcome {
    const index = this.#stream.payload[0] ?? 0
    const ring = this.#ring(index)
    if (ring.queue !== undefined && !this.#device.ringStopping(index)) {
      this.#stopping = index
      ring.stopping = true
      return 'later'
    }
    this.#answerBase(index)
    return 'replied'
  }

  #answerBase(index: number): void {
    const ring = this.rings[index] as Vring
    ring.stop()
    this.#dropKick(ring)
    const { answer } = this.#stream
    answer[0] = index
    answer[1] = ring.base
    this.#stream.put(wire.GET_VRING_BASE, wire.REPLY, 8)
  }

  #setKick(): Outcome {
    const ring = this.#ringOfFd()
    const fd = this.#eventfd()
    if (fd < 0) throw new Refused('a ring without a kick, which would have to be polled')
    this.#dropKick(ring)
    const index = this.rings.indexOf(ring)
    ring.kickFd = fd
    // An edge for each kick, and nothing to read. What was rung before is an edge too.
    this.#reactor.add(fd, EPOLLIN | EPOLLET, this.#kicks[index] as Source)
    if (ring.queue === undefined) this.#start(index)
    else this.#reactor.again(fd)
    return 'done'
  }

  #setCall(): Outcome {
    const ring = this.#ringOfFd()
    ring.setCall(this.#eventfd())
    if (ring.queue !== undefined) ring.signal() // what the former one was told may have been lost
    return 'done'
  }

  #enable(index: number, state: number): Outcome {
    const ring = this.#ring(index)
    if (state > 1) throw new Refused(`state ${state}, not 0 or 1`)
    ring.enabled = state === 1
    if (!ring.enabled) return 'done'
    if (ring.queue === undefined) this.#start(index)
    else this.#reactor.again(ring.kickFd) // the kick may have come before
    return 'done'
  }

  /** Starts a ring of which all has been said. */
  #start(index: number): void {
    const ring = this.rings[index] as Vring
    if (!ring.enabled || !ring.complete || ring.adrift) return
    const front = this.#logs?.log(index, ring.size)
    const own = front === undefined ? this.#device.ownLog?.(index, ring.size, ring.descriptors) : undefined
    ring.log = front ?? own?.log
    const fault = ring.open(this.memory, this.#ringFeatures())
    if (fault !== undefined) throw new Refused(`ring ${index}: ${fault}`)
    this.#takeUp(ring, front?.valid ?? own?.known ?? false)
    this.#device.ringStarted(index)
    this.#reactor.again(ring.kickFd)
  }

  /** Takes up what was under way when a former process ended, if the ring's log tells of it and fits the ring. */
  #takeUp({ log, queue, base }: Vring, known: boolean): void {
    if (log === undefined || queue === undefined) return
    const { used } = queue
    const heads = known ? log.recover(used) : undefined
    const next = (used + (heads?.length ?? 0)) & 0xffff
    const fits = heads !== undefined && (base === used || base === next) && queue.mayResume(heads)
    if (!fits) log.reset(used)
    else if (heads.length > 0) queue.resume(heads, next)
  }

  #giveLogs(): Outcome {
    const { payload, answer, size, request } = this.#stream
    const [rings, entries] = [(payload[4] ?? 0) & 0xffff, (payload[4] ?? 0) >>> 16]
    if (size < wire.inflightBytes || size > wire.inflightPaddedBytes) throw new Refused(`${size} bytes`)
    if (rings < 1 || rings > this.rings.length || entries < 1 || entries > 32768)
      throw new Refused(`logs of ${rings} rings of ${entries} entries`)
    const fd = inflightMemfd(rings, entries)
    if (fd < 0) throw new Refused('no memory for logs')
    answer.fill(0, 0, wire.inflightPaddedBytes / 4)
    putNumber(answer, 0, rings * inflightBytes(entries))
    answer[4] = payload[4] ?? 0
    this.#stream.put(request, wire.REPLY, size, fd)
    return 'replied'
  }

  #takeLogs(): Outcome {
    const { payload, size } = this.#stream
    if (size < wire.inflightBytes || size > wire.inflightPaddedBytes) throw new Refused(`${size} bytes`)
    if (this.rings.some(({ queue }) => queue !== undefined)) throw new Refused('a ring runs')
    const fd = this.#stream.take(0)
    if (fd < 0) throw new Refused('no file descriptor')
    const [rings, entries] = [(payload[4] ?? 0) & 0xffff, (payload[4] ?? 0) >>> 16]
    const length = numberAt(payload, 0)
    const offset = numberAt(payload, 2)
    const logs =
      length < 0 || offset < 0
        ? 'a place beyond all files'
        : FrontEndLogs.map(fd, length, offset, Math.min(rings, this.rings.length), entries)
    close(fd)
    if (typeof logs === 'string') throw new Refused(logs)
    this.#dropLogs()
    this.#logs = logs
    return 'done'
  }

  #dropLogs(): void {
    this.#logs?.release()
    this.#logs = undefined
  }

  #ringFeatures(): { eventIdx: boolean | undefined; indirect: boolean } {
    const { features } = this
    return {
      eventIdx: features === undefined ? undefined : (features & F_EVENT_IDX) !== 0,
      indirect: features === undefined || (features & F_INDIRECT_DESC) !== 0,
    }
  }

  /** Takes the one eventfd of a message over; -1 when it says that there is none. */
  #eventfd(): number {
    const { payload, fdCount } = this.#stream
    if (((payload[0] ?? 0) & wire.NO_FD) !== 0) {
      if (fdCount > 0) throw new Refused('a file descriptor that was said not to come')
      return -1
    }
    const fd = this.#stream.take(0)
    if (fd < 0) throw new Refused('no file descriptor')
    if (acceptEventfd(fd)) return fd
    close(fd)
    throw new Refused('a file descriptor that is no eventfd')
  }

  #ringOfFd(): Vring {
    const { payload } = this.#stream
    if (((payload[0] ?? 0) & ~(wire.ringMask | wire.NO_FD)) !== 0 || payload[1] !== 0)
      throw new Refused('unknown flags')
    return this.#ring((payload[0] ?? 0) & wire.ringMask)
  }

  #ring(index: number | undefined): Vring {
    const ring = this.rings[index ?? -1]
    if (ring === undefined) throw new Refused(`there is no ring ${index}`)
    return ring
  }

  /** A ring that does not run. */
  #idle(index: number | undefined): Vring {
    const ring = this.#ring(index)
    if (ring.queue !== undefined) throw new Refused(`ring ${index} runs`)
    return ring
  }

  #dropKick(ring: Vring): void {
    if (ring.kickFd < 0) return
    this.#reactor.remove(ring.kickFd)
    close(ring.kickFd)
    ring.kickFd = -1
  }

  /** Rings as nobody has said anything of them; memory stays. */
  #reset(): void {
    for (const [index, ring] of this.rings.entries()) {
      if (ring.queue !== undefined) this.#device.ringDropped(index)
      this.#dropKick(ring)
      ring.forget()
    }
  }

  #words(low: number, high: number): Outcome {
    const { answer, request } = this.#stream
    answer[0] = low
    answer[1] = high
    this.#stream.put(request, wire.REPLY, 8)
    return 'replied'
  }

  #number(value: number): Outcome {
    const { answer, request } = this.#stream
    putNumber(answer, 0, value)
    this.#stream.put(request, wire.REPLY, 8)
    return 'replied'
  }
}

function sizeOf(size: number): number {
  if (size < 1 || size > 32768 || (size & (size - 1)) !== 0) throw new Refused(`a ring of ${size} entries`)
  return size
}

const placeAt = (words: Uint32Array, at: number): RegionPlace => ({
  gpa: numberAt(words, at),
  size: numberAt(words, at + 2),
  uva: numberAt(words, at + 4),
  offset: numberAt(words, at + 6),
})
