// Commands the mediator sends of its own accord: releases of shared resources, and what the main thread asks.
import type { FirmwareLink } from '../firmware-link/firmware-link.ts'
import type { Rules, VoteRule } from '../permissions/rules.ts'
import { header } from '../scmi/header.ts'
import { type Space, spaceIds } from '../scmi/space.ts'
import { COMMS_ERROR, DENIED, SUCCESS } from '../scmi/status.ts'
import { type Transfer, TransferPool } from '../transfer.ts'
import type { Arbiter } from './arbiter.ts'

/** `Transfer.guest` of these exchanges. */
export const OWN = -1
/** Transfers made at a time. */
const stock = 256
/** How long a command waits for a channel that takes no more, before it counts as unanswered. */
const patienceMicros = 1_000_000

/** What becomes of exchanges concerns the mediator. */
export interface OwnHandler {
  /** The last part of an exchange with a guest has its answer. */
  whole(parent: Transfer): void
  /** A release of the resource has ended; others may still be under way. */
  released(space: Space, id: number): void
}

/**
 * The mediator's own commands. Unlike a guest's, they are not turned away by a busy channel: they wait for it, in
 * order. Transfers are reused; more are made when many resources are released at once.
 */
export class OwnExchanges {
  /** Releases that the firmware did not take: their channel keeps its mark, and is tried again when others leave. */
  failed = 0
  readonly #rules: Rules
  readonly #arbiter: Arbiter
  readonly #firmware: FirmwareLink
  readonly #handler: OwnHandler
  readonly #now: () => number
  readonly #pool: TransferPool
  /** The message that counts votes, by space: a table index, or 0. */
  readonly #releases = new Uint16Array(spaceIds)
  /** Whoever waits for the answer to a command of the main thread. */
  readonly #replies = new Map<Transfer, (transfer: Transfer) => void>()
  /** Releases not yet answered, and who waits for there to be none. */
  #releasing = 0
  #onReleased: (() => void)[] = []
  /** Commands that wait for their channel, oldest first. */
  #first: Transfer | undefined = undefined
  #last: Transfer | undefined = undefined
  #sending = false

  constructor(
    rules: Rules,
    arbiter: Arbiter,
    firmware: FirmwareLink,
    handler: OwnHandler,
    now: () => number,
  ) {
    this.#rules = rules
    this.#arbiter = arbiter
    this.#firmware = firmware
    this.#handler = handler
    this.#now = now
    this.#pool = new TransferPool(stock, firmware.maxMessageBytes, OWN)
    for (const [at, vote] of rules.votes.entries()) if (vote !== undefined) this.#releases[at >>> 8] = at
  }

  /** Whether any command is under way or waits. */
  get busy(): boolean {
    return this.#replies.size > 0 || this.#releasing > 0
  }

  /** Sends a whole frame of at most the link's maxMessageBytes; `reply` gets the answer, and copies what it needs. */
  request(channel: number, frame: Uint8Array, reply: (transfer: Transfer) => void): void {
    const transfer = this.#take(channel)
    transfer.bytes.set(frame)
    transfer.length = frame.length
    transfer.header = transfer.ints[0] as number
    this.#replies.set(transfer, reply)
    this.#send(transfer)
  }

  /**
   * Releases a resource on every channel but `except` where the firmware may still hold it; until that has ended, the
   * resource is locked. `parent` awaits the answers.
   */
  release(space: Space, id: number, except: number, parent: Transfer | undefined): void {
    const at = this.#releases[space] as number
    const vote = this.#rules.votes[at]
    if (vote === undefined) return
    const arbiter = this.#arbiter
    arbiter.lock(space, id) // an answer that comes at once must not let others in between two channels
    for (let channel = 0; channel < this.#firmware.channels; channel++)
      if (channel !== except && arbiter.held(space, id, channel))
        this.#send(this.#releaseOf(at, vote, id, channel, parent))
    arbiter.unlock(space, id)
    if (parent === undefined) this.#handler.released(space, id)
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
    const { space, resource: id } = transfer
    const status = transfer.ints[1] as number
    // DENIED: the channel has lost the resource, and with it the hold.
    if (status === SUCCESS || status === DENIED) this.#arbiter.hold(space, id, transfer.cookie, false)
    else this.failed++
    const { parent } = transfer
    transfer.parent = undefined
    this.#pool.give(transfer)
    this.#releasing--
    this.#arbiter.unlock(space, id)
    if (parent !== undefined) {
      parent.awaited--
      if (parent.awaited === 0) this.#handler.whole(parent)
    } else this.#handler.released(space, id)
    if (this.#releasing === 0 && this.#onReleased.length > 0) {
      const waiting = this.#onReleased
      this.#onReleased = []
      for (const done of waiting) done()
    }
  }

  /** Sends what waits for its channel, as far as the channels take it. Call it when an answer has come. */
  pump(): void {
    if (this.#first === undefined || this.#sending) return
    this.#sending = true
    let waiting: Transfer | undefined = this.#first
    this.#first = undefined
    this.#last = undefined
    while (waiting !== undefined) {
      const transfer: Transfer = waiting
      waiting = transfer.next
      transfer.next = undefined
      if (!this.#firmware.send(transfer.cookie, transfer)) this.#wait(transfer)
    }
    this.#sending = false
  }

  /** Tries again, and gives up what has waited too long at `now`: to its sender it is silence. */
  expire(now: number): void {
    this.pump()
    let transfer = this.#first
    while (transfer !== undefined && ((now - transfer.arrivedAt) | 0) > patienceMicros) {
      this.#first = transfer.next
      if (this.#first === undefined) this.#last = undefined
      transfer.next = undefined
      transfer.answer(COMMS_ERROR)
      this.completed(transfer)
      transfer = this.#first
    }
  }

  #send(transfer: Transfer): void {
    if (!this.#firmware.send(transfer.cookie, transfer)) this.#wait(transfer)
  }

  #wait(transfer: Transfer): void {
    if (this.#last === undefined) this.#first = transfer
    else this.#last.next = transfer
    this.#last = transfer
  }

  #releaseOf(
    at: number,
    vote: VoteRule,
    id: number,
    channel: number,
    parent: Transfer | undefined,
  ): Transfer {
    const transfer = this.#take(channel)
    const size = 4 + (this.#rules.size[at] as number)
    const protocol = at >>> 8
    transfer.ints.fill(0, 0, size >>> 2)
    transfer.words[0] = header(protocol, at & 0xff)
    transfer.ints[this.#rules.resource[at] as number] = id
    transfer.ints[vote.word] = vote.off
    transfer.length = size
    transfer.header = transfer.ints[0] as number
    transfer.resource = id
    transfer.space = protocol // what has votes has one numbering
    transfer.parent = parent
    if (parent !== undefined) parent.awaited++
    this.#releasing++
    this.#arbiter.lock(protocol, id)
    return transfer
  }

  #take(channel: number): Transfer {
    let transfer = this.#pool.take()
    if (transfer === undefined) {
      const more = new TransferPool(stock, this.#firmware.maxMessageBytes, OWN)
      for (let each = more.take(); each !== undefined; each = more.take()) this.#pool.give(each)
      transfer = this.#pool.take() as Transfer
    }
    transfer.cookie = channel
    transfer.parent = undefined
    transfer.arrivedAt = this.#now()
    return transfer
  }
}
