// The memory that a front end shares with us, by guest-physical address: mapped where it is used, copied in and out.
// It knows bounds, not rings; what a guest names outside of it is simply not there.
//
// Addresses are two signed words and offsets within a window, so that nothing here costs heap per message. Memory that
// can lose pages is never touched in place: the kernel copies it, which gives an error and not a SIGBUS.
import { close } from '../native/libc.ts'
import type { MappedMemory } from '../native/mapped-memory.ts'
import { NativeMemory } from '../native/native-memory.ts'
import { copy } from './copy.ts'
import type { FileBytes } from './file-bytes.ts'
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
  // Windows in use, by place: first address, length, where it begins in the views; or the file and where in it.
  readonly #highs = new Int32Array(maxWindows)
  readonly #lows = new Int32Array(maxWindows)
  readonly #lengths = new Int32Array(maxWindows)
  readonly #begins = new Int32Array(maxWindows)
  #files: (FileBytes | undefined)[] = []
  readonly #fileAt = new Float64Array(maxWindows)
  #windows: (MappedMemory | undefined)[] = []
  #count = 0
  readonly #scratch = NativeMemory.allocate(scratchBytes)
  /** The window in hand: the one that was needed last. Nothing lies in one of length 0. */
  #hi = 0
  #lo = 0
  #length = 0
  /** The same where it is mapped, else 0. */
  #mapped = 0
  #begin = 0
  /** Its file, where it must not be touched in place; and its number. */
  #file: FileBytes | undefined = undefined
  #window = 0
  /** Its views, which `at` gives offsets into. Never empty-handed where `at` was not below 0. */
  bytes: Uint8Array = noBytes
  ints: Int32Array = noInts

  constructor(unsealed: UnsealedMemory) {
    this.#unsealed = unsealed
  }

  get regionCount(): number {
    return this.#regions.length
  }

  /** Whether some of it must be copied by the kernel. */
  get copied(): boolean {
    return this.#regions.some(region => !region.inPlace)
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
      if (!region.inPlace) return RingPart.copied(region.bytes, fileAt, size)
      const index = Math.floor(within / region.stride)
      const at = within - index * region.stride
      const window = this.#use(region, index)
      if (window < 0 || at + size > (this.#lengths[window] as number)) return undefined
      const { buffer } = this.#windows[window] as MappedMemory
      return RingPart.mapped(buffer, (this.#begins[window] as number) + at, size)
    }
    return undefined
  }

  /**
   * The byte of `bytes` and `ints` where `length` bytes at `hi:lo` begin; below 0 where they are not mapped in one piece
   * (`read` and `write` reach those too). It holds until the next call. Whoever reads guest memory reads a word once.
   */
  at(hi: number, lo: number, length: number): number {
    const offset = (lo - this.#lo) | 0
    const above = (hi - this.#hi - (below(lo, this.#lo) ? 1 : 0)) | 0
    if (above === 0 && offset >= 0 && offset <= this.#mapped - length) return this.#begin + offset
    return this.#reach(hi, lo, length)
  }

  /** Whether `length` bytes at `hi:lo` are there. */
  holds(hi: number, lo: number, length: number): boolean {
    if (length < 0) return false
    while (length > 0) {
      if (!this.#locate(hi, lo)) return false
      const step = Math.min(this.#room(lo), length)
      length -= step
      hi = carried(hi, lo, step)
      lo = (lo + step) | 0
    }
    return true
  }

  /** Copies `length` bytes at `hi:lo` to byte `to` of one memory seen as `bytes` and `ints`; false when not there. */
  read(hi: number, lo: number, length: number, bytes: Uint8Array, ints: Int32Array, to: number): boolean {
    while (length > 0) {
      if (!this.#locate(hi, lo)) return false
      let step = Math.min(this.#room(lo), length)
      const at = (lo - this.#lo) | 0
      if (this.#file !== undefined) {
        if (step > scratchBytes) step = scratchBytes
        if (!this.#pull(at, step)) return false
        copy(this.#scratch.bytes, this.#scratch.ints, 0, bytes, ints, to, step)
      } else copy(this.bytes, this.ints, this.#begin + at, bytes, ints, to, step)
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
      let step = Math.min(this.#room(lo), length)
      const at = (lo - this.#lo) | 0
      if (this.#file !== undefined) {
        if (step > scratchBytes) step = scratchBytes
        copy(bytes, ints, from, this.#scratch.bytes, this.#scratch.ints, 0, step)
        if (!this.#push(at, step)) return false
      } else copy(bytes, ints, from, this.bytes, this.ints, this.#begin + at, step)
      length -= step
      from += step
      hi = carried(hi, lo, step)
      lo = (lo + step) | 0
    }
    return true
  }

  /** Bytes of the window in hand from `lo` on, which lies in it. */
  #room(lo: number): number {
    return this.#length - ((lo - this.#lo) | 0)
  }

  /** `at` where the window in hand is not the one. */
  #reach(hi: number, lo: number, length: number): number {
    if (!this.#locate(hi, lo) || this.#file !== undefined || this.#room(lo) < length) return -1
    return this.#begin + ((lo - this.#lo) | 0)
  }

  /** Takes the window that holds `hi:lo` in hand. */
  #locate(hi: number, lo: number): boolean {
    if (this.#window < this.#count && this.#within(this.#window, hi, lo)) return true
    for (let i = 0; i < this.#count; i++) if (this.#within(i, hi, lo)) return true
    return this.#opened(hi, lo)
  }

  #within(window: number, hi: number, lo: number): boolean {
    const base = this.#lows[window] as number
    const above = (hi - (this.#highs[window] as number) - (below(lo, base) ? 1 : 0)) | 0
    const offset = (lo - base) | 0
    const length = this.#lengths[window] as number
    if (above !== 0 || offset < 0 || offset >= length) return false
    const mapped = this.#windows[window]
    this.#window = window
    this.#hi = this.#highs[window] as number
    this.#lo = base
    this.#file = this.#files[window]
    this.#begin = this.#begins[window] as number
    this.#length = length
    this.#mapped = mapped === undefined ? 0 : length
    this.bytes = mapped?.bytes ?? noBytes
    this.ints = mapped?.ints ?? noInts
    return true
  }

  /** Takes a window into use for an address that has none yet. */
  #opened(hi: number, lo: number): boolean {
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
  #use({ place, stride, reach, pageBytes, inPlace, fd, bytes }: GuestRegion, index: number): number {
    const gpa = place.gpa + index * stride
    const hi = Math.floor(gpa / 2 ** 32) | 0
    const lo = gpa | 0 // modulo 2^32
    for (let i = 0; i < this.#count; i++) if (this.#highs[i] === hi && this.#lows[i] === lo) return i
    if (this.#count === maxWindows) return -1
    const fileAt = place.offset + index * stride
    const length = Math.min(reach, place.size - index * stride)
    const begin = inPlace ? fileAt % pageBytes : 0
    let window: MappedMemory | undefined
    if (inPlace) {
      window = lendWindow(begin + length)
      const fault = window.attach(fd, begin + length, { offset: fileAt - begin, requireSealed: true })
      if (fault !== undefined) {
        returnWindow(window)
        return -1
      }
    }
    const at = this.#count++
    this.#highs[at] = hi
    this.#lows[at] = lo
    this.#lengths[at] = length
    this.#begins[at] = begin
    this.#files[at] = inPlace ? undefined : bytes
    this.#fileAt[at] = fileAt
    this.#windows[at] = window
    return at
  }

  #dropWindows(): void {
    const windows = this.#windows
    this.#windows = []
    this.#files = []
    this.#count = 0
    this.#window = 0
    this.#length = 0
    this.#mapped = 0
    this.#file = undefined
    this.bytes = noBytes
    this.ints = noInts
    for (const window of windows) if (window !== undefined) returnWindow(window)
  }

  #pull(at: number, length: number): boolean {
    const fileAt = (this.#fileAt[this.#window] as number) + at
    return this.#file?.read(this.#scratch.address, length, fileAt) === true
  }

  #push(at: number, length: number): boolean {
    const fileAt = (this.#fileAt[this.#window] as number) + at
    return this.#file?.write(this.#scratch.address, length, fileAt) === true
  }
}
