import { Worker } from 'node:worker_threads'
import { fc, test as property } from '@fast-check/vitest'
import { describe, expect, test } from 'vitest'
import { BAD_LENGTH, ERROR, FREE, NOT_OWNED, SharedMemoryArea } from '../../src/scmi/shmem.ts'
import { BUSY } from '../../src/scmi/status.ts'
import { Transfer } from '../../src/transfer.ts'
import { collectionsOf } from '../native/no-garbage.ts'

const guard = 0xa5
/** Guard bytes around an area of `size`, a DataView to act as the other side, and private memory for frames. */
function setUp(size = 128, maxMessageBytes?: number) {
  const memory = new Uint8Array(64 + size + 64).fill(guard)
  memory.fill(0, 64, 64 + size)
  const area = new SharedMemoryArea(memory.buffer, 64, size, maxMessageBytes)
  const peer = new DataView(memory.buffer, 64, size)
  const transfer = new Transfer(new ArrayBuffer(4160), 0, 4160)
  return { memory, area, peer, transfer, words: transfer.words, bytes: transfer.bytes }
}
/** Writes a message as the table of the standard places it: status 4, flags 16, length 20, header 24, payload 28. */
function write(
  peer: DataView,
  header: number,
  payload: readonly number[],
  length = 4 + payload.length,
  status = 0,
) {
  peer.setUint32(4, status, true)
  peer.setUint32(16, 0, true)
  peer.setUint32(20, length, true)
  peer.setUint32(24, header, true)
  for (let i = 0; i < payload.length; i++) peer.setUint8(28 + i, payload[i] ?? 0)
}
const hex = (peer: DataView, from: number, to: number) =>
  Buffer.from(peer.buffer, peer.byteOffset + from, to - from).toString('hex')

describe('taking a message', () => {
  test('copies header and payload, and not a byte more', () => {
    const { area, peer, words, bytes } = setUp()
    bytes.fill(0x77)
    write(peer, 0x00005005, [1, 2, 3, 4, 5, 6, 7])
    peer.setUint8(35, 0xee)
    expect(area.take(words, bytes)).toBe(11)
    expect(Buffer.from(bytes.subarray(0, 13)).toString('hex')).toBe('0550000001020304050607' + '7777')
  })

  test.each([
    [0, BAD_LENGTH, 'nothing'],
    [3, BAD_LENGTH, 'not even a header'],
    [4, 4, 'a header alone'],
    [5, 5, 'an odd length'],
    [104, 104, 'a full area of 128: 128 less the 24 before the header'],
    [105, BAD_LENGTH, 'a byte beyond the area'],
    [128, BAD_LENGTH, 'the size of the area, the 24 forgotten'],
    [0x7fffffff, BAD_LENGTH, 'as large as a signed word goes'],
    [0x80000000, BAD_LENGTH, 'negative, if it were signed'],
    [0xffffffff, BAD_LENGTH, 'minus one, if it were signed'],
  ])('length %i gives %i: %s', (length, result) => {
    const { memory, area, peer, words, bytes } = setUp()
    write(peer, 0x40, [], length)
    const before = memory.slice()
    expect(area.take(words, bytes)).toBe(result)
    expect(words[0]).toBe(0x40)
    expect(memory).toEqual(before)
  })

  test('the limit of the link stands below that of the area', () => {
    const { area, peer, words, bytes } = setUp(4096, 128)
    expect(area.maxMessageBytes).toBe(128)
    write(peer, 0x40, [], 128)
    expect(area.take(words, bytes)).toBe(128)
    write(peer, 0x40, [], 129)
    expect(area.take(words, bytes)).toBe(BAD_LENGTH)
  })

  test.each([FREE, FREE | ERROR])('status %i at the doorbell: nobody sent anything', status => {
    const { area, peer, words, bytes } = setUp()
    bytes.fill(0x77)
    write(peer, 0x40, [1, 2, 3, 4], 8, status)
    expect(area.take(words, bytes)).toBe(NOT_OWNED)
    expect(words[0]).toBe(0x77777777)
    const before = hex(peer, 8, 128)
    area.reject()
    expect(hex(peer, 0, 8)).toBe('00000000' + '03000000')
    expect(hex(peer, 8, 128)).toBe(before)
  })

  test('what is rewritten after the copy changes nothing', () => {
    const { area, peer, words, bytes } = setUp()
    write(peer, 0x40, [1, 2, 3, 4], 8)
    expect(area.take(words, bytes)).toBe(8)
    write(peer, 0xffffffff, [9, 9, 9, 9], 100)
    expect(Buffer.from(bytes.subarray(0, 8)).toString('hex')).toBe('4000000001020304')
  })

  test.each([31, 28, 0, 33, 126])('an area of %i bytes cannot be', size => {
    expect(() => new SharedMemoryArea(new ArrayBuffer(256), 0, size)).toThrow(RangeError)
  })
})

describe('answering', () => {
  test('writes payload, header, length and status, clears the tail, leaves the reserved words', () => {
    const { area, peer, words, bytes } = setUp()
    for (const at of [0, 8, 12]) peer.setUint32(at, 0xd1d1d1d1)
    write(
      peer,
      0x00105003,
      Array.from({ length: 60 }, () => 0xcc),
    )
    peer.setUint32(16, 1, true)
    expect(area.take(words, bytes)).toBe(64)
    words.set([0x00105003, 0, 0x11223344], 0)
    bytes[12] = 0x55
    area.respond(words, bytes, 13)
    expect(hex(peer, 0, 48)).toBe(
      'd1d1d1d1' +
        '01000000' +
        'd1d1d1d1d1d1d1d1' +
        '01000000' +
        '0d000000' +
        '03501000' +
        '00000000' +
        '44332211' +
        '55000000' +
        '0000000000000000',
    )
    expect(hex(peer, 48, 128)).toBe('00'.repeat(80))
    expect(area.free).toBe(true)
    expect(area.failed).toBe(false)
  })

  test('the first answer clears what lay in the area before the link opened', () => {
    const { memory, peer, words, bytes } = setUp()
    memory.fill(0xcc, 64 + 24, 64 + 128)
    const area = new SharedMemoryArea(memory.buffer, 64, 128)
    write(peer, 0x40, [])
    area.take(words, bytes)
    words.set([0x40, 0], 0)
    area.respond(words, bytes, 8)
    expect(hex(peer, 32, 128)).toBe('00'.repeat(96))
    expect(memory[64 + 128]).toBe(guard)
  })

  test('a message that cannot be taken is refused under its own header', () => {
    const { area, peer, words, bytes } = setUp()
    write(peer, 0x00345678, [], 4000)
    expect(area.take(words, bytes)).toBe(BAD_LENGTH)
    area.refuse(words[0] ?? 0)
    expect(hex(peer, 4, 8) + hex(peer, 20, 32)).toBe('03000000' + '08000000' + '78563400' + 'f6ffffff')
    area.refuse(0x40, BUSY, FREE)
    expect(hex(peer, 4, 8) + hex(peer, 20, 32)).toBe('01000000' + '08000000' + '40000000' + 'faffffff')
  })

  test.each([
    [0, 0, FREE, 'a zeroed area becomes free'],
    [0, 8, 0, 'a message that waits for its doorbell stays'],
    [ERROR, 0, FREE, 'an old error is gone'],
    [FREE, 8, FREE, 'free already'],
  ])('opening over status %i, length %i gives status %i: %s', (status, length, result) => {
    const { area, peer } = setUp()
    write(peer, 0x40, [], length, status)
    area.open()
    expect(peer.getUint32(4, true)).toBe(result)
    expect(peer.getUint32(20, true)).toBe(length)
  })
})

describe('the sending side', () => {
  test('posts into a free channel only, in the layout of the standard', () => {
    const { area, peer, bytes } = setUp()
    bytes.set([0x40, 0, 0, 0, 1, 2, 3])
    expect(area.post(bytes, 7)).toBe(false)
    peer.setUint32(4, FREE | ERROR, true)
    expect(area.post(bytes, 3)).toBe(false)
    expect(area.post(bytes, 105)).toBe(false)
    expect(area.post(bytes, 7, 1)).toBe(true)
    expect(hex(peer, 0, 36)).toBe(
      '00000000' +
        '00000000' +
        '0000000000000000' +
        '01000000' +
        '07000000' +
        '40000000' +
        '01020300' +
        '00000000',
    )
    expect(area.post(bytes, 7)).toBe(false)
  })

  test('a shorter message leaves nothing of a longer one', () => {
    const { area, peer, bytes } = setUp()
    bytes.fill(0xcc, 0, 104)
    area.release()
    expect(area.post(bytes, 104)).toBe(true)
    area.release()
    expect(area.post(bytes, 5)).toBe(true)
    expect(hex(peer, 24, 128)).toBe('cccccccccc' + '00'.repeat(99))
  })

  test('collects an answer when it is there, and believes no length', () => {
    const { area, peer, words, bytes } = setUp()
    write(peer, 0x40, [0, 0, 0, 0], 8, 0)
    expect(area.collect(words, bytes)).toBe(NOT_OWNED)
    peer.setUint32(4, FREE, true)
    expect(area.collect(words, bytes)).toBe(8)
    peer.setUint32(20, 105, true)
    expect(area.collect(words, bytes)).toBe(BAD_LENGTH)
    peer.setUint32(4, FREE | ERROR, true)
    expect(area.failed).toBe(true)
  })

  test('what one side posts the other takes', () => {
    const { memory, area, words, bytes } = setUp()
    const agent = new SharedMemoryArea(memory.buffer, 64, 128)
    area.release()
    bytes.set([0x01, 0x50, 0, 0, 9, 8, 7, 6, 5])
    expect(agent.post(bytes, 9)).toBe(true)
    bytes.fill(0)
    expect(area.take(words, bytes)).toBe(9)
    expect(Array.from(bytes.subarray(0, 9))).toEqual([0x01, 0x50, 0, 0, 9, 8, 7, 6, 5])
  })
})

property.prop(
  [
    fc.integer({ min: 8, max: 64 }).map(words => words * 4),
    fc.uint8Array({ minLength: 256, maxLength: 256 }),
    fc.array(fc.oneof(fc.nat(120), fc.integer({ min: -2, max: 2 })), { minLength: 1, maxLength: 20 }),
  ],
  { seed: 1, numRuns: 500 },
)(
  'whatever an area holds, nothing outside it is touched and lengths stay in bounds',
  (size, content, lengths) => {
    const { memory, area, peer, words, bytes } = setUp(size)
    for (const length of lengths) {
      memory.set(content.subarray(0, size), 64)
      peer.setInt32(20, length, true)
      bytes.fill(guard)
      const taken = area.take(words, bytes)
      if (taken >= 0) {
        expect(taken).toBe(length)
        expect(bytes.subarray(0, taken)).toEqual(memory.subarray(64 + 24, 64 + 24 + taken))
        area.respond(words, bytes, Math.min(area.maxMessageBytes, taken + 8))
      } else {
        area.refuse(words[0] ?? 0)
      }
      expect(bytes.subarray(Math.max(taken, 4)).every(byte => byte === guard)).toBe(true)
      expect(memory.subarray(0, 64).every(byte => byte === guard)).toBe(true)
      expect(memory.subarray(64 + size).every(byte => byte === guard)).toBe(true)
    }
  },
)

test('another thread that rewrites length and payload all the while gets no more than one copy', async () => {
  const shared = new SharedArrayBuffer(4096)
  const worker = new Worker(
    `const { workerData } = require('node:worker_threads')
     const words = new Int32Array(workerData)
     const lengths = [4, 12, 64, 4072, 4073, -1, 0, 1 << 30]
     for (let i = 0; Atomics.load(words, 3) === 0; i++) {
       Atomics.store(words, 5, lengths[i & 7]); Atomics.store(words, 6, i & 0xff); words[7 + (i % 1000)] = i
       Atomics.store(words, 2, 1)
     }`,
    { eval: true, workerData: shared },
  )
  const ints = new Int32Array(shared)
  while (Atomics.load(ints, 2) === 0) await new Promise(resolve => setTimeout(resolve, 1))
  const area = new SharedMemoryArea(shared, 0, 4096)
  const transfer = new Transfer(new ArrayBuffer(4160), 0, 4160)
  const seen = new Set<number>()
  const until = Date.now() + 20_000
  for (let i = 0; i < 20_000 || (seen.size < 4 && Date.now() < until); i++) {
    transfer.words.fill(0xdeadbeef)
    const length = area.take(transfer.words, transfer.bytes)
    seen.add(length)
    if (transfer.words[Math.max(1, length / 4)] !== 0xdeadbeef)
      throw new Error(`length ${length} and more was copied`)
  }
  Atomics.store(ints, 3, 1)
  await worker.terminate()
  for (const length of seen) expect([4, 12, 64, 4072, BAD_LENGTH]).toContain(length)
  expect(seen.size).toBeGreaterThan(2)
})

test('a million messages in and out collect no garbage', async () => {
  const { area, peer, transfer } = setUp()
  write(peer, 0x00005005, [0, 0, 0, 0, 7, 0, 0, 0, 0, 0x36, 0x6e, 1, 0, 0, 0, 0])
  const ints = new Int32Array(peer.buffer, peer.byteOffset)
  let sum = 0
  const work = (times: number) => {
    for (let i = 0; i < times; i++) {
      ints[5] = 20
      Atomics.store(ints, 1, 0)
      transfer.length = area.take(transfer.words, transfer.bytes)
      sum += transfer.length
      transfer.header = transfer.words[0]!
      transfer.answer(-3)
      area.respond(transfer.words, transfer.bytes, transfer.length)
    }
  }
  expect(await collectionsOf(work, 1e6)).toBe(0)
  expect(sum).toBe(20 * 1.1e6)
})
