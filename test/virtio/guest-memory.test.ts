// Guest memory as a table of regions: where it lies, what of it is there, and what becomes of it when it goes.
import { mkdtempSync, openSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest'
import * as libc from '../../src/native/libc.ts'
import { NativeMemory } from '../../src/native/native-memory.ts'
import { GuestMemory } from '../../src/virtio/guest-memory.ts'
import { mappings, memfd } from './front-end.ts'

const folder = mkdtempSync(join(tmpdir(), 'guest-memory-'))
afterAll(() => rmSync(folder, { recursive: true }))
const uva = 0x7f00_0000_0000
const scratch = NativeMemory.allocate(64)
const frame = new Uint8Array(16)
const ints = new Int32Array(frame.buffer)

let memory: GuestMemory
let fds: number[]
beforeEach(() => {
  memory = new GuestMemory('copy')
  fds = []
})
afterEach(() => {
  memory.release()
  for (const fd of fds) libc.close(fd)
})
/** A file of `size` bytes, and a descriptor of it to give away. */
function file(size: number, seals?: number): [kept: number, given: number] {
  const kept = memfd(size, seals)
  fds.push(kept)
  return [kept, libc.fcntl(kept, 1030, 0)] // F_DUPFD_CLOEXEC
}
const words = (address: number): [number, number] => [Math.floor(address / 2 ** 32) | 0, address | 0]
function put(fd: number, at: number, byte: number): void {
  scratch.bytes[0] = byte
  libc.pwrite(fd, scratch.address, 1, at)
}
function byteAt(address: number, length = 1): number | undefined {
  return memory.read(...words(address), length, frame, ints, 0) ? frame[length - 1] : undefined
}

const gib = 2 ** 30
describe.each([
  ['sealed', undefined],
  ['unsealed', 0],
])('%s memory', (_name, seals) => {
  test('of 6 GiB beyond 4 GiB is reached at every place, windows or not', () => {
    const [fd, given] = file(6 * gib, seals)
    const gpa = 0xfff0_0000
    expect(memory.add(given, { gpa, size: 6 * gib, uva, offset: 0 })).toBeUndefined()
    for (const [i, at] of [0, 1, gib - 2 ** 21 - 4097, gib - 1, gib, 3 * gib + 5, 6 * gib - 1].entries()) {
      put(fd, at, i + 1)
      expect(byteAt(gpa + at)).toBe(i + 1)
    }
    expect(byteAt(gpa - 1)).toBeUndefined()
    expect(byteAt(gpa + 6 * gib)).toBeUndefined()
    expect(byteAt(gpa + 6 * gib - 1, 2)).toBeUndefined()
  })

  test('is copied across the borders of windows and regions', () => {
    const [a, givenA] = file(8192, seals)
    const [b, givenB] = file(8192, seals)
    memory.add(givenA, { gpa: 0x1_0000_0000 - 4096, size: 4096, uva, offset: 4096 })
    memory.add(givenB, { gpa: 0x1_0000_0000, size: 8192, uva: uva + 8192, offset: 0 })
    put(a, 8191, 7)
    put(b, 0, 9)
    expect(byteAt(0x0_ffff_ffff, 2)).toBe(9)
    expect(frame[0]).toBe(7)
    frame.set([1, 2, 3, 4])
    expect(memory.write(...words(0xffff_fffe), 4, frame, ints, 0)).toBe(true)
    libc.pread(a, scratch.address, 2, 8190)
    expect([...scratch.bytes.subarray(0, 2)]).toEqual([1, 2])
    libc.pread(b, scratch.address, 2, 0)
    expect([...scratch.bytes.subarray(0, 2)]).toEqual([3, 4])
  })

  test('has ring parts at any aligned place, also where windows meet', () => {
    const [fd, given] = file(3 * gib, seals)
    memory.add(given, { gpa: 0, size: 3 * gib, uva, offset: 0 })
    for (const at of [0, gib - 2 ** 21 - 8192, gib - 4096, 2 * gib - 16, 3 * gib - 4096]) {
      put(fd, at + 4095, 0x5a)
      const part = memory.part(uva + at, Math.min(4096, 3 * gib - at), 16)
      part?.fetch()
      expect(part?.halves[2047]).toBe(0x5a00)
      part?.release()
    }
    expect(memory.part(uva + 3 * gib - 4096, 4098, 16)).toBeUndefined()
    expect(memory.part(uva + 8, 16, 16)).toBeUndefined()
  })

  test('that was given up is not there any more, and the rest is', () => {
    const [, givenA] = file(4096, seals)
    const [b, givenB] = file(4096, seals)
    const place = { gpa: 0, size: 4096, uva, offset: 0 }
    memory.add(givenA, place)
    memory.add(givenB, { gpa: 0x10_0000, size: 4096, uva: uva + 4096, offset: 0 })
    put(b, 3, 5)
    expect(byteAt(0)).toBe(0)
    expect(memory.remove(place)).toBe(true)
    expect(memory.remove(place)).toBe(false)
    expect(byteAt(0)).toBeUndefined()
    expect(byteAt(0x10_0003)).toBe(5)
  })
})

test('memory that shrinks under our hands gives an error, and no signal', () => {
  const [fd, given] = file(8192, 0)
  memory.add(given, { gpa: 0, size: 8192, uva, offset: 0 })
  put(fd, 5000, 1)
  expect(byteAt(5000)).toBe(1)
  libc.ftruncate(fd, 4096)
  expect(byteAt(5000)).toBeUndefined()
  expect(byteAt(0)).toBe(0)
  const part = memory.part(uva + 4096, 64, 16)
  expect(part?.fetch()).toBe(false)
  part?.release()
})

test.each<[string, () => string | undefined]>([
  [
    'not sealed, where that is refused',
    () => {
      memory = new GuestMemory('refuse')
      return memory.add(file(4096, 0)[1], { gpa: 0, size: 4096, uva, offset: 0 })
    },
  ],
  [
    'not sealed, and for reading only',
    () => {
      const [kept, given] = file(4096, 0)
      libc.close(given)
      return memory.add(openSync(`/proc/self/fd/${kept}`, 'r'), { gpa: 0, size: 4096, uva, offset: 0 })
    },
  ],
  [
    'sealed, and for reading only',
    () => {
      const [kept, given] = file(4096)
      libc.close(given)
      return memory.add(openSync(`/proc/self/fd/${kept}`, 'r'), { gpa: 0, size: 4096, uva, offset: 0 })
    },
  ],
  ['a device', () => memory.add(openSync('/dev/zero', 'r+'), { gpa: 0, size: 4096, uva, offset: 0 })],
  [
    'a file on a disk',
    () => memory.add(openSync(join(folder, 'disk'), 'w+'), { gpa: 0, size: 4096, uva, offset: 0 }),
  ],
  ['no file at all', () => memory.add(libc.eventfd(), { gpa: 0, size: 4096, uva, offset: 0 })],
  ['nothing', () => memory.add(-1, { gpa: 0, size: 4096, uva, offset: 0 })],
  ['longer than its file', () => memory.add(file(4096)[1], { gpa: 0, size: 8192, uva, offset: 0 })],
  ['beyond its file', () => memory.add(file(4096)[1], { gpa: 0, size: 4096, uva, offset: 4096 })],
  ['empty', () => memory.add(file(4096)[1], { gpa: 0, size: 0, uva, offset: 0 })],
  ['beyond all addresses', () => memory.add(file(4096)[1], { gpa: 2 ** 53 - 1, size: 4096, uva, offset: 0 })],
  [
    'where another is, for the guest',
    () => {
      memory.add(file(8192)[1], { gpa: 0, size: 8192, uva, offset: 0 })
      return memory.add(file(4096)[1], { gpa: 4096, size: 4096, uva: 0, offset: 0 })
    },
  ],
  [
    'where another is, for the front end',
    () => {
      memory.add(file(8192)[1], { gpa: 0, size: 8192, uva, offset: 0 })
      return memory.add(file(4096)[1], { gpa: 2 ** 20, size: 4096, uva: uva + 8191, offset: 0 })
    },
  ],
])('memory that is %s is refused, and its descriptor closed', (_what, add) => {
  expect(add()).toBeTypeOf('string')
  memory.clear()
  const open = readdirSync('/proc/self/fd').length
  for (let i = 0; i < 3; i++) add()
  memory.clear()
  // Only what the test keeps itself stays open.
  expect(readdirSync('/proc/self/fd').length).toBeLessThanOrEqual(open + 6)
})

test('a thousand tables come and go, and neither mappings nor descriptors grow', () => {
  const [kept] = file(2 ** 21)
  let before = { maps: 0, fds: 0 }
  for (let i = 0; i < 1000; i++) {
    memory.add(libc.fcntl(kept, 1030, 0), { gpa: 0, size: 2 ** 21, uva, offset: 0 })
    expect(byteAt(i)).toBe(0)
    memory.clear()
    if (i === 100) before = { maps: mappings(), fds: readdirSync('/proc/self/fd').length }
  }
  expect(readdirSync('/proc/self/fd').length).toBe(before.fds)
  expect(mappings()).toBeLessThanOrEqual(before.maps + 16)
})
