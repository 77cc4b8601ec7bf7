// Bytes of a file that are never touched in place, because it can lose them: read and written by the kernel, which
// answers with an error where a touch would raise SIGBUS.
import { close, pread, pwrite } from '../native/libc.ts'
import type { MappedMemory } from '../native/mapped-memory.ts'
import { writeMapped } from '../native/mapped-write.ts'
import { lendWindow, returnWindow } from './windows.ts'

/** Bytes of a huge file that are mapped at once, and how often at most. */
const windowBytes = 2 ** 30
const maxWindows = 64

/** A file of a tmpfs, or, where it is `huge`, of hugetlbfs. The descriptor is closed with it. */
export class FileBytes {
  readonly #fd: number
  readonly #huge: boolean
  /** hugetlbfs takes no write(2): what is written goes through a mapping, by the kernel's hand. By GiB of the file. */
  readonly #windows = new Map<number, MappedMemory>()
  readonly #bytes: number

  /** `bytes`: how long the file is. */
  constructor(fd: number, bytes: number, huge: boolean) {
    this.#fd = fd
    this.#bytes = bytes
    this.#huge = huge
  }

  /** Copies `length` bytes at `fileAt` to the memory at `address`; false when the file has lost them. */
  read(address: number, length: number, fileAt: number): boolean {
    return pread(this.#fd, address, length, fileAt) === length
  }

  /** Copies `length` bytes of the memory at `address` to `fileAt`; false when the file has lost them. */
  write(address: number, length: number, fileAt: number): boolean {
    if (!this.#huge) return pwrite(this.#fd, address, length, fileAt) === length
    while (length > 0) {
      const index = Math.floor(fileAt / windowBytes)
      const at = fileAt - index * windowBytes
      const step = Math.min(length, windowBytes - at)
      const window = this.#windows.get(index) ?? this.#map(index)
      if (window === undefined || !writeMapped(window.address + at, address, step)) return false
      address += step
      fileAt += step
      length -= step
    }
    return true
  }

  close(): void {
    this.#unmap()
    close(this.#fd)
  }

  #map(index: number): MappedMemory | undefined {
    if (this.#windows.size === maxWindows) this.#unmap()
    const offset = index * windowBytes
    const window = lendWindow(windowBytes)
    if (window.attach(this.#fd, Math.min(windowBytes, this.#bytes - offset), { offset }) !== undefined) {
      returnWindow(window)
      return undefined
    }
    this.#windows.set(index, window)
    return window
  }

  #unmap(): void {
    for (const window of this.#windows.values()) returnWindow(window)
    this.#windows.clear()
  }
}
