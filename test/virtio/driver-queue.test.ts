// The driver's side of a split virtqueue: its ring read byte by byte, as the virtio standard's section "Split
// Virtqueues" lays it out, and a device that gives back what it never had.
import { beforeEach, describe, expect, test } from 'vitest'
import { DriverQueue, NONSENSE, NOTHING, ringOffsets } from '../../src/virtio/driver-queue.ts'

const size = 4
const gpa = 0x1_ffff_ff00 // descriptors' addresses cross 8 GiB
/** Offsets in the memory: table 64 bytes, available ring 14, used ring at the next multiple of 4. */
const [AVAIL, USED, TABLE, DATA] = [64, 80, 0x100, 0x200]
let memory: ArrayBuffer
let view: DataView
let queue: DriverQueue
const build = (eventIdx = true) => {
  memory = new ArrayBuffer(0x400)
  view = new DataView(memory)
  queue = new DriverQueue({ buffer: memory, hi: 1, lo: 0xffff_ff00 | 0 }, 0, size, eventIdx)
}
beforeEach(() => build())

/** A chain of 8 bytes to read and 16 to write. */
function post(table?: number): number {
  expect(queue.begin(table)).toBe(true)
  expect(queue.segment(DATA, 8, false)).toBe(true)
  expect(queue.segment(DATA + 8, 16, true)).toBe(true)
  return queue.end()
}
/** The device gives a chain back. */
function use(head: number, written: number): void {
  const idx = view.getUint16(USED + 2, true)
  view.setUint32(USED + 4 + (idx % size) * 8, head, true)
  view.setUint32(USED + 8 + (idx % size) * 8, written, true)
  view.setUint16(USED + 2, idx + 1, true)
}
const descriptor = (at: number, index: number) => [
  Number(view.getBigUint64(at + index * 16, true)),
  view.getUint32(at + index * 16 + 8, true),
  view.getUint16(at + index * 16 + 12, true),
  view.getUint16(at + index * 16 + 14, true),
]

test('its parts lie as the standard has them', () => {
  expect(ringOffsets(size)).toEqual({ available: AVAIL, used: USED, end: 128 })
})

test('a chain of descriptors becomes available, and its descriptors are free again after it came back', () => {
  const head = post()
  expect(descriptor(0, head)).toEqual([gpa + DATA, 8, 1, 1])
  expect(descriptor(0, 1)).toEqual([gpa + DATA + 8, 16, 2, 0])
  expect([view.getUint16(AVAIL + 2, true), view.getUint16(AVAIL + 4, true)]).toEqual([1, head])
  expect([queue.free, queue.take()]).toEqual([2, NOTHING])
  use(head, 12)
  expect([queue.take(), queue.written, queue.take()]).toEqual([head, 12, NOTHING])
  queue.release(head)
  expect(queue.free).toBe(4)
})

test('an indirect chain takes one descriptor', () => {
  const head = post(TABLE)
  expect(descriptor(0, head)).toEqual([gpa + TABLE, 32, 4, 0])
  expect([descriptor(TABLE, 0), descriptor(TABLE, 1)]).toEqual([
    [gpa + DATA, 8, 1, 1],
    [gpa + DATA + 8, 16, 2, 0],
  ])
  expect(queue.free).toBe(3)
})

test('a full ring takes no more', () => {
  post()
  post()
  expect(queue.begin()).toBe(false)
})

test('a chain that came back can go again as it is', () => {
  const head = post()
  use(head, 16)
  queue.take()
  queue.again(head)
  use(head, 8)
  expect([queue.take(), queue.written]).toEqual([head, 8])
})

describe('of a device that lies', () => {
  test.each<[string, (head: number) => void]>([
    ['a head that there is none of', () => use(size, 8)],
    ['a head of 2^32 - 1', () => use(0xffff_ffff, 8)],
    ['a chain that it does not have', head => use(head + 2, 8)],
    ['a descriptor in the middle of a chain', head => use(head + 1, 8)],
    ['more than there is room for', head => use(head, 17)],
    ['more than 2 GiB', head => use(head, 0x8000_0000)],
  ])('%s is nonsense', (_what, lie) => {
    const head = post()
    lie(head)
    expect([queue.take(), queue.take()]).toEqual([NONSENSE, NOTHING])
    use(head, 16)
    expect(queue.take()).toBe(head)
  })

  test('a chain comes back once: before it was released, and after', () => {
    const head = post()
    use(head, 8)
    use(head, 8)
    use(head, 8)
    expect([queue.take(), queue.take()]).toEqual([head, NONSENSE])
    queue.release(head)
    expect([queue.take(), queue.free]).toEqual([NONSENSE, 4])
  })
})

describe('kicks and signals', () => {
  test.each([
    ['at the entry that the device named', 0, true],
    ['not before it', 1, false],
  ])('with EVENT_IDX it kicks %s', (_what, event, wanted) => {
    view.setUint16(USED + 4 + size * 8, event, true)
    post()
    expect([queue.wantsKick(), queue.wantsKick()]).toEqual([wanted, false])
  })

  test.each([
    [0, true],
    [1, false],
  ])('without, the flag of the used ring decides: %i', (flag, wanted) => {
    build(false)
    view.setUint16(USED, flag, true)
    post()
    expect(queue.wantsKick()).toBe(wanted)
  })

  test('it asks for a signal at the next chain, also where the index wraps around', () => {
    const head = post()
    let right = 0
    for (let i = 0; i < 0x1_0005; i++) {
      const armed = queue.arm() && view.getUint16(AVAIL + 4 + size * 2, true) === (i & 0xffff)
      use(head, 8)
      if (armed && !queue.arm() && queue.take() === head) right++
      queue.again(head)
    }
    expect(right).toBe(0x1_0005)
    expect(view.getUint16(AVAIL + 2, true)).toBe(6)
  })
})
