// That the way through the embedded link and the platform allocates nothing per message. A process of its own.
import { expect, test } from 'vitest'
import { EmbeddedLink } from '../../src/firmware-link/embedded/embedded-link.ts'
import { Transfer } from '../../src/transfer.ts'
import { collectionsOf } from '../native/no-garbage.ts'
import { example } from '../platform/ask.ts'

test('five million commands, with their answers and events', async () => {
  const link = new EmbeddedLink(example().platform)
  const transfer = new Transfer(new ArrayBuffer(128), 0, 128)
  let sum = 0
  link.open({
    complete: done => {
      sum = (sum + (done.words[2] as number)) | 0
    },
    delayed: () => {},
    arrived: (_channel, _frame, length) => {
      sum = (sum + length) | 0
    },
  })
  const ask = (length: number, header: number, a: number, b: number, c: number) => {
    transfer.words[0] = transfer.header = header
    transfer.words[1] = a
    transfer.words[2] = b
    transfer.words[3] = c
    transfer.length = length
    link.send(0, transfer)
  }
  const run = (times: number) => {
    for (let i = 0; i < times; i++) {
      ask(8, 0x5006 | ((i & 0x3ff) << 18), 13, 0, 0)
      ask(16, 0x4404, 0, 2, (i & 1) << 30)
      ask(12, 0x4406, 2, 1, 0)
      ask(12, 0x5004, 3, 0, 0)
      ask(8, 0x5006, 0xffff_ffff, 0, 0)
    }
  }
  run(100_000)
  expect(await collectionsOf(run, 1_000_000)).toBe(0)
})
