// The firmware-link to a platform in another process: one Unix stream socket per channel, frames as docs/firmware-links.md
// says. It matches answers to commands and keeps connections; what a message means is not its matter.
import type { Reactor } from '../../native/reactor.ts'
import { DELAYED_RESPONSE, messageType, NOTIFICATION } from '../../scmi/header.ts'
import { defaultMaxMessageBytes, headerBytes, type Transfer } from '../../transfer.ts'
import type { FirmwareHandler, FirmwareLink } from '../firmware-link.ts'
import { Pending, type PendingCounters, type ReceivedFrame } from '../pending.ts'
import { PROBE, Readiness } from './readiness.ts'
import { type ChannelOwner, StreamChannel } from './stream-channel.ts'

export interface StreamSocketOptions {
  /** Where the platform listens for each channel, in order: channel 0 is the first. */
  readonly paths: readonly string[]
  /** Largest frame in bytes that is sent, its length word not counted. */
  readonly maxMessageBytes?: number
  /** Commands in flight on one channel, at most: as many as the other end takes. */
  readonly maxInFlight?: number
  /** Milliseconds until a silent platform counts as failed. */
  readonly timeoutMs?: number
  /** Milliseconds that `whenReady` waits for all channels to answer. */
  readonly connectMs?: number
  /** Milliseconds until a lost connection is tried again; doubled for each failure, up to the most. */
  readonly retryMs?: number
  readonly retryMostMs?: number
  /** Seconds until the token of an unanswered command is used again, should its answer never come. */
  readonly quarantineSeconds?: number
}

/** What a link works with; the thread that owns the reactor builds them. */
export interface StreamSocketParts {
  readonly reactor: Reactor
  readonly handler: FirmwareHandler
  readonly log: (level: 'info' | 'warn' | 'error', text: string) => void
}

/** What the connections went through. Plain numbers that only grow. */
export interface ConnectionCounters {
  connections: number
  losses: number
  /** Commands that were in flight when their connection was lost: COMMS_ERROR. */
  severed: number
  /** Delayed responses and notifications handed on. */
  arrived: number
}

/** The frame of a delayed response that never came. */
const nothing = new Uint8Array(0)

/** The platform behind those sockets. Connects as soon as it is made, and tries again for ever. */
export class StreamSocketLink implements FirmwareLink, ChannelOwner {
  readonly kind = 'stream-socket'
  readonly channels: number
  readonly maxMessageBytes: number
  readonly connections: ConnectionCounters = { connections: 0, losses: 0, severed: 0, arrived: 0 }
  readonly #parts: StreamSocketParts
  readonly #pending: Pending
  readonly #streams: readonly StreamChannel[]
  readonly #readiness: Readiness
  #open = true

  constructor(options: StreamSocketOptions, parts: StreamSocketParts) {
    const maxInFlight = options.maxInFlight ?? 32
    const { timeoutMs, quarantineSeconds } = options
    this.channels = options.paths.length
    this.maxMessageBytes = options.maxMessageBytes ?? defaultMaxMessageBytes
    this.#parts = parts
    this.#pending = new Pending({
      channels: this.channels,
      maxInFlight,
      ...(timeoutMs === undefined ? {} : { timeoutMs }),
      ...(quarantineSeconds === undefined ? {} : { quarantineSeconds }),
    })
    this.#streams = options.paths.map(
      (path, index) =>
        new StreamChannel(
          {
            path,
            index,
            maxMessageBytes: this.maxMessageBytes,
            waitingMax: 2 * maxInFlight, // those in flight, and as many that gave up waiting
            retryMs: options.retryMs ?? 10,
            retryMostMs: options.retryMostMs ?? 1000,
          },
          parts.reactor,
          this,
        ),
    )
    this.#readiness = new Readiness(this, options.connectMs ?? 5000, parts.reactor)
    for (const stream of this.#streams) stream.connect()
  }

  /** What went wrong with answers so far. */
  get counters(): PendingCounters {
    return this.#pending.counters
  }

  /** Frames with a length that cannot be, on all channels. */
  get badLengths(): number {
    return this.#streams.reduce((sum, { badLengths }) => sum + badLengths, 0)
  }

  /** Whether a channel has a connection. */
  isUp(channel: number): boolean {
    return this.#streams[channel]?.up === true
  }

  send(channel: number, transfer: Transfer): boolean {
    const { length } = transfer
    if (channel < 0 || channel >= this.channels || length < headerBytes || length > this.maxMessageBytes)
      return false
    const stream = this.#streams[channel]!
    if (!stream.takes(length)) return false
    const word = this.#pending.begin(channel, transfer, this.#parts.reactor.refresh())
    if (word < 0) return false
    stream.put(transfer, word)
    return true
  }

  expire(now: number): void {
    if (!this.#open) return
    for (let done = this.#pending.expire(now); done !== undefined; done = this.#pending.expire(now))
      this.#complete(done)
    for (let tag = this.#pending.forsake(now); tag !== 0; tag = this.#pending.forsake(now))
      this.#parts.handler.delayed(tag, nothing, 0)
  }

  whenReady(done: (error?: unknown) => void): void {
    this.#readiness.whenReady(done)
  }

  close(): void {
    this.#open = false
    this.#readiness.close()
    for (const stream of this.#streams) stream.close()
  }

  received(
    { index }: StreamChannel,
    frame: ReceivedFrame & { readonly bytes: Uint8Array },
    length: number,
  ): void {
    const type = messageType(frame.ints[0]!)
    if (type === NOTIFICATION) {
      this.connections.arrived++
      return this.#parts.handler.arrived(index, frame.bytes, length)
    }
    if (type === DELAYED_RESPONSE) {
      const tag = this.#pending.acceptDelayed(index, frame, length)
      if (tag === 0) return
      this.connections.arrived++
      return this.#parts.handler.delayed(tag, frame.bytes, length)
    }
    const done = this.#pending.accept(index, frame, length)
    if (done !== undefined) this.#complete(done)
  }

  connected({ index }: StreamChannel, again: boolean, tell: boolean): void {
    this.connections.connections++
    if (!again) return
    if (tell) this.#parts.log('info', `firmware channel ${this.#where(index)}: connected again`)
    this.#parts.handler.reconnected?.(index)
  }

  lost({ index }: StreamChannel, reason: string, tell: boolean): void {
    this.connections.losses++
    if (tell) this.#parts.log('warn', `firmware channel ${this.#where(index)}: ${reason}`)
    const { now } = this.#parts.reactor
    for (
      let done = this.#pending.sever(index, now);
      done !== undefined;
      done = this.#pending.sever(index, now)
    ) {
      this.connections.severed++
      this.#complete(done)
    }
  }

  missing({ index }: StreamChannel, reason: string): void {
    this.#parts.log('info', `firmware channel ${this.#where(index)}: ${reason}; trying again`)
  }

  describe(channel: number): string {
    const trouble = this.#streams[channel]?.trouble ?? ''
    return `channel ${this.#where(channel)}: ${trouble === '' ? 'connected, but silent' : trouble}`
  }

  #where(channel: number): string {
    return `${channel}, ${this.#streams[channel]?.path}`
  }

  #complete(transfer: Transfer): void {
    if (transfer.guest === PROBE) this.#readiness.completed(transfer)
    else this.#parts.handler.complete(transfer)
  }
}
