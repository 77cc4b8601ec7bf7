// The connection of one channel to a platform's socket: made, lost, made again, and cut into frames. It knows no tokens.

import { errorText } from '../../errors.ts'
import { FrameReader, MORE } from '../../framing/frame-reader.ts'
import { FrameWriter, lengthBytes } from '../../framing/frame-writer.ts'
import { close } from '../../native/libc.ts'
import { EAGAIN, EPOLLIN, EPOLLOUT, errnoName } from '../../native/linux.ts'
import type { Reactor, Source } from '../../native/reactor.ts'
import type { Timer, TimerSource } from '../../native/timer.ts'
import { connectUnix } from '../../native/unix-socket.ts'
import { headerBytes, maxMessageBytesLimit, type Transfer } from '../../transfer.ts'
import type { ReceivedFrame } from '../pending.ts'

/** Frames taken per round: a flood on one channel holds up no other. */
const framesPerRound = 64
/** A connection that lasted this long was a good one: the next attempt comes at once. Microseconds. */
const goodMicros = 1_000_000

/** What becomes of a channel's connection and frames concerns the link. */
export interface ChannelOwner {
  /** A whole frame of `length` bytes, 4 at least. It is overwritten by the next one. */
  received(
    channel: StreamChannel,
    frame: ReceivedFrame & { readonly bytes: Uint8Array },
    length: number,
  ): void
  /** The connection stands; `again` when there was one before. `tell`: as for `lost`. */
  connected(channel: StreamChannel, again: boolean, tell: boolean): void
  /**
   * The connection is gone. What was sent over it has no answer yet, and gets none. `tell`: it is worth a line of the
   * log; not so the next one that breaks before it was of any use.
   */
  lost(channel: StreamChannel, reason: string, tell: boolean): void
  /** A first attempt failed; those that follow are not told. */
  missing(channel: StreamChannel, reason: string): void
}

export interface StreamChannelOptions {
  /** Where the platform listens. */
  readonly path: string
  readonly index: number
  /** Largest frame sent, its length word not counted. */
  readonly maxMessageBytes: number
  /** Frames of that size that wait for a slow platform, at most. */
  readonly waitingMax: number
  /** Milliseconds until the second attempt to connect, doubled for each further one up to the most. */
  readonly retryMs: number
  readonly retryMostMs: number
}

/** One channel. Connects at once, and again whenever the connection is lost, until `close`. */
export class StreamChannel implements Source, TimerSource {
  readonly path: string
  readonly index: number
  /** Frames whose length cannot be: each costs its connection. */
  badLengths = 0
  /** Why there is no connection; empty while there is one. */
  trouble = 'not tried yet'

  readonly #reactor: Reactor
  readonly #owner: ChannelOwner
  readonly #options: StreamChannelOptions
  readonly #retry: Timer
  readonly #reader = new FrameReader()
  readonly #writer: FrameWriter
  readonly #frame: { readonly bytes: Uint8Array; readonly words: Uint32Array; readonly ints: Int32Array }

  #fd = -1
  #watched = 0
  #connections = 0
  /** When the connection was made, as `Reactor.now`. */
  #since = 0
  #retryMs: number
  /** The connection was of some use: it brought a frame, or lasted. And whether its loss was told. */
  #useful = true
  #told = false
  /** The length and header of a frame are known, its payload is not whole. */
  #inFrame = false
  /** Frames are being handed on: what is sent meanwhile leaves together. */
  #batching = false
  #open = true

  constructor(options: StreamChannelOptions, reactor: Reactor, owner: ChannelOwner) {
    this.path = options.path
    this.index = options.index
    this.#options = options
    this.#reactor = reactor
    this.#owner = owner
    this.#retryMs = options.retryMs
    this.#retry = reactor.timer(this)
    this.#writer = new FrameWriter(options.waitingMax * (lengthBytes + options.maxMessageBytes))
    const memory = new ArrayBuffer(maxMessageBytesLimit)
    this.#frame = {
      bytes: new Uint8Array(memory),
      words: new Uint32Array(memory),
      ints: new Int32Array(memory),
    }
  }

  /** Whether there is a connection. */
  get up(): boolean {
    return this.#fd >= 0
  }

  /** Whether a command of `length` bytes can be sent now. */
  takes(length: number): boolean {
    return this.#fd >= 0 && this.#writer.room >= lengthBytes + length
  }

  /** Sends the command in `transfer`, which `takes` must have allowed, under the header word `header`. */
  put(transfer: Transfer, header: number): void {
    const own = transfer.ints[0]!
    transfer.words[0] = header
    this.#writer.put(transfer.bytes, transfer.words, transfer.length)
    transfer.ints[0] = own
    if (!this.#batching) this.#flush()
  }

  /** The first attempt, and the next one when its time has come. */
  connect(): void {
    if (!this.#open || this.#fd >= 0) return
    let fd: number
    try {
      fd = connectUnix(this.path, 'stream', { nonBlocking: true })
    } catch (error) {
      const first = this.#connections === 0 && this.trouble === 'not tried yet'
      this.trouble = errorText(error).replace(`${this.path}: `, '')
      this.#later()
      if (first) this.#owner.missing(this, this.trouble)
      return
    }
    this.trouble = ''
    this.#fd = fd
    this.#watched = EPOLLIN
    this.#since = this.#reactor.now
    this.#reactor.add(fd, EPOLLIN, this)
    this.#connections++
    this.#owner.connected(this, this.#connections > 1, this.#told)
  }

  expired(): void {
    this.connect()
  }

  ready(events: number): void {
    if ((events & EPOLLOUT) !== 0) this.#flush()
    if (this.#fd < 0) return
    if (this.#reader.empty && (events & ~EPOLLOUT) !== 0) {
      // Also when the peer has hung up: what it sent before that comes first.
      const length = this.#reader.fill(this.#fd)
      if (length === 0) return this.#disconnect('the platform closed the connection')
      if (length < 0 && length !== -EAGAIN) return this.#disconnect(errnoName(length))
    }
    this.#readFrames()
  }

  /** The handler broke under a frame of ours; that frame is done with, the others are not to suffer. */
  faulted(): void {
    this.#batching = false
    if (this.#fd < 0) return
    this.#flush()
    if (!this.#reader.empty) this.#reactor.again(this.#fd)
  }

  /** Closes the connection for good, and tells nobody. Twice is once. */
  close(): void {
    if (!this.#open) return
    this.#open = false
    this.#retry.clear()
    this.#drop()
    this.#reader.release()
    this.#writer.release()
  }

  #readFrames(): void {
    this.#batching = true
    let left = framesPerRound
    while (left > 0 && this.#fd >= 0 && this.#readFrame()) left--
    this.#batching = false
    if (this.#fd < 0) return
    this.#flush()
    if (!this.#reader.empty) this.#reactor.again(this.#fd)
  }

  /** Reads on in one frame: whether it was whole, and was handed on. */
  #readFrame(): boolean {
    const reader = this.#reader
    if (!this.#inFrame) {
      if (reader.readPrefix() === MORE) return false
      // One that is merely larger than what we send is for its addressee to refuse, not the end of all others.
      if (reader.length < headerBytes || reader.length > maxMessageBytesLimit) {
        this.badLengths++
        this.#disconnect(`the platform sent a frame of ${reader.length >>> 0} bytes`)
        return false
      }
      this.#inFrame = true
    }
    if (!reader.readBody(this.#frame)) return false
    this.#inFrame = false
    this.#useful = true
    this.#frame.ints[0] = reader.header
    this.#owner.received(this, this.#frame, reader.length)
    return true
  }

  /** A socket that takes no more is waited for; that it is dead, the next round's read will tell. */
  #flush(): void {
    if (this.#fd < 0 || this.#writer.empty) return
    const events = this.#writer.flush(this.#fd) === -EAGAIN ? EPOLLIN | EPOLLOUT : EPOLLIN
    if (this.#watched === events) return
    this.#watched = events
    this.#reactor.modify(this.#fd, events)
  }

  #disconnect(reason: string): void {
    const good = ((this.#reactor.now - this.#since) | 0) >= goodMicros
    this.#drop()
    this.trouble = reason
    if (good) this.#retryMs = this.#options.retryMs
    this.#later()
    this.#told = good || this.#useful
    this.#useful = false
    this.#owner.lost(this, reason, this.#told)
  }

  #drop(): void {
    if (this.#fd < 0) return
    this.#reactor.remove(this.#fd)
    close(this.#fd)
    this.#fd = -1
    this.#inFrame = false
    this.#reader.clear()
    this.#writer.clear()
  }

  #later(): void {
    this.#retry.set(this.#retryMs)
    this.#retryMs = Math.min(this.#retryMs * 2, this.#options.retryMostMs)
  }
}
