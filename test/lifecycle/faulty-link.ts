// A firmware-link over a real platform that can be made to fail: what an embedded platform never does. No test.
import type { FirmwareHandler, FirmwareLink } from '../../src/firmware-link/firmware-link.ts'
import type { Platform } from '../../src/platform/platform.ts'
import { COMMS_ERROR } from '../../src/scmi/status.ts'
import type { Transfer } from '../../src/transfer.ts'

/** A command as it goes out: header without token, then payload. */
export interface Sent {
  readonly channel: number
  /** `protocol << 8 | message` */
  readonly message: number
  readonly words: readonly number[]
}

/**
 * What becomes of a command: a status that the platform answers without carrying it out, `lost` before it arrives,
 * `unanswered` after it was carried out, `ignored` with SUCCESS, `long` answered with more than the message has.
 */
export type Fault = number | 'lost' | 'unanswered' | 'ignored' | 'long' | undefined

export class FaultyLink implements FirmwareLink {
  readonly kind = 'faulty'
  readonly channels: number
  readonly maxMessageBytes = 128
  /** Asked for each command before it is carried out. */
  fault: (sent: Sent) => Fault = () => undefined
  /** Told of each command before it is carried out. */
  onSend: (sent: Sent) => void = () => {}
  /** Everything sent, in order. */
  readonly sent: Sent[] = []
  /** While true, commands wait. */
  held = false
  readonly #waiting: [number, Transfer][] = []
  #platform: Platform
  #handler: FirmwareHandler | undefined

  constructor(platform: Platform) {
    this.#platform = platform
    this.channels = platform.channels
  }

  open(handler: FirmwareHandler): void {
    this.#handler = handler
  }

  /** Another platform stands behind every channel; `channels` are told to be back, in this order. */
  restart(platform: Platform, channels: readonly number[]): void {
    this.#platform = platform
    for (const channel of channels) this.#handler?.reconnected?.(channel)
  }

  send(channel: number, transfer: Transfer): boolean {
    if (this.held) this.#waiting.push([channel, transfer])
    else this.#carry(channel, transfer)
    return true
  }

  get waiting(): number {
    return this.#waiting.length
  }

  /** Carries out what waits, and no longer holds anything up. */
  release(): void {
    this.held = false
    for (let next = this.#waiting.shift(); next !== undefined; next = this.#waiting.shift())
      this.#carry(...next)
  }

  expire(): void {}
  close(): void {
    this.#handler = undefined
  }

  #carry(channel: number, transfer: Transfer): void {
    const header = transfer.words[0] as number
    const sent = {
      channel,
      message: (((header >>> 10) & 0xff) << 8) | (header & 0xff),
      words: Array.from(transfer.words.subarray(1, transfer.length >>> 2)),
    }
    this.sent.push(sent)
    this.onSend(sent)
    const fault = this.fault(sent)
    if (typeof fault === 'number') transfer.answer(fault)
    else if (fault === 'lost') transfer.answer(COMMS_ERROR)
    else if (fault === 'ignored') transfer.answer(0)
    else {
      const memory = new ArrayBuffer(this.maxMessageBytes)
      const frame = {
        bytes: new Uint8Array(memory),
        words: new Uint32Array(memory),
        ints: new Int32Array(memory),
      }
      frame.bytes.set(transfer.bytes.subarray(0, transfer.length))
      const length = this.#platform.handle(channel, frame, transfer.length)
      transfer.bytes.set(frame.bytes.subarray(0, length))
      transfer.length = fault === 'long' ? length + 4 : length
      transfer.words[0] = transfer.header
      if (fault === 'unanswered') transfer.answer(COMMS_ERROR)
    }
    this.#handler?.complete(transfer)
  }
}
