// One region of shared guest memory: a file descriptor, where it lies for the guest and for its front end, and how it
// may be reached. Whether it may be mapped depends on its seals: a file that shrinks under a mapping kills the process.
import { fstatSync } from 'node:fs'
import { fcntl, pwrite } from '../native/libc.ts'
import { F_GET_SEALS, F_SEAL_SHRINK } from '../native/linux.ts'
import { isHuge } from '../native/mapped-memory.ts'
import { FileBytes } from './file-bytes.ts'

/** Where a region lies, as the front end says. Every number is exact. */
export interface RegionPlace {
  /** First guest-physical address. */
  readonly gpa: number
  readonly size: number
  /** First address in the front end's own address space; ring addresses are given so. */
  readonly uva: number
  /** Where in the file it begins. */
  readonly offset: number
}

/** What becomes of memory that is not sealed against shrinking. */
export type UnsealedMemory = 'copy' | 'refuse'

/** The largest window that is mapped at once; windows of a region overlap, so that no ring part ends between two. */
const windowBytes = 2 ** 30
const leastOverlapBytes = 2 ** 21

/** A region that has been accepted. Its descriptor is closed with it. */
export class GuestRegion {
  readonly place: RegionPlace
  readonly fd: number
  /** Its file keeps its pages: it may be touched where it is mapped. Otherwise the kernel reads and writes its bytes. */
  readonly inPlace: boolean
  readonly bytes: FileBytes
  /** Page size of the file: a mapping begins at a multiple of it. */
  readonly pageBytes: number
  /** Distance between the beginnings of its windows, and how long each may be. */
  readonly stride: number
  readonly reach: number

  private constructor(place: RegionPlace, fd: number, bytes: FileBytes, inPlace: boolean, pageBytes: number) {
    this.place = place
    this.fd = fd
    this.bytes = bytes
    this.inPlace = inPlace
    this.pageBytes = pageBytes
    // What lies before a window on its first page is in the view too. Pages of a GiB leave no room to overlap.
    const overlap = leastOverlapBytes + pageBytes
    this.stride = overlap < windowBytes ? windowBytes - overlap : windowBytes
    this.reach = overlap < windowBytes ? windowBytes - pageBytes : windowBytes
  }

  /** Takes `fd` over, or gives the reason why not; the descriptor is then still the caller's. */
  static accept(fd: number, place: RegionPlace, unsealed: UnsealedMemory): GuestRegion | string {
    const { gpa, size, uva, offset } = place
    if (gpa < 0 || uva < 0 || offset < 0 || size <= 0) return 'a region of impossible place or size'
    const limit = Number.MAX_SAFE_INTEGER
    if (gpa + size > limit || uva + size > limit || offset + size > limit)
      return 'a region beyond all addresses'
    // Only shared memory answers this, and without asking a file system, which could keep us waiting.
    const seals = fcntl(fd, F_GET_SEALS, 0)
    if (seals < 0) return 'the memory is no memfd and no file of a tmpfs or hugetlbfs'
    const sealed = (seals & F_SEAL_SHRINK) !== 0
    if (!sealed && unsealed === 'refuse') return 'the memory is not sealed with F_SEAL_SHRINK'
    // No bytes at all: a file of hugetlbfs, or one that was opened for reading, takes not even those.
    if (!sealed && pwrite(fd, 0, 0, offset) < 0)
      return 'the memory is not sealed with F_SEAL_SHRINK, and cannot be written through its descriptor'
    const stat = fstatSync(fd)
    if (!stat.isFile() || stat.size < offset + size)
      return `the file holds ${stat.size} bytes, and the region ends at ${offset + size}`
    const huge = isHuge(fd)
    const bytes = new FileBytes(fd, stat.size, huge)
    return new GuestRegion(place, fd, bytes, sealed && !huge, Math.max(4096, stat.blksize))
  }

  /** Whether both hold some address of the guest, or of the front end. */
  overlaps({ place: other }: GuestRegion): boolean {
    const { gpa, uva, size } = this.place
    return (
      (gpa < other.gpa + other.size && other.gpa < gpa + size) ||
      (uva < other.uva + other.size && other.uva < uva + size)
    )
  }

  close(): void {
    this.bytes.close()
  }
}
