// Which commands of a ring are under way, in memory that outlives this process: a successor takes them up again, none
// twice and none lost, whatever order they were answered in. The layout is vhost-user's for split virtqueues.
import { maxRingSize } from './ring-layout.ts'

const headerBytes = 16
const entryShift = 4
const entryBytes = 1 << entryShift
// Header: u64 features, u16 version, u16 desc_num, u16 last_batch_head, u16 used_idx.
const VERSION = 4
const DESC_NUM = 5
const LAST_BATCH_HEAD = 6
const USED_IDX = 7
const layoutVersion = 1
// Entry: u8 inflight, five bytes of padding, u16 next, u64 counter.
const NEXT_HALF = 3
const COUNTER_WORD = 2

/** Bytes that the log of a ring of `size` entries takes; each begins at a multiple of 64. */
export const inflightBytes = (size: number): number => (headerBytes + size * entryBytes + 63) & ~63

/** The log of one ring. */
export class InflightLog {
  readonly size: number
  readonly #bytes: Uint8Array
  readonly #halves: Uint16Array
  readonly #words: Uint32Array
  /** Heads that were used since the last `shown`. */
  readonly #batch: Int32Array
  #batched = 0
  #counter = 0

  /** The log at byte `at` of `buffer`, a multiple of 64, for a ring of `size` entries. */
  constructor(buffer: ArrayBuffer, at: number, size: number) {
    this.size = size
    this.#bytes = new Uint8Array(buffer, at, inflightBytes(size))
    this.#halves = new Uint16Array(buffer, at, inflightBytes(size) >>> 1)
    this.#words = new Uint32Array(buffer, at, inflightBytes(size) >>> 2)
    this.#batch = new Int32Array(size)
  }

  /** Whether it was ever written, and for a ring of this size. */
  get valid(): boolean {
    return this.#halves[VERSION] === layoutVersion && this.#halves[DESC_NUM] === this.size
  }

  /** Nothing is under way, and `used` is the ring's used index. */
  reset(used: number): void {
    this.#bytes.fill(0)
    this.#halves[VERSION] = layoutVersion
    this.#halves[DESC_NUM] = this.size
    this.#halves[USED_IDX] = used
    this.#batched = 0
    this.#counter = 0
  }

  /**
   * Heads that were under way when the former process ended, in the order they were taken; `used` is the ring's used
   * index. Undefined when log and ring do not belong together.
   */
  recover(used: number): number[] | undefined {
    if (!this.valid) return undefined
    // Used entries that the driver was shown, but that are still marked: the last batch.
    const shown = (used - (this.#halves[USED_IDX] as number)) & 0xffff
    if (shown > this.size) return undefined
    let head = this.#halves[LAST_BATCH_HEAD] as number
    for (let i = 0; i < shown; i++) {
      if (head >= this.size) return undefined
      this.#bytes[headerBytes + head * entryBytes] = 0
      head = this.#halves[(headerBytes + head * entryBytes) / 2 + NEXT_HALF] as number
    }
    this.#halves[USED_IDX] = used
    this.#batched = 0
    // The counter's low 38 bits with the head behind them: numbers, which are sorted in a moment, however many there are.
    const marked = new Float64Array(this.size)
    let count = 0
    for (let each = 0; each < this.size; each++) {
      if (this.#bytes[headerBytes + each * entryBytes] !== 1) continue
      const word = headerBytes / 4 + each * (entryBytes / 4) + COUNTER_WORD
      const counter = (this.#words[word] as number) + ((this.#words[word + 1] as number) % 64) * 2 ** 32
      marked[count++] = counter * maxRingSize + each
    }
    const heads = Array.from(marked.subarray(0, count).sort(), each => each % maxRingSize)
    // Counted anew, so that ours stays a small number.
    for (let i = 0; i < count; i++) this.#count(heads[i] as number, i + 1)
    this.#counter = count
    return heads
  }

  /** A chain is taken. */
  begin(head: number): void {
    this.#counter = (this.#counter + 1) & 0x3fff_ffff
    this.#count(head, this.#counter)
    this.#bytes[headerBytes + (head << entryShift)] = 1
  }

  /** A chain is in the used ring, and the driver is about to be shown. */
  done(head: number): void {
    const halves = this.#halves
    halves[((headerBytes + (head << entryShift)) >>> 1) + NEXT_HALF] = halves[LAST_BATCH_HEAD] as number
    halves[LAST_BATCH_HEAD] = head
    if (this.#batched < this.size) this.#batch[this.#batched++] = head
  }

  /** The driver was shown the used index `used`. */
  shown(used: number): void {
    for (let i = 0; i < this.#batched; i++)
      this.#bytes[headerBytes + ((this.#batch[i] as number) << entryShift)] = 0
    this.#batched = 0
    this.#halves[USED_IDX] = used
  }

  #count(head: number, counter: number): void {
    const word = ((headerBytes + (head << entryShift)) >>> 2) + COUNTER_WORD
    this.#words[word] = counter
    this.#words[word + 1] = 0
  }
}
