// The main thread's side of the audit ring: takes records out, in each slot's order. It names nothing and writes nothing.
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
  STATUS,
  segmentOffset,
  TAIL,
  unitWords,
} from './ring-layout.ts'

/** One record as the relay wrote it. The reader fills the same object again and again: copy what must last. */
export class RingRecord {
  slot = 0
  /** Which tenant of the slot, as the relay knew it. */
  generation = 0
  /** Wall clock, microseconds since 1970. */
  timeMicros = 0
  protocol = 0
  message = 0
  /** NO_RESOURCE when the message names none. */
  resource = 0
  /** Index into `decisions`. */
  decision = 0
  /** SCMI status, signed. */
  status = 0
  durationMicros = 0
  agentId = 0
  /** Unsigned: what the command set, as the mediator chose to record it. */
  argument0 = 0
  argument1 = 0
  rule = 0
  /** Equal messages it stands for, at least 1. */
  repeated = 0
}

/** Where drained records go. What throws leaves its record in the ring, for the next drain. */
export interface RingSink {
  message(record: RingRecord): void
  /** `count` messages since the last report found the slot's share full and were answered BUSY without a record. */
  lost(slot: number, generation: number, count: number): void
}

/** The only reader of a ring. */
export class AuditRingReader {
  readonly slots: number
  readonly #ring: AuditRing
  readonly #record = new RingRecord()
  readonly #lostSeen: Int32Array

  constructor(shared: SharedArrayBuffer) {
    this.#ring = openAuditRing(shared)
    this.slots = this.#ring.slots
    this.#lostSeen = new Int32Array(this.slots)
  }

  /**
   * Hands every record that is published now to `sink`, slot after slot, at most `limitPerSlot` each; then what was
   * lost. Returns the number of records taken. Each slot has its own share, so none can hold the others up for more
   * than `recordsPerSlot` records.
   */
  drain(sink: RingSink, limitPerSlot = this.#ring.recordsPerSlot): number {
    let taken = 0
    for (let slot = 0; slot < this.slots; slot++) taken += this.drainSlot(slot, sink, limitPerSlot)
    return taken
  }

  /**
   * The same for one slot: to be called when its tenant has left (the relay past its quiescent point) and before it
   * gets another, so that what was lost is laid at the right door.
   */
  drainSlot(slot: number, sink: RingSink, limit = this.#ring.recordsPerSlot): number {
    const { words, recordsPerSlot } = this.#ring
    const header = headerOffset(slot)
    const segment = segmentOffset(this.#ring, slot)
    const head = Atomics.load(words, header + HEAD)
    let tail = words[header + TAIL]!
    let taken = 0
    while (tail !== head && taken < limit) {
      this.#take(slot, segment + (tail & (recordsPerSlot - 1)) * unitWords, sink)
      tail = (tail + 1) | 0
      Atomics.store(words, header + TAIL, tail)
      taken++
    }
    if (tail === head) this.#reportLost(slot, header, sink)
    return taken
  }

  /** Messages of `slot` that were lost since the ring was made, modulo 2^32. */
  lost(slot: number): number {
    return Atomics.load(this.#ring.words, headerOffset(slot) + LOST) >>> 0
  }

  #take(slot: number, at: number, sink: RingSink): void {
    const { words, doubles } = this.#ring
    const record = this.#record
    const meta = words[at + META]!
    record.slot = slot
    record.generation = words[at + GENERATION]!
    record.timeMicros = doubles[at >>> 1]!
    record.protocol = meta & 0xff
    record.message = (meta >>> 8) & 0xff
    record.decision = (meta >>> 16) & 0xff
    record.resource = words[at + RESOURCE]! >>> 0
    record.status = words[at + STATUS]!
    record.durationMicros = words[at + DURATION]! >>> 0
    record.agentId = words[at + AGENT]! >>> 0
    record.argument0 = words[at + ARGUMENT0]! >>> 0
    record.argument1 = words[at + ARGUMENT1]! >>> 0
    record.rule = words[at + RULE]! >>> 0
    const repeated = Atomics.exchange(words, at + REPEATED, 0) // from here on the producer starts a new record
    record.repeated = repeated
    try {
      sink.message(record)
    } catch (error) {
      // Not taken after all. The producer may raise it again: it is still its record, and still in the ring.
      Atomics.store(words, at + REPEATED, repeated)
      throw error
    }
  }

  #reportLost(slot: number, header: number, sink: RingSink): void {
    const lost = Atomics.load(this.#ring.words, header + LOST)
    const count = (lost - this.#lostSeen[slot]!) >>> 0
    if (count === 0) return
    sink.lost(slot, this.#ring.words[header + LOST_GENERATION]!, count)
    this.#lostSeen[slot] = lost
  }
}
