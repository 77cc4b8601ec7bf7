// Lines of a file as bytes, read forward in bounded memory; tells a whole line from an unfinished one.
import type { FileHandle } from 'node:fs/promises'

/** Longest line that is read as one, in bytes; a record is some hundred. */
export const maxLineBytes = 1 << 20

/** Reads on from where it stopped, which is what following a growing file needs. */
export class LineReader {
  /** Number of the last line given, from 1. */
  line = 0
  readonly #handle: FileHandle
  readonly #chunk: Buffer
  #position = 0
  #rest: Buffer = Buffer.alloc(0)
  #searched = 0 // bytes of #rest that hold no line feed

  constructor(handle: FileHandle, chunkBytes = 1 << 16) {
    this.#handle = handle
    this.#chunk = Buffer.alloc(chunkBytes)
  }

  /** Bytes after the last line feed: a line under way, one that was torn, or one too long to be any. */
  get unfinished(): Buffer {
    return this.#rest
  }

  /** Whether `unfinished` has outgrown every possible line; no more is read then. */
  get overlong(): boolean {
    return this.#rest.length > maxLineBytes
  }

  /** The whole lines, without their line feeds, that the file holds beyond those already given. */
  async *lines(): AsyncGenerator<Buffer, void, void> {
    for (;;) {
      const end = this.#rest.indexOf(10, this.#searched)
      if (end >= 0) {
        const line = this.#rest.subarray(0, end)
        this.#rest = this.#rest.subarray(end + 1)
        this.#searched = 0
        this.line++
        yield line
        continue
      }
      this.#searched = this.#rest.length
      if (this.overlong) return
      const { bytesRead } = await this.#handle.read(this.#chunk, 0, this.#chunk.length, this.#position)
      if (bytesRead === 0) return
      this.#position += bytesRead
      this.#rest = Buffer.concat([this.#rest, this.#chunk.subarray(0, bytesRead)])
    }
  }

  /** Forgets an unfinished line that is no longer there: the file became shorter. */
  async forgetCutOff(): Promise<void> {
    const { size } = await this.#handle.stat()
    if (size >= this.#position) return
    const keep = Math.max(0, this.#rest.length - (this.#position - size))
    this.#rest = this.#rest.subarray(0, keep)
    this.#searched = Math.min(this.#searched, keep)
    this.#position = size
  }
}
