// src/firmware-link/embedded/embedded-link.ts: the link to a platform in this process.
import { describe, expect, test } from 'vitest'
import { EmbeddedLink } from '../../src/firmware-link/embedded/embedded-link.ts'
import type { FirmwareHandler } from '../../src/firmware-link/firmware-link.ts'
import { type Transfer, TransferPool } from '../../src/transfer.ts'
import { example, hex, name16, word } from '../platform/ask.ts'

function linked(edit?: (text: string) => string) {
  const { platform } = example(edit)
  const link = new EmbeddedLink(platform)
  const completed: Transfer[] = []
  const arrived: string[] = []
  const handler: FirmwareHandler = {
    complete: transfer => completed.push(transfer),
    delayed: () => {},
    arrived: (channel, frame, length) =>
      arrived.push(`${channel} ${Buffer.from(frame.subarray(0, length)).toString('hex')}`),
  }
  link.open(handler)
  const pool = new TransferPool(4, 128, 0)
  const take = (...words: number[]): Transfer => {
    const transfer = pool.take() as Transfer
    transfer.bytes.fill(0xee)
    transfer.words.set(words)
    transfer.header = words[0] as number
    transfer.length = words.length * 4
    return transfer
  }
  return { platform, link, completed, arrived, take, pool }
}
const answer = (transfer: Transfer): string =>
  Buffer.from(transfer.bytes.subarray(0, transfer.length)).toString('hex')

test('says what it is', () => {
  const { link } = linked()
  expect([link.kind, link.channels, link.maxMessageBytes]).toEqual(['embedded', 5, 128])
  const narrow = linked(text => `channels: [{ agent: 1 }, { agent: 2, maxMessageBytes: 96 }]\n${text}`)
  expect([narrow.link.channels, narrow.link.maxMessageBytes]).toEqual([2, 96])
})

test('answers before send returns, under the agent’s own header', () => {
  const { link, completed, take } = linked()
  const transfer = take(word(0x14, 3, 0x3ff), 0)
  expect(link.send(0, transfer)).toBe(true)
  expect(completed).toEqual([transfer])
  expect(answer(transfer)).toBe(hex(word(0x14, 3, 0x3ff), 0, 0x8000_0000) + name16('avb') + hex(0))
})

test('the platform sees a token of ours, not the agent’s', () => {
  const { link, platform, take } = linked()
  const seen: number[] = []
  platform.tap = (_channel, words) => {
    seen.push((words[0] as number) >>> 18)
  }
  for (let i = 0; i < 3; i++) link.send(0, take(word(0x10, 0, 0x155)))
  expect(seen).toEqual([0, 1, 2])
})

test('the platform writes to memory of its own, and an error brings the status alone', () => {
  const { link, take } = linked()
  const transfer = take(word(0x14, 6), 13)
  link.send(1, transfer)
  expect(answer(transfer)).toBe(hex(word(0x14, 6), -3))
  expect(transfer.words[2], 'what was there').toBe(0xeeee_eeee)
})

describe('events', () => {
  test('come after the response that caused them, on the subscriber’s channel', () => {
    const { link, arrived, completed, take } = linked()
    link.send(0, take(word(0x11, 6), 0, 1))
    const order: string[] = []
    link.open({
      complete: () => order.push('complete'),
      delayed: () => {},
      arrived: (channel, frame, length) => order.push(`${channel} ${length} ${frame[0]}`),
    })
    link.send(0, take(word(0x11, 4), 0, 0, 0))
    expect(order).toEqual(['complete', '0 16 0'])
    expect([arrived.length, completed.length]).toEqual([0, 1])
  })

  test('that something outside causes are sent by flush', () => {
    const { link, platform, arrived, take } = linked()
    link.send(0, take(word(0x15, 0xb), 1, 1))
    platform.sensors.setReading(1, 7)
    expect(arrived).toEqual([])
    link.flush()
    expect(arrived).toEqual([`0 ${hex(0x5701, 0, 1, 7, 0, 0, 0)}`])
  })
})

test('a handler may send the next command from within complete', () => {
  const { link, take } = linked()
  const answers: string[] = []
  let left = 3
  link.open({
    complete(transfer) {
      answers.push(answer(transfer))
      if (--left === 0) return
      transfer.words[0] = transfer.header = word(0x14, 6, left)
      transfer.words[1] = left
      transfer.length = 8
      link.send(0, transfer)
    },
    delayed: () => {},
    arrived() {},
  })
  link.send(0, take(word(0x14, 6, 9), 0))
  expect(answers).toEqual([
    hex(word(0x14, 6, 9), 0, 125_000_000, 0),
    hex(word(0x14, 6, 2), 0, 100_000_000, 0),
    hex(word(0x14, 6, 1), 0, 133_333_333, 0),
  ])
})

test.each([
  [5, 8, 'a channel that is not there'],
  [-1, 8, 'the same'],
  [0, 2, 'no header'],
  [0, 132, 'longer than any channel'],
])('takes nothing on channel %i of %i bytes: %s', (channel, length) => {
  const { link, completed, take } = linked()
  const transfer = take(word(0x14, 6), 0)
  transfer.length = length
  expect(link.send(channel, transfer)).toBe(false)
  expect(completed).toEqual([])
})

test('closed, it takes nothing; twice is once', () => {
  const { link, completed, take } = linked()
  link.close()
  link.close()
  expect(link.send(0, take(word(0x10, 0)))).toBe(false)
  link.flush()
  link.expire(0)
  expect(completed).toEqual([])
})

test('time passes for the platform with each command and each look at deadlines, and its delayed responses come', () => {
  const { platform, link, completed, take } = linked(text =>
    text.replace('rate: 125000000 }', 'rate: 125000000, async: { ms: 2 } }'),
  )
  const delayed: string[] = []
  link.open({
    complete: transfer => completed.push(transfer),
    arrived: () => {},
    delayed: (tag, frame, length) =>
      delayed.push(`${tag} ${Buffer.from(frame.subarray(0, length)).toString('hex')}`),
  })
  const command = take(word(0x14, 0x5, 0x2a5), 1, 0, 25_000_000, 0) // asynchronously
  command.arrivedAt = 50_000
  command.tag = 7
  link.send(0, command)
  expect(answer(completed[0] as Transfer)).toBe(hex(word(0x14, 0x5, 0x2a5), 0))
  link.expire(51_999)
  expect([platform.clocks.rate(0), delayed]).toEqual([125_000_000, []])
  link.expire(52_000)
  expect(platform.clocks.rate(0)).toBe(25_000_000)
  expect(delayed).toEqual([`7 ${hex(word(0x14, 0x5, 0x2a5, 2), 0, 0, 25_000_000, 0)}`])
})
