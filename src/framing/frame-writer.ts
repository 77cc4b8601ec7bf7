// The frames that wait to leave a stream socket, in one bounded buffer of native memory. Who may fill it is not known here.
import { send } from '../native/libc.ts'
import { MSG_DONTWAIT, MSG_NOSIGNAL } from '../native/linux.ts'
import { NativeMemory } from '../native/native-memory.ts'
import { copy } from './copy.ts'

/** Bytes of a frame's length word. */
export const lengthBytes = 4

/** One stream's output. */
export class FrameWriter {
  readonly #memory: NativeMemory
  readonly #capacity: number
  #head = 0
  #tail = 0

  constructor(capacity: number) {
    this.#memory = NativeMemory.allocate(capacity)
    this.#capacity = capacity
  }

  get empty(): boolean {
    return this.#head === this.#tail
  }

  /** Bytes that may still be put in. */
  get room(): number {
    return this.#capacity - (this.#tail - this.#head)
  }

  /** Puts in a frame of `length` bytes, for which there must be room. */
  put(bytes: Uint8Array, words: Uint32Array, length: number): void {
    const at = this.#start(length)
    copy(bytes, words, 0, this.#memory.bytes, this.#memory.words, at, length)
  }

  /** The same for a frame of which there are bytes alone. */
  putBytes(bytes: Uint8Array, length: number): void {
    const at = this.#start(length)
    for (let i = 0; i < length; i++) this.#memory.bytes[at + i] = bytes[i]!
  }

  /** Puts in an answer of `status` alone under `header`. */
  putStatus(header: number, status: number): void {
    const at = this.#start(8)
    this.#putWord(at, header)
    this.#putWord(at + 4, status)
  }

  /** Sends what there is: 0 when all of it left, -EAGAIN when the socket takes no more, another -errno when it is dead. */
  flush(fd: number): number {
    while (this.#head < this.#tail) {
      const result = send(
        fd,
        this.#memory.address + this.#head,
        this.#tail - this.#head,
        MSG_DONTWAIT | MSG_NOSIGNAL,
      )
      if (result < 0) return result
      this.#head += result
    }
    this.clear()
    return 0
  }

  /** Forgets what waits. */
  clear(): void {
    this.#head = 0
    this.#tail = 0
  }

  release(): void {
    this.#memory.release()
  }

  /** Begins a frame: its length word written, the place of its header given. */
  #start(length: number): number {
    if (this.#tail + lengthBytes + length > this.#capacity) {
      this.#memory.bytes.copyWithin(0, this.#head, this.#tail)
      this.#tail -= this.#head
      this.#head = 0
    }
    const at = this.#tail
    this.#putWord(at, length)
    this.#tail = at + lengthBytes + length
    return at + lengthBytes
  }

  /** Frames may have odd lengths, so words lie anywhere. */
  #putWord(at: number, word: number): void {
    const bytes = this.#memory.bytes
    bytes[at] = word
    bytes[at + 1] = word >>> 8
    bytes[at + 2] = word >>> 16
    bytes[at + 3] = word >>> 24
  }
}
