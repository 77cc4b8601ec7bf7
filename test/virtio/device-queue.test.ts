// The device's side of a split virtqueue against ring bytes that are written here by hand, offset by offset, as the
// virtio standard's section "Split Virtqueues" lays them out: no encoder of ours stands in between.
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import * as libc from '../../src/native/libc.ts'
import { F_SEAL_GROW, F_SEAL_SHRINK } from '../../src/native/linux.ts'
import { MappedMemory } from '../../src/native/mapped-memory.ts'
import { BROKEN, DeviceQueue, EMPTY, MALFORMED } from '../../src/virtio/device-queue.ts'
import { GuestMemory } from '../../src/virtio/guest-memory.ts'
import { memfd } from './front-end.ts'

const size = 8
const gpa = 0xffff_f000 // the region crosses 4 GiB
const uva = 0x7f00_0000_0000
const fileBytes = 0x4000
/** Offsets in the file: table, available ring, used ring, buffers. */
const TABLE = 0x000
const AVAIL = 0x100
const USED = 0x200
const DATA = 0x800

let memory: GuestMemory
let queue: DeviceQueue
let guest: MappedMemory
let fd: number
let view: DataView
const frame = new Uint8Array(64)
const ints = new Int32Array(frame.buffer)
const segments = new Int32Array(64 * 3)

const place = { size, descriptors: uva + TABLE, available: uva + AVAIL, used: uva + USED }
function open(seals = F_SEAL_SHRINK | F_SEAL_GROW, next = 0, eventIdx: boolean | undefined = true): void {
  fd = memfd(fileBytes, seals)
  guest = new MappedMemory(fileBytes)
  guest.attach(fd, fileBytes)
  view = new DataView(guest.buffer)
  memory = new GuestMemory('copy')
  const shared = libc.fcntl(fd, 1030, 0) // F_DUPFD_CLOEXEC: the table takes its own
  expect(memory.add(shared, { gpa, size: fileBytes, uva, offset: 0 })).toBeUndefined()
  view.setUint16(USED + 2, next, true)
  view.setUint16(AVAIL + 2, next, true)
  const opened = DeviceQueue.open(memory, place, { eventIdx, indirect: true }, next)
  if (typeof opened === 'string') throw new Error(opened)
  queue = opened
}
beforeEach(() => {
  frame.fill(0)
  segments.fill(0)
})
afterEach(() => {
  queue.release()
  memory.release()
  guest.close()
  libc.close(fd)
})

/** A descriptor: address (offset in the file), length, flags, next. */
function descriptor(
  at: number,
  index: number,
  offset: number,
  length: number,
  flags: number,
  next = 0,
): void {
  view.setBigUint64(at + index * 16, BigInt(gpa) + BigInt(offset), true)
  view.setUint32(at + index * 16 + 8, length, true)
  view.setUint16(at + index * 16 + 12, flags, true)
  view.setUint16(at + index * 16 + 14, next, true)
}
function available(head: number): void {
  const idx = view.getUint16(AVAIL + 2, true)
  view.setUint16(AVAIL + 4 + (idx % size) * 2, head, true)
  view.setUint16(AVAIL + 2, idx + 1, true)
}
const walk = (head: number, capacity = 64) => queue.walk(head, frame, ints, capacity, segments, 0)
const used = (slot: number) => [
  view.getUint32(USED + 4 + (slot % size) * 8, true),
  view.getUint32(USED + 8 + (slot % size) * 8, true),
]

describe.each([
  ['mapped', F_SEAL_SHRINK | F_SEAL_GROW],
  ['copied through the descriptor', 0],
])('memory that is %s', (_name, seals) => {
  test('a chain of two descriptors is read, answered and shown to the driver', () => {
    open(seals)
    guest.bytes.set([1, 2, 3, 4, 5, 6, 7, 8], DATA)
    descriptor(TABLE, 3, DATA, 8, 1, 5)
    descriptor(TABLE, 5, DATA + 0x100, 16, 2)
    expect(queue.peek()).toBe(EMPTY)
    available(3)
    expect(queue.peek()).toBe(3)
    queue.advance(queue.peek())
    expect(walk(3)).toBe(8)
    expect([...frame.subarray(0, 8)]).toEqual([1, 2, 3, 4, 5, 6, 7, 8])
    expect([queue.readable, queue.writable, queue.segments]).toEqual([8, 16, 1])
    ints[0] = 0x11223344
    ints[1] = -3
    expect(queue.fill(segments, 0, frame, ints, 8)).toBe(true)
    queue.push(3, 8)
    expect(view.getUint16(USED + 2, true)).toBe(0)
    queue.publish()
    expect(view.getUint16(USED + 2, true)).toBe(1)
    expect(used(0)).toEqual([3, 8])
    expect(Buffer.from(guest.bytes.subarray(DATA + 0x100, DATA + 0x10c)).toString('hex')).toBe(
      '44332211fdffffff00000000',
    )
    expect(queue.peek()).toBe(EMPTY)
  })

  test('an indirect table may lie anywhere, and descriptors may come before it', () => {
    open(seals)
    guest.bytes.set([9, 8, 7, 6, 5], DATA)
    descriptor(TABLE, 0, DATA, 2, 1, 1)
    descriptor(TABLE, 1, 0x0ff8, 48, 4) // the table crosses 4 GiB of guest-physical addresses
    descriptor(0x0ff8, 0, DATA + 2, 2, 1, 2)
    descriptor(0x0ff8, 2, DATA + 4, 1, 1, 1)
    descriptor(0x0ff8, 1, DATA + 0x200, 12, 2)
    available(0)
    expect(walk(queue.peek())).toBe(5)
    expect([...frame.subarray(0, 5)]).toEqual([9, 8, 7, 6, 5])
    expect(queue.writable).toBe(12)
  })

  test('any framing will do: a byte each, and empty parts between', () => {
    open(seals)
    guest.bytes.set([1, 2, 3], DATA)
    for (let i = 0; i < 3; i++) descriptor(TABLE, i, DATA + i, 1, 1, i + 1)
    descriptor(TABLE, 3, 0, 0, 1, 4)
    descriptor(TABLE, 4, DATA + 0x101, 1, 3, 5)
    descriptor(TABLE, 5, DATA + 0x10, 0, 3, 6)
    descriptor(TABLE, 6, DATA + 0x202, 3, 3, 7)
    descriptor(TABLE, 7, DATA + 0x303, 100, 2)
    available(0)
    expect(walk(queue.peek())).toBe(3)
    expect([queue.writable, queue.segments]).toEqual([64, 3])
    frame.set([1, 2, 3, 4, 5, 6])
    expect(queue.fill(segments, 0, frame, ints, 6)).toBe(true)
    expect([0x101, 0x202, 0x203, 0x204, 0x303, 0x304].map(at => guest.bytes[DATA + at])).toEqual([
      1, 2, 3, 4, 5, 6,
    ])
    expect(guest.bytes[DATA + 0x305]).toBe(0)
  })

  test('more than there is room for is counted, not read', () => {
    open(seals)
    descriptor(TABLE, 0, DATA, 100, 1, 1)
    descriptor(TABLE, 1, DATA, 50, 2)
    available(0)
    expect(walk(queue.peek(), 32)).toBe(100)
    expect(queue.writable).toBe(32)
  })

  test.each<[string, () => void]>([
    ['a descriptor beyond the table', () => descriptor(TABLE, 0, DATA, 8, 1, size)],
    ['a chain that points at itself', () => descriptor(TABLE, 0, DATA, 0, 1, 0)],
    [
      'a loop of two',
      () => {
        descriptor(TABLE, 0, DATA, 4, 1, 1)
        descriptor(TABLE, 1, DATA, 4, 1, 0)
      },
    ],
    ['an address beyond memory', () => descriptor(TABLE, 0, fileBytes, 8, 0)],
    ['an address before memory', () => descriptor(TABLE, 0, -8, 8, 0)],
    ['an end beyond memory', () => descriptor(TABLE, 0, fileBytes - 4, 8, 0)],
    ['an address that wraps around', () => view.setBigUint64(TABLE, 0xffff_ffff_ffff_fffcn, true)],
    ['a writable part that is not there', () => descriptor(TABLE, 0, fileBytes - 4, 8, 2)],
    ['a readable part of 4 GiB', () => descriptor(TABLE, 0, DATA, 0xffff_ffff, 0)],
    [
      'readable after writable',
      () => {
        descriptor(TABLE, 0, DATA, 8, 3, 1)
        descriptor(TABLE, 1, DATA, 8, 0)
      },
    ],
    ['an indirect table that goes on', () => descriptor(TABLE, 0, DATA, 32, 5, 1)],
    ['an indirect table of no whole entries', () => descriptor(TABLE, 0, DATA, 17, 4)],
    ['an empty indirect table', () => descriptor(TABLE, 0, DATA, 0, 4)],
    ['an indirect table that is not there', () => descriptor(TABLE, 0, fileBytes, 16, 4)],
    [
      'an indirect table in an indirect table',
      () => {
        descriptor(TABLE, 0, DATA, 16, 4)
        descriptor(DATA, 0, DATA, 16, 4)
      },
    ],
    [
      'an indirect table that points out of itself',
      () => {
        descriptor(TABLE, 0, DATA, 16, 4)
        descriptor(DATA, 0, DATA, 0, 1, 1)
      },
    ],
  ])('%s is malformed, and the ring goes on', (_fault, make) => {
    open(seals)
    descriptor(TABLE, 0, DATA, 8, 0)
    make()
    available(0)
    expect(queue.peek()).toBe(0)
    queue.advance(queue.peek())
    expect(walk(0)).toBe(MALFORMED)
    queue.push(0, 0)
    queue.publish()
    descriptor(TABLE, 7, DATA, 4, 0)
    available(7)
    expect(queue.peek()).toBe(7)
    expect(walk(7)).toBe(4)
  })

  test('indices wrap around', () => {
    open(seals, 0xfffe)
    for (let i = 0; i < 5; i++) {
      descriptor(TABLE, i, DATA, 4, 0)
      available(i)
      expect(queue.peek()).toBe(i)
      queue.advance(queue.peek())
      queue.push(i, i)
      queue.publish()
      expect(view.getUint16(USED + 2, true)).toBe((0xffff + i) & 0xffff)
      expect(used(0xfffe + i)).toEqual([i, i])
    }
    expect(queue.peek()).toBe(EMPTY)
    expect([queue.next, queue.used]).toEqual([3, 3])
  })

  test('an index that jumps breaks the ring', () => {
    open(seals)
    view.setUint16(AVAIL + 2, size + 1, true)
    expect(queue.peek()).toBe(BROKEN)
    view.setUint16(AVAIL + 2, 0xffff, true)
    expect(queue.peek()).toBe(BROKEN)
  })

  test('a head beyond the table breaks the ring: it cannot even be given back', () => {
    open(seals)
    available(size)
    expect(queue.peek()).toBe(BROKEN)
  })

  // The rule of the standard, tried at every position of used_event around a step from `old` to `now`.
  test.each([
    [0, 1, 0, true],
    [0, 1, 1, false],
    [5, 8, 4, false],
    [5, 8, 5, true],
    [5, 8, 7, true],
    [5, 8, 8, false],
    [0xfffe, 2, 0xfffd, false],
    [0xfffe, 2, 0xfffe, true],
    [0xfffe, 2, 0xffff, true],
    [0xfffe, 2, 1, true],
    [0xfffe, 2, 2, false],
  ])('used from %i to %i with used_event %i: signal %s', (old, now, event, wanted) => {
    open(seals, (old - 1) & 0xffff)
    queue.push(0, 0)
    expect(queue.publish()).toBe(true) // the first one always
    for (let i = old; i !== now; i = (i + 1) & 0xffff) queue.push(0, 0)
    view.setUint16(AVAIL + 4 + size * 2, event, true)
    expect(queue.publish()).toBe(wanted)
    expect(queue.publish()).toBe(false)
  })

  test('without EVENT_IDX the flag of the available ring decides', () => {
    open(seals, 0, false)
    queue.push(0, 0)
    expect(queue.publish()).toBe(true)
    view.setUint16(AVAIL, 1, true)
    queue.push(0, 0)
    expect(queue.publish()).toBe(false)
    view.setUint16(AVAIL, 0, true)
    queue.push(0, 0)
    expect(queue.publish()).toBe(true)
  })

  test('a kick is asked for at the next entry, and an entry that came meanwhile is seen', () => {
    open(seals)
    expect(queue.arm()).toBe(true)
    expect(view.getUint16(USED + 4 + size * 8, true)).toBe(0)
    available(0)
    expect(queue.arm()).toBe(false)
    expect(queue.peek()).toBe(0)
    queue.advance(queue.peek())
    expect(queue.arm()).toBe(true)
    expect(view.getUint16(USED + 4 + size * 8, true)).toBe(1)
  })
})

test.each([
  ['a size that is no power of two', { size: 6 }],
  ['a size of nothing', { size: 0 }],
  ['a size beyond all rings', { size: 65536 }],
  ['a table that is not aligned', { descriptors: uva + 8 }],
  ['an available ring that is not aligned', { available: uva + AVAIL + 1 }],
  ['a used ring that is not aligned', { used: uva + USED + 2 }],
  ['a table before memory', { descriptors: uva - 16 }],
  ['a used ring that ends beyond memory', { used: uva + fileBytes - 8 }],
])('%s opens no queue', (_name, change) => {
  open()
  expect(DeviceQueue.open(memory, { ...place, ...change }, { eventIdx: true, indirect: true }, 0)).toBeTypeOf(
    'string',
  )
})
