// The memory that a front end shares with us, by guest-physical address: mapped where it is used, copied in and out.
// It knows bounds, not rings; what a guest names outside of it is simply not there.
//
// Addresses are two signed words and offsets within a window, so that nothing here costs heap per message. Memory that
// is not sealed against shrinking is never mapped: it is copied through its descriptor, where a file that shrank gives
// an error and not a SIGBUS.
import { close, pread, pwrite } from '../native/libc.ts'
import type { MappedMemory } from '../native/mapped-memory.ts'
import { NativeMemory } from '../native/native-memory.ts'
import { copy } from './copy.ts'
import { GuestRegion, type RegionPlace, type UnsealedMemory } from './guest-region.ts'
import { RingPart } from './ring-part.ts'
import { lendWindow, returnWindow } from './windows.ts'
import { below, carried } from './words64.ts'

/** Regions a guest may have, and windows that may be in use for it at once (a GiB each). */
export const maxRegions = 64
const maxWindows = 1024
const scratchBytes = 4096
const noBytes = new Uint8Array(0)
const noInts = new Int32Array(0)

/** A front end's memory table. */
export class GuestMemory {
  readonly #unsealed: UnsealedMemory
  #regions: GuestRegion[] = []
  // Windows in use, by place: first address, length, where it begins in the views; or a descriptor and a file offset.
  readonly #hi = new Int32Array(maxWindows)
  readonly #lo = new Int32Array(maxWindows)
  readonly #length = new Int32Array(maxWindows)
  readonly #begin = new Int32Array(maxWindows)
  readonly #fd = new Int32Array(maxWindows)
  readonly #fileAt = new Float64Array(maxWindows)
  readonly #windows: (MappedMemory | undefined)[] = []
  #bytes: Uint8Array[] = []
  #ints: Int32Array[] = []
  #count = 0
  readonly #scratch = NativeMemory.allocate(scratchBytes)
  /** What the last `#locate` found: the window, the offset in it, and the bytes from there to its end. */
  #window = 0
  #at = 0
  #room = 0
  /** Where in the last `view` its words begin. */
  at = 0

  constructor(unsealed: UnsealedMemory) {
    this.#unsealed = unsealed
  }

  get regionCount(): number {
    return this.#regions.length
  }

  /** Whether some of it must be copied through descriptors. */
  get copied(): boolean {
    return this.#regions.some(region => !region.sealed)
  }

  /** Takes in a region with its descriptor, or gives the reason why not; the descriptor is then closed. */
  add(fd: number, place: RegionPlace): string | undefined {
    const region =
      this.#regions.length >= maxRegions
        ? `more than ${maxRegions} regions`
        : GuestRegion.accept(fd, place, this.#unsealed)
    if (typeof region === 'string') {
      close(fd)
      return region
    }
    const fault = this.#regions.some(other => other.overlaps(region)) ? 'regions overlap' : undefined
    if (fault === undefined) {
      if (this.#use(region, 0) >= 0) {
        this.#regions.push(region)
        return undefined
      }
    }
    region.close()
    return fault ?? 'the memory cannot be mapped for reading and writing'
  }

  /** Gives a region up. False when there is none at that place. */
  remove({ gpa, uva, size }: RegionPlace): boolean {
    const at = this.#regions.findIndex(
      ({ place }) => place.gpa === gpa && place.uva === uva && place.size === size,
    )
    const [region] = at < 0 ? [] : this.#regions.splice(at, 1)
    if (region === undefined) return false
    this.#dropWindows()
    region.close()
    return true
  }

  /** Gives up everything. */
  clear(): void {
    this.#dropWindows()
    for (const region of this.#regions) region.close()
    this.#regions = []
  }

  /** Clears for good. */
  release(): void {
    this.clear()
    this.#scratch.release()
  }

  /** The part of a ring of `size` bytes at `uva`, aligned to `alignment`; undefined when it is not wholly there. */
  part(uva: number, size: number, alignment: number): RingPart | undefined {
    for (const region of this.#regions) {
      const within = uva - region.place.uva
      if (within < 0 || within + size > region.place.size) continue
      const fileAt = region.place.offset + within
      if (uva % alignment !== 0 || fileAt % alignment !== 0) return undefined
      if (!region.sealed) return RingPart.copied(region.fd, fileAt, size)
      const index = Math.floor(within / region.stride)
      const at = within - index * region.stride
      const window = this.#use(region, index)
      if (window < 0 || at + size > (this.#length[window] as number)) return undefined
      const { buffer } = this.#windows[window] as MappedMemory
      return RingPart.mapped(buffer, (this.#begin[window] as number) + at, size)
    }
    return undefined
  }

  /** Whether `length` bytes at `hi:lo` are there. */
  holds(hi: number, lo: number, length: number): boolean {
    if (length < 0) return false
    while (length > 0) {
      if (!this.#locate(hi, lo)) return false
      const step = Math.min(this.#room, length)
      length -= step
      hi = carried(hi, lo, step)
      lo = (lo + step) | 0
    }
    return true
  }

  /**
   * Words that begin at `hi:lo`, in place: the view that holds all `length` bytes, whose word `at` is the first;
   * undefined where they are not mapped in one piece. Whoever reads them reads each word once.
   */
  view(hi: number, lo: number, length: number): Int32Array | undefined {
    if (!this.#locate(hi, lo) || this.#room < length) return undefined
    if ((this.#fd[this.#window] as number) >= 0 || (this.#at & 3) !== 0) return undefined
    this.at = this.#at >>> 2
    return this.#ints[this.#window]
  }

  /** Copies `length` bytes at `hi:lo` to byte `to` of one memory seen as `bytes` and `ints`; false when not there. */
  read(hi: number, lo: number, length: number, bytes: Uint8Array, ints: Int32Array, to: number): boolean {
    while (length > 0) {
      if (!this.#locate(hi, lo)) return false
      let step = Math.min(this.#room, length)
      const window = this.#window
      const at = this.#at
      if ((this.#fd[window] as number) >= 0) {
        if (step > scratchBytes) step = scratchBytes
        if (!this.#pull(window, at, step)) return false
        copy(this.#scratch.bytes, this.#scratch.ints, 0, bytes, ints, to, step)
      } else
        copy(this.#bytes[window] as Uint8Array, this.#ints[window] as Int32Array, at, bytes, ints, to, step)
      length -= step
      to += step
      hi = carried(hi, lo, step)
      lo = (lo + step) | 0
    }
    return true
  }

  /** Copies `length` bytes from byte `from` of `bytes` and `ints` to `hi:lo`; false when that is not there. */
  write(hi: number, lo: number, length: number, bytes: Uint8Array, ints: Int32Array, from: number): boolean {
    while (length > 0) {
      if (!this.#locate(hi, lo)) return false
      let step = Math.min(this.#room, length)
      const window = this.#window
      const at = this.#at
      if ((this.#fd[window] as number) >= 0) {
        if (step > scratchBytes) step = scratchBytes
        copy(bytes, ints, from, this.#scratch.bytes, this.#scratch.ints, 0, step)
        if (!this.#push(window, at, step)) return false
      } else
        copy(bytes, ints, from, this.#bytes[window] as Uint8Array, this.#ints[window] as Int32Array, at, step)
      length -= step
      from += step
      hi = carried(hi, lo, step)
      lo = (lo + step) | 0
    }
    return true
  }

  /** Finds the window that holds `hi:lo`, the last one first. */
  #locate(hi: number, lo: number): boolean {
    if (this.#window < this.#count && this.#within(this.#window, hi, lo)) return true
    for (let i = 0; i < this.#count; i++) if (this.#within(i, hi, lo)) return true
    return this.#begins(hi, lo)
  }

  #within(window: number, hi: number, lo: number): boolean {
    const base = this.#lo[window] as number
    const above = (hi - (this.#hi[window] as number) - (below(lo, base) ? 1 : 0)) | 0
    const offset = (lo - base) | 0
    const length = this.#length[window] as number
    if (above !== 0 || offset < 0 || offset >= length) return false
    this.#window = window
    this.#at = (this.#begin[window] as number) + offset
    this.#room = length - offset
    return true
  }

  /** Takes a window into use for an address that has none yet. */
  #begins(hi: number, lo: number): boolean {
    const gpa = (hi >>> 0) * 2 ** 32 + (lo >>> 0)
    for (const region of this.#regions) {
      const within = gpa - region.place.gpa
      if (within < 0 || within >= region.place.size) continue
      const window = this.#use(region, Math.floor(within / region.stride))
      return window >= 0 && this.#within(window, hi, lo)
    }
    return false
  }

  /** Which window is the one numbered `index` of a region, now in use; -1 when it cannot be had. */
  #use({ place, stride, reach, pageBytes, sealed, fd }: GuestRegion, index: number): number {
    const gpa = place.gpa + index * stride
    const hi = Math.floor(gpa / 2 ** 32) | 0
    const lo = gpa | 0 // modulo 2^32
    for (let i = 0; i < this.#count; i++) if (this.#hi[i] === hi && this.#lo[i] === lo) return i
    if (this.#count === maxWindows) return -1
    const fileAt = place.offset + index * stride
    const length = Math.min(reach, place.size - index * stride)
    const begin = sealed ? fileAt % pageBytes : 0
    let window: MappedMemory | undefined
    if (sealed) {
      window = lendWindow(begin + length)
      const fault = window.attach(fd, begin + length, { offset: fileAt - begin, requireSealed: true })
      if (fault !== undefined) {
        returnWindow(window)
        return -1
      }
    }
    const at = this.#count++
    this.#hi[at] = hi
    this.#lo[at] = lo
    this.#length[at] = length
    this.#begin[at] = begin
    this.#fd[at] = sealed ? -1 : fd
    this.#fileAt[at] = fileAt
    this.#windows[at] = window
    this.#bytes[at] = window?.bytes ?? noBytes
    this.#ints[at] = window?.ints ?? noInts
    return at
  }

  #dropWindows(): void {
    for (let i = 0; i < this.#count; i++) {
      const window = this.#windows[i]
      if (window !== undefined) returnWindow(window)
    }
    this.#windows.length = 0
    this.#bytes = []
    this.#ints = []
    this.#count = 0
    this.#window = 0
  }

  #pull(window: number, at: number, length: number): boolean {
    const fileAt = (this.#fileAt[window] as number) + at
    return pread(this.#fd[window] as number, this.#scratch.address, length, fileAt) === length
  }

  #push(window: number, at: number, length: number): boolean {
    const fileAt = (this.#fileAt[window] as number) + at
    return pwrite(this.#fd[window] as number, this.#scratch.address, length, fileAt) === length
  }
}
