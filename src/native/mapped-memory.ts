// A window on someone else's memory: a file descriptor mapped for reading and writing. It knows bounds, not layouts.
//
// The window's addresses are reserved once and stay reserved. Memory is put into it and taken out of it by mapping
// over it, so that a view outlives its file without harm: it reads zeros, never SIGSEGV. SIGBUS is what a file that
// shrinks under a mapping raises; F_SEAL_SHRINK rules it out, and the size is checked after the seal. Not so for hugetlbfs.
import { fstatSync, statfsSync } from 'node:fs'
import { MediatorError } from '../errors.ts'
import { fcntl, mmap, munmap, viewMemory } from './libc.ts'
import {
  errnoName,
  F_GET_SEALS,
  F_SEAL_SHRINK,
  MAP_ANONYMOUS,
  MAP_FIXED,
  MAP_NORESERVE,
  MAP_PRIVATE,
  MAP_SHARED,
  PROT_READ,
  PROT_WRITE,
} from './linux.ts'

const pageBytes = 4096
const hugePageBytes = 2 ** 21
/** koffi.view on Node 20 ends the process above 4 GiB; map larger memory as several windows. */
const windowBytesLimit = 2 ** 32
const access = PROT_READ | PROT_WRITE
const empty = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE

/** Reserved addresses that no window uses, by size class: reuse bounds what a peer that reconnects can consume. */
const vacant: number[][] = []

const HUGETLBFS_MAGIC = 0x958458f6

/**
 * Whether memory is in huge pages of hugetlbfs. Holes can be punched into such a file whatever its seals say, and a hole
 * that is touched when no huge page is left raises SIGBUS. `fd` is known to be a memfd, or a file of tmpfs or hugetlbfs.
 */
export const isHuge = (fd: number): boolean => statfsSync(`/proc/self/fd/${fd}`).type === HUGETLBFS_MAGIC

/** How a file must be before it is mapped. */
export interface MapOptions {
  /** Where in the file the window begins: a multiple of the page size. */
  readonly offset?: number
  /** Refuse a file that could lose pages: one that could shrink (F_SEAL_SHRINK absent), or of hugetlbfs. Else: SIGBUS. */
  readonly requireSealed?: boolean
}

/** A window of fixed size, with its views made once. */
export class MappedMemory {
  readonly address: number
  /** Bytes of the window; every view ends here, whatever is attached. */
  readonly size: number
  readonly buffer: ArrayBuffer
  readonly bytes: Uint8Array
  readonly words: Uint32Array
  readonly ints: Int32Array
  /** Bytes of a file in the window: 0 while it is empty. */
  attached = 0
  readonly #class: number
  #open = true

  /** Reserves `size` bytes of addresses, a multiple of 4; they read zero until a file is attached. */
  constructor(size: number) {
    if (!(size > 0 && size <= windowBytesLimit && size % 4 === 0))
      throw new MediatorError('SYSTEM', `a memory window of ${size} bytes`)
    this.size = size
    this.#class = Math.max(12, Math.ceil(Math.log2(size)))
    this.address = vacant[this.#class]?.pop() ?? reserve(2 ** this.#class)
    this.buffer = viewMemory(this.address, size)
    this.bytes = new Uint8Array(this.buffer)
    this.words = new Uint32Array(this.buffer)
    this.ints = new Int32Array(this.buffer)
  }

  /**
   * Puts the first `size` bytes of `fd` (from `offset` on) into the window, shared with whoever else maps them.
   * Gives the reason when the file is not fit for it, else undefined. The fd may be closed afterwards.
   */
  attach(fd: number, size: number, options: MapOptions = {}): string | undefined {
    const offset = options.offset ?? 0
    if (!this.#open) return 'the window is closed'
    if (!(size > 0 && size <= this.size)) return `${size} bytes do not fit a window of ${this.size}`
    if (!(offset >= 0 && offset % pageBytes === 0))
      return `offset ${offset} is not a multiple of ${pageBytes}`
    if (options.requireSealed === true) {
      const seals = fcntl(fd, F_GET_SEALS, 0)
      if (seals < 0 || (seals & F_SEAL_SHRINK) === 0) return 'the memory is not sealed with F_SEAL_SHRINK'
      if (isHuge(fd)) return 'the memory is in huge pages of hugetlbfs, which can vanish'
    }
    const fileBytes = sizeOf(fd)
    if (fileBytes < offset + size) return `the file holds ${fileBytes} bytes, not ${offset + size}`
    this.detach()
    const result = mmap(this.address, size, access, MAP_SHARED | MAP_FIXED, fd, offset)
    if (result < 0) {
      this.detach(true)
      return `mmap: ${errnoName(result)}`
    }
    this.attached = size
    return undefined
  }

  /** Takes the file out: the whole window reads zero again, and stale views with it. */
  detach(always = false): void {
    if (this.attached === 0 && !always) return
    this.attached = 0
    const result = mmap(this.address, 2 ** this.#class, access, empty | MAP_FIXED, -1, 0)
    if (result < 0) throw new MediatorError('SYSTEM', `mmap over a window: ${errnoName(result)}`)
  }

  /** Detaches and gives the addresses back for later windows. Twice is once. */
  close(): void {
    if (!this.#open) return
    this.detach(true) // always: stray writes into the empty window must not reach its next owner
    this.#open = false
    const list = vacant[this.#class] ?? []
    vacant[this.#class] = list
    list.push(this.address)
  }
}

/** Addresses for a window; those of 2 MiB and more are aligned to their size, so that huge pages can be put there. */
function reserve(bytes: number): number {
  const spare = bytes >= hugePageBytes ? bytes : 0
  const start = mmap(0, bytes + spare, access, empty, -1, 0)
  if (start < 0) throw new MediatorError('SYSTEM', `mmap of ${bytes} bytes: ${errnoName(start)}`)
  if (spare === 0) return start
  const address = Math.ceil(start / bytes) * bytes
  if (address > start) munmap(start, address - start)
  if (address < start + spare) munmap(address + bytes, start + spare - address)
  return address
}

/** Bytes of the file behind `fd`, or -1 when it is none. */
function sizeOf(fd: number): number {
  try {
    const stat = fstatSync(fd)
    return stat.isFile() ? stat.size : -1
  } catch {
    return -1
  }
}
