// The firmware-link to a virtual SCP in this process: the same tokens and checks as towards any other platform.
import type { Platform } from '../../platform/platform.ts'
import { messageType, NOTIFICATION } from '../../scmi/header.ts'
import { headerBytes, type Transfer } from '../../transfer.ts'
import type { FirmwareHandler, FirmwareLink } from '../firmware-link.ts'
import { Pending, type PendingCounters } from '../pending.ts'

/**
 * A platform in memory. It answers at once: `send` completes the transfer before it returns. The platform works on a
 * copy, so that nothing it writes reaches an agent but through the checks that every platform's answers pass.
 */
export class EmbeddedLink implements FirmwareLink {
  readonly kind = 'embedded'
  readonly channels: number
  readonly maxMessageBytes: number
  readonly #platform: Platform
  readonly #pending: Pending
  readonly #frame: { readonly bytes: Uint8Array; readonly words: Uint32Array; readonly ints: Int32Array }
  #handler: FirmwareHandler | undefined
  /** A copy of what the platform says of its own accord: it is looked at, and written to, as words. */
  readonly #event: { readonly bytes: Uint8Array; readonly words: Uint32Array; readonly ints: Int32Array }
  readonly #arrived = (channel: number, frame: Uint8Array, length: number): void => {
    const event = this.#event
    for (let i = 0; i < length; i++) event.bytes[i] = frame[i] as number
    if (messageType(event.ints[0] as number) === NOTIFICATION)
      return this.#handler?.arrived(channel, event.bytes, length)
    const tag = this.#pending.acceptDelayed(channel, event, length)
    if (tag !== 0) this.#handler?.delayed(tag, event.bytes, length)
  }

  constructor(platform: Platform) {
    this.#platform = platform
    this.channels = platform.channels
    let least = Number.POSITIVE_INFINITY
    let most = 0
    for (let channel = 0; channel < platform.channels; channel++) {
      least = Math.min(least, platform.maxMessageBytes(channel))
      most = Math.max(most, platform.maxMessageBytes(channel))
    }
    this.maxMessageBytes = least
    this.#pending = new Pending({ channels: platform.channels })
    this.#frame = frameOf(most)
    this.#event = frameOf(Math.max(most, 128))
  }

  /** What went wrong with answers so far. */
  get counters(): PendingCounters {
    return this.#pending.counters
  }

  /** Names who takes answers and events. Before that, answers are lost. */
  open(handler: FirmwareHandler): void {
    this.#handler = handler
  }

  send(channel: number, transfer: Transfer): boolean {
    const handler = this.#handler
    if (handler === undefined || channel < 0 || channel >= this.channels) return false
    const { words } = this.#frame
    const length = transfer.length
    if (length < headerBytes || length > words.length * 4) return false
    const word = this.#pending.begin(channel, transfer, transfer.arrivedAt) // nothing ever waits
    if (word < 0) return false
    for (let i = 1; i < (length + 3) >>> 2; i++) words[i] = transfer.words[i] as number
    words[0] = word
    this.#platform.tick(transfer.arrivedAt)
    const answered = this.#platform.handle(channel, this.#frame, length)
    const done = answered === 0 ? undefined : this.#pending.accept(channel, this.#frame, answered)
    if (done !== undefined) handler.complete(done) // may send again: the frame is no longer needed
    this.#platform.flush(this.#arrived)
    return true
  }

  /** Also carries out what the platform is to do later: as precisely as it is called. */
  expire(now: number): void {
    for (let done = this.#pending.expire(now); done !== undefined; done = this.#pending.expire(now))
      this.#handler?.complete(done)
    this.#platform.tick(now)
    this.#platform.flush(this.#arrived) // before what is overdue is given up
    for (let tag = this.#pending.forsake(now); tag !== 0; tag = this.#pending.forsake(now))
      this.#handler?.delayed(tag, this.#event.bytes, 0)
  }

  /** Sends what the platform has to say of its own accord, when something outside changed it (a sensor's reading). */
  flush(): void {
    this.#platform.flush(this.#arrived)
  }

  close(): void {
    this.#handler = undefined
  }
}

function frameOf(size: number): { bytes: Uint8Array; words: Uint32Array; ints: Int32Array } {
  const memory = new ArrayBuffer((size + 3) & ~3)
  return { bytes: new Uint8Array(memory), words: new Uint32Array(memory), ints: new Int32Array(memory) }
}
