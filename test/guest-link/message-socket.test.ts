import { existsSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fc, test as property } from '@fast-check/vitest'
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { FrameHandler } from '../../src/guest-link/guest-link.ts'
import {
  MessageSocketLink,
  type MessageSocketOptions,
} from '../../src/guest-link/message-socket/message-socket.ts'
import * as libc from '../../src/native/libc.ts'
import { EPOLLOUT, MSG_DONTWAIT, MSG_NOSIGNAL } from '../../src/native/linux.ts'
import { NativeMemory } from '../../src/native/native-memory.ts'
import { Reactor } from '../../src/native/reactor.ts'
import { connectUnix } from '../../src/native/unix-socket.ts'
import { collectionsOf } from '../native/no-garbage.ts'
import { EchoHandler, KeepingHandler } from './handlers.ts'

const folder = mkdtempSync(join(tmpdir(), 'message-socket-'))
const path = join(folder, 'guest.sock')
afterAll(() => rmSync(folder, { recursive: true }))

let reactor: Reactor
let link: MessageSocketLink
let log: string[]
let faults: unknown[]
const open = new Set<number>()
const scratch = NativeMemory.allocate(1 << 20)

function serve(handler: FrameHandler, options: Partial<MessageSocketOptions> = {}): void {
  link = new MessageSocketLink(
    { path, guest: 5, ...options },
    { reactor, handler, log: (level, text) => log.push(`${level} ${text}`) },
  )
}
const steps = (count = 4) => {
  for (let i = 0; i < count; i++) reactor.step(0)
}
function connect(): number {
  const fd = connectUnix(path, 'stream', { nonBlocking: true })
  open.add(fd)
  steps()
  return fd
}
function hangUp(fd: number): void {
  open.delete(fd)
  libc.close(fd)
}
/** Sends hexadecimal bytes: how many were taken. */
function send(fd: number, hex: string): number {
  const bytes = Buffer.from(hex, 'hex')
  scratch.bytes.set(bytes)
  return libc.send(fd, scratch.address, bytes.length, MSG_DONTWAIT | MSG_NOSIGNAL)
}
/** All that waits, in hexadecimal; 'closed' stands for the end of the stream. */
function receive(fd: number): string {
  let hex = ''
  for (;;) {
    const length = libc.recv(fd, scratch.address, scratch.size, MSG_DONTWAIT)
    if (length === 0 || length === -104) return `${hex}closed`
    if (length < 0) return hex
    hex += Buffer.from(scratch.bytes.subarray(0, length)).toString('hex')
  }
}
function ask(fd: number, hex: string): string {
  send(fd, hex)
  steps()
  return receive(fd)
}
const word = (value: number) => Buffer.from(new Uint32Array([value]).buffer).toString('hex')
/** A frame as the document gives it. */
const frame = (header: number, payload = '') => word(4 + payload.length / 2) + word(header) + payload

beforeEach(() => {
  log = []
  faults = []
  reactor = new Reactor((_source, error) => faults.push(error))
})
afterEach(() => {
  for (const fd of open) libc.close(fd)
  open.clear()
  link.close()
  link.close()
  reactor.close()
  expect(existsSync(path)).toBe(false)
})

describe('frames', () => {
  test('are answered under their headers, in the same framing', () => {
    const handler = new EchoHandler()
    serve(handler)
    expect(statSync(path).mode & 0o777).toBe(0o600)
    const fd = connect()
    expect(handler.restarts).toBe(1)
    expect(ask(fd, '08000000' + '01501400' + '01020304')).toBe(
      '0c000000' + '01501400' + '00000000' + '01020304',
    )
    expect(ask(fd, '04000000' + '01501400')).toBe('08000000' + '01501400' + '00000000')
  })

  test('may come byte by byte, with odd lengths, and several at once', () => {
    serve(new EchoHandler())
    const fd = connect()
    const stream = frame(0x40, 'aa') + frame(0x41, 'bbbbbb') + frame(0x42) + frame(0x43, '0102030405060708')
    const answers =
      frame(0x40, '00000000aa') +
      frame(0x41, '00000000bbbbbb') +
      frame(0x42, '00000000') +
      frame(0x43, '000000000102030405060708')
    let received = ''
    for (let i = 0; i < stream.length; i += 2) received += ask(fd, stream.slice(i, i + 2))
    expect(received).toBe(answers)
    expect(ask(fd, stream)).toBe(answers)
  })

  test('up to 32 are in flight, the next are BUSY under their own headers, and answers may come in any order', () => {
    const handler = new KeepingHandler()
    serve(handler)
    const fd = connect()
    const frames = Array.from({ length: 34 }, (_, i) => frame(0x100 + i, '99'))
    expect(ask(fd, frames.join(''))).toBe(frame(0x120, 'faffffff') + frame(0x121, 'faffffff'))
    expect(handler.kept.length).toBe(32)
    handler.kept.reverse()
    handler.answer(-3)
    expect(receive(fd)).toBe(frame(0x11f, 'fdffffff'))
    expect(ask(fd, frame(0x122))).toBe('')
    while (handler.kept.length > 0) handler.answer(0)
    expect(receive(fd).length / 2).toBe(32 * 12)
    expect(link.counters).toMatchObject({ commands: 33, responses: 33, busy: 2 })
  })

  test('carry slot, header, length and arrival in the transfer', () => {
    const handler = new KeepingHandler()
    serve(handler)
    const fd = connect()
    ask(fd, frame(0xf0005001, '0102'))
    expect(handler.kept[0]?.transfer).toMatchObject({ guest: 5, header: 0xf0005001, length: 6 })
    expect(handler.frames).toEqual(['015000f00102'])
  })
})

describe('lengths', () => {
  test.each([
    [128, 'as long as may be', frame(0x40, `00000000${'cc'.repeat(120)}`)],
    [129, 'a byte more', frame(0x40, 'f6ffffff')],
    [1000, 'more', frame(0x40, 'f6ffffff')],
    [65536, 'as much as is still drained', frame(0x40, 'f6ffffff')],
  ])('%i bytes, %s', (length, _what, answer) => {
    serve(new EchoHandler())
    const fd = connect()
    send(fd, word(length) + word(0x40))
    const payload = 'cc'.repeat(length - 4)
    let received = ''
    for (let i = 0; i < payload.length; i += 20_000) received += ask(fd, payload.slice(i, i + 20_000))
    expect(received).toBe(answer)
    expect(ask(fd, frame(0x41))).toBe(frame(0x41, '00000000'))
  })

  test.each([
    ['00000000', '00000000', 'nothing'],
    ['0100000007', '07000000', 'a byte'],
    ['03000000075000', '07500000', 'all but a byte of a header'],
  ])('%s is answered PROTOCOL_ERROR under what there is of a header: %s', (bytes, header) => {
    const handler = new KeepingHandler()
    serve(handler)
    const fd = connect()
    let received = ''
    for (let i = 0; i < bytes.length; i += 2) received += ask(fd, bytes.slice(i, i + 2))
    expect(received).toBe(`08000000${header}f6ffffff`)
    expect(handler.frames).toEqual([])
    ask(fd, frame(0x41))
    expect(handler.frames.length).toBe(1)
  })

  test.each([
    ['01000100' + '40000000', 'more than is drained'],
    ['ffffff7f' + '40000000', 'the largest signed number'],
    ['00000080' + '40000000', 'the most negative one'],
    ['ffffffff' + '40000000', 'minus one'],
  ])('%s closes the connection: %s', prefix => {
    const handler = new KeepingHandler()
    serve(handler)
    const fd = connect()
    expect(ask(fd, prefix)).toBe('closed')
    expect(log.at(-1)).toMatch(/warn .*length/)
    expect(handler.frames).toEqual([])
    expect(link.occupied).toBe(false)
    const again = connect()
    ask(again, frame(0x40))
    expect(handler.frames.length).toBe(1)
  })
})

describe('connections', () => {
  test('a second one is refused while the first lives, and accepted after', () => {
    serve(new EchoHandler())
    const first = connect()
    const second = connect()
    expect(receive(second)).toBe('closed')
    expect(ask(first, frame(0x40))).toBe(frame(0x40, '00000000'))
    hangUp(first)
    expect(ask(connect(), frame(0x41))).toBe(frame(0x41, '00000000'))
    expect(link.counters).toMatchObject({ connections: 2, refusedConnections: 1 })
  })

  test('commands of a peer that has hung up are handled still, and the next peer waits for that', () => {
    const handler = new KeepingHandler()
    serve(handler)
    const fd = connect()
    send(fd, Array.from({ length: 100 }, (_, i) => frame(i, 'ab'.repeat(100))).join(''))
    hangUp(fd)
    const next = connect()
    steps(40)
    expect(handler.frames.length).toBe(32)
    expect(link.counters).toMatchObject({ connections: 2, refusedConnections: 0 })
    for (let i = 0; i < 32; i++) handler.answer(0)
    expect(receive(next)).toBe('')
    expect(link.counters.late).toBe(32)
  })

  test('a peer that only stops sending still gets what it is owed, then the end', () => {
    const handler = new KeepingHandler()
    serve(handler)
    const fd = connect()
    send(fd, frame(0x40) + frame(0x41) + '0800')
    libc.shutdown(fd, 1)
    steps()
    expect(receive(fd)).toBe('')
    handler.answer(0)
    handler.answer(-1)
    expect(receive(fd)).toBe(`${frame(0x40, '00000000')}${frame(0x41, 'ffffffff')}closed`)
  })

  test('a peer that goes within a frame leaves no transfer behind', () => {
    const handler = new KeepingHandler()
    serve(handler)
    for (let i = 0; i < 40; i++) {
      const fd = connect()
      ask(fd, word(100) + word(0x40) + 'cc'.repeat(50))
      hangUp(fd)
      steps()
    }
    const fd = connect()
    expect(ask(fd, Array.from({ length: 32 }, () => frame(0x40)).join(''))).toBe('')
    expect(handler.kept.length).toBe(32)
  })

  test('an answer for a peer that has gone does not reach the next one', () => {
    const handler = new KeepingHandler()
    serve(handler)
    const first = connect()
    ask(first, frame(0x40))
    hangUp(first)
    steps()
    const second = connect()
    ask(second, frame(0x41))
    handler.answer(-9)
    handler.answer(0)
    expect(receive(second)).toBe(frame(0x41, '00000000'))
    expect(link.counters.late).toBe(1)
  })

  test('after close answers and deliveries are harmless', () => {
    const handler = new KeepingHandler()
    serve(handler)
    const fd = connect()
    ask(fd, frame(0x40))
    link.close()
    expect(receive(fd)).toBe('closed')
    handler.answer(0)
    expect(link.deliver(new Uint8Array(8), 8)).toBe(false)
  })

  test('a thousand of them leave no descriptor behind', () => {
    serve(new EchoHandler())
    const cycle = () => {
      const fd = connect()
      expect(ask(fd, frame(0x40))).toBe(frame(0x40, '00000000'))
      hangUp(fd)
      steps(2)
    }
    cycle()
    const before = readdirSync('/proc/self/fd').length
    for (let i = 0; i < 1000; i++) cycle()
    expect(readdirSync('/proc/self/fd').length).toBe(before)
    expect(log.length).toBeLessThan(50)
  })
})

describe('delayed responses and notifications', () => {
  const notification = Buffer.from('00' + '4c0000' + '0100000005', 'hex')
  test('come on the same stream, in the same framing', () => {
    serve(new EchoHandler())
    expect(link.deliver(notification, 8)).toBe(false)
    const fd = connect()
    expect(link.deliver(notification, 8)).toBe(true)
    expect(link.deliver(notification, 7)).toBe(true)
    expect(receive(fd)).toBe('08000000' + '004c000001000000' + '07000000' + '004c0000010000')
    expect(link.deliver(new Uint8Array(129), 129)).toBe(false)
  })

  test('are refused when the peer does not read, while every answer stays', () => {
    const handler = new KeepingHandler()
    serve(handler)
    const fd = connect()
    ask(fd, Array.from({ length: 32 }, (_, i) => frame(i)).join(''))
    let delivered = 0
    const full = new Uint8Array(128).fill(0xab)
    while (link.deliver(full, 128)) delivered++
    expect(delivered).toBeGreaterThan(100)
    expect(delivered).toBeLessThan(100_000)
    while (handler.kept.length > 0) {
      const oldest = handler.kept.shift()
      if (oldest === undefined) break
      oldest.transfer.bytes.fill(0xcd, 4, 128)
      oldest.transfer.length = 128
      link.complete(oldest.transfer)
    }
    let received = ''
    for (let i = 0; i < 50; i++) {
      received += receive(fd)
      steps()
    }
    const frames = received.match(/.{264}/g) ?? []
    expect(frames.filter(one => one === word(128) + 'ab'.repeat(128)).length).toBe(delivered)
    expect(frames.filter(one => one.endsWith('cd'.repeat(124))).length).toBe(32)
    expect(link.counters.undelivered).toBe(1)
    expect(link.deliver(full, 128)).toBe(true)
  })
})

test('a peer that floods and does not read loses nothing: its commands wait', () => {
  serve(new EchoHandler())
  const fd = connect()
  const chunk = Array.from({ length: 50 }, (_, i) => frame(i, 'ee'.repeat(60))).join('')
  const size = chunk.length / 2
  let sent = 0
  let part = chunk
  for (let quiet = 0; quiet < 5; quiet++) {
    for (let taken = send(fd, part); taken > 0; taken = send(fd, part)) {
      sent += taken
      quiet = 0
      const at = (sent % size) * 2
      part = at === 0 ? chunk : chunk.slice(at)
    }
    steps(20)
  }
  expect(sent).toBeGreaterThan(100_000)
  const whole = Math.floor(sent / size) * 50
  let received = ''
  for (let i = 0; i < 200; i++) {
    received += receive(fd)
    steps(20)
  }
  const answers = received.match(/.{144}/g) ?? []
  expect(answers.length).toBeGreaterThanOrEqual(whole)
  answers.forEach((answer, i) => {
    if (answer !== frame(i % 50, `00000000${'ee'.repeat(60)}`)) throw new Error(`answer ${i} is ${answer}`)
  })
})

test('a peer that floods does not keep others from their turn', () => {
  const echo = new EchoHandler()
  serve(echo)
  const flooder = connect()
  const frames = Array.from({ length: 1000 }, () => frame(0x40)).join('')
  const other = libc.eventfd()
  let turns = 0
  reactor.add(other, EPOLLOUT, { ready: () => turns++ })
  send(flooder, frames)
  const before = link.counters.commands
  steps(5)
  expect(turns).toBe(5)
  expect(link.counters.commands - before).toBeLessThanOrEqual(5 * 64)
  reactor.remove(other)
  libc.close(other)
})

test('a handler that throws costs GENERIC_ERROR, and the frames behind it are served', () => {
  const echo = new EchoHandler()
  let calls = 0
  serve({
    handle: (transfer, to) => {
      if (calls++ === 1) throw new Error('a bug of ours')
      echo.handle(transfer, to)
    },
  })
  const fd = connect()
  expect(ask(fd, frame(0x40) + frame(0x41) + frame(0x42))).toBe(
    frame(0x40, '00000000') + frame(0x41, 'f8ffffff') + frame(0x42, '00000000'),
  )
  expect(faults).toEqual([new Error('a bug of ours')])
})

test('an answer beyond the maximum becomes COMMS_ERROR', () => {
  serve({
    handle: (transfer, to) => {
      transfer.length = 129
      to.complete(transfer)
    },
  })
  expect(ask(connect(), frame(0x40))).toBe(frame(0x40, 'f9ffffff'))
})

property.prop(
  [
    fc.array(
      fc.oneof(
        fc.record({ header: fc.nat(), payload: fc.uint8Array({ maxLength: 124 }) }),
        fc.record({ header: fc.nat(), payload: fc.uint8Array({ minLength: 125, maxLength: 400 }) }),
      ),
      { minLength: 1, maxLength: 30 },
    ),
    fc.array(fc.integer({ min: 1, max: 300 }), { minLength: 1, maxLength: 20 }),
  ],
  { seed: 3, numRuns: 150 },
)('however a stream is cut, each frame has one answer', (frames, cuts) => {
  serve({
    handle: (transfer, to) => {
      transfer.answer(transfer.length)
      to.complete(transfer)
    },
  })
  const fd = connect()
  const stream = frames
    .map(({ header, payload }) => frame(header, Buffer.from(payload).toString('hex')))
    .join('')
  let received = ''
  for (let at = 0, i = 0; at < stream.length; i++) {
    const size = 2 * (cuts[i % cuts.length] ?? 1)
    received += ask(fd, stream.slice(at, at + size))
    at += size
  }
  const expected = frames.map(({ header, payload }) =>
    frame(header, payload.length > 124 ? 'f6ffffff' : word(4 + payload.length)),
  )
  expect(received).toBe(expected.join(''))
  hangUp(fd)
  link.close()
})

test('three hundred thousand frames over the socket collect no garbage', async () => {
  serve({
    handle: (transfer, to) => {
      transfer.answer(0)
      to.complete(transfer)
    },
  })
  const fd = connect()
  const out = NativeMemory.allocate(4096)
  out.bytes.set(
    Buffer.from(Array.from({ length: 10 }, () => frame(0x00345678, '0102030405')).join(''), 'hex'),
  )
  let bytes = 0
  const work = (times: number) => {
    for (let i = 0; i < times; i++) {
      libc.send(fd, out.address, 10 * 13, 0)
      reactor.step(0)
      bytes += libc.recv(fd, out.address + 2048, 2048, 0)
    }
  }
  expect(await collectionsOf(work, 3e4)).toBe(0)
  expect(bytes).toBe(120 * 3.3e4)
})
