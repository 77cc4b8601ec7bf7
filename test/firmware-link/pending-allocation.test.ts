// That the table of pending commands allocates nothing per message. A process of its own: others' garbage is not counted.
import { expect, test } from 'vitest'
import { Pending } from '../../src/firmware-link/pending.ts'
import { Transfer } from '../../src/transfer.ts'
import { collectionsOf } from '../native/no-garbage.ts'

const RATE_GET = 0x5006

function command(): Transfer {
  const transfer = new Transfer(new ArrayBuffer(128), 0, 128)
  transfer.words.set([RATE_GET, 3])
  transfer.header = RATE_GET
  transfer.length = 8
  return transfer
}

test('three million commands: answered, never answered, late, unknown', async () => {
  const table = new Pending({ channels: 2, timeoutMs: 1, quarantineSeconds: 1 })
  const transfers = Array.from({ length: 32 }, command)
  const words = new Uint32Array([0, 0, 1, 0])
  const answer = { words, ints: new Int32Array(words.buffer) }
  let now = 0
  let answered = 0
  const run = (times: number) => {
    for (let i = 0; i < times; i++) {
      const word = table.begin(i & 1, transfers[i & 31] as Transfer, now)
      now = (now + 400) | 0
      while (table.expire(now) !== undefined) answered++
      if (word < 0) continue
      words[0] = word
      if (i % 16 === 0) now = (now + 1000) | 0
      while (table.expire(now) !== undefined) answered++
      if (i % 32 !== 0 && table.accept(i & 1, answer, 16) !== undefined) answered++
      if (i % 64 === 1) table.accept(i & 1, answer, 16)
    }
  }
  run(300_000)
  expect(await collectionsOf(run, 3_000_000)).toBe(0)
  expect(answered).toBe(3_600_000)
  expect([table.counters.expired, table.counters.late, table.counters.unknown].every(n => n > 10_000)).toBe(
    true,
  )
})
