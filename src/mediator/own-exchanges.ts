// Commands the mediator sends of its own accord: releases of shared resources, and what the main thread asks.
import type { FirmwareLink } from '../firmware-link/firmware-link.ts'
import type { Rules } from '../permissions/rules.ts'
import { header, protocolId } from '../scmi/header.ts'
import { DENIED, SUCCESS } from '../scmi/status.ts'
import { type Transfer, TransferPool } from '../transfer.ts'
import type { Arbiter } from './arbiter.ts'

/** `Transfer.guest` of these exchanges. */
export const OWN = -1
const atOnce = 256

export class OwnExchanges {
  /** Releases that the firmware did not take: their channel keeps its mark, and the next release tries again. */
  failed = 0
  readonly #rules: Rules
  readonly #arbiter: Arbiter
  readonly #firmware: FirmwareLink
  /** Called when the last part of an exchange has its answer. */
  readonly #whole: (parent: Transfer) => void
  readonly #pool: TransferPool
  /** Whoever waits for the answer to a command of the main thread. */
  readonly #replies = new Map<Transfer, (transfer: Transfer) => void>()
  /** Releases under way, and who waits for there to be none. */
  #releasing = 0
  #onReleased: (() => void)[] = []

  constructor(rules: Rules, arbiter: Arbiter, firmware: FirmwareLink, whole: (parent: Transfer) => void) {
    this.#rules = rules
    this.#arbiter = arbiter
    this.#firmware = firmware
    this.#whole = whole
    this.#pool = new TransferPool(atOnce, firmware.maxMessageBytes, OWN)
  }

  /** Sends a whole frame; `reply` gets the transfer with the answer and copies what it needs. False: busy, not sent. */
  request(channel: number, frame: Uint8Array, reply: (transfer: Transfer) => void): boolean {
    const transfer = this.#pool.take()
    if (transfer === undefined) return false
    transfer.bytes.set(frame)
    transfer.length = frame.length
    transfer.header = transfer.ints[0] as number
    transfer.parent = undefined
    this.#replies.set(transfer, reply)
    if (this.#firmware.send(channel, transfer)) return true
    this.#replies.delete(transfer)
    this.#pool.give(transfer)
    return false
  }

  /**
   * Releases a resource on every channel but `except` where the firmware may still hold it. `parent` awaits the
   * answers. Gives how many commands went out.
   */
  release(protocol: number, id: number, except: number, parent: Transfer | undefined): number {
    const at = this.#releaseIndex(protocol)
    if (at < 0) return 0
    let sent = 0
    for (let channel = 0; channel < this.#firmware.channels; channel++) {
      if (channel === except || !this.#arbiter.held(protocol, id, channel)) continue
      if (this.#releaseOn(channel, at, protocol, id, parent)) sent++
      else this.failed++
    }
    return sent
  }

  /** Calls back when no release is under way. */
  whenReleased(done: () => void): void {
    if (this.#releasing === 0) done()
    else this.#onReleased.push(done)
  }

  /** The firmware's answer to one of these. */
  completed(transfer: Transfer): void {
    const reply = this.#replies.get(transfer)
    if (reply !== undefined) {
      this.#replies.delete(transfer)
      reply(transfer)
      this.#pool.give(transfer)
      return
    }
    const status = transfer.ints[1] as number
    // DENIED: the channel has lost the resource, and with it the hold.
    if (status === SUCCESS || status === DENIED)
      this.#arbiter.hold(protocolId(transfer.header), transfer.resource, transfer.cookie, false)
    else this.failed++
    const { parent } = transfer
    transfer.parent = undefined
    this.#pool.give(transfer)
    this.#releasing--
    if (parent !== undefined) {
      parent.awaited--
      if (parent.awaited === 0) this.#whole(parent)
    }
    if (this.#releasing === 0 && this.#onReleased.length > 0) {
      const waiting = this.#onReleased
      this.#onReleased = []
      for (const done of waiting) done()
    }
  }

  #releaseOn(
    channel: number,
    at: number,
    protocol: number,
    id: number,
    parent: Transfer | undefined,
  ): boolean {
    const transfer = this.#pool.take()
    if (transfer === undefined) return false
    const size = 4 + (this.#rules.size[at] as number)
    transfer.words.fill(0, 0, size >>> 2)
    transfer.words[0] = header(protocol, at & 0xff)
    transfer.words[this.#rules.resource[at] as number] = id
    const vote = this.#rules.votes[at]
    if (vote !== undefined) transfer.words[vote.word] = vote.off
    transfer.length = size
    transfer.header = transfer.ints[0] as number
    transfer.resource = id
    transfer.cookie = channel
    transfer.parent = parent
    if (parent !== undefined) parent.awaited++
    this.#releasing++
    if (this.#firmware.send(channel, transfer)) return true
    this.#releasing--
    if (parent !== undefined) parent.awaited--
    transfer.parent = undefined
    this.#pool.give(transfer)
    return false
  }

  /** Table index of the protocol's message that counts votes, or -1. */
  #releaseIndex(protocol: number): number {
    const first = protocol << 8
    for (let at = first; at < first + 256; at++) if (this.#rules.votes[at] !== undefined) return at
    return -1
  }
}
