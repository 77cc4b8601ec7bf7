// One part of a virtqueue (descriptor table, available ring or used ring) as views: on guest memory itself, or on a copy
// that is fetched and stored by the kernel where guest memory must not be touched in place.
import { NativeMemory } from '../native/native-memory.ts'
import type { FileBytes } from './file-bytes.ts'

/** A part's views; they begin at the part. */
export class RingPart {
  readonly halves: Uint16Array
  readonly ints: Int32Array
  readonly #memory: NativeMemory | undefined
  readonly #file: FileBytes | undefined
  readonly #fileAt: number
  readonly #size: number

  private constructor(
    buffer: ArrayBuffer,
    at: number,
    size: number,
    memory: NativeMemory | undefined,
    file: FileBytes | undefined,
    fileAt: number,
  ) {
    this.halves = new Uint16Array(buffer, at, size >>> 1)
    this.ints = new Int32Array(buffer, at - (at & 3), (size + (at & 3)) >>> 2)
    this.#memory = memory
    this.#file = file
    this.#fileAt = fileAt
    this.#size = size
  }

  /** The part at byte `at` of mapped memory. */
  static mapped(buffer: ArrayBuffer, at: number, size: number): RingPart {
    return new RingPart(buffer, at, size, undefined, undefined, 0)
  }

  /** A copy of `size` bytes at `fileAt` of the file; it holds zeros until it is fetched. */
  static copied(file: FileBytes, fileAt: number, size: number): RingPart {
    const memory = NativeMemory.allocate(size)
    return new RingPart(memory.buffer, 0, size, memory, file, fileAt)
  }

  /** Whether it is a copy. */
  get copied(): boolean {
    return this.#memory !== undefined
  }

  /** Brings `length` bytes at `at` up to date; false when the file has lost them. Nothing to do where it is mapped. */
  fetch(at = 0, length = this.#size): boolean {
    const memory = this.#memory
    return memory === undefined || this.#file?.read(memory.address + at, length, this.#fileAt + at) === true
  }

  /** Writes `length` bytes at `at` back. */
  store(at: number, length: number): boolean {
    const memory = this.#memory
    return memory === undefined || this.#file?.write(memory.address + at, length, this.#fileAt + at) === true
  }

  /** Gives the copy back; the views must not be used any more. */
  release(): void {
    this.#memory?.release()
  }
}
