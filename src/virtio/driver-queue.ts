// The driver's side of a split virtqueue, in memory that this process owns and shares with the device. It frees what the
// device gives back, and believes nothing else of it: a length or a head that cannot be is refused.
import {
  availableRingBytes,
  descriptorBytes,
  descriptorTableBytes,
  descriptorWords,
  FLAGS,
  IDX,
  INDIRECT,
  maxRingSize,
  NEXT,
  NO_NOTIFY,
  RING,
  USED_RING_WORD,
  usedElementWords,
  usedRingBytes,
  WRITE,
} from './ring-layout.ts'
import { carried } from './words64.ts'

/** Nothing came back. */
export const NOTHING = -1
/** The device gave back what it never had, or wrote more than there was room for. */
export const NONSENSE = -2

/** Memory that both sides see: its views, and where it lies for the device. */
export interface SharedMemory {
  readonly buffer: ArrayBuffer
  /** Guest-physical address of its first byte, as two signed words. */
  readonly hi: number
  readonly lo: number
}

const aligned = (bytes: number, alignment: number): number => Math.ceil(bytes / alignment) * alignment

/** Offsets of the three parts of a ring from its beginning, which must be a multiple of 16. */
export function ringOffsets(size: number): { available: number; used: number; end: number } {
  const available = descriptorTableBytes(size)
  const used = aligned(available + availableRingBytes(size), 4)
  return { available, used, end: aligned(used + usedRingBytes(size), 16) }
}

/** One queue of a driver. Chains are built by `begin`, `segment` for each part, `end`. */
export class DriverQueue {
  readonly size: number
  /** Bytes that the device wrote into the buffer that `take` gave last. */
  written = 0
  readonly #memory: SharedMemory
  readonly #words: Int32Array
  readonly #eventIdx: boolean
  readonly #descriptors: Int32Array
  readonly #ring: Uint16Array
  readonly #usedHalves: Uint16Array
  readonly #usedInts: Int32Array
  readonly #mask: number
  /** Free descriptors, linked; by head, what a chain may be written, how long it is, and whether the device has it. */
  readonly #next: Int32Array
  readonly #room: Int32Array
  readonly #lent: Uint8Array
  readonly #count: Int32Array
  #free = 0
  #freeCount: number
  #available = 0
  #kicked = 0
  #seen = 0
  // The chain that is being built: its first and last descriptor, or its table.
  #head = NOTHING
  #last = NOTHING
  #tableWord = NOTHING
  #parts = 0
  #writable = 0

  /** A ring of `size` entries at byte `at` of the memory; its bytes must be zero. */
  constructor(memory: SharedMemory, at: number, size: number, eventIdx: boolean) {
    if (size < 1 || size > maxRingSize || (size & (size - 1)) !== 0 || at % 16 !== 0)
      throw new RangeError(`a ring of ${size} entries at ${at}`)
    const { available, used } = ringOffsets(size)
    this.size = size
    this.#mask = size - 1
    this.#memory = memory
    this.#words = new Int32Array(memory.buffer)
    this.#eventIdx = eventIdx
    this.#descriptors = new Int32Array(memory.buffer, at, size * descriptorWords)
    this.#ring = new Uint16Array(memory.buffer, at + available, RING + size + 1)
    this.#usedHalves = new Uint16Array(memory.buffer, at + used, 3 + size * 4)
    this.#usedInts = new Int32Array(memory.buffer, at + used, USED_RING_WORD + size * usedElementWords)
    this.#next = Int32Array.from({ length: size }, (_, i) => i + 1)
    this.#room = new Int32Array(size)
    this.#lent = new Uint8Array(size)
    this.#count = new Int32Array(size)
    this.#freeCount = size
  }

  /** Descriptors that are free. */
  get free(): number {
    return this.#freeCount
  }

  /** Begins a chain; with `table`, the byte where its indirect table is to be. False when no descriptor is free. */
  begin(table = NOTHING): boolean {
    if (this.#freeCount === 0) return false
    this.#head = NOTHING
    this.#last = NOTHING
    this.#tableWord = table < 0 ? NOTHING : table >>> 2
    this.#parts = 0
    this.#writable = 0
    if (table >= 0) this.#place()
    return true
  }

  /** Adds `length` bytes at byte `at` of the memory. False when no descriptor is free. */
  segment(at: number, length: number, writable: boolean): boolean {
    const flags = writable ? WRITE : 0
    if (writable) this.#writable += length
    if (this.#tableWord < 0) {
      const former = this.#last
      if (!this.#place()) return false
      this.#write(this.#descriptors, this.#last * descriptorWords, at, length, flags)
      if (former >= 0) this.#link(this.#descriptors, former * descriptorWords, this.#last)
      return true
    }
    const table = this.#words
    const word = this.#tableWord + this.#parts * descriptorWords
    this.#write(table, word, at, length, flags)
    if (this.#parts > 0) this.#link(table, word - descriptorWords, this.#parts)
    this.#parts++
    return true
  }

  /** Makes the chain available. Gives its head. */
  end(): number {
    if (this.#tableWord >= 0)
      this.#write(
        this.#descriptors,
        this.#head * descriptorWords,
        this.#tableWord * 4,
        this.#parts * descriptorBytes,
        INDIRECT,
      )
    this.#room[this.#head] = this.#writable
    return this.again(this.#head)
  }

  /** Makes a chain that came back available once more, as it is. */
  again(head: number): number {
    this.#lent[head] = 1
    this.#ring[RING + (this.#available & this.#mask)] = head
    this.#available = (this.#available + 1) & 0xffff
    Atomics.store(this.#ring, IDX, this.#available)
    return head
  }

  /** Whether the device wants a kick for what became available since this was last asked. */
  wantsKick(): boolean {
    const former = this.#kicked
    this.#kicked = this.#available
    if (former === this.#available) return false
    if (!this.#eventIdx) return (Atomics.load(this.#usedHalves, FLAGS) & NO_NOTIFY) === 0
    const event = Atomics.load(this.#usedHalves, 2 + this.size * 4)
    return ((this.#available - event - 1) & 0xffff) < ((this.#available - former) & 0xffff)
  }

  /** The head of a buffer that came back, with `written` set; NOTHING, or NONSENSE. It stays in use until `release`. */
  take(): number {
    if (Atomics.load(this.#usedHalves, IDX) === this.#seen) return NOTHING
    const word = USED_RING_WORD + (this.#seen & this.#mask) * usedElementWords
    const head = this.#usedInts[word] as number
    const written = this.#usedInts[word + 1] as number
    this.#seen = (this.#seen + 1) & 0xffff
    if (head < 0 || head >= this.size) return NONSENSE
    if (this.#lent[head] === 0 || written < 0 || written > (this.#room[head] as number)) return NONSENSE
    this.#lent[head] = 0
    this.written = written
    return head
  }

  /** Asks for a signal at the next buffer that comes back; false when one has come meanwhile. */
  arm(): boolean {
    if (this.#eventIdx) Atomics.store(this.#ring, RING + this.size, this.#seen)
    return Atomics.load(this.#usedHalves, IDX) === this.#seen
  }

  /** Frees the descriptors of a chain that came back. */
  release(head: number): void {
    const count = this.#count[head] as number
    let last = head
    for (let i = 1; i < count; i++) last = this.#next[last] as number
    this.#next[last] = this.#free
    this.#free = head
    this.#freeCount += count
  }

  /** Takes a free descriptor into the chain. */
  #place(): boolean {
    if (this.#freeCount === 0) return false
    const index = this.#free
    this.#free = this.#next[index] as number
    this.#freeCount--
    if (this.#head < 0) {
      this.#head = index
      this.#count[index] = 1
    } else this.#count[this.#head] = (this.#count[this.#head] as number) + 1
    this.#last = index
    return true
  }

  #write(table: Int32Array, word: number, at: number, length: number, flags: number): void {
    const { hi, lo } = this.#memory
    table[word] = (lo + at) | 0
    table[word + 1] = carried(hi, lo, at)
    table[word + 2] = length
    table[word + 3] = flags
  }

  #link(table: Int32Array, word: number, next: number): void {
    table[word + 3] = (table[word + 3] as number) | NEXT | (next << 16)
  }
}
