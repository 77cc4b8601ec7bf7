// The cmdq: each buffer holds one command, and its answer goes into the same buffer. Any number is in flight, answered
// in any order. It knows buffers and bounds; what a message means is the handler's matter.
import type { Reactor } from '../../native/reactor.ts'
import { BUSY, COMMS_ERROR, GENERIC_ERROR, PROTOCOL_ERROR } from '../../scmi/status.ts'
import { headerBytes, type Transfer, TransferPool } from '../../transfer.ts'
import { EMPTY, segmentWords } from '../../virtio/device-queue.ts'
import type { Vring } from '../../virtio/vring.ts'
import type { FrameHandler, GuestLink } from '../guest-link.ts'
import type { LinkCounters } from '../link-parts.ts'

/** A slot of what is in flight, in bits. */
const slotBits = 5
/** Commands in flight; more wait in the ring. */
export const inFlightMax = 1 << slotBits
const slotMask = inFlightMax - 1
/**
 * A transfer's cookie is a run of the ring and a slot. Two numbers are no run's: of one that is idle, and of one that was
 * answered for while it is still out. Runs go round below them.
 */
const noRun = 0x3ff_ffff
const answeredFor = noRun - 1
/** Chains looked at per round, and what walking them may cost, so that no guest holds up the others. */
const chainsPerRound = 64
const costPerRound = 8192
const statusBytes = 8
// What is kept of a slot, in words: its buffer's head, what of that may be written, its header, and the segments to write.
const HEAD = 0
const WRITABLE = 1
const HEADER = 2
const SEGMENTS = 3

/** One guest's commands. Each has a slot, with a transfer of its own, until that transfer comes back. */
export class CommandQueue {
  readonly #ring: Vring
  readonly #reactor: Reactor
  readonly #handler: FrameHandler
  readonly #link: GuestLink
  readonly #counters: LinkCounters
  readonly #maxMessageBytes: number
  readonly #transfers: readonly Transfer[]
  readonly #slots: Int32Array
  readonly #stride: number
  readonly #free = Int32Array.from({ length: inFlightMax }, (_, slot) => slot)
  #freeCount = inFlightMax
  /** Commands that are not answered yet. */
  #inFlight = 0
  /** Which run of the ring this is: an answer for an earlier one is late. */
  #generation = 0
  /** Chains wait for a transfer to come back. */
  #starved = false
  /** Answers given now are signalled together. */
  #batching = false
  #handling = -1
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
    const pool = new TransferPool(inFlightMax, link.maxMessageBytes, guest)
    this.#transfers = Array.from({ length: inFlightMax }, () => pool.take() as Transfer)
    for (const [slot, transfer] of this.#transfers.entries()) transfer.cookie = (noRun << slotBits) | slot
    // Segments of at least a byte each hold an answer of the largest size.
    this.#stride = SEGMENTS + link.maxMessageBytes * segmentWords
    this.#slots = new Int32Array(inFlightMax * this.#stride)
  }

  /** Commands that are not answered yet. */
  get inFlight(): number {
    return this.#inFlight
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
        // The answers first: a guest on this CPU may ask for more before we have to wait to be told.
        if (queue.publish()) ring.signal()
        if (queue.arm()) break
        continue
      }
      if (head < 0) {
        ring.fail()
        break
      }
      if (this.#freeCount === 0) {
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
    const { cookie } = transfer
    const slot = cookie & slotMask
    const queue = this.#ring.queue
    this.#giveBack(slot, transfer)
    if (cookie >>> slotBits !== this.#generation || queue === undefined) {
      this.#counters.late++
      return this.#resume()
    }
    const base = slot * this.#stride
    const slots = this.#slots
    if (transfer.length > (slots[base + WRITABLE] as number)) {
      this.#counters.oversized++
      transfer.answer(COMMS_ERROR)
    }
    const { length } = transfer
    const whole = queue.fill(slots, base + SEGMENTS, transfer.bytes, transfer.ints, length)
    queue.push(slots[base + HEAD] as number, whole ? length : 0)
    this.#inFlight--
    this.#counters.responses++
    if (this.#batching) return
    if (queue.publish()) this.#ring.signal()
    this.#resume()
  }

  /** Answers GENERIC_ERROR to the command under which the handler broke. False when there was none. */
  faulted(): boolean {
    const slot = this.#handling
    this.#handling = -1
    this.#batching = false
    if (slot < 0) return false
    if (this.#waits(slot)) this.#refuse(slot, GENERIC_ERROR)
    if (this.#ring.queue?.publish()) this.#ring.signal()
    this.#reactor.again(this.#ring.kickFd)
    return true
  }

  /** Answers BUSY to everything in flight: the ring is to stop, and answers that come later are nobody's. */
  abandon(): void {
    for (let slot = 0; slot < inFlightMax; slot++) if (this.#waits(slot)) this.#refuse(slot, BUSY)
    if (this.#ring.queue?.publish()) this.#ring.signal()
    this.forget()
  }

  /** Forgets everything in flight: the ring is gone. */
  forget(): void {
    this.#generation = (this.#generation + 1) % answeredFor
    this.#inFlight = 0
    this.#starved = false
  }

  #take(head: number): void {
    const queue = this.#ring.queue
    if (queue === undefined) return
    queue.advance(head)
    const slot = this.#free[this.#freeCount - 1] as number
    const transfer = this.#transfers[slot] as Transfer
    const base = slot * this.#stride
    const slots = this.#slots
    const { bytes, ints } = transfer
    const length = queue.walk(head, bytes, ints, this.#maxMessageBytes, slots, base + SEGMENTS)
    if (length < headerBytes || queue.writable < statusBytes) {
      // Nothing that could be answered: the buffer goes back as it came.
      this.#counters.badLengths++
      queue.push(head, 0)
      return
    }
    this.#freeCount--
    this.#inFlight++
    const header = ints[0] as number
    slots[base + HEAD] = head
    slots[base + WRITABLE] = queue.writable
    slots[base + HEADER] = header
    transfer.length = length
    transfer.header = header
    transfer.cookie = (this.#generation << slotBits) | slot
    transfer.arrivedAt = this.#reactor.now
    if (length > this.#maxMessageBytes) {
      this.#counters.badLengths++
      this.#refuse(slot, PROTOCOL_ERROR)
      this.#giveBack(slot, transfer)
      return
    }
    this.#counters.commands++
    this.#handling = slot
    this.#handler.handle(transfer, this.#link)
    this.#handling = -1
  }

  /** Whether somebody waits for the answer to what is in a slot. */
  #waits(slot: number): boolean {
    return (this.#transfers[slot] as Transfer).cookie >>> slotBits === this.#generation
  }

  /** Answers a status to what is in a slot. Its transfer stays with whoever has it; when it comes back, it is late. */
  #refuse(slot: number, status: number): void {
    const base = slot * this.#stride
    const slots = this.#slots
    this.#status[0] = slots[base + HEADER] as number
    this.#status[1] = status
    const queue = this.#ring.queue
    const whole = queue?.fill(slots, base + SEGMENTS, this.#statusAsBytes, this.#status, statusBytes)
    queue?.push(slots[base + HEAD] as number, whole === true ? statusBytes : 0)
    this.#inFlight--
    ;(this.#transfers[slot] as Transfer).cookie = (answeredFor << slotBits) | slot
  }

  /** A transfer comes back, and its slot is free. Twice is once. */
  #giveBack(slot: number, transfer: Transfer): void {
    const idle = (noRun << slotBits) | slot
    if (transfer.cookie === idle) return
    transfer.cookie = idle
    this.#free[this.#freeCount++] = slot
  }

  /** There is a transfer again: chains that waited for one are taken up. */
  #resume(): void {
    if (this.#starved) this.#reactor.again(this.#ring.kickFd)
  }
}
