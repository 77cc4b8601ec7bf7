// The device's side of a split virtqueue: takes what the driver made available, gives it back used, asks for kicks and
// decides on signals. It trusts nothing of the ring: indices are bounded, walks end, and each word is read once.
import { copy } from './copy.ts'
import type { GuestMemory } from './guest-memory.ts'
import type { InflightLog } from './inflight.ts'
import {
  availableAlignment,
  availableRingBytes,
  descriptorAlignment,
  descriptorBytes,
  descriptorShift,
  descriptorTableBytes,
  descriptorWords,
  FLAGS,
  IDX,
  INDIRECT,
  maxRingSize,
  NEXT,
  NO_INTERRUPT,
  RING,
  USED_RING_WORD,
  usedAlignment,
  usedElementWords,
  usedRingBytes,
  WRITE,
} from './ring-layout.ts'
import type { RingPart } from './ring-part.ts'

/** Nothing is available. */
export const EMPTY = -1
/** The ring itself makes no sense: nothing more can be taken from it. */
export const BROKEN = -2
/** A chain that breaks the rules; its head can be given back. */
export const MALFORMED = -3

/** Words of a segment: address high, address low, length. */
export const segmentWords = 3
/** Descriptors that a chain may have in the ring, and in an indirect table: no message has so many bytes. */
const chainLimit = 1024
/** What a descriptor costs that is read through a file descriptor, in descriptors that are mapped. */
const copiedCost = 64

/** Where a ring lies: three addresses of the front end, and how many entries it has. */
export interface RingPlace {
  readonly size: number
  readonly descriptors: number
  readonly available: number
  readonly used: number
}

/** What the driver agreed to; `undefined`: not known, so that both ways must work. */
export interface RingFeatures {
  readonly eventIdx: boolean | undefined
  readonly indirect: boolean
}

/** A running queue. */
export class DeviceQueue {
  readonly size: number
  /** Index of the next entry to take, and of the next to be used; both modulo 2^16. */
  next: number
  used: number
  /** What the last `walk` found: bytes readable in all, bytes writable as far as segments were kept, segments. */
  readable = 0
  writable = 0
  segments = 0
  /** What walks cost since somebody set it to 0: descriptors, those that were not mapped many times over. */
  cost = 0
  readonly #memory: GuestMemory
  readonly #log: InflightLog | undefined
  /** Heads that a former process had taken: they come before all others. */
  #again: readonly number[] = []
  #againAt = 0
  readonly #eventIdx: boolean | undefined
  readonly #indirect: boolean
  readonly #mask: number
  readonly #table: RingPart
  /** The ring is a copy: what is needed of it must be fetched, and what is written stored. */
  readonly #copied: boolean
  readonly #available: RingPart
  readonly #usedPart: RingPart
  readonly #descriptors: Int32Array
  readonly #ring: Uint16Array
  readonly #usedHalves: Uint16Array
  readonly #usedInts: Int32Array
  /** One descriptor of an indirect table. */
  readonly #entry = new Int32Array(descriptorWords)
  readonly #entryBytes = new Uint8Array(this.#entry.buffer)
  /** The available index as it was read last. */
  #seen: number
  /** The used index that the driver was shown last, and whether it was shown none: then it is signalled anyway. */
  #published = 0
  #first = true

  private constructor(
    memory: GuestMemory,
    size: number,
    table: RingPart,
    available: RingPart,
    used: RingPart,
    features: RingFeatures,
    next: number,
    log: InflightLog | undefined,
  ) {
    this.size = size
    this.#mask = size - 1
    this.#memory = memory
    this.#eventIdx = features.eventIdx
    this.#indirect = features.indirect
    this.#table = table
    this.#copied = table.copied || available.copied || used.copied
    this.#available = available
    this.#usedPart = used
    this.#descriptors = table.ints
    this.#ring = available.halves
    this.#usedHalves = used.halves
    this.#usedInts = used.ints
    this.next = next
    this.#seen = next
    this.used = 0
    this.#log = log
  }

  /**
   * A queue at `place`, which goes on with entry `next`; the reason why not, when it cannot be there. With a `log`, what
   * is taken and what is used is written there.
   */
  static open(
    memory: GuestMemory,
    place: RingPlace,
    features: RingFeatures,
    next: number,
    log?: InflightLog,
  ): DeviceQueue | string {
    const { size } = place
    if (size < 1 || size > maxRingSize || (size & (size - 1)) !== 0) return `a ring of ${size} entries`
    const table = memory.part(place.descriptors, descriptorTableBytes(size), descriptorAlignment)
    const available = memory.part(place.available, availableRingBytes(size), availableAlignment)
    const used = memory.part(place.used, usedRingBytes(size), usedAlignment)
    if (table === undefined || available === undefined || used === undefined) {
      for (const part of [table, available, used]) part?.release()
      const which =
        table === undefined ? 'descriptor table' : available === undefined ? 'available ring' : 'used ring'
      return `its ${which} is not in the guest's memory, or is not aligned`
    }
    const queue = new DeviceQueue(memory, size, table, available, used, features, next & 0xffff, log)
    used.fetch()
    queue.used = Atomics.load(queue.#usedHalves, IDX)
    queue.#published = queue.used
    return queue
  }

  /** The head of the next chain, which stays the next until `advance`; EMPTY or BROKEN. */
  peek(): number {
    if (this.#againAt < this.#again.length) return this.#again[this.#againAt] as number
    if (this.#seen === this.next) {
      if (this.#copied && !this.#available.fetch()) return BROKEN
      const seen = Atomics.load(this.#ring, IDX)
      const ahead = (seen - this.next) & 0xffff
      if (ahead === 0) return EMPTY
      if (ahead > this.size) return BROKEN
      this.#seen = seen
    }
    const head = this.#ring[RING + (this.next & this.#mask)] as number
    return head < this.size ? head : BROKEN
  }

  /** The chain at `head`, which `peek` gave, is taken. */
  advance(head: number): void {
    if (this.#log !== undefined) this.#log.begin(head)
    if (this.#againAt < this.#again.length) this.#againAt++
    else this.next = (this.next + 1) & 0xffff
  }

  /** Chains that had been taken before come first, in this order; entry `next` follows them. */
  resume(heads: readonly number[], next: number): void {
    this.#again = heads
    this.#againAt = 0
    this.next = next & 0xffff
    this.#seen = this.next
  }

  /** What of that has not come yet. */
  get resuming(): readonly number[] {
    return this.#again.slice(this.#againAt)
  }

  /**
   * Whether chains that a log names can have been taken from this ring: as many were made available, and where nothing
   * was ever used, they are its first entries, in any order. A driver that began anew has others.
   */
  mayResume(heads: readonly number[]): boolean {
    if (!this.#available.fetch()) return false
    const ahead = (Atomics.load(this.#ring, IDX) - this.used) & 0xffff
    if (ahead < heads.length || ahead > this.size) return false
    const first = new Set(heads.map((_, i) => this.#ring[RING + (i & this.#mask)]))
    return this.used !== 0 || heads.every(head => first.has(head))
  }

  /** Asks for a kick at the next chain that becomes available; false when one has become so meanwhile. */
  arm(): boolean {
    if (this.#eventIdx !== false) {
      const at = 2 + this.size * 4 // avail_event, behind the used elements
      Atomics.store(this.#usedHalves, at, this.next)
      if (!this.#usedPart.store(at * 2, 2)) return true
    }
    return this.peek() === EMPTY
  }

  /**
   * Walks the chain from `head`: copies its readable bytes to `bytes` (and `ints`, the same memory) up to `capacity`,
   * and keeps its writable parts as segments from `segments[base]` on, as far as they hold `capacity` bytes. Gives the
   * readable length, which may be beyond `capacity`, or MALFORMED.
   */
  walk(
    head: number,
    bytes: Uint8Array,
    ints: Int32Array,
    capacity: number,
    segments: Int32Array,
    base: number,
  ): number {
    const memory = this.#memory
    let table = this.#descriptors
    let indirect = false
    let tableHi = 0
    let tableLo = 0
    let tableWord = 0
    let inPlace = true
    let entries = this.size
    let index = head
    let left = Math.min(entries, chainLimit) // longer ones go round in circles
    let readable = 0
    let writable = 0
    let kept = 0
    let writing = false
    this.readable = 0
    this.writable = 0
    this.segments = 0
    for (;;) {
      if (index >= entries || left-- === 0) return MALFORMED
      this.cost += inPlace && !this.#copied ? 1 : copiedCost
      let at = tableWord + index * descriptorWords
      if (!inPlace) {
        const offset = index * descriptorBytes
        const lo = (tableLo + offset) | 0
        const hi = (lo ^ (0x8000_0000 | 0)) < (tableLo ^ (0x8000_0000 | 0)) ? (tableHi + 1) | 0 : tableHi
        if (!memory.read(hi, lo, descriptorBytes, this.#entryBytes, this.#entry, 0)) return MALFORMED
        table = this.#entry
        at = 0
      } else if (!indirect && this.#copied && !this.#table.fetch(index * descriptorBytes, descriptorBytes))
        return MALFORMED
      const lo = table[at] as number
      const hi = table[at + 1] as number
      const length = table[at + 2] as number
      const tail = table[at + 3] as number
      const flags = tail & 0xffff
      if ((flags & INDIRECT) !== 0) {
        if (indirect || !this.#indirect || (flags & NEXT) !== 0) return MALFORMED
        if (length <= 0 || (length & (descriptorBytes - 1)) !== 0) return MALFORMED
        indirect = true
        tableHi = hi
        tableLo = lo
        const first = memory.at(hi, lo, length)
        inPlace = first >= 0 && (first & 3) === 0
        if (inPlace) {
          table = memory.ints
          tableWord = first >>> 2
        }
        entries = length >>> descriptorShift
        left = Math.min(entries, chainLimit)
        index = 0
        continue
      }
      if ((flags & WRITE) === 0) {
        if (writing || length < 0) return MALFORMED // what is writable comes last; and nobody has 2 GiB to say
        const room = capacity - readable
        const step = Math.min(room, length)
        if (step > 0) {
          const from = memory.at(hi, lo, step)
          if (from >= 0) copy(memory.bytes, memory.ints, from, bytes, ints, readable, step)
          else if (!memory.read(hi, lo, step, bytes, ints, readable)) return MALFORMED
        }
        readable = (readable + length) | 0
        if (readable < 0 || readable > 0x3fff_ffff) return MALFORMED
      } else {
        writing = true
        if (writable < capacity && length !== 0) {
          const room = capacity - writable
          const step = length < 0 || length > room ? room : length
          if (memory.at(hi, lo, step) < 0 && !memory.holds(hi, lo, step)) return MALFORMED
          const word = base + kept * segmentWords
          segments[word] = hi
          segments[word + 1] = lo
          segments[word + 2] = step
          kept++
          writable = (writable + step) | 0
        }
      }
      if ((flags & NEXT) === 0) break
      index = tail >>> 16
    }
    this.readable = readable
    this.writable = writable
    this.segments = kept
    return readable
  }

  /** Writes `length` bytes of `bytes` (and `ints`) to segments that a walk kept; false when one is not there any more. */
  fill(segments: Int32Array, base: number, bytes: Uint8Array, ints: Int32Array, length: number): boolean {
    const memory = this.#memory
    let from = 0
    for (let word = base; from < length; word += segmentWords) {
      const hi = segments[word] as number
      const lo = segments[word + 1] as number
      const step = Math.min(segments[word + 2] as number, length - from)
      const at = memory.at(hi, lo, step)
      if (at >= 0) copy(bytes, ints, from, memory.bytes, memory.ints, at, step)
      else if (!memory.write(hi, lo, step, bytes, ints, from)) return false
      from += step
    }
    return true
  }

  /** Gives a chain back with `written` bytes in it; the driver sees it with the next `publish`. */
  push(head: number, written: number): void {
    const word = USED_RING_WORD + (this.used & this.#mask) * usedElementWords
    this.#usedInts[word] = head
    this.#usedInts[word + 1] = written
    if (this.#copied) this.#usedPart.store(word * 4, usedElementWords * 4)
    this.used = (this.used + 1) & 0xffff
    if (this.#log !== undefined) this.#log.done(head)
  }

  /** Shows the driver what was pushed since this was last called; whether it wants a signal for that. */
  publish(): boolean {
    const { used } = this
    const former = this.#published
    if (former === used) return false
    this.#published = used
    Atomics.store(this.#usedHalves, IDX, used)
    if (this.#copied) this.#usedPart.store(IDX * 2, 2)
    if (this.#log !== undefined) this.#log.shown(used)
    if (this.#first || this.#eventIdx === undefined) {
      this.#first = false
      return true
    }
    if (!this.#eventIdx) {
      if (this.#copied) this.#available.fetch(FLAGS * 2, 2)
      return (Atomics.load(this.#ring, FLAGS) & NO_INTERRUPT) === 0
    }
    const at = RING + this.size
    if (this.#copied) this.#available.fetch(at * 2, 2)
    const event = Atomics.load(this.#ring, at)
    return ((used - event - 1) & 0xffff) < ((used - former) & 0xffff)
  }

  /** Lets go of the ring; it must not be used any more. */
  release(): void {
    this.#table.release()
    this.#available.release()
    this.#usedPart.release()
  }
}
