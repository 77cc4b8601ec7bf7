// A firmware-link under a daemon that can be killed: before the platform sees a command, or before its answer is seen.
// No test.
import { EmbeddedLink } from '../../src/firmware-link/embedded/embedded-link.ts'
import type { FirmwareHandler, FirmwareLink } from '../../src/firmware-link/firmware-link.ts'
import type { Platform } from '../../src/platform/platform.ts'
import type { Transfer } from '../../src/transfer.ts'

/** The daemon is dead: nothing it does from here on is done. */
export class Killed extends Error {}

export class KillableLink implements FirmwareLink {
  readonly kind = 'killable'
  readonly channels: number
  readonly maxMessageBytes: number
  /** Steps until it is killed: each command that goes out is one, each answer another. */
  left = Number.POSITIVE_INFINITY
  /** A status instead of what the platform would do; undefined to let it. */
  fault: (channel: number, transfer: Transfer) => number | undefined = () => undefined
  readonly #link: EmbeddedLink
  #handler: FirmwareHandler | undefined

  constructor(platform: Platform) {
    this.#link = new EmbeddedLink(platform)
    this.channels = this.#link.channels
    this.maxMessageBytes = this.#link.maxMessageBytes
  }

  open(handler: FirmwareHandler): void {
    this.#handler = handler
    this.#link.open({
      complete: transfer => {
        this.#step()
        handler.complete(transfer)
      },
      arrived: (channel, frame, length) => handler.arrived(channel, frame, length),
      delayed: (tag, frame, length) => handler.delayed(tag, frame, length),
    })
  }

  send(channel: number, transfer: Transfer): boolean {
    this.#step()
    const status = this.fault(channel, transfer)
    if (status === undefined) return this.#link.send(channel, transfer)
    transfer.answer(status)
    this.#handler?.complete(transfer)
    return true
  }

  #step(): void {
    if (this.left-- <= 0) throw new Killed()
  }

  expire(now: number): void {
    if (this.left > 0) this.#link.expire(now)
  }
  close(): void {
    this.#link.close()
  }
}
