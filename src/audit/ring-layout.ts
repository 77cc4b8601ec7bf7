// The audit ring's memory, shared by the relay thread and the main thread: its layout and how it is made. No traffic.
import { MediatorError } from '../errors.ts'

/** The `resource` of a message that names none. */
export const NO_RESOURCE = 0xffffffff

// The memory: a global header, then one header per slot, then one segment of records per slot. Headers and records
// are 64 bytes each.
/** 32-bit words of a header and of a record. */
export const unitWords = 16
const magic = 0x41554431 // "AUD1"
const MAGIC = 0
const SLOTS = 1
const CAPACITY = 2

/** Words of a slot's header. `head` and `tail` count records ever published and ever taken, modulo 2^32. */
export const HEAD = 0
export const TAIL = 1
export const LOST = 2
export const LOST_GENERATION = 3

/** Words of a record; the first two are the time as a double, in microseconds of the wall clock. */
export const META = 2 // protocol | message << 8 | decision << 16
export const RESOURCE = 3
export const STATUS = 4
export const DURATION = 5
export const AGENT = 6
export const GENERATION = 7
export const ARGUMENT0 = 8
export const ARGUMENT1 = 9
export const RULE = 10
/**
 * How many equal messages the record stands for. The reader takes it by exchanging it for 0, the producer raises it by
 * compare-and-exchange while it is not 0: whoever comes second sees the other, and no message is counted twice.
 */
export const REPEATED = 11
/** A record that stands for this many takes no more. */
export const repeatedLimit = 0x7fffffff

/** Largest ring: 1 GiB, so that word offsets stay small integers. */
const maxRingBytes = 1 << 30

/** Views of a ring and its dimensions; each thread makes its own over the same memory. */
export interface AuditRing {
  readonly words: Int32Array
  readonly doubles: Float64Array
  readonly slots: number
  /** Records that each slot can hold, a power of two. */
  readonly recordsPerSlot: number
}

/** Memory for `slots` guests with `recordsPerSlot` records each (rounded up to a power of two), 64 bytes a record. */
export function createAuditRing(slots: number, recordsPerSlot: number): SharedArrayBuffer {
  if (!Number.isInteger(slots) || slots < 1 || slots > 65536)
    throw new MediatorError('CONFIG_INVALID', `audit ring: slots is ${slots}, not 1 to 65536`)
  if (!Number.isInteger(recordsPerSlot) || recordsPerSlot < 1 || recordsPerSlot > 1 << 20)
    throw new MediatorError(
      'CONFIG_INVALID',
      `audit ring: recordsPerSlot is ${recordsPerSlot}, not 1 to ${1 << 20}`,
    )
  const capacity = 2 ** Math.ceil(Math.log2(recordsPerSlot))
  const bytes = (1 + slots + slots * capacity) * unitWords * 4
  if (bytes > maxRingBytes)
    throw new MediatorError(
      'CONFIG_INVALID',
      `audit ring: ${slots} slots of ${capacity} records take ${bytes} bytes, above ${maxRingBytes}`,
    )
  const shared = new SharedArrayBuffer(bytes)
  const words = new Int32Array(shared)
  words[MAGIC] = magic
  words[SLOTS] = slots
  words[CAPACITY] = capacity
  return shared
}

/** Views of memory that `createAuditRing` made, here or in another thread. */
export function openAuditRing(shared: SharedArrayBuffer): AuditRing {
  const words = new Int32Array(shared)
  if (words[MAGIC] !== magic)
    throw new MediatorError('SYSTEM', 'audit ring: the shared memory is not an audit ring')
  return { words, doubles: new Float64Array(shared), slots: words[SLOTS]!, recordsPerSlot: words[CAPACITY]! }
}

/** Word offset of a slot's header. */
export const headerOffset = (slot: number): number => (1 + slot) * unitWords
/** Word offset of a slot's first record. */
export const segmentOffset = (ring: AuditRing, slot: number): number =>
  (1 + ring.slots + slot * ring.recordsPerSlot) * unitWords
