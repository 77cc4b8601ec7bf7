// The eventq: the guest gives buffers, and delayed responses and notifications go into them. Whole frames, one each.
import type { Reactor } from '../../native/reactor.ts'
import { EMPTY, segmentWords } from '../../virtio/device-queue.ts'
import type { Vring } from '../../virtio/vring.ts'
import type { LinkCounters } from '../link-parts.ts'

/** Buffers that may be unfit, and what walking them may cost, before a frame waits for the next round. */
const unfitAtOnce = 32
const costAtOnce = 8192

/** One guest's way back. */
export class EventQueue {
  readonly #ring: Vring
  readonly #reactor: Reactor
  readonly #counters: LinkCounters
  readonly #bytes: Uint8Array
  readonly #ints: Int32Array
  readonly #segments: Int32Array

  constructor(ring: Vring, reactor: Reactor, counters: LinkCounters, maxMessageBytes: number) {
    this.#ring = ring
    this.#reactor = reactor
    this.#counters = counters
    this.#ints = new Int32Array((maxMessageBytes + 3) >>> 2)
    this.#bytes = new Uint8Array(this.#ints.buffer)
    this.#segments = new Int32Array(maxMessageBytes * segmentWords)
  }

  /** Puts a frame into the next buffer that fits; false when there is none now. Buffers that cannot be used go back empty. */
  deliver(frame: Uint8Array, length: number): boolean {
    const ring = this.#ring
    const queue = ring.queue
    if (queue === undefined || !ring.serving || length > this.#bytes.length) {
      this.#counters.undelivered++
      return false
    }
    let delivered = false
    let left = unfitAtOnce
    queue.cost = 0
    for (; left > 0 && !delivered; left = queue.cost > costAtOnce ? 0 : left - 1) {
      const head = queue.peek()
      if (head === EMPTY && !queue.arm()) continue
      if (head < 0) {
        if (head !== EMPTY) ring.fail()
        break
      }
      queue.advance(head)
      const readable = queue.walk(head, this.#bytes, this.#ints, this.#bytes.length, this.#segments, 0)
      if (readable !== 0 || queue.writable < length) {
        this.#counters.badLengths++
        queue.push(head, 0)
        continue
      }
      for (let i = 0; i < length; i++) this.#bytes[i] = frame[i] as number
      delivered = queue.fill(this.#segments, 0, this.#bytes, this.#ints, length)
      queue.push(head, delivered ? length : 0)
    }
    if (queue.publish()) ring.signal()
    if (delivered) this.#counters.delivered++
    else this.#counters.undelivered++
    if (left === 0 && !delivered) this.#reactor.again(ring.kickFd) // there may be more: no kick will tell of them
    return delivered
  }
}
