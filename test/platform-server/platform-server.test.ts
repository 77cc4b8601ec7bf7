// src/platform-server/: a virtual SCP behind sockets, in this process; its agents are raw sockets or the link of the daemon.
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest'
import { StreamSocketLink } from '../../src/firmware-link/stream-socket/stream-socket.ts'
import * as libc from '../../src/native/libc.ts'
import { MSG_DONTWAIT, MSG_NOSIGNAL } from '../../src/native/linux.ts'
import { NativeMemory } from '../../src/native/native-memory.ts'
import { Reactor } from '../../src/native/reactor.ts'
import { connectUnix } from '../../src/native/unix-socket.ts'
import type { EventSink } from '../../src/platform/events.ts'
import { loadPlatform, parsePlatform } from '../../src/platform/load.ts'
import { Platform } from '../../src/platform/platform.ts'
import { PlatformServer, type ServedPlatform } from '../../src/platform-server/platform-server.ts'
import { agentSockets } from '../../src/platform-server/sockets.ts'
import { type Transfer, TransferPool } from '../../src/transfer.ts'
import { framed } from '../firmware-link/wire-platform.ts'
import { Asked, examplePath, exampleText, hex, word } from '../platform/ask.ts'

const folder = mkdtempSync(join(tmpdir(), 'platform-server-'))
afterAll(() => rmSync(folder, { recursive: true }))
const prefix = join(folder, 'agent-')
const config = loadPlatform(examplePath)
const scratch = NativeMemory.allocate(1 << 20)

let reactor: Reactor
let server: PlatformServer
let faults: unknown[]
const open = new Set<number>()

beforeEach(() => {
  faults = []
  reactor = new Reactor((_source, error) => faults.push(error))
})
afterEach(() => {
  for (const fd of open) libc.close(fd)
  open.clear()
  server.close()
  server.close()
  reactor.close()
  expect(faults).toEqual([])
})

const serve = (platform: ServedPlatform = new Platform(config)) => {
  server = new PlatformServer(platform, agentSockets(config, prefix), { reactor, log: () => {} })
}
const steps = (count = 6) => {
  for (let i = 0; i < count; i++) reactor.step(0)
}
function connect(agentId: number): number {
  const fd = connectUnix(`${prefix}${agentId}.sock`, 'stream', { nonBlocking: true })
  open.add(fd)
  steps()
  return fd
}
function send(fd: number, ...frames: string[]): void {
  const bytes = Buffer.from(frames.map(framed).join(''), 'hex')
  scratch.bytes.set(bytes)
  expect(libc.send(fd, scratch.address, bytes.length, MSG_DONTWAIT | MSG_NOSIGNAL)).toBe(bytes.length)
}
/** All that waits, frame after frame, in hex. */
function receive(fd: number): string {
  let out = ''
  for (;;) {
    const length = libc.recv(fd, scratch.address, scratch.size, MSG_DONTWAIT)
    if (length <= 0) return length === 0 ? `${out}closed` : out
    out += Buffer.from(scratch.bytes.subarray(0, length)).toString('hex')
  }
}
function ask(fd: number, ...frames: string[]): string {
  send(fd, ...frames)
  steps()
  return receive(fd)
}

describe('agents', () => {
  test('each has a socket of its own, and is who the socket says', () => {
    serve()
    const seen = [1, 2, 5].map(id => {
      const answer = ask(connect(id), hex(word(0x10, 7), 0xffff_ffff)) // BASE_DISCOVER_AGENT, oneself
      return [
        Buffer.from(answer, 'hex').readUInt32LE(12),
        Buffer.from(answer.slice(32), 'hex').toString('latin1'),
      ]
    })
    expect(seen.map(([id, name]) => [id, String(name).replaceAll('\0', '')])).toEqual([
      [1, 'mediator'],
      [2, 'guest0'],
      [5, 'guest3'],
    ])
  })

  test('what one may do is the platform’s matter: only the trusted one sets permissions', () => {
    serve()
    const [mediator, guest] = [connect(1), connect(2)]
    const enable = hex(word(0x14, 7), 0, 1, 0)
    const allow = hex(word(0x10, 9), 2, 0, 1)
    expect(ask(guest, enable)).toBe(framed(hex(word(0x14, 7), -3)))
    expect(ask(guest, allow)).toBe(framed(hex(word(0x10, 9), -3)))
    expect(ask(mediator, allow)).toBe(framed(hex(word(0x10, 9), 0)))
    expect(ask(guest, enable)).toBe(framed(hex(word(0x14, 7), 0)))
  })

  test('a notification goes to its subscriber, behind the answer of the command that caused it', () => {
    serve()
    const [mediator, guest] = [connect(1), connect(2)]
    ask(mediator, hex(word(0x11, 6), 2, 1))
    const changed = hex(word(0x11, 0, 0, 3), 1, 2, 0)
    expect(ask(mediator, hex(word(0x11, 4), 0, 2, 0))).toBe(framed(hex(word(0x11, 4), 0)) + framed(changed))
    expect(receive(guest)).toBe('')
  })

  test('a delayed response comes by itself when it is due, with the token of its command', async () => {
    const later = exampleText.replace('rate: 125000000 }', 'rate: 125000000, async: { ms: 20 } }')
    serve(new Platform(parsePlatform(later, 'platform.yaml')))
    const mediator = connect(1)
    const set = hex(word(0x14, 5, 0x2a5), 1, 0, 25_000_000, 0)
    expect(ask(mediator, set)).toBe(framed(hex(word(0x14, 5, 0x2a5), 0)))
    let came = ''
    while (came === '') {
      reactor.step(-1) // for ever, if the response does not wake it
      came = receive(mediator)
    }
    expect(came).toBe(framed(hex(word(0x14, 5, 0x2a5, 2), 0, 0, 25_000_000, 0)))
  })

  test('a command that the platform has no response to is not answered; the next one is', () => {
    serve(new Platform({ ...config, profile: 'imx-sm' }))
    const mediator = connect(1)
    const reset = hex(word(0x10, 0xb), 1, 0) // BASE_RESET_AGENT_CONFIGURATION of itself
    const version = hex(word(0x10, 0))
    expect(ask(mediator, reset)).toBe('')
    expect(ask(mediator, reset, version)).toBe(framed(hex(word(0x10, 0), 0, 0x2_0001)))
  })

  test('one connection at a time; what an agent set up outlives it', () => {
    serve()
    const first = connect(1)
    ask(first, hex(word(0x11, 4), 0, 2, 0))
    expect(receive(connect(1))).toBe('closed')
    open.delete(first)
    libc.close(first)
    steps()
    expect(ask(connect(1), hex(word(0x11, 5), 2))).toBe(framed(hex(word(0x11, 5), 0, 0)))
  })

  test('a second channel of an agent has a socket of its own, of its own width', () => {
    const two = parsePlatform(
      exampleText + '\nchannels: [{ agent: 1 }, { agent: 2 }, { agent: 1, maxMessageBytes: 256 }]\n',
      'platform.yaml',
    )
    expect(
      agentSockets(two, '/x/').map(({ agentId, path, maxMessageBytes }) => [agentId, path, maxMessageBytes]),
    ).toEqual([
      [1, '/x/1.sock', 128],
      [2, '/x/2.sock', 128],
      [1, '/x/1-2.sock', 256],
    ])
    serve()
  })

  test('a socket that cannot be had takes the others down with it', () => {
    serve()
    server.close()
    writeFileSync(`${prefix}3.sock`, '')
    expect(() => serve()).toThrow(expect.objectContaining({ code: 'SOCKET_PATH' }))
    expect([1, 2, 4].map(id => existsSync(`${prefix}${id}.sock`))).toEqual([false, false, false])
    rmSync(`${prefix}3.sock`)
    serve()
  })
})

describe('what the platform sends of its own accord', () => {
  const delayed = (n: number) => hex(word(0x15, 6, n & 0x3ff, 2), 0, n, 0)
  const notification = (n: number) => hex(word(0x15, 1, 0, 3), 0, n)

  /** Answers every command, and then has frames to send. */
  class Chatty implements ServedPlatform {
    readonly queue: [number, string][] = []
    readonly dueIn = -1
    tick(): void {}
    handle(_channel: number, frame: Transfer): number {
      frame.ints[1] = 0
      return 8
    }
    flush(sink: EventSink): void {
      for (const [channel, frame] of this.queue.splice(0)) {
        const bytes = Buffer.from(frame, 'hex')
        sink(channel, bytes, bytes.length)
      }
    }
  }

  test('an agent that does not read loses notifications, and no delayed response', () => {
    const platform = new Chatty()
    serve(platform)
    const [slow, other] = [connect(2), connect(3)]
    const poke = hex(word(0x10, 0))
    const expected: string[] = []
    for (let i = 0; i < 200; i++) expected.push(delayed(i))
    // Fill the socket and the link's buffer with notifications first.
    for (let i = 0; i < 20_000; i++) platform.queue.push([1, notification(i)])
    ask(other, poke)
    expect(server.events.notificationsDropped).toBeGreaterThan(0)
    for (const frame of expected) platform.queue.push([1, frame])
    ask(other, poke)
    expect(server.events).toMatchObject({ delayedLost: 0 })
    expect(server.events.kept).toBeGreaterThan(100)
    let received = ''
    for (let i = 0; i < 200; i++) {
      received += receive(slow)
      reactor.step(2)
    }
    const at = expected.map(frame => received.indexOf(framed(frame)))
    expect(at.every((place, i) => place > (at[i - 1] ?? -1))).toBe(true)
    expect(receive(other), 'the other one was not held up').toBe('')
  })

  test('a delayed response does not outlive the connection it was for', () => {
    const platform = new Chatty()
    serve(platform)
    const [slow, other] = [connect(2), connect(3)]
    for (let i = 0; i < 20_000; i++) platform.queue.push([1, notification(i)])
    for (let i = 0; i < 100; i++) platform.queue.push([1, delayed(i)])
    ask(other, hex(word(0x10, 0)))
    const { kept } = server.events
    expect(kept).toBeGreaterThan(0)
    open.delete(slow)
    libc.close(slow)
    steps()
    platform.queue.push([1, delayed(700)]) // nobody is there at all
    ask(other, hex(word(0x10, 0)))
    const next = connect(2)
    for (let i = 0; i < 5; i++) reactor.step(10)
    expect(receive(next)).toBe('')
    expect(server.events.delayedLost).toBe(kept + 1)
  })

  test('more than can be kept is lost and counted, not stored', () => {
    const platform = new Chatty()
    serve(platform)
    connect(2)
    const other = connect(3)
    for (let i = 0; i < 40_000; i++) platform.queue.push([1, delayed(i)])
    ask(other, hex(word(0x10, 0)))
    expect(server.events.kept).toBe(256)
    expect(server.events.delayedLost).toBeGreaterThan(1000)
  })
})

describe('the daemon’s link to it', () => {
  test('every answer is what the platform answers itself', () => {
    serve()
    const direct = new Asked(new Platform(config))
    const done: Transfer[] = []
    const events: string[] = []
    const link = new StreamSocketLink(
      { paths: agentSockets(config, prefix).map(({ path }) => path), timeoutMs: 60_000 },
      {
        reactor,
        log: () => {},
        handler: {
          complete: transfer => done.push(transfer),
          delayed: () => {},
          arrived: (channel, frame, length) =>
            events.push(`${channel} ${Buffer.from(frame.subarray(0, length)).toString('hex')}`),
        },
      },
    )
    steps()
    const pool = new TransferPool(1, 128, 0)
    const rows: [number, number, readonly number[]][] = []
    for (let protocol = 0x10; protocol <= 0x18; protocol++)
      for (let message = 0; message < 0x14; message++)
        for (const payload of [[], [0], [1, 1], [0, 2, 0], [2, 1, 0, 0]])
          rows.push([protocol, message, payload])
    // Last, for some of those before have reset the agents: a subscription and what it is told of.
    rows.push([0x11, 6, [2, 1]], [0x11, 4, [0, 2, 0]], [0x11, 4, [0, 2, 0x4000_0000]])
    for (const [protocol, message, payload] of rows)
      for (const channel of [0, 1]) {
        const command = hex(word(protocol, message, 0x2a5), ...payload)
        const transfer = pool.take() as Transfer
        transfer.bytes.set(Buffer.from(command, 'hex'))
        transfer.length = command.length / 2
        transfer.header = transfer.ints[0] as number
        expect(link.send(channel, transfer)).toBe(true)
        while (done.length === 0) reactor.step(100)
        done.length = 0
        const answer = Buffer.from(transfer.bytes.subarray(0, transfer.length)).toString('hex')
        expect(answer, command).toBe(direct.raw(channel, command))
        pool.give(transfer)
      }
    expect(link.counters).toEqual({ expired: 0, late: 0, unknown: 0, malformed: 0, forsaken: 0 })
    steps()
    expect(events.length).toBeGreaterThan(0)
    expect(events).toEqual(direct.takeEvents().map(({ channel, frame }) => `${channel} ${frame}`))
    link.close()
  })
})
