// The guest's ends of both links, TrapConnection and MessageConnection, against the real links.
import { afterEach, describe, expect, test } from 'vitest'
import type { GuestConnection } from '../../src/guest/guest-connection.ts'
import { framed, MessageConnection } from '../../src/guest/message-connection.ts'
import { TrapConnection } from '../../src/guest/trap-connection.ts'
import type { FrameHandler } from '../../src/guest-link/guest-link.ts'
import { EchoHandler, KeepingHandler } from '../guest-link/handlers.ts'
import { type Kind, kinds, Served, smcId } from './served.ts'

let served: Served
let connection: GuestConnection
afterEach(() => {
  connection.close()
  served.close()
  served.close()
  expect(served.faults).toEqual([])
})

async function join(kind: Kind, handler: FrameHandler): Promise<GuestConnection> {
  served = new Served(kind, handler)
  connection =
    kind === 'trap-socket'
      ? await TrapConnection.open({ path: served.path })
      : await MessageConnection.open(served.path)
  return connection
}
const frame = (hex: string): Uint8Array => Uint8Array.from(Buffer.from(hex.replace(/ /g, ''), 'hex'))
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')
/** Looks until it is so. */
const until = async (ready: () => boolean): Promise<void> => {
  for (let i = 0; i < 2000; i++) {
    if (ready()) return
    await new Promise(resolve => setTimeout(resolve, 1))
  }
  throw new Error('it never came to be')
}

describe.each(kinds)('over the %s', kind => {
  test.each([
    ['01501400', '0150140000000000', 'a header alone'],
    ['01501400 01020304', '015014000000000001020304', 'a word'],
    ['01501400 0102030405', '01501400000000000102030405', 'no whole word'],
    [`01501400 ${'5a'.repeat(96)}`, `0150140000000000${'5a'.repeat(96)}`, 'a long one'],
  ])('%s is answered %s: %s', async (sent, answer) => {
    await join(kind, new EchoHandler())
    expect(hex(await connection.request(frame(sent)))).toBe(answer)
  })

  test('requests made at once are each given their own answer', async () => {
    await join(kind, new EchoHandler())
    const sent = Array.from({ length: 20 }, (_, i) =>
      frame(`0150${(i << 2).toString(16).padStart(2, '0')}00 0${i % 10}`),
    )
    const answers = await Promise.all(sent.map(each => connection.request(each)))
    for (const [i, answer] of answers.entries()) {
      const asked = sent[i] as Uint8Array
      expect(hex(answer)).toBe(`${hex(asked.subarray(0, 4))}00000000${hex(asked.subarray(4))}`)
    }
  })

  test('a frame larger than the link takes is answered PROTOCOL_ERROR', async () => {
    await join(kind, new EchoHandler())
    expect(hex(await connection.request(new Uint8Array(300)))).toBe('00000000f6ffffff')
  })

  test.each([
    [3, 'no header'],
    [65537, 'more than any link carries'],
  ])('%i bytes are not sent: %s', async bytes => {
    await join(kind, new EchoHandler())
    await expect(connection.request(new Uint8Array(bytes))).rejects.toThrow(RangeError)
    expect(hex(await connection.request(frame('40000000')))).toBe('4000000000000000')
  })

  test('silence ends at the deadline, and an answer that is late is not taken for another', async () => {
    const handler = new KeepingHandler()
    await join(kind, handler)
    await expect(connection.request(frame('40000000 aa'), 30)).rejects.toMatchObject({
      code: 'DAEMON_UNREACHABLE',
      message: expect.stringContaining('no answer within 30 ms'),
    })
    handler.answer(-3)
    const second = connection.request(frame('40000400'))
    await until(() => handler.kept.length === 1)
    handler.answer(-8)
    expect(hex(await second)).toBe('40000400f8ffffff')
  })

  test('a daemon that goes ends what is under way, and what is asked later', async () => {
    await join(kind, new KeepingHandler())
    const asked = connection.request(frame('40000000'))
    setTimeout(() => served.close(), 10)
    await expect(asked).rejects.toMatchObject({ code: 'DAEMON_UNREACHABLE' })
    expect(connection.closed).toBe(true)
    await expect(connection.request(frame('40000000'))).rejects.toMatchObject({ code: 'DAEMON_UNREACHABLE' })
  })

  test('what comes unasked is told, between requests and during them', async () => {
    const handler = new KeepingHandler()
    await join(kind, handler)
    const came: string[] = []
    connection.onFrame = each => came.push(hex(each))
    const notification = frame('00470000 01000000 02000000')
    const deliver = () => served.link.deliver(notification, notification.length)
    await until(() => served.link.occupied && deliver())
    await until(() => came.length === 1)
    const asked = connection.request(frame('40000000'))
    await until(() => handler.kept.length === 1 && deliver())
    handler.answer()
    await asked
    await until(() => came.length === 2)
    expect(came).toEqual([hex(notification), hex(notification)])
  })

  test('nobody there: SOCKET_PATH that names the path', async () => {
    await join(kind, new EchoHandler())
    const path = `${served.path}.not`
    const open = kind === 'trap-socket' ? TrapConnection.open({ path }) : MessageConnection.open(path)
    await expect(open).rejects.toMatchObject({ code: 'SOCKET_PATH', message: expect.stringContaining(path) })
  })

  test('a second guest is refused while the first goes on', async () => {
    await join(kind, new EchoHandler())
    expect(hex(await connection.request(frame('40000000')))).toBe('4000000000000000')
    const second = async () => {
      if (kind === 'trap-socket') return TrapConnection.open({ path: served.path })
      const other = await MessageConnection.open(served.path)
      await other.request(frame('40000000'))
    }
    await expect(second()).rejects.toMatchObject({ code: 'DAEMON_UNREACHABLE' })
    expect(hex(await connection.request(frame('40000000')))).toBe('4000000000000000')
  })
})

describe('only over the trap-socket', () => {
  test('another function id is none of the daemon’s, and the channel is free afterwards', async () => {
    served = new Served('trap-socket', new EchoHandler())
    const wrong = await TrapConnection.open({ path: served.path, smcId: smcId + 1 })
    connection = wrong
    for (let i = 0; i < 2; i++)
      await expect(wrong.request(frame('40000000'))).rejects.toMatchObject({ code: 'NOT_SUPPORTED' })
  })

  test('the area’s size is what the connection carries', async () => {
    served = new Served('trap-socket', new EchoHandler())
    connection = await TrapConnection.open({ path: served.path, a2pBytes: 32, p2aBytes: 0 })
    expect(connection.maxMessageBytes).toBe(8)
    expect(hex(await connection.request(frame('40000000')))).toBe('4000000000000000')
    await expect(connection.request(new Uint8Array(12))).rejects.toThrow('this link carries 8')
  })

  test('memory that the daemon refuses is an error at once', async () => {
    served = new Served('trap-socket', new EchoHandler())
    const open = TrapConnection.open({ path: served.path, a2pBytes: 131_072 })
    await expect(open).rejects.toMatchObject({ code: 'DAEMON_UNREACHABLE' })
    connection = await TrapConnection.open({ path: served.path })
  })
})

test('a stream that is none of frames ends the connection', async () => {
  served = new Served('message-socket', new EchoHandler())
  const client = await MessageConnection.open(served.path)
  connection = client
  client.socket.emit('data', Buffer.from(framed(frame('40000000'), 3)))
  expect(client.closed).toBe(true)
})
