// Guest memory in huge pages, out of which a front end can punch pages whatever its seals say: it is read and written all
// the same, and a page that is gone is an error, where a touch would kill the process. It needs eight free huge pages of
// 2 MiB (`sysctl vm.nr_hugepages=8`), and skips without.
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import * as libc from '../../src/native/libc.ts'
import { F_ADD_SEALS, F_SEAL_SHRINK, MFD_ALLOW_SEALING, MFD_CLOEXEC } from '../../src/native/linux.ts'
import { MappedMemory } from '../../src/native/mapped-memory.ts'
import { GuestMemory } from '../../src/virtio/guest-memory.ts'

const pageBytes = 2 ** 21
const MFD_HUGETLB = 4
const meminfo = (name: string): number =>
  Number(new RegExp(`^${name}: +(\\d+)`, 'm').exec(readFileSync('/proc/meminfo', 'utf8'))?.[1] ?? 0)
const freePages = (): number => meminfo('HugePages_Free') - meminfo('HugePages_Rsvd')
const possible = meminfo('Hugepagesize') === 2048 && freePages() >= 8

/** A memfd of huge pages, sealed as a VMM seals it. */
function hugeMemfd(pages: number): number {
  const fd = libc.memfdCreate('huge', MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_HUGETLB)
  expect(libc.ftruncate(fd, pages * pageBytes)).toBe(0)
  expect(libc.fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK)).toBe(0)
  return fd
}
/** The guest's own view of it. */
function viewOf(fd: number, pages: number): MappedMemory {
  const memory = new MappedMemory(2 ** Math.ceil(Math.log2(pages * pageBytes)))
  expect(memory.attach(fd, pages * pageBytes)).toBeUndefined()
  return memory
}

describe.skipIf(!possible)('memory in huge pages', () => {
  let fd: number
  let guest: MappedMemory
  let memory: GuestMemory
  const bytes = new Uint8Array(16)
  const ints = new Int32Array(bytes.buffer)
  beforeEach(() => {
    fd = hugeMemfd(3)
    guest = viewOf(fd, 3)
    memory = new GuestMemory('refuse')
    const given = libc.fcntl(fd, 1030, 0) // F_DUPFD_CLOEXEC
    const place = { gpa: 0x4000_0000, size: 2 * pageBytes, uva: 0x7f00_0000_0000, offset: pageBytes }
    expect(memory.add(given, place)).toBeUndefined()
  })
  afterEach(() => {
    memory.release()
    guest.close()
    libc.close(fd)
  })

  test('is read and written where it is, also across two of them', () => {
    expect(memory.copied).toBe(true)
    const at = 2 * pageBytes - 8
    guest.bytes.set([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12], at)
    expect(memory.read(0, 0x4000_0000 + pageBytes - 8, 12, bytes, ints, 0)).toBe(true)
    expect([...bytes.subarray(0, 12)]).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12])
    bytes.fill(0xaa)
    expect(memory.write(0, 0x4000_0000 + pageBytes - 4, 8, bytes, ints, 0)).toBe(true)
    expect([...guest.bytes.subarray(at, at + 16)]).toEqual([1, 2, 3, 4, ...Array(8).fill(0xaa), 0, 0, 0, 0])
  })

  test('has rings, which are fetched and stored', () => {
    const part = memory.part(0x7f00_0000_0000 + 0x1000, 64, 16)
    guest.words[(pageBytes + 0x1000) / 4] = 0x1234
    expect([part?.fetch(), part?.ints[0]]).toEqual([true, 0x1234])
    if (part !== undefined) part.ints[1] = 0x5678
    expect([part?.store(4, 4), guest.words[(pageBytes + 0x1004) / 4]]).toEqual([true, 0x5678])
    part?.release()
  })

  test('is not there any more where a page was punched out and no other is left', () => {
    bytes.fill(0x55)
    const second = 0x4000_0000 + pageBytes
    expect(memory.write(0, second, 16, bytes, ints, 0)).toBe(true)
    const hole = ['-p', '-o', `${2 * pageBytes}`, '-l', `${pageBytes}`, `/proc/${process.pid}/fd/${fd}`]
    expect(spawnSync('fallocate', hole).status).toBe(0)
    const pages = freePages()
    const rest = hugeMemfd(pages)
    const taken = viewOf(rest, pages)
    for (let page = 0; page < pages; page++) taken.bytes[page * pageBytes] = 1
    try {
      expect(memory.write(0, second, 16, bytes, ints, 0)).toBe(false)
      expect(memory.write(0, 0x4000_0000, 16, bytes, ints, 0)).toBe(true)
    } finally {
      taken.close()
      libc.close(rest)
    }
  })
})

describe.skipIf(!possible)('a window', () => {
  test('that must be safe takes no huge pages', () => {
    const fd = hugeMemfd(1)
    const window = new MappedMemory(pageBytes)
    expect(window.attach(fd, pageBytes, { requireSealed: true })).toBe(
      'the memory is in huge pages of hugetlbfs, which can vanish',
    )
    window.close()
    libc.close(fd)
  })
})
