// The back end of one vhost-user device: does what a front end's messages say, and refuses what they may not say. Its
// rings are device-rings.ts; what is in them is the device's matter.
import { acceptEventfd } from '../native/eventfd.ts'
import { close } from '../native/libc.ts'
import { EAGAIN, errnoName } from '../native/linux.ts'
import { DeviceRings, type RingParts } from './device-rings.ts'
import { F_VERSION_1_HIGH } from './features.ts'
import { maxRegions } from './guest-memory.ts'
import type { RegionPlace } from './guest-region.ts'
import { inflightBytes } from './inflight.ts'
import { FrontEndLogs, inflightMemfd } from './inflight-memory.ts'
import { ENDED, MessageStream, MORE, SENSELESS } from './message-stream.ts'
import { Refused } from './refused.ts'
import { offeredHigh, offeredLow, offeredProtocol, type VhostDevice } from './vhost-device.ts'
import * as wire from './vhost-user-wire.ts'
import type { Vring } from './vring.ts'
import { numberAt, putNumber } from './words64.ts'

/** The message was answered by itself; the acknowledgement that it may have asked for is due. */
type Outcome = 'replied' | 'done' | 'later'

/** One front end's back end; it outlives connections. */
export class VhostUserBackend {
  readonly #device: VhostDevice
  readonly #rings: DeviceRings
  readonly #stream = new MessageStream()
  /** The ring whose stop is awaited; -1: none. */
  #stopping = -1
  #fd = -1

  constructor(parts: RingParts) {
    this.#device = parts.device
    this.#rings = new DeviceRings(parts)
  }

  get rings(): readonly Vring[] {
    return this.#rings.all
  }

  /** Whether the driver agreed to a feature bit of the low word. */
  has(feature: number): boolean {
    return (this.#rings.agreed & feature) !== 0
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
    this.#stream.clear()
    this.#rings.clear()
  }

  release(): void {
    this.disconnect()
    this.#stream.release()
    this.#rings.release()
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
        return this.#words(offeredLow(this.#device), offeredHigh)
      case wire.SET_FEATURES:
        return this.#setFeatures(payload[0] ?? 0, payload[1] ?? 0)
      case wire.GET_PROTOCOL_FEATURES:
        return this.#words(offeredProtocol(this.#device), 0)
      case wire.SET_PROTOCOL_FEATURES:
        if (((payload[0] ?? 0) & ~offeredProtocol(this.#device)) !== 0 || payload[1] !== 0)
          throw new Refused('protocol features that were not offered')
        return 'done'
      case wire.GET_QUEUE_NUM:
        return this.#number(this.#device.rings)
      case wire.GET_MAX_MEM_SLOTS:
        return this.#number(maxRegions)
      case wire.SET_OWNER:
        return 'done'
      case wire.RESET_OWNER: // obsolete; it never meant the same twice
        return 'done'
      case wire.RESET_DEVICE:
        this.#rings.reset()
        return 'done'
      case wire.SET_MEM_TABLE:
        return this.#setTable()
      case wire.ADD_MEM_REG:
        return this.#addRegion()
      case wire.REM_MEM_REG:
        return this.#removeRegion()
      case wire.SET_VRING_NUM:
        this.#rings.idle(payload[0]).size = sizeOf(payload[1] ?? 0)
        return 'done'
      case wire.SET_VRING_BASE:
        this.#rings.idle(payload[0]).base = (payload[1] ?? 0) & 0xffff
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
        this.#rings.at(this.#ringOfFd()).setErr(this.#eventfd())
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
    if ((low & ~offeredLow(this.#device)) !== 0 || (high & ~offeredHigh) !== 0)
      throw new Refused('features that were not offered')
    if ((high & F_VERSION_1_HIGH) === 0) throw new Refused('a driver without VERSION_1')
    this.#rings.agree(low | 0)
    return 'done'
  }

  #setTable(): Outcome {
    const { payload, size, fdCount } = this.#stream
    const count = payload[0] ?? 0
    if (size < wire.tableBytes || count > wire.maxTableRegions)
      throw new Refused(`a table of ${size} bytes and ${count} regions`)
    if (size !== wire.tableBytes + count * wire.regionBytes || fdCount !== count)
      throw new Refused(`a table of ${count} regions, in ${size} bytes with ${fdCount} file descriptors`)
    const { memory } = this.#rings
    memory.clear()
    let fault: string | undefined
    for (let i = 0; i < count && fault === undefined; i++) {
      fault = memory.add(this.#stream.take(i), placeAt(payload, (wire.tableBytes + i * wire.regionBytes) / 4))
    }
    if (fault !== undefined) memory.clear()
    this.#rings.moved()
    if (fault !== undefined) throw new Refused(fault)
    return 'done'
  }

  #addRegion(): Outcome {
    const fd = this.#stream.take(0)
    if (fd < 0) throw new Refused('a region without a file descriptor')
    const fault = this.#rings.memory.add(fd, placeAt(this.#stream.payload, 2))
    if (fault !== undefined) throw new Refused(fault)
    this.#rings.grown()
    return 'done'
  }

  #removeRegion(): Outcome {
    const { memory } = this.#rings
    if (!memory.remove(placeAt(this.#stream.payload, 2))) throw new Refused('there is no such region')
    this.#rings.moved()
    return 'done'
  }

  #setAddresses(): Outcome {
    const { payload } = this.#stream
    if (((payload[1] ?? 0) & ~1) !== 0) throw new Refused('unknown flags')
    const [descriptors, used, available] = [numberAt(payload, 2), numberAt(payload, 4), numberAt(payload, 6)]
    if (descriptors < 0 || used < 0 || available < 0) throw new Refused('an address beyond all memory')
    this.#rings.place(payload[0] ?? 0, descriptors, used, available)
    return 'done'
  }

  #getBase(): Outcome {
    const index = this.#stream.payload[0] ?? 0
    const ring = this.#rings.at(index)
    if (ring.queue !== undefined && !this.#device.ringStopping(index)) {
      this.#stopping = index
      ring.stopping = true
      return 'later'
    }
    this.#answerBase(index)
    return 'replied'
  }

  #answerBase(index: number): void {
    const { answer } = this.#stream
    answer[0] = index
    answer[1] = this.#rings.stop(index)
    this.#stream.put(wire.GET_VRING_BASE, wire.REPLY, 8)
  }

  #setKick(): Outcome {
    const index = this.#ringOfFd()
    const fd = this.#eventfd()
    if (fd < 0) throw new Refused('a ring without a kick, which would have to be polled')
    this.#rings.setKick(index, fd)
    return 'done'
  }

  #setCall(): Outcome {
    const ring = this.#rings.at(this.#ringOfFd())
    ring.setCall(this.#eventfd())
    if (ring.queue !== undefined) ring.signal() // what the former one was told may have been lost
    return 'done'
  }

  #enable(index: number, state: number): Outcome {
    if (state > 1) throw new Refused(`state ${state}, not 0 or 1`)
    this.#rings.enable(index, state === 1)
    return 'done'
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
    this.#rings.keep(logs)
    return 'done'
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

  /** The ring that a message about an eventfd names; there is one. */
  #ringOfFd(): number {
    const { payload } = this.#stream
    const flags = payload[0] ?? 0
    if ((flags & ~(wire.ringMask | wire.NO_FD)) !== 0 || payload[1] !== 0) throw new Refused('unknown flags')
    this.#rings.at(flags & wire.ringMask)
    return flags & wire.ringMask
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
