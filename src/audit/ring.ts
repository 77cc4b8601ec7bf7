// The relay's side of the audit ring: hands records to the main thread through shared memory, allocates nothing, waits
// for nobody and makes no system call. It knows numbers, not names.
import { ALLOWED, VOTE } from './decision.ts'
import {
  AGENT,
  ARGUMENT0,
  ARGUMENT1,
  type AuditRing,
  DURATION,
  GENERATION,
  HEAD,
  headerOffset,
  LOST,
  LOST_GENERATION,
  META,
  openAuditRing,
  REPEATED,
  RESOURCE,
  RULE,
  repeatedLimit,
  STATUS,
  segmentOffset,
  TAIL,
  unitWords,
} from './ring-layout.ts'

/**
 * The relay's side of the ring: one producer per guest slot, and the clock that stamps their records.
 * One thread only.
 */
export class AuditRingWriter {
  /** `[0]` is the wall clock in microseconds since 1970: set once a round, not once a message. */
  readonly clock: Float64Array
  readonly producers: readonly AuditProducer[]

  /** `clock`: a reactor's, or whatever its owner keeps up to date. */
  constructor(shared: SharedArrayBuffer, clock: Float64Array = new Float64Array(1)) {
    const ring = openAuditRing(shared)
    this.clock = clock
    this.producers = Array.from(
      { length: ring.slots },
      (_, slot) => new AuditProducer(ring, slot, this.clock),
    )
  }
}

/**
 * One guest's share of the ring. Every argument is a number within 32 bits; signed (`x | 0`) where it may exceed
 * 2^31, or V8 boxes it on the way in. What does not fit is refused to that guest, and counted; it is never dropped.
 */
export class AuditProducer {
  readonly slot: number
  readonly capacity: number
  readonly #words: Int32Array
  readonly #doubles: Float64Array
  readonly #clock: Float64Array
  readonly #header: number
  readonly #segment: number
  #head: number
  #tail: number
  #reserved = 0

  constructor(ring: AuditRing, slot: number, clock: Float64Array) {
    this.slot = slot
    this.capacity = ring.recordsPerSlot
    this.#words = ring.words
    this.#doubles = ring.doubles
    this.#clock = clock
    this.#header = headerOffset(slot)
    this.#segment = segmentOffset(ring, slot)
    this.#head = Atomics.load(ring.words, this.#header + HEAD)
    this.#tail = Atomics.load(ring.words, this.#header + TAIL)
  }

  /** Records that can still be appended: free ones less those reserved. */
  room(): number {
    this.#tail = Atomics.load(this.#words, this.#header + TAIL)
    return this.capacity - ((this.#head - this.#tail) | 0) - this.#reserved
  }

  /** Records that the guest's messages under way have reserved. */
  get reserved(): number {
    return this.#reserved
  }

  /**
   * Keeps a record for a message that is about to be forwarded, so that what takes effect is always recorded.
   * False, and counted as lost to `generation`, when the share is full: answer BUSY and forward nothing.
   */
  reserve(generation: number): boolean {
    if (!this.#hasRoom()) {
      this.#lose(generation)
      return false
    }
    this.#reserved++
    return true
  }

  /** Gives a reservation back, when the message came to nothing that is worth a record. */
  cancel(): void {
    if (this.#reserved > 0) this.#reserved--
  }

  /**
   * Records a decision without a reservation. One equal to the slot's newest record (same protocol, message,
   * resource, decision, status, rule and tenant; the first one's time, duration and arguments stay) only raises that
   * record's `repeated`, as long as the reader has not taken it; allowed messages and votes never coalesce, since
   * each had an effect. False, and counted as lost, when the share is full: answer BUSY.
   */
  append(
    protocol: number,
    message: number,
    resource: number,
    decision: number,
    status: number,
    durationMicros: number,
    agentId: number,
    generation: number,
    argument0: number,
    argument1: number,
    rule: number,
  ): boolean {
    const meta = (protocol & 0xff) | ((message & 0xff) << 8) | ((decision & 0xff) << 16)
    if (
      decision !== ALLOWED &&
      decision !== VOTE &&
      this.#coalesce(meta, resource, status, agentId, generation, rule)
    )
      return true
    if (!this.#hasRoom()) {
      this.#lose(generation)
      return false
    }
    this.#publish(meta, resource, status, durationMicros, agentId, generation, argument0, argument1, rule)
    return true
  }

  /**
   * Records what became of a message for which `reserve` said yes; always finds room. False only when there was no
   * reservation, which is the caller's mistake, and the share is full.
   */
  complete(
    protocol: number,
    message: number,
    resource: number,
    decision: number,
    status: number,
    durationMicros: number,
    agentId: number,
    generation: number,
    argument0: number,
    argument1: number,
    rule: number,
  ): boolean {
    if (this.#reserved > 0) this.#reserved--
    else if (!this.#hasRoom()) {
      this.#lose(generation)
      return false
    }
    const meta = (protocol & 0xff) | ((message & 0xff) << 8) | ((decision & 0xff) << 16)
    this.#publish(meta, resource, status, durationMicros, agentId, generation, argument0, argument1, rule)
    return true
  }

  #hasRoom(): boolean {
    // The tail as last seen only errs towards full: look again only when it says so.
    if (this.capacity - ((this.#head - this.#tail) | 0) - this.#reserved > 0) return true
    return this.room() > 0
  }

  #lose(generation: number): void {
    this.#words[this.#header + LOST_GENERATION] = generation
    Atomics.add(this.#words, this.#header + LOST, 1)
  }

  #coalesce(
    meta: number,
    resource: number,
    status: number,
    agentId: number,
    generation: number,
    rule: number,
  ): boolean {
    const words = this.#words
    const at = this.#segment + ((this.#head - 1) & (this.capacity - 1)) * unitWords
    if (
      words[at + META] !== meta ||
      words[at + RESOURCE] !== (resource | 0) ||
      words[at + STATUS] !== (status | 0) ||
      words[at + AGENT] !== (agentId | 0) ||
      words[at + GENERATION] !== (generation | 0) ||
      words[at + RULE] !== (rule | 0)
    )
      return false
    const repeated = Atomics.load(words, at + REPEATED)
    return (
      repeated > 0 &&
      repeated < repeatedLimit &&
      Atomics.compareExchange(words, at + REPEATED, repeated, repeated + 1) === repeated
    )
  }

  #publish(
    meta: number,
    resource: number,
    status: number,
    durationMicros: number,
    agentId: number,
    generation: number,
    argument0: number,
    argument1: number,
    rule: number,
  ): void {
    const words = this.#words
    const at = this.#segment + (this.#head & (this.capacity - 1)) * unitWords
    this.#doubles[at >>> 1] = this.#clock[0]!
    words[at + META] = meta
    words[at + RESOURCE] = resource
    words[at + STATUS] = status
    words[at + DURATION] = durationMicros
    words[at + AGENT] = agentId
    words[at + GENERATION] = generation
    words[at + ARGUMENT0] = argument0
    words[at + ARGUMENT1] = argument1
    words[at + RULE] = rule
    words[at + REPEATED] = 1
    this.#head = (this.#head + 1) | 0
    Atomics.store(words, this.#header + HEAD, this.#head) // publishes every store above
  }
}
