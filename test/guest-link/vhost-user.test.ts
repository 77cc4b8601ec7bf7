import { existsSync, mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { FrameHandler } from '../../src/guest-link/guest-link.ts'
import { VhostUserLink, type VhostUserOptions } from '../../src/guest-link/vhost-user/vhost-user.ts'
import * as libc from '../../src/native/libc.ts'
import { SOCK_NONBLOCK } from '../../src/native/linux.ts'
import { Reactor } from '../../src/native/reactor.ts'
import { listenUnix } from '../../src/native/unix-socket.ts'
import { ringOffsets } from '../../src/virtio/driver-queue.ts'
import {
  type FrontEndOptions,
  FrontEndSocket,
  Guest,
  guestBase,
  memfd,
  message,
  u32,
  u64,
  vu,
} from '../virtio/front-end.ts'
import { EchoHandler, KeepingHandler } from './handlers.ts'

const folder = mkdtempSync(join(tmpdir(), 'vhost-user-'))
const path = join(folder, 'guest.sock')
afterAll(() => rmSync(folder, { recursive: true }))

let reactor: Reactor
let link: VhostUserLink
let log: string[]
let faults: unknown[]
let guests: { close(): void }[]
const step = () => {
  for (let i = 0; i < 4; i++) reactor.step(0)
}
function serve(handler: FrameHandler, options: Partial<VhostUserOptions> = {}): void {
  link = new VhostUserLink(
    { path, role: 'server', guest: 3, ...options },
    { reactor, handler, log: (level, text) => log.push(`${level} ${text}`) },
  )
}
function start(options: FrontEndOptions = {}): Guest {
  const guest = Guest.start(path, step, options)
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
  expect(faults).toEqual([])
})

describe('a front end that behaves', () => {
  test('learns what is offered', () => {
    serve(new EchoHandler())
    const socket = FrontEndSocket.connect(path, step)
    guests.push(socket)
    expect(statSync(path).mode & 0o777).toBe(0o600)
    expect(socket.ask(vu.GET_FEATURES).payload.toString('hex')).toBe('0100007001000000')
    expect(socket.ask(vu.GET_PROTOCOL_FEATURES).payload.toString('hex')).toBe('0990000000000000')
    expect(socket.ask(vu.GET_QUEUE_NUM).payload.readUInt32LE(0)).toBe(2)
    expect(socket.ask(vu.GET_MAX_MEM_SLOTS).payload.readUInt32LE(0)).toBe(64)
  })

  test('has each command answered in its buffer, and the ring signalled', () => {
    serve(new EchoHandler())
    const guest = start()
    expect(guest.ask(Buffer.from('01501400aabbccdd', 'hex'))).toBe('0150140000000000aabbccdd')
    expect(guest.signals(0)).toBeGreaterThan(0)
    for (let i = 0; i < 200; i++) {
      expect(guest.ask(Buffer.from('0150140000000000', 'hex'))).toBe('015014000000000000000000')
    }
    expect(log.filter(line => !line.startsWith('info'))).toEqual([])
  })
})

test.each([
  ['mapped', undefined, 8],
  ['not sealed, and copied', 0, 1],
])(
  'chains without end in memory that is %s take their share of a round, and all come back',
  (_name, seals, most) => {
    serve(new EchoHandler())
    const guest = start(seals === undefined ? {} : { seals })
    const view = new DataView(guest.memory.buffer)
    const table = guest.place(1024 * 16)
    view.setUint32(table + 12, 1, true) // its first entry goes on with itself
    for (let head = 0; head < 64; head++) {
      view.setBigUint64(head * 16, guestBase + BigInt(table), true)
      view.setUint32(head * 16 + 8, 1024 * 16, true)
      view.setUint32(head * 16 + 12, 4, true)
    }
    for (let i = 0; i < 64; i++) view.setUint16(64 * 16 + 4 + i * 2, i, true)
    view.setUint16(64 * 16 + 2, 64, true)
    guest.kick(0)
    const used = () => view.getUint16(ringOffsets(64).used + 2, true)
    reactor.step(0)
    expect(used()).toBe(most)
    for (let i = 0; i < 64; i++) reactor.step(0)
    expect(used()).toBe(64)
    expect(link.counters.badLengths).toBe(64)
  },
)

test('a front end that went with much unsaid is gone, and its successor is let in at once', () => {
  serve(new EchoHandler())
  const former = FrontEndSocket.connect(path, step)
  for (let i = 0; i < 20; i++) former.bytes(message(vu.SET_VRING_NUM, u32(0, 64)))
  former.close()
  const guest = start()
  expect(guest.ask(Buffer.from('01501400aabbccdd', 'hex'))).toBe('0150140000000000aabbccdd')
  expect(link.counters).toMatchObject({ connections: 2, refusedConnections: 0 })
})

describe('a back end that comes back', () => {
  const commands = ['a', 'b', 'c', 'd'].map(letter => Buffer.from(`01501400${letter.repeat(8)}`, 'hex'))
  const inflightFile = join(folder, 'guest.inflight')

  /** Three commands under way, the second answered first; then the back end ends, and another takes its place. */
  function interrupted(options: Partial<VhostUserOptions>, prepare?: (socket: FrontEndSocket) => void) {
    const first = new KeepingHandler()
    serve(first, options)
    const guest = Guest.start(path, step, { prepare })
    guests.push(guest)
    const posted = commands.slice(0, 3).map(command => guest.post(command))
    step()
    expect(first.frames).toHaveLength(3)
    for (const { transfer, link: of } of first.kept.splice(1, 1)) {
      transfer.answer(0)
      of.complete(transfer)
    }
    expect(guest.commands.take()).toBe(posted[1]?.head)
    link.close()
    posted.push(guest.post(commands[3] ?? Buffer.alloc(0)))
    const second = new KeepingHandler()
    serve(second, options)
    guest.reconnect(path, prepare)
    step()
    return { guest, posted, second }
  }
  const hexOf = (...indices: number[]) => indices.map(i => commands[i]?.toString('hex'))

  function expectOnce({ guest, posted, second }: ReturnType<typeof interrupted>): void {
    expect(second.frames).toEqual(hexOf(0, 2, 3))
    expect(second.beginnings).toEqual(['resumed'])
    while (second.kept.length > 0) second.answer()
    const came: number[] = []
    for (let head = guest.commands.take(); head >= 0; head = guest.commands.take()) came.push(head)
    expect(came).toEqual([0, 2, 3].map(i => posted[i]?.head))
  }

  test('takes up what its predecessor had under way, and nothing that was answered', () => {
    expectOnce(interrupted({ inflightFile }))
  })

  test('does so from the log that the front end keeps', () => {
    let kept: { payload: Buffer; fds: number[] } | undefined
    expectOnce(
      interrupted({}, socket => {
        kept ??= socket.ask(vu.GET_INFLIGHT_FD, Buffer.concat([u64(0, 0), Buffer.from('02004000', 'hex')]))
        socket.send(vu.SET_INFLIGHT_FD, kept.payload, kept.fds)
      }),
    )
    for (const fd of kept?.fds ?? []) libc.close(fd)
  })

  test('finds the guest under the same name and says that it goes on; a driver that was reset begins anew', () => {
    const first = new EchoHandler()
    serve(first)
    const guest = start()
    guest.ask(commands[0] ?? Buffer.alloc(0))
    expect([first.restarts, first.resumptions]).toEqual([1, 0])
    const { run } = link
    expect(run).toHaveLength(8)
    expect(run?.[1]).toBe(process.pid)
    link.close()
    const second = new EchoHandler()
    serve(second)
    guest.reconnect(path)
    expect([second.restarts, second.resumptions]).toEqual([0, 1])
    expect(link.run).toEqual(run)
    const bases = guest.stopDriver()
    guest.kicks.splice(0, 2, libc.eventfd(), libc.eventfd())
    guest.startDriver({ base: bases })
    expect([second.restarts, second.resumptions]).toEqual([0, 2])
    guest.stopDriver()
    guest.wipe()
    guest.kicks.splice(0, 2, libc.eventfd(), libc.eventfd())
    guest.startDriver()
    expect([second.restarts, second.resumptions]).toEqual([1, 2])
  })

  test('does not when the driver began anew meanwhile', () => {
    serve(new KeepingHandler(), { inflightFile })
    const guest = start()
    for (const command of commands.slice(0, 2)) guest.post(command)
    step()
    link.close()
    guest.wipe()
    for (const command of commands.slice(2)) guest.post(command)
    // The same descriptors are in the ring again, and stand for other commands: those that are there are served.
    const second = new KeepingHandler()
    serve(second, { inflightFile })
    guest.reconnect(path)
    step()
    expect(second.beginnings).toEqual(['restarted'])
    expect(second.frames).toEqual(hexOf(2, 3))
  })

  test('does not when the driver began anew meanwhile, and has said nothing yet', () => {
    const file = { inflightFile: join(folder, 'anew.inflight') }
    serve(new KeepingHandler(), file)
    const guest = start()
    for (const command of commands.slice(0, 1)) guest.post(command)
    step()
    link.close()
    guest.wipe()
    const second = new KeepingHandler()
    serve(second, file)
    guest.reconnect(path)
    step()
    expect(second.frames).toEqual([])
    expect(guest.commands.take()).toBe(-1)
    guest.post(commands[2] ?? Buffer.alloc(0))
    step()
    expect(second.frames).toEqual(hexOf(2))
  })

  test.each([
    ['no log', Buffer.alloc(0), 'refused: SET_INFLIGHT_FD: 0 bytes'],
    ['a log of nothing', Buffer.alloc(20), 'refused: SET_INFLIGHT_FD: logs of 0 rings of 0 entries'],
  ])('refuses %s', (_what, payload, text) => {
    serve(new KeepingHandler())
    const socket = FrontEndSocket.connect(path, step)
    guests.push(socket)
    const fd = memfd(8192)
    socket.send(vu.SET_INFLIGHT_FD, payload, [fd])
    libc.close(fd)
    expect(socket.gone).toBe(true)
    expect(log.at(-1)).toContain(text)
  })
})

describe.each([
  ['mapped', undefined],
  ['not sealed, and copied', 0],
])('memory that is taken away and given again (REM_MEM_REG, ADD_MEM_REG), %s', (_name, seals) => {
  const command = Buffer.from('0150140000000000', 'hex')
  const took = (guest: Guest): number[] => {
    const heads: number[] = []
    for (let head = guest.commands.take(); head >= 0; head = guest.commands.take()) heads.push(head)
    return heads
  }

  test('costs no command under way its answer, and the ring goes on', () => {
    const handler = new KeepingHandler()
    serve(handler)
    const guest = start({ slots: true, ...(seals === undefined ? {} : { seals }) })
    const posted = [1, 2, 3].map(() => guest.post(command).head)
    step()
    expect(handler.frames).toHaveLength(3)
    guest.takeMemory()
    while (handler.kept.length > 0) handler.answer() // their buffers are not there
    expect(took(guest)).toEqual([])
    posted.push(guest.post(command).head)
    step()
    guest.giveMemory(true)
    step()
    expect(handler.frames).toHaveLength(3 + 4)
    while (handler.kept.length > 0) handler.answer()
    expect(took(guest)).toEqual(posted)
    expect(log.filter(line => !line.startsWith('info'))).toEqual([])
  })

  test('and GET_VRING_BASE says meanwhile how far it came', () => {
    const handler = new KeepingHandler()
    serve(handler)
    const guest = start({ slots: true, ...(seals === undefined ? {} : { seals }) })
    for (const _ of [1, 2]) guest.post(command)
    step()
    guest.takeMemory()
    expect(guest.socket.ask(vu.GET_VRING_BASE, u32(0, 0)).payload.readUInt32LE(4)).toBe(2)
    handler.answer()
    expect(link.counters.late).toBe(1)
  })
})

describe('a ring that is to stop', () => {
  test('waits for what is under way', () => {
    const handler = new KeepingHandler()
    serve(handler)
    const guest = start()
    const { head, at } = guest.post(Buffer.from('0150140000000000', 'hex'))
    step()
    guest.socket.send(vu.GET_VRING_BASE, u32(0, 0))
    expect(guest.socket.reply()).toBeUndefined()
    guest.post(Buffer.from('0150140000000000', 'hex')) // too late for this run of the ring
    step()
    expect(handler.frames).toHaveLength(1)
    handler.answer()
    step()
    expect(guest.socket.reply()?.payload.toString('hex')).toBe('0000000001000000')
    expect(guest.commands.take()).toBe(head)
    expect(guest.hex(at, 8)).toBe('0150140000000000')
  })

  test('answers BUSY when that takes too long, and what comes later is late', async () => {
    const handler = new KeepingHandler()
    serve(handler)
    const guest = start()
    const { head, at } = guest.post(Buffer.from('0150140000000000', 'hex'))
    step()
    guest.socket.send(vu.GET_VRING_BASE, u32(0, 0))
    for (let i = 0; i < 100 && guest.commands.arm(); i++) {
      await new Promise(done => setTimeout(done, 5))
      step()
    }
    expect(guest.commands.take()).toBe(head)
    expect(guest.hex(at, 8)).toBe('01501400faffffff')
    expect(guest.socket.reply()?.payload.toString('hex')).toBe('0000000001000000')
    handler.answer()
    expect(link.counters.late).toBe(1)
    expect(guest.hex(at, 8)).toBe('01501400faffffff')
  })
})

describe('NEED_REPLY is always answered', () => {
  test.each<[string, number, Buffer, number]>([
    ['what is done: 0', vu.SET_OWNER, Buffer.alloc(0), 0],
    ['what is refused: not 0, and the connection stays', vu.SET_VRING_NUM, u32(0, 3), 1],
    ['what is not known', 60, Buffer.alloc(4), 1],
  ])('%s', (_what, request, payload, answer) => {
    serve(new EchoHandler())
    const socket = FrontEndSocket.connect(path, step)
    guests.push(socket)
    const reply = socket.ask(request, payload, [], 9)
    expect([reply.request, reply.flags, reply.payload.readUInt32LE(0)]).toEqual([request, 5, answer])
    expect(socket.gone).toBe(false)
  })
})

describe('the front end as server', () => {
  test('is connected to when it listens, and again when it is back', async () => {
    const handler = new EchoHandler()
    serve(handler, { role: 'client' })
    const round = async () => {
      const listening = listenUnix(path, 'stream')
      let fd = -1
      for (let i = 0; i < 200 && fd < 0; i++) {
        await new Promise(done => setTimeout(done, 5))
        step()
        fd = libc.accept4(listening, SOCK_NONBLOCK)
      }
      const guest = new Guest(new FrontEndSocket(fd, step))
      guest.negotiate()
      guest.startDriver()
      expect(guest.ask(Buffer.from('01501400aabbccdd', 'hex'))).toBe('0150140000000000aabbccdd')
      guest.close()
      libc.close(listening)
      rmSync(path)
      step()
      expect(link.occupied).toBe(false)
    }
    await round()
    await round()
    expect(link.counters.connections).toBe(2)
  })
})
