// A shared memory area that carries one SCMI message at a time: its layout and who may write when. No doorbell, no link.
//
// DEN0056, "Shared memory based transport". The other side is hostile: each word of it is read once into private
// memory, and every later decision uses that copy. Nothing here allocates, nor waits.
import { PROTOCOL_ERROR } from './status.ts'

/** Offset of message_header: `length` counts from there. */
const areaOverheadBytes = 24
/** Smallest area that holds a response: header and status. */
const smallestAreaBytes = 32

/** channel_status bit 0: the channel belongs to whoever wants to send. */
export const FREE = 1
/** channel_status bit 1: the last message could not be accepted. */
export const ERROR = 2

/** `take`: the sender had not claimed the channel. `collect`: the answer is not there yet. */
export const NOT_OWNED = -1
/** `take`, `collect`: `length` is below a header or above what the area carries. */
export const BAD_LENGTH = -2

const statusWord = 0x04 / 4
const flagsWord = 0x10 / 4
const lengthWord = 0x14 / 4
const headerWord = 0x18 / 4

/**
 * One area, from either side of it. On A2P the agent posts and collects, the platform takes and responds (or
 * refuses, or rejects); on P2A the platform posts, the agent takes and releases.
 */
export class SharedMemoryArea {
  /** Largest frame that it carries here, header included, in bytes. */
  readonly maxMessageBytes: number
  readonly #words: Uint32Array
  readonly #ints: Int32Array
  readonly #bytes: Uint8Array
  /** How far the area may hold something older than what was last written. At first nobody knows: all of it. */
  #staleBytes: number

  /**
   * The `sizeBytes` bytes of `buffer` from `byteOffset` on, both multiples of 4; frames of at most
   * `maxMessageBytes`, should the area hold more. RangeError when it cannot hold a response.
   */
  constructor(
    buffer: ArrayBuffer | SharedArrayBuffer,
    byteOffset: number,
    sizeBytes: number,
    maxMessageBytes = sizeBytes,
  ) {
    if (sizeBytes < smallestAreaBytes || sizeBytes % 4 !== 0)
      throw new RangeError(`a shared memory area of ${sizeBytes} bytes`)
    this.#words = new Uint32Array(buffer, byteOffset, sizeBytes / 4)
    this.#ints = new Int32Array(buffer, byteOffset, sizeBytes / 4)
    this.#bytes = new Uint8Array(buffer, byteOffset, sizeBytes)
    this.maxMessageBytes = Math.min(maxMessageBytes, sizeBytes - areaOverheadBytes)
    this.#staleBytes = sizeBytes - areaOverheadBytes
  }

  /** Whether the next sender may claim the channel. */
  get free(): boolean {
    return (Atomics.load(this.#ints, statusWord) & FREE) !== 0
  }

  /** Whether the last message was not accepted. */
  get failed(): boolean {
    return (Atomics.load(this.#ints, statusWord) & ERROR) !== 0
  }

  /**
   * Takes a message out, once: `words` and `bytes` are two views of the same private memory, of at least
   * `maxMessageBytes`. Gives its length, header included. With BAD_LENGTH the header alone was copied, to be echoed;
   * with NOT_OWNED nothing was.
   */
  take(words: Uint32Array, bytes: Uint8Array): number {
    if ((Atomics.load(this.#ints, statusWord) & FREE) !== 0) return NOT_OWNED
    return this.#copyOut(words, bytes)
  }

  /**
   * Answers what was taken: the frame in `words` and `bytes`, `length` bytes, at most `maxMessageBytes`. What a
   * longer message left behind is cleared; then the channel is free.
   */
  respond(words: Uint32Array, bytes: Uint8Array, length: number): void {
    const whole = length >>> 2
    for (let i = 1; i < whole; i++) this.#words[headerWord + i] = words[i]!
    for (let i = whole << 2; i < length; i++) this.#bytes[areaOverheadBytes + i] = bytes[i]!
    this.#finish(words[0]!, length, FREE)
  }

  /** Answers with `status` alone under `header`; `channelStatus` is FREE, with ERROR when the message was unusable. */
  refuse(header: number, status = PROTOCOL_ERROR, channelStatus = FREE | ERROR): void {
    this.#ints[headerWord + 1] = status
    this.#finish(header, 8, channelStatus)
  }

  /** Answers `status` alone to a message that was not taken, under its header; without one, as `reject`. */
  refuseUnread(status: number): void {
    if (this.free) this.reject()
    else this.refuse(Atomics.load(this.#ints, headerWord), status, FREE)
  }

  /** Answers a doorbell without a message: the status word and nothing else. */
  reject(): void {
    Atomics.store(this.#ints, statusWord, FREE | ERROR)
  }

  /** Gives the channel back to the sender once its message was taken; for the receiving side of P2A. */
  release(): void {
    Atomics.store(this.#ints, statusWord, FREE)
  }

  /**
   * Makes a newly mapped A2P area free, as a platform does at its start; a message that its agent has already posted
   * stays as it is, for the doorbell that follows.
   */
  open(): void {
    if ((Atomics.load(this.#ints, statusWord) & FREE) !== 0) return
    if (Atomics.load(this.#ints, lengthWord) === 0) Atomics.store(this.#ints, statusWord, FREE)
  }

  /**
   * Claims the channel and writes the frame in `bytes[0 .. length)`; the doorbell, and with it the barrier, is the
   * caller's. False when the channel is not free, or the frame does not fit: nothing was written.
   */
  post(bytes: Uint8Array, length: number, flags = 0): boolean {
    if (length < 4 || length > this.maxMessageBytes || !this.free) return false
    Atomics.store(this.#ints, statusWord, 0)
    this.#words[flagsWord] = flags
    this.#words[lengthWord] = length
    for (let i = 0; i < length; i++) this.#bytes[areaOverheadBytes + i] = bytes[i]!
    this.#clear(length)
    return true
  }

  /** Copies an answer out for the agent: its length, or NOT_OWNED while it is not there, or BAD_LENGTH. */
  collect(words: Uint32Array, bytes: Uint8Array): number {
    if ((Atomics.load(this.#ints, statusWord) & FREE) === 0) return NOT_OWNED
    return this.#copyOut(words, bytes)
  }

  #copyOut(words: Uint32Array, bytes: Uint8Array): number {
    const length = Atomics.load(this.#ints, lengthWord) // signed: 2^31 and more is negative, and refused as such
    words[0] = Atomics.load(this.#ints, headerWord)
    if (length < 4 || length > this.maxMessageBytes) return BAD_LENGTH
    const whole = length >>> 2
    for (let i = 1; i < whole; i++) words[i] = this.#words[headerWord + i]!
    for (let i = whole << 2; i < length; i++) bytes[i] = this.#bytes[areaOverheadBytes + i]!
    if (length > this.#staleBytes) this.#staleBytes = length
    return length
  }

  /** The payload stands; what follows has its order: tail, header, length, and only then the status. */
  #finish(header: number, length: number, channelStatus: number): void {
    this.#clear(length)
    this.#words[headerWord] = header
    this.#words[lengthWord] = length
    Atomics.store(this.#ints, statusWord, channelStatus)
  }

  /** Zeroes what lies behind a frame of `length` bytes, as far as anything older reaches. */
  #clear(length: number): void {
    const stale = this.#staleBytes
    this.#staleBytes = length
    let at = length
    while (at < stale && (at & 3) !== 0) this.#bytes[areaOverheadBytes + at++] = 0
    for (; at < stale; at += 4) this.#words[headerWord + (at >>> 2)] = 0
  }
}
