// The cmdq: each buffer holds one command, and its answer goes into the same buffer. Any number is in flight, answered
// in any order. It knows buffers and bounds; what a message means is the handler's matter.
import type { Reactor } from '../../native/reactor.ts'
import { BUSY, COMMS_ERROR, GENERIC_ERROR, PROTOCOL_ERROR } from '../../scmi/status.ts'
import { headerBytes, type Transfer, TransferPool } from '../../transfer.ts'
import { EMPTY, segmentWords } from '../../virtio/device-queue.ts'
import type { Vring } from '../../virtio/vring.ts'
import type { FrameHandler, GuestLink } from '../guest-link.ts'
import type { LinkCounters } from '../link-parts.ts'

/** Commands in flight; more wait in the ring. */
export const inFlightMax = 32
const slotBits = 5
const slotMask = inFlightMax - 1
const generationMask = 0x3ff_ffff
/** Chains looked at per round, and what walking them may cost, so that no guest holds up the others. */
const chainsPerRound = 64
const costPerRound = 8192
const statusBytes = 8
const noTransfer: Transfer | undefined = undefined

/** One guest's commands. */
export class CommandQueue {
  readonly #ring: Vring
  readonly #reactor: Reactor
  readonly #handler: FrameHandler
  readonly #link: GuestLink
  readonly #counters: LinkCounters
  readonly #maxMessageBytes: number
  readonly #pool: TransferPool
  // What is in flight, by slot: its buffer, what of that may be written, its header, and its transfer.
  readonly #heads = new Int32Array(inFlightMax)
  readonly #writable = new Int32Array(inFlightMax)
  readonly #headers = new Int32Array(inFlightMax)
  readonly #transfers = new Array<Transfer | undefined>(inFlightMax).fill(noTransfer)
  readonly #segments: Int32Array
  readonly #segmentStride: number
  readonly #free = new Int32Array(inFlightMax)
  #freeCount = 0
  /** Which run of the ring this is: an answer for an earlier one is late. */
  #generation = 0
  /** Chains wait for a transfer to come back. */
  #starved = false
  /** Answers given now are signalled together. */
  #batching = false
  #handling: Transfer | undefined = undefined
  readonly #status = new Int32Array(statusBytes / 4)
  readonly #statusAsBytes = new Uint8Array(this.#status.buffer)

  constructor(
    ring: Vring,
    link: GuestLink,
    handler: FrameHandler,
    reactor: Reactor,
    counters: LinkCounters,
    guest: number,
  ) {
    this.#ring = ring
    this.#link = link
    this.#handler = handler
    this.#reactor = reactor
    this.#counters = counters
    this.#maxMessageBytes = link.maxMessageBytes
    this.#pool = new TransferPool(inFlightMax, link.maxMessageBytes, guest)
    // Segments of at least a byte each hold an answer of the largest size.
    this.#segmentStride = link.maxMessageBytes * segmentWords
    this.#segments = new Int32Array(inFlightMax * this.#segmentStride)
    this.forget()
  }

  /** Commands that are not answered yet. */
  get inFlight(): number {
    return inFlightMax - this.#freeCount
  }

  /** Takes what is available, a bounded share of it. */
  serve(): void {
    const ring = this.#ring
    const queue = ring.queue
    if (queue === undefined || !ring.serving) return
    this.#starved = false
    this.#batching = true
    let left = chainsPerRound
    queue.cost = 0
    while (left > 0) {
      const head = queue.peek()
      if (head === EMPTY) {
        if (queue.arm()) break
        continue
      }
      if (head < 0) {
        ring.fail()
        break
      }
      if (this.#freeCount === 0 || this.#pool.free === 0) {
        this.#starved = true
        break
      }
      left--
      this.#take(head)
      if (queue.cost > costPerRound) left = 0
    }
    this.#batching = false
    if (queue.publish()) ring.signal()
    if (left === 0) this.#reactor.again(ring.kickFd)
  }

  /** Writes an answer into its buffer, if that is still there, and takes the transfer back. */
  complete(transfer: Transfer): void {
    const slot = transfer.cookie & slotMask
    const queue = this.#ring.queue
    if (this.#transfers[slot] !== transfer || transfer.cookie >>> slotBits !== this.#generation || !queue) {
      this.#counters.late++
      this.#pool.give(transfer)
      this.#resume()
      return
    }
    if (transfer.length > (this.#writable[slot] as number)) {
      this.#counters.oversized++
      transfer.answer(COMMS_ERROR)
    }
    const { length } = transfer
    const whole = queue.fill(
      this.#segments,
      slot * this.#segmentStride,
      transfer.bytes,
      transfer.ints,
      length,
    )
    queue.push(this.#heads[slot] as number, whole ? length : 0)
    this.#counters.responses++
    this.#release(slot)
    this.#pool.give(transfer)
    if (this.#batching) return
    if (queue.publish()) this.#ring.signal()
    this.#resume()
  }

  /** Answers GENERIC_ERROR to the command under which the handler broke. False when there was none. */
  faulted(): boolean {
    const transfer = this.#handling
    this.#handling = undefined
    this.#batching = false
    if (transfer === undefined) return false
    const slot = transfer.cookie & slotMask
    if (this.#transfers[slot] === transfer) {
      transfer.cookie = -1 // the handler may still complete it; until then nobody else may have it
      this.#refuse(slot, GENERIC_ERROR)
    }
    if (this.#ring.queue?.publish()) this.#ring.signal()
    this.#reactor.again(this.#ring.kickFd)
    return true
  }

  /** Answers BUSY to everything in flight: the ring is to stop, and answers that come later are nobody's. */
  abandon(): void {
    for (let slot = 0; slot < inFlightMax; slot++)
      if (this.#transfers[slot] !== undefined) this.#refuse(slot, BUSY)
    if (this.#ring.queue?.publish()) this.#ring.signal()
    this.forget()
  }

  /** Forgets everything in flight: the ring is gone. */
  forget(): void {
    this.#generation = (this.#generation + 1) & generationMask
    this.#transfers.fill(noTransfer)
    this.#freeCount = inFlightMax
    for (let slot = 0; slot < inFlightMax; slot++) this.#free[slot] = slot
    this.#starved = false
  }

  #take(head: number): void {
    const queue = this.#ring.queue
    const transfer = this.#pool.take()
    if (queue === undefined || transfer === undefined) return
    queue.advance(head)
    const slot = this.#free[this.#freeCount - 1] as number
    const base = slot * this.#segmentStride
    const length = queue.walk(
      head,
      transfer.bytes,
      transfer.ints,
      this.#maxMessageBytes,
      this.#segments,
      base,
    )
    if (length < headerBytes || queue.writable < statusBytes) {
      // Nothing that could be answered: the buffer goes back as it came.
      this.#counters.badLengths++
      queue.push(head, 0)
      this.#pool.give(transfer)
      return
    }
    this.#freeCount--
    this.#heads[slot] = head
    this.#writable[slot] = queue.writable
    this.#headers[slot] = transfer.ints[0] as number
    this.#transfers[slot] = transfer
    transfer.length = length
    transfer.header = transfer.ints[0] as number
    transfer.cookie = (this.#generation << slotBits) | slot
    transfer.arrivedAt = this.#reactor.now
    if (length > this.#maxMessageBytes) {
      this.#counters.badLengths++
      this.#refuse(slot, PROTOCOL_ERROR)
      this.#pool.give(transfer)
      return
    }
    this.#counters.commands++
    this.#handling = transfer
    this.#handler.handle(transfer, this.#link)
    this.#handling = undefined
  }

  /** Answers a status to what is in a slot, and empties the slot; its transfer stays with whoever has it. */
  #refuse(slot: number, status: number): void {
    this.#status[0] = this.#headers[slot] as number
    this.#status[1] = status
    const queue = this.#ring.queue
    const base = slot * this.#segmentStride
    const whole = queue?.fill(this.#segments, base, this.#statusAsBytes, this.#status, statusBytes)
    queue?.push(this.#heads[slot] as number, whole === true ? statusBytes : 0)
    this.#release(slot)
  }

  #release(slot: number): void {
    this.#transfers[slot] = undefined
    this.#free[this.#freeCount++] = slot
  }

  /** There is a transfer again: chains that waited for one are taken up. */
  #resume(): void {
    if (this.#starved) this.#reactor.again(this.#ring.kickFd)
  }
}
