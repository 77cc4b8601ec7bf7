// Memory outside the JavaScript heap that system calls read and write: an address and views of it. Private to us.
//
// It lies below 2 GiB where it can, so that V8 holds its addresses as small integers: a call with `memory.address`
// or `memory.address + 64` then allocates nothing. Elsewhere it works as well, but each read of a field costs a heap
// number.
import { MediatorError } from '../errors.ts'
import { mmap, munmap, viewMemory } from './libc.ts'
import {
  errnoName,
  MAP_ANONYMOUS,
  MAP_FIXED_NOREPLACE,
  MAP_NORESERVE,
  MAP_PRIVATE,
  PROT_READ,
  PROT_WRITE,
} from './linux.ts'

const regionBytes = 64 * 1024 * 1024
const smallestBytes = 64
const anonymous = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE

/** The region that is being cut up: from `next` to `end`. Each thread has its own. */
let next = 0
let end = 0
/** Given-back memory by size class, ready to be lent again. */
const released: NativeMemory[][] = []

/** Zeroed memory for system calls. Allocate when a link opens, never per message. */
export class NativeMemory {
  readonly address: number
  readonly size: number
  readonly buffer: ArrayBuffer
  readonly bytes: Uint8Array
  /** The same as unsigned, then as signed 32-bit words, as far as whole words go. */
  readonly words: Uint32Array
  readonly ints: Int32Array
  readonly #class: number
  #lent = true

  private constructor(address: number, sizeClass: number) {
    this.#class = sizeClass
    this.address = address
    this.size = 2 ** sizeClass
    this.buffer = viewMemory(address, this.size)
    this.bytes = new Uint8Array(this.buffer)
    this.words = new Uint32Array(this.buffer)
    this.ints = new Int32Array(this.buffer)
  }

  /** At least `size` zeroed bytes, aligned to 64 bytes or, from 4096 bytes on, to a page. */
  static allocate(size: number): NativeMemory {
    const sizeClass = Math.ceil(Math.log2(Math.max(size, smallestBytes)))
    const again = released[sizeClass]?.pop()
    if (again !== undefined) {
      again.bytes.fill(0)
      again.#lent = true
      return again
    }
    return new NativeMemory(carve(2 ** sizeClass), sizeClass)
  }

  /** Gives the memory back; its owner must use neither address nor views from here on. Twice is once. */
  release(): void {
    if (!this.#lent) return
    this.#lent = false
    const list = released[this.#class] ?? []
    released[this.#class] = list
    list.push(this)
  }
}

function carve(bytes: number): number {
  const alignment = Math.min(bytes, 4096)
  let address = Math.ceil(next / alignment) * alignment
  if (next === 0 || address + bytes > end) {
    const wanted = Math.max(regionBytes, bytes)
    address = mapRegion(wanted)
    end = address + wanted
  }
  next = address + bytes
  return address
}

/** Maps a region below 2 GiB, or wherever the kernel likes when all of that is taken. */
function mapRegion(bytes: number): number {
  for (let hint = 0x7c000000; hint >= 0x20000000; hint -= regionBytes) {
    if (hint + bytes > 0x7fffffff) continue
    const address = mmap(hint, bytes, PROT_READ | PROT_WRITE, anonymous | MAP_FIXED_NOREPLACE, -1, 0)
    if (address === hint) return address
    if (address > 0) munmap(address, bytes) // kernels before 4.17 take the address for a hint
  }
  const address = mmap(0, bytes, PROT_READ | PROT_WRITE, anonymous, -1, 0)
  if (address < 0) throw new MediatorError('SYSTEM', `mmap of ${bytes} bytes: ${errnoName(address)}`)
  return address
}
