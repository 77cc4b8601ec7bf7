import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fc, test as property } from '@fast-check/vitest'
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { FrameHandler } from '../../src/guest-link/guest-link.ts'
import { TrapSocketLink, type TrapSocketOptions } from '../../src/guest-link/trap-socket/trap-socket.ts'
import * as libc from '../../src/native/libc.ts'
import { F_SEAL_GROW } from '../../src/native/linux.ts'
import { Reactor } from '../../src/native/reactor.ts'
import { collectionsOf } from '../native/no-garbage.ts'
import { EchoHandler, KeepingHandler } from './handlers.ts'
import { Hypervisor, notSupported, returnedDone, sharedMemory, smcId } from './hypervisor.ts'

const folder = mkdtempSync(join(tmpdir(), 'trap-socket-'))
const path = join(folder, 'guest.sock')
afterAll(() => rmSync(folder, { recursive: true }))

let reactor: Reactor
let link: TrapSocketLink
let log: string[]
let faults: unknown[]
let guests: Hypervisor[]
const step = () => {
  reactor.step(0)
}
function serve(handler: FrameHandler, options: Partial<TrapSocketOptions> = {}): void {
  link = new TrapSocketLink(
    { path, smcId, guest: 3, ...options },
    { reactor, handler, log: (level, text) => log.push(`${level} ${text}`) },
  )
}
function connect(a2pBytes = 128, p2aBytes = 128): Hypervisor {
  const guest = Hypervisor.join(path, step, a2pBytes, p2aBytes)
  guests.push(guest)
  return guest
}
beforeEach(() => {
  log = []
  faults = []
  guests = []
  reactor = new Reactor((_source, error) => faults.push(error))
})
afterEach(() => {
  for (const guest of guests) guest.close()
  link.close()
  link.close()
  reactor.close()
  expect(existsSync(path)).toBe(false)
})

describe('a guest that behaves', () => {
  test('finds its channel free, has each message answered in its page, and the call returned', () => {
    const handler = new EchoHandler()
    serve(handler)
    expect(statSync(path).mode & 0o777).toBe(0o600)
    const guest = connect()
    expect(guest.status).toBe(1)
    expect(guest.memory.view.getUint32(128 + 4, true)).toBe(1)
    expect(handler.restarts).toBe(1)
    expect(guest.send(0x00145001, [1, 2, 3, 4])).toBe(returnedDone)
    expect(guest.status).toBe(1)
    expect(guest.answer).toBe('01501400' + '00000000' + '01020304')
    expect(guest.send(0x00145001, [])).toBe(returnedDone)
    expect(guest.answer).toBe('01501400' + '00000000')
    expect(link.counters).toMatchObject({ connections: 1, commands: 2, responses: 2, busy: 0 })
  })

  test('has its slot, header, length and arrival in the transfer', () => {
    const handler = new KeepingHandler()
    serve(handler)
    const guest = connect()
    guest.send(0x00145001, [1, 2, 3, 4, 5])
    const { transfer } = handler.kept[0] ?? {}
    expect(transfer).toMatchObject({ guest: 3, header: 0x00145001, length: 9, arrivedAt: reactor.now })
    expect(handler.frames).toEqual(['015014000102030405'])
  })

  test('may wait for an answer that comes later, and every vCPU gets its own', () => {
    const handler = new KeepingHandler()
    serve(handler)
    const guest = connect()
    guest.write(0x40)
    guest.call([smcId], 7)
    step()
    expect(guest.next()).toBe('')
    expect(guest.status).toBe(0)
    handler.answer(-3)
    expect(guest.returned(7)).toBe(returnedDone)
    expect(guest.answer).toBe('40000000' + 'fdffffff')
  })

  test('may post its first message before the daemon has looked at HELLO', () => {
    serve(new EchoHandler())
    const guest = new Hypervisor(path, step)
    guests.push(guest)
    guest.hello([0x494d4353, 1, 128, 128], [guest.memory.fd])
    guest.write(0x40, [9])
    guest.call()
    for (let i = 0; i < 4; i++) step()
    expect(guest.returned()).toBe(returnedDone)
    expect(guest.answer).toBe('40000000' + '00000000' + '09')
  })

  test('is known again after it went and came back', () => {
    const handler = new EchoHandler()
    serve(handler)
    for (let i = 0; i < 3; i++) {
      const guest = Hypervisor.join(path, step)
      expect(guest.status).toBe(1)
      expect(guest.send(0x40, [i])).toBe(returnedDone)
      guest.close()
    }
    expect(handler.restarts).toBe(3)
  })

  test.each([
    [32, 8, 'the smallest area'],
    [128, 104, 'the customary area'],
    [65536, 128, 'a large area under the limit of the link'],
  ])('an A2P area of %i bytes carries messages of %i: %s', (bytes, limit) => {
    serve(new EchoHandler())
    connect(bytes, 0)
    expect(link.maxMessageBytes).toBe(limit)
    expect(link.hasP2A).toBe(false)
  })

  test('upper halves of x0 and other registers do not matter in the plain form', () => {
    serve(new EchoHandler())
    const guest = connect()
    guest.write(0x40)
    guest.call([smcId + 2 ** 32 * 5, 77, 78, 79])
    step()
    expect(guest.returned()).toBe(returnedDone)
  })
})

describe('arm,scmi-smc-param', () => {
  const shmemAddress = 0x8_7654_3210
  test.each([
    [0x876543, 0x210, returnedDone, 'page and offset of the area'],
    [0x876543, 0x214, notSupported, 'another offset'],
    [0x876542, 0x210, notSupported, 'another page'],
    [0x876543 + 2 ** 32, 0x210, notSupported, 'a page that differs above 32 bits'],
    [0x876543, 0x210 + 2 ** 32, notSupported, 'an offset that differs above 32 bits'],
    [0, 0, notSupported, 'the plain form'],
  ])('x1 %i, x2 %i gives %s: %s', (x1, x2, x0) => {
    serve(new EchoHandler(), { shmemAddress })
    const guest = connect()
    guest.write(0x40)
    guest.call([smcId, x1, x2])
    step()
    expect(guest.returned()).toBe(x0)
    expect(guest.status).toBe(x0 === notSupported ? 0 : 1)
  })
})

describe('calls that are not to be', () => {
  test.each([
    [0x82000011, 'the next function id'],
    [0x02000010, 'a yielding call'],
    [0xc2000010, 'the 64-bit form'],
    [0x84000000, 'PSCI_VERSION'],
    [0, 'nothing'],
  ])('function id %i is not supported, the page untouched: %s', id => {
    serve(new EchoHandler())
    const guest = connect()
    guest.write(0x40, [1, 2, 3])
    const before = Buffer.from(guest.memory.view.buffer).toString('hex')
    guest.call([id], 2)
    step()
    expect(guest.returned(2)).toBe(notSupported)
    expect(Buffer.from(guest.memory.view.buffer).toString('hex')).toBe(before)
    expect(link.counters.unknownCalls).toBe(1)
  })

  test('a doorbell while a message is in flight leaves the page untouched', () => {
    const handler = new KeepingHandler()
    serve(handler)
    const guest = connect()
    guest.write(0x40, [1])
    guest.call([smcId], 1)
    step()
    guest.write(0x41, [2, 3, 4])
    const before = Buffer.from(guest.memory.view.buffer).toString('hex')
    guest.call([smcId], 2)
    step()
    expect(guest.returned(2)).toBe(notSupported)
    expect(Buffer.from(guest.memory.view.buffer).toString('hex')).toBe(before)
    handler.answer(0)
    expect(guest.returned(1)).toBe(returnedDone)
    expect(guest.answer).toBe('40000000' + '00000000')
    expect(handler.frames).toEqual(['4000000001'])
  })

  test('a doorbell without a message changes the status word alone', () => {
    const handler = new KeepingHandler()
    serve(handler)
    const guest = connect()
    guest.write(0x40, [1, 2, 3, 4])
    guest.memory.view.setUint32(4, 1, true)
    const before = Buffer.from(guest.memory.view.buffer, 8).toString('hex')
    guest.call()
    step()
    expect(guest.returned()).toBe(returnedDone)
    expect(guest.status).toBe(3)
    expect(Buffer.from(guest.memory.view.buffer, 8).toString('hex')).toBe(before)
    expect(handler.frames).toEqual([])
  })

  test.each([0, 3, 105, 128, 0x7fffffff, 0xffffffff])('length %i is answered PROTOCOL_ERROR', length => {
    const handler = new KeepingHandler()
    serve(handler)
    const guest = connect()
    expect(guest.send(0x00345678, [], length)).toBe(returnedDone)
    expect(guest.status).toBe(3)
    expect(guest.answer).toBe('78563400' + 'f6ffffff')
    expect(handler.frames).toEqual([])
    expect(guest.send(0x40, [7])).not.toBe(notSupported)
    expect(handler.frames).toEqual(['4000000007'])
  })

  test('what is rewritten after the doorbell changes nothing', () => {
    const handler = new KeepingHandler()
    serve(handler)
    const guest = connect()
    guest.write(0x40, [1, 2, 3, 4])
    guest.call()
    step()
    guest.write(
      0xffffffff,
      Array.from({ length: 100 }, () => 0xee),
      0xffffffff,
    )
    expect(Buffer.from(handler.kept[0]?.transfer.bytes.subarray(0, 8) ?? []).toString('hex')).toBe(
      '4000000001020304',
    )
    handler.answer(0)
    expect(guest.answer).toBe('40000000' + '00000000')
    expect(guest.status).toBe(1)
  })

  test.each<[string, number[]]>([
    ['of another type', [2, ...Array.from({ length: 17 }, () => 0)]],
    ['that is short', [1, 0, smcId]],
    ['that is long', [1, ...Array.from({ length: 20 }, () => 0)]],
  ])('a packet %s ends the connection', (_what, words) => {
    serve(new EchoHandler())
    const guest = connect()
    guest.packet(words)
    step()
    expect(guest.next()).toBe('closed')
    expect(log.at(-1)).toMatch(/warn .*refused: a packet of type/)
    expect(Hypervisor.join(path, step).status).toBe(1)
  })
})

describe('HELLO', () => {
  const good = [0x494d4353, 1, 128, 128]
  test.each<[string, number[], RegExp]>([
    ['another magic', [0x53434d49, 1, 128, 128], /magic 0x53434d49, not 0x494d4353/],
    ['another version', [0x494d4353, 2, 128, 128], /version 2, not 1/],
    ['an A2P area too small for a response', [0x494d4353, 1, 28, 128], /A2P area of 28 bytes/],
    ['an A2P area too large', [0x494d4353, 1, 65540, 0], /A2P area of 65540 bytes/],
    ['an odd A2P area', [0x494d4353, 1, 130, 0], /A2P area of 130 bytes/],
    ['no A2P area', [0x494d4353, 1, 0, 128], /A2P area of 0 bytes/],
    ['an enormous A2P area', [0x494d4353, 1, 0xfffffffc, 0], /A2P area of 4294967292 bytes/],
    ['a P2A area too small', [0x494d4353, 1, 128, 4], /P2A area of 4 bytes/],
    ['a P2A area too large', [0x494d4353, 1, 128, 0x80000000], /P2A area of 2147483648 bytes/],
    ['more words', [...good, 0], /HELLO of 20 bytes/],
    ['fewer words', good.slice(0, 3), /HELLO of 12 bytes/],
    ['areas larger than the memory', [0x494d4353, 1, 128, 132], /holds 256 bytes, not 260/],
  ])('with %s is refused', (_what, words, reason) => {
    serve(new EchoHandler())
    const guest = new Hypervisor(path, step)
    guests.push(guest)
    const before = readdirSync('/proc/self/fd').length
    guest.hello(words, [guest.memory.fd])
    step()
    step()
    expect(guest.next()).toBe('closed')
    expect(log.at(-1)).toMatch(reason)
    expect(readdirSync('/proc/self/fd').length).toBe(before)
    expect(guest.status).toBe(0)
  })

  test.each<[string, () => number[], RegExp]>([
    ['no descriptor', () => [], /0 file descriptors/],
    ['two memfds', () => [sharedMemory(256).fd, sharedMemory(256).fd], /2 file descriptors/],
    [
      'ten descriptors',
      () => Array.from({ length: 10 }, () => sharedMemory(256).fd),
      /more than 4 file descriptors/,
    ],
    ['unsealed memory', () => [sharedMemory(256, 0).fd], /not sealed with F_SEAL_SHRINK/],
    ['memory sealed against growth alone', () => [sharedMemory(256, F_SEAL_GROW).fd], /not sealed/],
    ['memory a word too short', () => [sharedMemory(252).fd], /holds 252 bytes, not 256/],
    ['empty memory', () => [sharedMemory(0).fd], /holds 0 bytes/],
    ['an eventfd', () => [libc.eventfd()], /not sealed/],
    ['a directory', () => [libc.epollCreate()], /not sealed/],
  ])('with %s is refused, and leaks nothing', (_what, make, reason) => {
    serve(new EchoHandler())
    const guest = new Hypervisor(path, step)
    guests.push(guest)
    const fds = make()
    const before = readdirSync('/proc/self/fd').length
    guest.hello(good, fds)
    step()
    step()
    expect(guest.next()).toBe('closed')
    expect(log.at(-1)).toMatch(reason)
    for (const fd of fds) libc.close(fd)
    expect(readdirSync('/proc/self/fd').length).toBe(before - fds.length)
    expect(connect().send(0x40)).toBe(returnedDone)
  })

  test('that does not come within five seconds is not waited for', () => {
    serve(new EchoHandler())
    const silent = new Hypervisor(path, step)
    guests.push(silent)
    step()
    expect(link.occupied).toBe(true)
    const began = Date.now()
    while (link.occupied && Date.now() - began < 10_000) reactor.step(-1)
    expect(Date.now() - began).toBeGreaterThan(4500)
    expect(silent.next()).toBe('closed')
    expect(log.at(-1)).toMatch(/no HELLO came/)
  })

  test('descriptors that come with a CALL are dropped', () => {
    serve(new EchoHandler())
    const guest = connect()
    guest.write(0x40)
    const fds = [sharedMemory(4096).fd, sharedMemory(4096).fd]
    const before = readdirSync('/proc/self/fd').length
    guest.hello([1, 0, smcId, ...Array.from({ length: 15 }, () => 0)], fds)
    step()
    expect(guest.returned()).toBe(returnedDone)
    expect(readdirSync('/proc/self/fd').length).toBe(before)
    for (const fd of fds) libc.close(fd)
  })
})

describe('connections', () => {
  test('a second one is refused while the first lives, and accepted after', () => {
    serve(new EchoHandler())
    const first = connect()
    const second = new Hypervisor(path, step)
    guests.push(second)
    for (let i = 0; i < 3; i++) step()
    expect(second.next()).toBe('closed')
    expect(link.counters.refusedConnections).toBe(1)
    expect(first.send(0x40, [1])).toBe(returnedDone)
    first.close()
    guests.splice(guests.indexOf(first), 1)
    expect(connect().send(0x40, [2])).toBe(returnedDone)
  })

  test('one that follows at once on a hang-up is not refused', () => {
    serve(new EchoHandler())
    for (let i = 0; i < 50; i++) {
      const guest = Hypervisor.join(path, step)
      expect(guest.send(0x40)).toBe(returnedDone)
      guest.close()
    }
    expect(link.counters.refusedConnections).toBe(0)
  })

  test('an answer for a guest that has gone reaches nobody, and the next guest is not confused', () => {
    const handler = new KeepingHandler()
    serve(handler)
    const first = Hypervisor.join(path, step)
    first.send(0x40, [1])
    const { memory } = first
    first.close()
    step()
    const second = connect()
    second.write(0x41, [2])
    second.call()
    step()
    handler.answer(-9)
    expect(second.next()).toBe('')
    expect(second.status).toBe(0)
    handler.answer(0)
    expect(second.returned()).toBe(returnedDone)
    expect(second.answer).toBe('41000000' + '00000000')
    expect(link.counters.late).toBe(1)
    expect(memory.fd).toBeGreaterThan(0)
  })

  test('a message in flight when the connection breaks leaves its channel free, with the error bit', () => {
    serve(new KeepingHandler())
    const guest = Hypervisor.join(path, step)
    guest.send(0x40)
    libc.close(guest.fd)
    step()
    expect(guest.status).toBe(3)
    guest.close()
  })

  test('guests that leave their commands at the firmware find BUSY, then service again', () => {
    const handler = new KeepingHandler()
    serve(handler)
    for (let i = 0; i < 4; i++) {
      const guest = Hypervisor.join(path, step)
      guest.send(0x40)
      guest.close()
      step()
    }
    const guest = connect()
    expect(guest.send(0x00345678, [1, 2, 3, 4])).toBe(returnedDone)
    expect(guest.status).toBe(1)
    expect(guest.answer).toBe('78563400' + 'faffffff')
    handler.answer(0)
    guest.send(0x41)
    expect(handler.frames.at(-1)).toBe('41000000')
  })

  test('after close a late answer and a delivery are harmless', () => {
    const handler = new KeepingHandler()
    serve(handler)
    const guest = connect()
    guest.send(0x40)
    link.close()
    expect(guest.next()).toBe('closed')
    handler.answer(0)
    expect(link.deliver(new Uint8Array(8), 8)).toBe(false)
    expect(link.counters.late).toBe(1)
  })

  test('a thousand of them leave neither descriptors nor mappings', () => {
    serve(new EchoHandler())
    const cycle = () => {
      const guest = Hypervisor.join(path, step)
      expect(guest.send(0x40)).toBe(returnedDone)
      guest.close()
      step()
    }
    const count = () => [
      readdirSync('/proc/self/fd').length,
      readFileSync('/proc/self/maps', 'latin1').split('\n').length,
    ]
    for (let i = 0; i < 50; i++) cycle()
    const [fds = 0, maps = 0] = count()
    for (let i = 0; i < 1000; i++) cycle()
    const [fdsAfter, mapsAfter = 0] = count()
    expect(fdsAfter).toBe(fds)
    expect(mapsAfter).toBeLessThan(maps + 20)
    expect(log.length).toBeLessThan(50)
  })
})

describe('P2A', () => {
  const notification = Uint8Array.from([0x00, 0x4c, 0, 0, 1, 0, 0, 0, 5])
  test('a frame is written into its area and rung for, once the guest has emptied it', () => {
    serve(new EchoHandler())
    const guest = connect()
    expect(link.hasP2A).toBe(true)
    expect(link.deliver(notification, 9)).toBe(true)
    expect(guest.next()).toBe('00000003 00000001')
    const area = Buffer.from(guest.memory.view.buffer, 128, 40).toString('hex')
    expect(area).toBe(
      '00000000' +
        '00000000' +
        '0000000000000000' +
        '00000000' +
        '09000000' +
        '004c0000' +
        '01000000' +
        '0500000000000000',
    )
    expect(link.deliver(notification, 9)).toBe(false)
    expect(guest.next()).toBe('')
    guest.memory.view.setUint32(128 + 4, 1, true)
    expect(link.deliver(notification, 9)).toBe(true)
    expect(link.counters).toMatchObject({ delivered: 2, undelivered: 1 })
  })

  test('without an area, or for a frame that does not fit, nothing is delivered', () => {
    serve(new EchoHandler())
    expect(link.deliver(notification, 9)).toBe(false)
    const guest = connect(128, 32)
    expect(link.deliver(notification, 9)).toBe(false)
    expect(link.deliver(notification, 8)).toBe(true)
    guest.close()
    guests.pop()
    step()
    connect(128, 0)
    expect(link.deliver(notification, 8)).toBe(false)
  })
})

describe('a peer that does not read', () => {
  test('loses nothing: while its RETURNs wait, its CALLs do', () => {
    const handler = new KeepingHandler()
    serve(handler)
    const guest = connect()
    guest.send(0x40)
    let called = 0
    for (let quiet = 0; quiet < 3; ) {
      quiet++
      while (guest.call([smcId], 1000 + called) > 0) {
        called++
        quiet = 0
      }
      for (let i = 0; i < 500; i++) step()
    }
    expect(called).toBeGreaterThan(100)
    handler.answer(0)
    expect(link.deliver(new Uint8Array(8), 8)).toBe(true)
    expect(link.deliver(new Uint8Array(8), 8)).toBe(false)
    const returned: number[] = []
    let bells = 0
    for (let idle = 0; idle < 5; idle++) {
      for (let packet = guest.next(); packet !== ''; packet = guest.next()) {
        const words = packet.split(' ')
        if (words[0] === '00000003') bells++
        else returned.push(Number.parseInt(words[1] ?? '', 16))
        idle = 0
      }
      for (let i = 0; i < 500; i++) step()
    }
    expect(bells).toBe(1)
    expect(returned.filter(vcpu => vcpu === 0)).toEqual([0])
    expect(returned.filter(vcpu => vcpu >= 1000)).toEqual(Array.from({ length: called }, (_, i) => 1000 + i))
  })
})

test('a handler that throws costs GENERIC_ERROR, and the next message is served', () => {
  let calls = 0
  const echo = new EchoHandler()
  serve({
    handle: (transfer, to) => {
      if (calls++ === 0) throw new Error('a bug of ours')
      echo.handle(transfer, to)
    },
  })
  const guest = connect()
  expect(guest.send(0x40, [1])).toBe(returnedDone)
  expect(guest.answer).toBe('40000000' + 'f8ffffff')
  expect(faults).toEqual([new Error('a bug of ours')])
  expect(guest.send(0x41, [2])).toBe(returnedDone)
  expect(guest.answer).toBe('41000000' + '00000000' + '02')
})

test('an answer longer than the area becomes COMMS_ERROR', () => {
  serve({
    handle: (transfer, to) => {
      transfer.length = 105
      to.complete(transfer)
    },
  })
  const guest = connect()
  expect(guest.send(0x40)).toBe(returnedDone)
  expect(guest.answer).toBe('40000000' + 'f9ffffff')
  expect(guest.status).toBe(1)
})

test('a guest that errs without end costs a few lines of log', () => {
  serve(new EchoHandler())
  for (let i = 0; i < 200; i++) {
    const guest = new Hypervisor(path, step)
    guest.hello([0, 0, 0, 0], [guest.memory.fd])
    step()
    step()
    guest.close()
  }
  expect(link.counters.connections).toBe(200)
  expect(log.length).toBeLessThan(12)
})

property.prop(
  [
    fc.array(
      fc.record({
        status: fc.oneof(fc.constantFrom(0, 1, 2, 3), fc.nat()),
        length: fc.oneof(fc.nat(110), fc.integer()),
        header: fc.nat(),
        id: fc.constantFrom(smcId, smcId, smcId, 0x82000011),
        rewrite: fc.boolean(),
        answer: fc.boolean(),
      }),
      { maxLength: 30 },
    ),
  ],
  { seed: 2, numRuns: 150 },
)('whatever a guest writes and rings, each call returns once, and frames are within bounds', script => {
  const handler = new KeepingHandler()
  serve(handler)
  const guest = Hypervisor.join(path, step)
  let calls = 0
  let returns = 0
  const drain = () => {
    for (let packet = guest.next(); packet !== ''; packet = guest.next()) {
      expect(packet).toMatch(/^00000002 0000000[0-9a-f] (00000000 00000000|ffffffff ffffffff)( 00000000){6}$/)
      returns++
    }
  }
  for (const { status, length, header, id, rewrite, answer } of script) {
    guest.memory.view.setUint32(4, status, true)
    guest.memory.view.setInt32(20, length, true)
    guest.memory.view.setUint32(24, header, true)
    guest.call([id], 5)
    calls++
    step()
    if (rewrite) for (let i = 0; i < 128; i++) guest.memory.view.setUint8(i, 0xff)
    if (answer && handler.kept.length > 0) handler.answer(0)
    drain()
  }
  while (handler.kept.length > 0) handler.answer(0)
  drain()
  expect(returns).toBe(calls)
  for (const frame of handler.frames) expect(frame.length / 2).toBeLessThanOrEqual(104)
  guest.close()
  link.close()
})

test('a hundred thousand calls over the socket collect no garbage', async () => {
  serve({
    handle: (transfer, to) => {
      transfer.answer(0)
      to.complete(transfer)
    },
  })
  const guest = connect()
  const ints = new Int32Array(guest.memory.view.buffer)
  guest.write(0x40, [1, 2, 3, 4])
  guest.call()
  step()
  guest.next()
  const packet = guest.packetAddress()
  let bytes = 0
  const work = (times: number) => {
    for (let i = 0; i < times; i++) {
      ints[5] = 8
      Atomics.store(ints, 1, 0)
      libc.send(guest.fd, packet, 72, 0)
      reactor.step(0)
      bytes += libc.recv(guest.fd, packet + 128, 128, 0)
    }
  }
  expect(await collectionsOf(work, 1e5)).toBe(0)
  expect(bytes).toBe(40 * 1.1e5)
})
