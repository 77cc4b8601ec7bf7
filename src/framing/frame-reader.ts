// Cuts what a stream socket brings into frames `u32 length, u32 header, payload`. It keeps its place, and no policy.
import { recv } from '../native/libc.ts'
import { MSG_DONTWAIT } from '../native/linux.ts'
import { NativeMemory } from '../native/native-memory.ts'
import { copy } from './copy.ts'

const bufferBytes = 8192
const prefixBytes = 8

/** `readPrefix`: more bytes must come first. */
export const MORE = 0
/** `readPrefix`: `length` and `header` of the next frame are known. */
const KNOWN = 1

/** Where a frame is put together; a Transfer is one. Both views cover the same bytes. */
export interface FrameMemory {
  readonly bytes: Uint8Array
  readonly words: Uint32Array
}

/** One stream's reader. Call `fill` only while it is `empty`. */
export class FrameReader {
  /** Of the frame whose prefix is known: bytes of header and payload; its header word. Both as signed numbers. */
  length = 0
  header = 0
  readonly #memory = NativeMemory.allocate(bufferBytes)
  readonly #prefix = new Uint8Array(prefixBytes)
  readonly #prefixInts = new Int32Array(this.#prefix.buffer)
  #at = 0
  #end = 0
  #prefixHas = 0
  /** Bytes of the frame that were read, its header included. */
  #has = 0

  /** Whether all that was received has been read. */
  get empty(): boolean {
    return this.#at === this.#end
  }

  /** Receives what there is: bytes, 0 at the end of the stream, or -errno. */
  fill(fd: number): number {
    const result = recv(fd, this.#memory.address, bufferBytes, MSG_DONTWAIT)
    this.#at = 0
    this.#end = Math.max(result, 0)
    return result
  }

  /** Reads on to the next frame's length and header; one too short for a header has what there is of it, then zeros. */
  readPrefix(): number {
    while (this.#prefixHas < 4 || this.#prefixHas < 4 + headerBytesOf(this.#prefixInts[0]!)) {
      if (this.#at === this.#end) return MORE
      this.#prefix[this.#prefixHas++] = this.#memory.bytes[this.#at++]!
    }
    this.#prefix.fill(0, this.#prefixHas)
    this.#has = this.#prefixHas - 4
    this.#prefixHas = 0
    this.length = this.#prefixInts[0]!
    this.header = this.#prefixInts[1]!
    return KNOWN
  }

  /** Reads on in the frame's payload, into `to` behind the header or nowhere: whether the frame is whole. */
  readBody(to: FrameMemory | undefined): boolean {
    const count = Math.min(this.length - this.#has, this.#end - this.#at)
    if (to !== undefined)
      copy(this.#memory.bytes, this.#memory.words, this.#at, to.bytes, to.words, this.#has, count)
    this.#at += count
    this.#has += count
    return this.#has === this.length
  }

  /** Forgets the stream. */
  clear(): void {
    this.#at = 0
    this.#end = 0
    this.#prefixHas = 0
  }

  release(): void {
    this.#memory.release()
  }
}

/** As unsigned: lengths of 2^31 and more have a header, if hardly a place to go. */
const headerBytesOf = (length: number): number => (length >= 0 && length < 4 ? length : 4)
