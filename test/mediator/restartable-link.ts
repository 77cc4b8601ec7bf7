// A firmware-link whose platform can be exchanged for one that has just started, and that can be silent. No test.
import { EmbeddedLink } from '../../src/firmware-link/embedded/embedded-link.ts'
import type { FirmwareHandler, FirmwareLink } from '../../src/firmware-link/firmware-link.ts'
import type { Platform } from '../../src/platform/platform.ts'
import type { Transfer } from '../../src/transfer.ts'
import type { Tapped } from './machine.ts'

export class RestartableLink implements FirmwareLink {
  readonly kind = 'restartable'
  readonly channels: number
  readonly maxMessageBytes: number
  /** A status instead of what the platform would do; undefined to let it. */
  fault: (command: Tapped) => number | undefined = () => undefined
  /** While true, what is sent waits. */
  held = false
  #waiting: [number, Transfer][] = []
  #link: EmbeddedLink
  #handler: FirmwareHandler | undefined

  constructor(platform: Platform) {
    this.#link = new EmbeddedLink(platform)
    this.channels = this.#link.channels
    this.maxMessageBytes = this.#link.maxMessageBytes
  }

  open(handler: FirmwareHandler): void {
    this.#handler = handler
    this.#link.open(handler)
  }

  /** Another platform stands behind every channel; `channels` are told to be back, in this order. */
  restart(platform: Platform, channels: readonly number[]): void {
    this.#link.close()
    this.#link = new EmbeddedLink(platform)
    if (this.#handler !== undefined) this.#link.open(this.#handler)
    for (const channel of channels) this.#handler?.reconnected?.(channel)
  }

  send(channel: number, transfer: Transfer): boolean {
    if (this.held) {
      this.#waiting.push([channel, transfer])
      return true
    }
    const words = Array.from(transfer.words.subarray(0, transfer.length >>> 2))
    const status = this.fault({ channel, words })
    if (status === undefined) return this.#link.send(channel, transfer)
    transfer.answer(status)
    this.#handler?.complete(transfer)
    return true
  }

  /** Sends what waits. */
  release(): void {
    this.held = false
    const waiting = this.#waiting
    this.#waiting = []
    for (const [channel, transfer] of waiting)
      if (!this.send(channel, transfer)) throw new Error('the platform takes no more')
  }

  expire(now: number): void {
    this.#link.expire(now)
  }
  close(): void {
    this.#link.close()
  }
}
