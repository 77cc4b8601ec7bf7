// src/firmware-link/stream-socket/: the link to a platform behind sockets, against platforms of the test's own making.
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fc, test as property } from '@fast-check/vitest'
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { FirmwareHandler } from '../../src/firmware-link/firmware-link.ts'
import {
  StreamSocketLink,
  type StreamSocketOptions,
} from '../../src/firmware-link/stream-socket/stream-socket.ts'
import { Reactor } from '../../src/native/reactor.ts'
import { type Transfer, TransferPool } from '../../src/transfer.ts'
import { hex, word } from '../platform/ask.ts'
import { framed, WirePlatform } from './wire-platform.ts'

const folder = mkdtempSync(join(tmpdir(), 'stream-socket-'))
afterAll(() => rmSync(folder, { recursive: true }))
const paths = [join(folder, 'one'), join(folder, 'two')]

const COMMS_ERROR = -7
/** CLOCK_RATE_GET and its answer: 8 bytes of rate. */
const rateGet = (token: number) => word(0x14, 6, token)
const rateOf = (token: number, rate: number) => hex(rateGet(token), 0, rate, 0)

let reactor: Reactor
let ownSources: number
let platforms: WirePlatform[]
let link: StreamSocketLink
let log: string[]
let faults: unknown[]
let completed: Transfer[]
let arrived: string[]
let reconnected: number[]
let handler: FirmwareHandler
let pool: TransferPool

beforeEach(() => {
  log = []
  faults = []
  completed = []
  arrived = []
  reconnected = []
  platforms = []
  pool = new TransferPool(256, 128, 3)
  reactor = new Reactor((_source, error) => faults.push(error))
  ownSources = reactor.sourceCount
  handler = {
    complete: transfer => completed.push(transfer),
    delayed: () => {},
    arrived: (channel, frame, length) =>
      arrived.push(`${channel} ${Buffer.from(frame.subarray(0, length)).toString('hex')}`),
    reconnected: channel => reconnected.push(channel),
  }
})
afterEach(() => {
  link?.close()
  link?.close()
  for (const platform of platforms) platform.close()
  reactor.close()
  expect(faults).toEqual([])
})

function linked(options: Partial<StreamSocketOptions> = {}): void {
  link = new StreamSocketLink(
    { paths, retryMs: 1, retryMostMs: 1, timeoutMs: 2000, ...options },
    { reactor, handler, log: (level, text) => log.push(`${level} ${text.replaceAll(folder, '')}`) },
  )
}
const steps = (count = 4) => {
  for (let i = 0; i < count; i++) reactor.step(0)
}
/** Steps until something is so; the reactor's own time passes. */
function until(what: () => boolean, ms = 2000): void {
  const end = Date.now() + ms
  while (!what()) {
    if (Date.now() > end) throw new Error('it did not come to pass')
    reactor.step(1)
  }
}
/** A platform on each path, and the link to them, connected. */
function served(options: Partial<StreamSocketOptions> = {}): [WirePlatform, WirePlatform] {
  platforms = paths.map(path => new WirePlatform(path))
  linked(options)
  steps()
  for (const platform of platforms) expect(platform.accept()).toBe(true)
  return platforms as [WirePlatform, WirePlatform]
}
function take(...words: number[]): Transfer {
  const transfer = pool.take() as Transfer
  transfer.bytes.fill(0xee)
  transfer.words.set(words)
  transfer.header = transfer.ints[0] as number
  transfer.length = words.length * 4
  return transfer
}
/** Sends a CLOCK_RATE_GET of a guest, under the guest's own token. */
function ask(channel: number, guestToken: number): Transfer {
  const transfer = take(rateGet(guestToken), guestToken)
  expect(link.send(channel, transfer)).toBe(true)
  return transfer
}
const answer = (transfer: Transfer | undefined): string =>
  transfer === undefined ? '' : Buffer.from(transfer.bytes.subarray(0, transfer.length)).toString('hex')
const tokenOf = (frame: string | undefined): number =>
  (Buffer.from(frame ?? '', 'hex').readUInt32LE(0) >>> 18) & 0x3ff

describe('commands and answers', () => {
  test('a command leaves under a token of ours, its answer comes back under the agent’s', () => {
    const [one, two] = served()
    expect([link.kind, link.channels, link.maxMessageBytes]).toEqual(['stream-socket', 2, 128])
    const transfer = ask(1, 0x3aa)
    expect(one.frames()).toEqual([])
    expect(two.frames()).toEqual([hex(rateGet(0), 0x3aa)])
    two.send(rateOf(0, 77))
    steps()
    expect(completed).toEqual([transfer])
    expect(answer(transfer)).toBe(rateOf(0x3aa, 77))
  })

  test('time that a round took before a command was sent is not counted against it', () => {
    served({ timeoutMs: 200 })
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 300) // this round takes longer than a command may
    ask(0, 1)
    reactor.step(0)
    link.expire(reactor.now)
    expect(link.counters.expired).toBe(0)
    expect(completed).toEqual([])
  })

  test('an error brings the status alone, whatever follows it', () => {
    const [one] = served()
    const transfer = ask(0, 1)
    one.send(hex(rateGet(0), -3, 0xdead, 0xbeef))
    steps()
    expect(answer(transfer)).toBe(hex(rateGet(1), -3))
  })

  property.prop(
    [
      fc.shuffledSubarray(
        Array.from({ length: 32 }, (_, i) => i),
        { minLength: 32 },
      ),
      fc.integer({ min: 1, max: 100 }),
    ],
    { seed: 1, numRuns: 25 },
  )('32 in flight are answered in any order and cut anywhere, each its own', (order, cut) => {
    if (platforms.length === 0) served()
    const [one] = platforms as [WirePlatform]
    completed = []
    const sent = order.map((_, i) => ask(0, 0x200 + i))
    const tokens = one.frames().map(tokenOf)
    const stream = order.map(i => framed(rateOf(tokens[i] as number, 1000 + i))).join('')
    for (let at = 0; at < stream.length; at += cut * 2) {
      one.bytes(stream.slice(at, at + cut * 2))
      steps(1)
    }
    steps()
    expect(completed).toEqual(order.map(i => sent[i]))
    expect(sent.map(answer)).toEqual(order.map((_, i) => rateOf(0x200 + i, 1000 + i)))
    for (const transfer of sent) pool.give(transfer)
  })

  test('no more than 32 are in flight on a channel; an answer makes room', () => {
    const [one] = served()
    for (let i = 0; i < 32; i++) ask(0, i)
    const next = take(rateGet(40), 0)
    expect(link.send(0, next)).toBe(false)
    expect(answer(next), 'and nothing was done to it').toBe(hex(rateGet(40), 0))
    ask(1, 41)
    one.send(rateOf(5, 0))
    steps()
    expect(completed).toHaveLength(1)
    expect(link.send(0, next)).toBe(true)
    expect(one.frames()).toHaveLength(33)
  })

  test.each([
    [2, 8, 'a channel that is not there'],
    [-1, 8, 'the same'],
    [0, 3, 'no header'],
    [0, 132, 'longer than the link carries'],
  ])('takes nothing on channel %i of %i bytes: %s', (channel, length) => {
    served()
    const transfer = take(rateGet(0), 0)
    transfer.length = length
    expect(link.send(channel, transfer)).toBe(false)
  })

  test('a handler may send the next command from within complete', () => {
    const [one] = served()
    let left = 3
    handler.complete = transfer => {
      completed.push(transfer)
      if (--left > 0) link.send(0, take(rateGet(0x111), left))
    }
    ask(0, 1)
    for (let i = 0; i < 3; i++) {
      const [frame] = one.frames()
      one.send(rateOf(tokenOf(frame), i))
      steps()
    }
    expect(completed).toHaveLength(3)
    expect(one.frames()).toEqual([])
  })
})

describe('what is no answer', () => {
  test.each<[string, (token: number) => string, string]>([
    ['another token', token => rateOf(token + 1, 5), 'unknown'],
    ['another protocol', token => hex(word(0x13, 6, token), 0, 5, 0), 'unknown'],
    ['another message', token => hex(word(0x14, 5, token), 0, 5, 0), 'unknown'],
    ['a reserved bit', token => hex(rateGet(token) | 0x1000_0000, 0, 5, 0), 'unknown'],
    ['a type that there is not', token => hex(word(0x14, 6, token, 1), 0, 5, 0), 'unknown'],
    ['the header alone', token => hex(rateGet(token)), 'malformed'],
    ['a header and half a status', token => `${hex(rateGet(token))}0000`, 'malformed'],
    ['a payload cut short', token => hex(rateGet(token), 0, 5), 'malformed'],
    ['a payload too long', token => hex(rateGet(token), 0, 5, 0, 0), 'malformed'],
    ['a status above zero', token => hex(rateGet(token), 1, 5, 0), 'malformed'],
    ['longer than the agent’s buffer', token => hex(rateGet(token), 0, ...Array(40).fill(0)), 'malformed'],
  ])('%s', (_, reply, counted) => {
    const [one] = served()
    const transfer = ask(0, 9)
    one.send(reply(tokenOf(one.frames()[0])))
    steps()
    expect(link.counters).toEqual({
      expired: 0,
      late: 0,
      unknown: 0,
      malformed: 0,
      forsaken: 0,
      [counted]: 1,
    })
    if (counted === 'malformed') expect(answer(transfer)).toBe(hex(rateGet(9), COMMS_ERROR))
    else {
      expect(completed).toEqual([])
      one.send(rateOf(0, 5)) // the true one still counts
      steps()
      expect(answer(transfer)).toBe(rateOf(9, 5))
    }
    expect([completed, link.connections.losses]).toEqual([[transfer], 0])
  })

  test('a second answer to the same command', () => {
    const [one] = served()
    const transfer = ask(0, 9)
    one.send(rateOf(0, 1), rateOf(0, 2))
    steps()
    expect(completed).toEqual([transfer])
    expect(answer(transfer)).toBe(rateOf(9, 1))
    expect(link.counters.unknown).toBe(1)
  })

  test('an answer on another channel', () => {
    const [, two] = served()
    ask(0, 9)
    two.send(rateOf(0, 1))
    steps()
    expect([completed, link.counters.unknown]).toEqual([[], 1])
  })

  test('silence: COMMS_ERROR after the deadline; the late answer is dropped, and its token was not used meanwhile', () => {
    const [one] = served({ timeoutMs: 5 })
    const transfer = ask(0, 9)
    until(() => {
      link.expire(reactor.now)
      return completed.length > 0
    })
    expect(answer(transfer)).toBe(hex(rateGet(9), COMMS_ERROR))
    const others = Array.from({ length: 31 }, (_, i) => ask(0, i))
    expect(one.frames().slice(1).map(tokenOf)).not.toContain(0)
    one.send(rateOf(0, 1))
    steps()
    expect([completed.length, link.counters.late]).toEqual([1, 1])
    expect(answer(others[0])).toBe(hex(rateGet(0), 0))
  })
})

describe('what comes of the platform’s own accord', () => {
  const delayed = hex(word(0x14, 5, 7, 2), 0, 50, 0)
  const notification = hex(word(0x11, 0, 0, 3), 1, 2, 0x4000_0000)

  test('notifications are handed on with their channel, byte by byte as well; delayed responses only to whom they were promised', () => {
    const [one, two] = served()
    const transfer = ask(1, 9)
    one.send(delayed, notification)
    const stream = framed(notification) + framed(rateOf(0, 3)) + framed(delayed)
    for (let i = 0; i < stream.length; i += 2) {
      two.bytes(stream.slice(i, i + 2))
      steps(2)
    }
    expect(arrived).toEqual([`0 ${notification}`, `1 ${notification}`])
    expect(answer(transfer)).toBe(rateOf(9, 3))
    expect(link.connections.arrived).toBe(2)
    expect(link.counters.unknown).toBe(2)
  })

  test('a flood on one channel keeps its order, and does not hold up the other', () => {
    const [one, two] = served()
    const lines: string[] = []
    for (let i = 0; i < 5000; i++) lines.push(hex(word(0x15, 1, 0, 3), 0, i))
    let sent = 0
    let answeredAt = -1
    for (let i = 0; arrived.length < lines.length; i++) {
      while (sent < lines.length && one.bytes(framed(lines[sent]!)) > 0) sent++
      if (i === 3) {
        ask(1, 5)
        two.send(rateOf(0, 6))
      }
      steps(1)
      if (answeredAt < 0 && completed.length > 0) answeredAt = i
    }
    expect(answeredAt).toBeLessThanOrEqual(4)
    expect(arrived).toEqual(lines.map(line => `0 ${line}`))
  })

  test('a handler that breaks under one frame has the next ones', () => {
    const [one] = served()
    handler.arrived = () => {
      throw new Error('ours')
    }
    const transfer = ask(0, 9)
    one.send(notification, rateOf(0, 3))
    steps()
    expect(faults.splice(0)).toEqual([new Error('ours')])
    expect(answer(transfer)).toBe(rateOf(9, 3))
  })
})

describe('connections', () => {
  test.each([
    ['00000000', 0],
    ['03000000', 3],
    ['01100000', 4097],
    ['00000080', 0x8000_0000],
    ['ffffffff', 0xffff_ffff],
  ])('a frame of length %s costs its connection and nobody else’s', (length, bytes) => {
    const [one, two] = served()
    const transfer = ask(0, 9)
    const other = ask(1, 9)
    one.bytes(`${length}11223344`)
    steps(1)
    expect(completed).toEqual([transfer])
    expect(answer(transfer)).toBe(hex(rateGet(9), COMMS_ERROR))
    expect([link.badLengths, link.connections.severed, link.isUp(0)]).toEqual([1, 1, false])
    expect(log.at(-1)).toBe(`warn firmware channel 0, /one: the platform sent a frame of ${bytes} bytes`)
    expect(link.send(0, take(rateGet(1), 0)), 'while it is down').toBe(false)
    until(() => link.isUp(0))
    expect(one.accept()).toBe(true)
    expect(reconnected).toEqual([0])
    two.send(rateOf(0, 4))
    const again = ask(0, 8)
    one.send(rateOf(tokenOf(one.frames()[0]), 6))
    steps()
    expect([answer(other), answer(again)]).toEqual([rateOf(9, 4), rateOf(8, 6)])
  })

  test('one that ends within a frame: what was whole counts, the rest is nobody’s', () => {
    const [one] = served()
    const [first, second] = [ask(0, 1), ask(0, 2)]
    one.bytes(framed(rateOf(0, 5)) + framed(rateOf(1, 6)).slice(0, 20))
    one.hangUp()
    steps()
    expect(completed).toEqual([first, second])
    expect([answer(first), answer(second)]).toEqual([rateOf(1, 5), hex(rateGet(2), COMMS_ERROR)])
    until(() => link.isUp(0))
    one.accept()
    const third = ask(0, 3)
    one.send(rateOf(tokenOf(one.frames()[0]), 7)) // begins anew: no rest of the former stream is in its way
    steps()
    expect(answer(third)).toBe(rateOf(3, 7))
    expect(completed).toEqual([first, second, third])
  })

  test('answers over the next connection to what was lost with the last: late, and dropped', () => {
    const [one] = served()
    const transfer = ask(0, 1)
    one.hangUp()
    steps()
    expect(answer(transfer)).toBe(hex(rateGet(1), COMMS_ERROR))
    until(() => link.isUp(0))
    one.accept()
    const next = ask(0, 2)
    one.send(rateOf(0, 5))
    steps()
    expect([completed, link.counters.late]).toEqual([[transfer], 1])
    one.send(rateOf(1, 6))
    steps()
    expect(answer(next)).toBe(rateOf(2, 6))
  })

  test('a handler that sends from within the answer to a lost command is refused, not sent round', () => {
    const [one] = served()
    const accepted: boolean[] = []
    handler.complete = transfer => {
      completed.push(transfer)
      accepted.push(link.send(0, take(rateGet(5), 0)))
    }
    for (let i = 0; i < 3; i++) ask(0, i)
    one.hangUp()
    steps(2)
    expect([completed.length, accepted]).toEqual([3, [false, false, false]])
  })

  test('a socket that is not there yet, or refuses, is tried until it answers; one line tells of it', () => {
    linked({ retryMostMs: 4 })
    until(() => reactor.clock[1]! > 0)
    for (let i = 0; i < 10; i++) reactor.step(2)
    expect(link.isUp(0)).toBe(false)
    expect(log).toEqual([
      'info firmware channel 0, /one: cannot connect: ENOENT; trying again',
      'info firmware channel 1, /two: cannot connect: ENOENT; trying again',
    ])
    platforms = [new WirePlatform(paths[0] as string)]
    until(() => link.isUp(0))
    expect([reconnected, link.isUp(1)]).toEqual([[], false])
    expect(platforms[0]?.accept()).toBe(true)
  })

  test('attempts become rare: doubling, up to the most', () => {
    linked({ retryMs: 4, retryMostMs: 64, paths: [paths[0] as string] })
    const since = reactor.clock[1]!
    const at: number[] = []
    while (reactor.clock[1]! - since < 250_000) {
      reactor.step(300) // ends when a timer is due
      at.push(Math.round((reactor.clock[1]! - since) / 1000))
    }
    const waits = at.map((ms, i) => ms - (at[i - 1] ?? 0))
    for (const [i, wanted] of [4, 8, 16, 32, 64, 64].entries())
      expect(waits[i]).toBeGreaterThanOrEqual(wanted - 1)
    expect(at.length).toBeLessThanOrEqual(7)
  })

  test('one that breaks again and again before it was of use is told once', () => {
    const [one] = served()
    for (let i = 0; i < 20; i++) {
      one.hangUp()
      until(() => link.connections.losses === i + 1)
      until(() => one.accept())
      steps()
    }
    expect(log).toEqual([
      'warn firmware channel 0, /one: the platform closed the connection',
      'info firmware channel 0, /one: connected again',
    ])
    expect(reconnected).toHaveLength(20)
  })

  test('a platform that does not read: sends are refused when the buffer is full, and the stream stays whole', () => {
    const [one] = served({ timeoutMs: 1, quarantineSeconds: 600 })
    let sent = 0
    let refused = false
    while (!refused) {
      const before = sent
      for (let i = 0; i < 32 && !refused; i++) {
        const transfer = take(rateGet(0), ...Array(30).fill(sent))
        refused = !link.send(0, transfer)
        if (!refused) sent++
      }
      until(() => {
        link.expire(reactor.now)
        return completed.length === sent - before
      })
      for (const each of completed.splice(0)) pool.give(each)
    }
    expect(sent, 'before the tokens are used up').toBeLessThan(1024)
    const frames: string[] = []
    until(() => {
      frames.push(...one.frames())
      return frames.length >= sent
    })
    expect(frames.map(frame => frame.slice(8))).toEqual(
      Array.from({ length: sent }, (_, i) => hex(...Array(30).fill(i))),
    )
    expect(frames.map(tokenOf)).toEqual(Array.from({ length: sent }, (_, i) => i))
    steps()
    ask(0, 5)
  })

  test('1000 reconnections leave no file descriptor behind', () => {
    const [one] = served()
    const fds = () => readdirSync('/proc/self/fd').length
    const before = fds()
    for (let i = 0; i < 1000; i++) {
      ask(0, i & 0x3ff)
      one.hangUp()
      until(() => completed.length === i + 1)
      pool.give(completed[i] as Transfer)
      until(() => one.accept())
      steps()
    }
    expect([fds(), reactor.sourceCount]).toEqual([before, ownSources + 2])
    expect([link.connections.severed, reconnected.length]).toEqual([1000, 1000])
  })

  test('closed, it takes nothing, tells nothing, and does not come back', () => {
    const [one] = served()
    ask(0, 1)
    link.close()
    expect(link.send(0, take(rateGet(1), 0))).toBe(false)
    for (let i = 0; i < 5; i++) reactor.step(2)
    link.expire(reactor.now + 10_000_000)
    expect([completed, log, one.accept(), reactor.sourceCount]).toEqual([[], [], false, ownSources])
  })
})

describe('at start', () => {
  const version = word(0x10, 0)
  const reply = (frame: string | undefined) => hex(version | (tokenOf(frame) << 18), 0, 0x20000)

  test('it is ready when every channel has answered', () => {
    platforms = [new WirePlatform(paths[0] as string)]
    linked({ timeoutMs: 5 })
    const told: unknown[] = []
    link.whenReady(error => told.push(error))
    until(() => platforms[0]?.accept() === true)
    let frame: string | undefined
    until(() => {
      frame = platforms[0]?.frames()[0]
      return frame !== undefined
    })
    expect(frame).toBe(hex(version | (tokenOf(frame) << 18)))
    platforms[0]?.send(reply(frame))
    platforms.push(new WirePlatform(paths[1] as string))
    until(() => platforms[1]?.accept() === true)
    // The first question to the second goes unanswered: it is asked again.
    let asked = 0
    until(() => {
      link.expire(reactor.now)
      asked += platforms[1]?.frames().length ?? 0
      return asked >= 3
    })
    expect(told).toEqual([])
    until(() => {
      link.expire(reactor.now)
      for (const each of platforms[1]?.frames() ?? []) platforms[1]?.send(reply(each))
      return told.length > 0
    })
    expect(told).toEqual([undefined])
    link.whenReady(error => told.push(error))
    expect([told, completed]).toEqual([[undefined, undefined], []])
  })

  test('an error status is an answer too', () => {
    const [one, two] = served()
    const told: unknown[] = []
    link.whenReady(error => told.push(error))
    for (const platform of [one, two]) platform.send(hex(version | (tokenOf(platform.frames()[0]) << 18), -1))
    steps()
    expect(told).toEqual([undefined])
  })

  test.each([
    [0, 'channel 0, /one: cannot connect: ENOENT, nor did 1 other channels'],
    [1, 'channel 1, /two: cannot connect: ENOENT'],
    [2, 'channel 0, /one: connected, but silent, nor did 1 other channels'],
  ])('with %i sockets there it fails in time, and names what did not answer', (count, text) => {
    platforms = paths.slice(0, count).map(path => new WirePlatform(path))
    linked({ connectMs: 40, timeoutMs: 5 })
    const told: unknown[] = []
    const since = reactor.clock[1] as number
    link.whenReady(error => told.push(error))
    until(() => {
      link.expire(reactor.now)
      if (count === 1) {
        platforms[0]?.accept()
        for (const frame of platforms[0]?.frames() ?? []) platforms[0]?.send(reply(frame))
      }
      return told.length > 0
    })
    expect(told[0]).toMatchObject({ code: 'FIRMWARE_SILENT' })
    expect((told[0] as Error).message.replaceAll(folder, '')).toBe(
      `the firmware did not answer within 40 ms on ${text}`,
    )
    expect((reactor.clock[1] as number) - since).toBeGreaterThanOrEqual(40_000) // by the clock that patience goes by
  })
})
