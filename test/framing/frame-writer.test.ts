import { fc, test as property } from '@fast-check/vitest'
import { expect } from 'vitest'
import { FrameWriter } from '../../src/framing/frame-writer.ts'
import * as libc from '../../src/native/libc.ts'
import { EAGAIN, MSG_DONTWAIT, SO_SNDBUF, SOL_SOCKET } from '../../src/native/linux.ts'
import { NativeMemory } from '../../src/native/native-memory.ts'
import { socketPair } from '../../src/native/unix-socket.ts'
import { Transfer } from '../../src/transfer.ts'

const capacity = 12_000

property.prop(
  [
    fc.array(
      fc.tuple(fc.constantFrom('transfer', 'bytes', 'status', 'read'), fc.integer({ min: 4, max: 4096 })),
    ),
  ],
  { seed: 4, numRuns: 200 },
)('whatever waits for a slow reader arrives whole and in order', operations => {
  const [ours, theirs] = socketPair('stream')
  const scratch = NativeMemory.allocate(65536)
  scratch.words[0] = 1 // the kernel makes the least of it
  expect(libc.setsockopt(ours, SOL_SOCKET, SO_SNDBUF, scratch.address, 4)).toBe(0)
  const writer = new FrameWriter(capacity)
  const transfer = new Transfer(new ArrayBuffer(4096), 0, 4096)
  const expected: Buffer[] = []
  const received: Buffer[] = []
  const read = (most: number) => {
    const length = libc.recv(theirs, scratch.address, most, MSG_DONTWAIT)
    if (length > 0) received.push(Buffer.from(scratch.bytes.slice(0, length)))
    return length
  }
  let count = 0
  for (const [operation, length] of operations) {
    const size = operation === 'status' ? 8 : length
    if (operation === 'read') read(length)
    else if (writer.room >= 4 + size) {
      const body = Buffer.alloc(size, ++count)
      if (operation === 'status') {
        body.writeUInt32LE(0xfedcba98, 0)
        body.writeInt32LE(-count, 4)
        writer.putStatus(0xfedcba98, -count)
      } else {
        transfer.bytes.set(body)
        if (operation === 'bytes') writer.putBytes(transfer.bytes, size)
        else writer.put(transfer.bytes, transfer.words, size)
      }
      const prefix = Buffer.alloc(4)
      prefix.writeUInt32LE(size)
      expected.push(prefix, body)
    }
    expect([0, -EAGAIN]).toContain(writer.flush(ours))
  }
  while (read(65536) > 0 || !writer.empty) writer.flush(ours)
  expect(Buffer.concat(received).equals(Buffer.concat(expected))).toBe(true)
  expect(writer.room).toBe(capacity)
  libc.close(ours)
  libc.close(theirs)
  expect(writer.flush(ours)).toBe(0)
  writer.release()
  scratch.release()
})
