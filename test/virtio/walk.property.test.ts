// The walk over descriptor chains against a model that is written as the standard says it, with big integers and lists:
// random tables, direct and indirect, sound and unsound, must come to the same.
import { fc, test as property } from '@fast-check/vitest'
import { afterAll, expect } from 'vitest'
import * as libc from '../../src/native/libc.ts'
import { MappedMemory } from '../../src/native/mapped-memory.ts'
import { DeviceQueue, MALFORMED } from '../../src/virtio/device-queue.ts'
import { GuestMemory } from '../../src/virtio/guest-memory.ts'
import { memfd } from './front-end.ts'

const size = 8
const fileBytes = 0x3000
/** Two regions that touch for the guest, on both sides of 4 GiB, and lie in the file the other way round. */
const base = 0xffff_f000n
const split = 0x1000
const offsetOf = (address: bigint): number => {
  const within = address - base
  if (within < 0n || within >= BigInt(fileBytes)) return -1
  return Number(within) < split ? Number(within) + 0x2000 : Number(within) - split
}
const capacity = 64
const uva = 0x7f00_0000_0000

const fd = memfd(fileBytes)
const guest = new MappedMemory(fileBytes)
guest.attach(fd, fileBytes)
const memory = new GuestMemory('copy')
const duplicate = () => libc.fcntl(fd, 1030, 0)
memory.add(duplicate(), { gpa: Number(base), size: split, uva: uva + 0x2000, offset: 0x2000 })
memory.add(duplicate(), { gpa: Number(base) + split, size: fileBytes - split, uva, offset: 0 })
const opened = DeviceQueue.open(
  memory,
  { size, descriptors: uva, available: uva + 0x100, used: uva + 0x200 },
  { eventIdx: true, indirect: true },
  0,
)
if (typeof opened === 'string') throw new Error(opened)
const queue = opened
const view = new DataView(guest.buffer)
const frame = new Uint8Array(capacity)
const ints = new Int32Array(frame.buffer)
const segments = new Int32Array(capacity * 3)
/** Chains that were not malformed. */
let sound = 0
afterAll(() => {
  expect(sound).toBeGreaterThan(300)
  queue.release()
  memory.release()
  guest.close()
  libc.close(fd)
})

interface Descriptor {
  readonly address: bigint
  readonly length: number
  readonly flags: number
  readonly next: number
}
const tables = [0x800, 0x9f8, 0x2fc0] // where indirect tables are put; the second is not on 16, the third not whole
const address = fc.oneof(
  { weight: 8, arbitrary: fc.integer({ min: 0, max: fileBytes - 1 }).map(at => base + BigInt(at)) },
  { weight: 3, arbitrary: fc.constantFrom(...tables).map(at => base + BigInt(at + split)) },
  { weight: 1, arbitrary: fc.constantFrom(0n, base - 1n, base + BigInt(fileBytes) - 2n, (1n << 64n) - 3n) },
)
const descriptor: fc.Arbitrary<Descriptor> = fc.record({
  address,
  length: fc.oneof(
    { weight: 6, arbitrary: fc.integer({ min: 0, max: 40 }) },
    { weight: 3, arbitrary: fc.constantFrom(16, 32, 48, 64) },
    { weight: 1, arbitrary: fc.constantFrom(0x1000, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff) },
  ),
  flags: fc.constantFrom(0, 1, 1, 1, 2, 3, 3, 4, 5),
  next: fc.oneof(
    { weight: 9, arbitrary: fc.integer({ min: 0, max: size - 1 }) },
    fc.constantFrom(size, 0xffff),
  ),
})

function write(at: number, { address, length, flags, next }: Descriptor): void {
  view.setBigUint64(at, address, true)
  view.setUint32(at + 8, length, true)
  view.setUint16(at + 12, flags, true)
  view.setUint16(at + 14, next, true)
}
/** Bytes of the guest's memory, one by one; undefined when one of them is not there. */
function bytesAt(address: bigint, length: number): number[] | undefined {
  const bytes: number[] = []
  for (let i = 0n; i < length; i++) {
    const at = offsetOf(address + i)
    if (at < 0) return undefined
    bytes.push(view.getUint8(at))
  }
  return bytes
}
function read(at: bigint): Descriptor | undefined {
  const bytes = bytesAt(at, 16)
  if (bytes === undefined) return undefined
  const entry = new DataView(Uint8Array.from(bytes).buffer)
  return {
    address: entry.getBigUint64(0, true),
    length: entry.getUint32(8, true),
    flags: entry.getUint16(12, true),
    next: entry.getUint16(14, true),
  }
}

/** What a chain comes to: what is readable, and where may be written. */
function model(head: number): { readable: number; bytes: number[]; places: number[] } | undefined {
  const ringTable = base + BigInt(split) // the ring's table is at the beginning of the file
  let table = ringTable
  let entries = size
  let index = head
  const bytes: number[] = []
  const places: number[] = []
  let readable = 0
  let writing = false
  for (let visited = 0; visited < 1024; visited++) {
    if (index >= entries) return undefined
    const each = read(table + BigInt(index * 16))
    if (each === undefined) return undefined
    const { flags, length, next } = each
    if ((flags & 4) !== 0) {
      if (table !== ringTable || (flags & 1) !== 0 || length === 0 || length % 16 !== 0 || length >= 2 ** 31)
        return undefined
      table = each.address
      entries = length / 16
      index = 0
      continue
    }
    if ((flags & 2) === 0) {
      if (writing || length >= 2 ** 31) return undefined
      const got = bytesAt(each.address, Math.min(length, capacity - bytes.length))
      if (got === undefined) return undefined
      bytes.push(...got)
      readable += length
      if (readable > 0x3fff_ffff) return undefined
    } else {
      writing = true
      for (let i = 0n; i < length && places.length < capacity; i++) {
        const at = offsetOf(each.address + i)
        if (at < 0) return undefined
        places.push(at)
      }
    }
    if ((flags & 1) === 0) return { readable, bytes, places }
    index = next
  }
  return undefined
}

property.prop(
  [
    fc.array(descriptor, { minLength: size, maxLength: size }),
    fc.array(fc.array(descriptor, { minLength: 4, maxLength: 4 }), { minLength: 3, maxLength: 3 }),
    fc.integer({ min: 0, max: size - 1 }),
    fc.uint8Array({ minLength: 64, maxLength: 64 }),
  ],
  { seed: 0x5c31, numRuns: 2000 },
)('a chain of any kind comes to what the model says', (ring, indirect, head, noise) => {
  for (let at = 0x400; at < fileBytes; at += noise.length) guest.bytes.set(noise, at)
  for (const [i, each] of ring.entries()) write(i * 16, each)
  for (const [i, table] of indirect.entries())
    for (const [j, each] of table.entries())
      if ((tables[i] ?? 0) + j * 16 + 16 <= fileBytes) write((tables[i] ?? 0) + j * 16, each)
  const expected = model(head)
  const length = queue.walk(head, frame, ints, capacity, segments, 0)
  if (expected === undefined) {
    expect(length).toBe(MALFORMED)
    return
  }
  sound++
  expect(length).toBe(expected.readable)
  expect([...frame.subarray(0, expected.bytes.length)]).toEqual(expected.bytes)
  expect(queue.writable).toBe(expected.places.length)
  // What is written there is there, in order; a place named twice holds what was written last.
  const answer = Uint8Array.from({ length: queue.writable }, (_, i) => i + 1)
  frame.set(answer)
  expect(queue.fill(segments, 0, frame, ints, answer.length)).toBe(true)
  const last = new Map(expected.places.map((at, i) => [at, i + 1]))
  for (const [at, byte] of last) expect(view.getUint8(at)).toBe(byte)
})
