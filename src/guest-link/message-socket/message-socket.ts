// The guest-link over a Unix stream socket, without shared memory: frames `u32 length, u32 header, payload` both ways.
// It knows frames and bounds; what a message means is the handler's matter. ABI: docs/trap-socket.md.
import { FrameReader, MORE } from '../../framing/frame-reader.ts'
import { FrameWriter, lengthBytes } from '../../framing/frame-writer.ts'
import { close } from '../../native/libc.ts'
import { EAGAIN, EPOLLERR, EPOLLHUP, EPOLLIN, EPOLLOUT, errnoName } from '../../native/linux.ts'
import type { Reactor, Source } from '../../native/reactor.ts'
import { peerCredentials } from '../../native/unix-socket.ts'
import { BUSY, COMMS_ERROR, GENERIC_ERROR, PROTOCOL_ERROR } from '../../scmi/status.ts'
import { defaultMaxMessageBytes, headerBytes, type Transfer, TransferPool } from '../../transfer.ts'
import type { FrameHandler, GuestLink } from '../guest-link.ts'
import { LinkCounters, type LinkParts } from '../link-parts.ts'
import { LogShare } from '../log-share.ts'
import { SocketDoor } from '../socket-door.ts'

/** Commands in flight, and frames handled per round. */
const inFlightMax = 32
const framesPerRound = 32
/** A frame below a header or beyond the link's maximum, but not beyond this, is read to its end and answered PROTOCOL_ERROR. */
const drainBytesLimit = 65536

/** What one guest's message socket is configured with. */
export interface MessageSocketOptions {
  /** Where to listen. */
  readonly path: string
  /** Largest frame in bytes, its length word not counted. */
  readonly maxMessageBytes?: number
  /** The guest's slot, for its transfers. */
  readonly guest: number
}

/** One guest's message socket: listens from its construction until `close`, serves one connection at a time. */
export class MessageSocketLink implements GuestLink, Source {
  readonly kind = 'message-socket'
  readonly maxInFlight = inFlightMax
  readonly hasP2A = true
  readonly maxMessageBytes: number
  readonly counters = new LinkCounters()

  readonly #reactor: Reactor
  readonly #handler: FrameHandler
  readonly #log: LogShare
  readonly #door: SocketDoor
  readonly #pool: TransferPool
  readonly #reader = new FrameReader()
  readonly #writer: FrameWriter
  /** Bytes that a frame of the largest size takes in the writer. */
  readonly #frameBytes: number

  /** The connection: -1 when there is none. */
  #fd = -1
  #watched = 0
  /** The peer has hung up; the peer sends no more. */
  #hungUp = false
  #ended = false
  /** Told apart in `transfer.cookie`, so that an answer for a former connection is known as late. */
  #generation = 0
  /** A frame is being read: into #filling, or into nothing, to be answered #refusal. */
  #inFrame = false
  #filling: Transfer | undefined = undefined
  #refusal = 0
  /** Answers that must still find room in the writer, the frame being read included. */
  #owed = 0
  /** Commands are being handled: what they put into the writer leaves together. */
  #batching = false
  #handling: Transfer | undefined = undefined
  #open = true

  /** Starts to listen. MediatorError SOCKET_PATH when it cannot. */
  constructor(options: MessageSocketOptions, parts: LinkParts) {
    this.maxMessageBytes = options.maxMessageBytes ?? defaultMaxMessageBytes
    this.#frameBytes = lengthBytes + this.maxMessageBytes
    // As many answers as can be owed, and as many frames of the platform's own beside them.
    this.#writer = new FrameWriter((2 * inFlightMax + 1) * this.#frameBytes)
    this.#reactor = parts.reactor
    this.#handler = parts.handler
    this.#pool = new TransferPool(inFlightMax, this.maxMessageBytes, options.guest)
    this.#log = new LogShare(options.path, parts.reactor, parts.log)
    this.#door = new SocketDoor(options.path, 'stream', parts.reactor, this, this.counters, this.#log)
  }

  get occupied(): boolean {
    return this.#fd >= 0
  }

  get leaving(): boolean {
    return this.#hungUp
  }

  admit(fd: number): void {
    this.#fd = fd
    this.#watched = EPOLLIN
    this.#reactor.add(fd, EPOLLIN, this)
    this.#log.say('info', `pid ${peerCredentials(fd)?.pid} connected`)
    this.#handler.restarted?.(this)
  }

  /** Up to `framesPerRound` frames per round, of one read. */
  ready(events: number): void {
    if ((events & EPOLLERR) !== 0) return this.#disconnect('info', 'the guest disconnected')
    if ((events & EPOLLHUP) !== 0) {
      this.#hungUp = true
      if ((events & EPOLLIN) === 0) return this.#disconnect('info', 'the guest disconnected')
    }
    if ((events & EPOLLOUT) !== 0) this.#flush()
    if (this.#fd < 0 || !this.#writer.empty) return
    if (this.#reader.empty && !this.#ended && (events & EPOLLIN) !== 0) this.#fill()
    if (this.#fd >= 0) this.#readFrames()
  }

  /** Answers GENERIC_ERROR to the command under which the handler broke; without one the connection is not to be saved. */
  faulted(): void {
    const transfer = this.#handling
    this.#handling = undefined
    this.#batching = false
    if (transfer === undefined) return this.#disconnect('error', 'closed after an internal fault')
    if (this.#fd < 0 || transfer.cookie !== this.#generation) return
    transfer.cookie = -1 // the handler may still complete it; until then nobody else may have it
    this.#answer(transfer.header, GENERIC_ERROR)
    this.#flush()
    if (!this.#reader.empty) this.#reactor.again(this.#fd)
  }

  complete(transfer: Transfer): void {
    if (transfer.cookie !== this.#generation || this.#fd < 0) {
      this.counters.late++
      this.#pool.give(transfer)
      return
    }
    if (transfer.length > this.maxMessageBytes) {
      this.counters.oversized++
      transfer.answer(COMMS_ERROR)
    }
    this.#owed--
    if (transfer.length > 0) {
      this.#writer.put(transfer.bytes, transfer.words, transfer.length)
      this.counters.responses++
    }
    this.#pool.give(transfer)
    if (!this.#batching) this.#flush()
  }

  deliver(frame: Uint8Array, length: number): boolean {
    const room = this.#writer.room - this.#owed * this.#frameBytes
    if (this.#fd < 0 || length > this.maxMessageBytes || room < lengthBytes + length) {
      this.counters.undelivered++
      return false
    }
    this.counters.delivered++
    this.#writer.putBytes(frame, length)
    if (!this.#batching) this.#flush()
    return true
  }

  close(): void {
    if (!this.#open) return
    this.#open = false
    this.#disconnect('info', 'closed')
    this.#door.close()
    this.#reader.release()
    this.#writer.release()
  }

  #fill(): void {
    const length = this.#reader.fill(this.#fd)
    if (length > 0 || length === -EAGAIN) return
    if (length < 0) return this.#disconnect('info', `the guest disconnected: ${errnoName(length)}`)
    this.#ended = true
    if (this.#inFrame) this.#dropFrame()
    this.#watch(0)
  }

  #readFrames(): void {
    this.#batching = true
    let left = framesPerRound
    while (left > 0 && this.#fd >= 0 && this.#readFrame()) left--
    this.#batching = false
    this.#flush()
    if (this.#fd >= 0 && !this.#reader.empty && this.#writer.empty) this.#reactor.again(this.#fd)
  }

  /** Reads on in one frame: whether it was whole, and was handled. */
  #readFrame(): boolean {
    if (!this.#inFrame && !this.#beginFrame()) return false
    if (!this.#reader.readBody(this.#filling)) return false
    this.#inFrame = false
    const transfer = this.#filling
    this.#filling = undefined
    if (transfer === undefined) this.#answer(this.#reader.header, this.#refusal)
    else this.#handle(transfer)
    return true
  }

  /** Reads a frame's prefix and decides its fate: whether its payload is next. */
  #beginFrame(): boolean {
    if (this.#writer.room < (this.#owed + 1) * this.#frameBytes) return false
    if (this.#reader.readPrefix() === MORE) return false
    const length = this.#reader.length
    if (length < 0 || length > drainBytesLimit) {
      this.#disconnect('warn', 'refused: a frame with a length beyond all bounds')
      return false
    }
    this.#inFrame = true
    this.#owed++
    if (length < headerBytes || length > this.maxMessageBytes) {
      this.counters.badLengths++
      this.#refusal = PROTOCOL_ERROR
      return true
    }
    this.#filling = this.#pool.take()
    if (this.#filling === undefined) {
      this.counters.busy++
      this.#refusal = BUSY
    }
    return true
  }

  #handle(transfer: Transfer): void {
    transfer.length = this.#reader.length
    transfer.words[0] = this.#reader.header
    transfer.header = transfer.words[0]!
    transfer.cookie = this.#generation
    transfer.arrivedAt = this.#reactor.now
    this.counters.commands++
    this.#handling = transfer
    this.#handler.handle(transfer, this)
    this.#handling = undefined
  }

  #answer(header: number, status: number): void {
    this.#writer.putStatus(header, status)
    this.#owed--
  }

  /** The stream ended within a frame: it is nobody's. */
  #dropFrame(): void {
    this.#inFrame = false
    this.#owed--
    if (this.#filling !== undefined) this.#pool.give(this.#filling)
    this.#filling = undefined
  }

  /** Sends what waits; while the peer takes nothing, nothing is read from it either. */
  #flush(): void {
    if (this.#fd < 0) return
    const result = this.#writer.flush(this.#fd)
    if (result === -EAGAIN) return this.#watch(EPOLLOUT)
    if (result < 0) return this.#disconnect('info', `the guest disconnected: ${errnoName(result)}`)
    if (!this.#ended) return this.#watch(EPOLLIN)
    this.#watch(0)
    if (this.#owed === 0 && this.#reader.empty) this.#disconnect('info', 'the guest disconnected')
  }

  #watch(events: number): void {
    if (this.#watched === events) return
    this.#watched = events
    this.#reactor.modify(this.#fd, events)
  }

  /** Ends the connection; commands in flight are answered to nobody. */
  #disconnect(level: 'info' | 'warn' | 'error', reason: string): void {
    if (this.#fd < 0) return
    this.#reactor.remove(this.#fd)
    close(this.#fd)
    this.#fd = -1
    this.#generation++
    this.#hungUp = false
    this.#ended = false
    if (this.#inFrame) this.#dropFrame()
    this.#owed = 0
    this.#reader.clear()
    this.#writer.clear()
    this.#log.say(level, reason)
  }
}
