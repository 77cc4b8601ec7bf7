// The one command in flight of a guest whose messages lie in shared memory: copied out of its area once, handed on, and
// answered there. Which call rang for it, and how its vCPU learns of the answer, is the link's matter.
import type { Reactor } from '../native/reactor.ts'
import { BAD_LENGTH, FREE, NOT_OWNED, type SharedMemoryArea } from '../scmi/shmem.ts'
import { BUSY, COMMS_ERROR, GENERIC_ERROR } from '../scmi/status.ts'
import { type Transfer, TransferPool } from '../transfer.ts'
import type { FrameHandler, GuestLink } from './guest-link.ts'
import type { LinkCounters } from './link-parts.ts'

/** One in flight, and room for those that a guest that vanished left at the firmware. */
const poolSize = 4

/** Whose exchange it is. */
export interface ExchangeOwner {
  readonly link: GuestLink
  readonly handler: FrameHandler
  readonly reactor: Reactor
  readonly counters: LinkCounters
  /** Largest frame in bytes. */
  readonly maxMessageBytes: number
  /** The guest's slot, for its transfers. */
  readonly guest: number
  /** The area holds the answer to the message that `vcpu` rang for. */
  readonly answered: (vcpu: number) => void
}

/** One guest's, over connections and areas that come and go. */
export class AreaExchange {
  readonly #owner: ExchangeOwner
  readonly #pool: TransferPool
  /** The command in flight, its area, the vCPU that rang for it, and whether the handler has just been given it. */
  #current: Transfer | undefined = undefined
  #area: SharedMemoryArea | undefined = undefined
  #vcpu = 0
  #handling = false
  /** Told apart in `transfer.cookie`, so that an answer that nobody waits for any more is known as late. */
  #generation = 0

  constructor(owner: ExchangeOwner) {
    this.#owner = owner
    this.#pool = new TransferPool(poolSize, owner.maxMessageBytes, owner.guest)
  }

  /** Whether a command is in flight. */
  get busy(): boolean {
    return this.#current !== undefined
  }

  /**
   * Takes the message that `vcpu` rang for; none is in flight. With `inherited`, a former process may have answered it
   * and died before it could tell: then the answer stands.
   */
  take(area: SharedMemoryArea, vcpu: number, inherited = false): void {
    const { counters, handler, link, reactor, answered } = this.#owner
    const transfer = this.#pool.take()
    if (transfer === undefined) {
      counters.busy++
      area.refuseUnread(BUSY)
      return answered(vcpu)
    }
    const length = area.take(transfer.words, transfer.bytes)
    if (length < 0) {
      if (length === BAD_LENGTH) {
        counters.badLengths++
        area.refuse(transfer.words[0] as number)
      } else if (length === NOT_OWNED && !inherited) {
        counters.spuriousDoorbells++
        area.reject()
      }
      this.#pool.give(transfer)
      return answered(vcpu)
    }
    transfer.length = length
    transfer.header = transfer.ints[0] as number
    transfer.cookie = this.#generation
    transfer.arrivedAt = reactor.now
    this.#current = transfer
    this.#area = area
    this.#vcpu = vcpu
    counters.commands++
    this.#handling = true
    handler.handle(transfer, link)
    this.#handling = false
  }

  /** Writes the answer into the area of its command, if anybody waits for it still, and takes the transfer back. */
  complete(transfer: Transfer): void {
    const { counters, answered } = this.#owner
    const area = this.#area
    if (transfer.cookie !== this.#generation || area === undefined) {
      counters.late++
      this.#pool.give(transfer)
      return
    }
    this.#current = undefined
    if (transfer.length > area.maxMessageBytes) {
      counters.oversized++
      transfer.answer(COMMS_ERROR)
    }
    area.respond(transfer.words, transfer.bytes, transfer.length)
    this.#pool.give(transfer)
    counters.responses++
    answered(this.#vcpu)
  }

  /** Answers GENERIC_ERROR to the command under which the handler broke. False when there was none. */
  faulted(): boolean {
    const transfer = this.#current
    if (!this.#handling || transfer === undefined) return false
    transfer.cookie = -1 // the handler may still complete it; until then nobody else may have it
    this.#handling = false
    this.#current = undefined
    this.#area?.refuse(transfer.header, GENERIC_ERROR, FREE)
    this.#owner.answered(this.#vcpu)
    return true
  }

  /** Forgets what is in flight: its answer will be late. Gives the vCPU that rang for it; -1 when there is none. */
  forget(): number {
    const vcpu = this.#current === undefined ? -1 : this.#vcpu
    this.#generation++
    this.#current = undefined
    this.#area = undefined
    this.#handling = false
    return vcpu
  }

  /** Answers COMMS_ERROR to what is in flight, and forgets it. Gives as `forget`. */
  refuse(): number {
    if (this.#current !== undefined) this.#area?.refuse(this.#current.header, COMMS_ERROR, FREE)
    return this.forget()
  }
}
