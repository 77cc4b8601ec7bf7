// One connection against a socket that plays the daemon: recorded answers, silence, refusals, the end.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { MediatorError } from '../../src/errors.ts'
import * as libc from '../../src/native/libc.ts'
import { connectUnix, listenUnix } from '../../src/native/unix-socket.ts'
import { Connection } from '../../src/xenstore/connection.ts'
import { isQuota, isRefusal, XenstoreError } from '../../src/xenstore/error.ts'
import { DomainRequests, NodeRequests } from '../../src/xenstore/requests.ts'
import { messageTypes } from '../../src/xenstore/wire.ts'
import { message, type Peer, playDaemon, type Recording, recordings } from './exchanges.ts'

interface Told {
  readonly events: string[]
  readonly ends: string[]
}

async function open(peer: Peer, timeoutMs = 5000): Promise<Told & { connection: Connection }> {
  const told: Told = { events: [], ends: [] }
  const connection = await Connection.open({
    path: peer.path,
    timeoutMs,
    onEvent: (path, token) => told.events.push(`${path} ${token}`),
    onClosed: reason => told.ends.push(reason),
  })
  onTestFinished(() => connection.close())
  return { connection, ...told }
}

/** Answers as the daemon of the recording did, to whoever asks the same. */
const replay =
  ({ exchanges }: Recording) =>
  ({ bytes, id }: { bytes: Buffer; id: number }): Buffer => {
    const asked = Buffer.from(bytes)
    asked.writeUInt32LE(0, 4)
    const found = exchanges.find(({ sent }) => sent === asked.toString('hex'))
    if (found === undefined) throw new Error(`nobody recorded ${asked.toString('latin1')}`)
    const reply = Buffer.from(found.received, 'hex')
    if (reply.readUInt32LE(0) !== messageTypes.WATCH_EVENT) reply.writeUInt32LE(id, 4)
    else reply.writeUInt32LE(id, 16 + reply.readUInt32LE(12) + 4)
    return reply
  }

test.each(recordings)('speaks to $daemon as libxenstore does', async recording => {
  const peer = await playDaemon(replay(recording))
  const { connection, events } = await open(peer)
  const nodes = new NodeRequests((name, texts, value) =>
    connection.request(name, texts, value === undefined ? {} : { value }),
  )
  const domains = new DomainRequests((name, texts) => connection.request(name, texts))
  await nodes.write('/golden/a', 'value')
  expect(await nodes.readText('/golden/a')).toBe('value')
  expect(await nodes.readTextIfThere('/golden/absent')).toBeUndefined()
  await expect(nodes.read('/golden/absent')).rejects.toMatchObject({
    code: 'XENSTORE_REFUSED',
    errno: 'ENOENT',
    message: 'xenstore READ /golden/absent: ENOENT',
  })
  await nodes.mkdir('/golden/dir')
  expect(await nodes.directory('/golden/dir')).toEqual([])
  await nodes.setPermissions('/golden/dir', [
    { domid: 0, access: 'none' },
    { domid: 7, access: 'read' },
    { domid: 9, access: 'both' },
  ])
  expect(await nodes.getPermissions('/golden/dir')).toEqual([
    { domid: 0, access: 'none' },
    { domid: 7, access: 'read' },
    { domid: 9, access: 'both' },
  ])
  await nodes.remove('/golden/b')
  await domains.introduce(7, 1, 2)
  expect(await domains.isIntroduced(7)).toBe(true)
  expect(await domains.isIntroduced(8)).toBe(false)
  expect(await domains.domainPath(7)).toBe('/local/domain/7')
  await domains.resume(7)
  await domains.release(7)
  await connection.request('WATCH', ['/golden', 'token'])
  await nodes.write('/golden/c', 'value')
  await connection.request('UNWATCH', ['/golden', 'token'])
  expect(events).toEqual(['/golden token', '/golden/c token'])
  // C xenstored lists it in parts, oxenstored in one message that is larger than any request may be.
  const names = await nodes.directory('/many')
  expect(names.toSorted()).toEqual(Array.from({ length: 45 }, (_, i) => String(i).padStart(100, '0')))
})

test('answers find their requests in any order; what nobody asked is dropped', async () => {
  const held: number[] = []
  const peer = await playDaemon(({ id }, socket) => {
    held.push(id)
    if (held.length < 3) return undefined
    for (const each of [99_999, ...held.toReversed()])
      socket.write(message(messageTypes.READ, each, `value of ${held.indexOf(each)}`))
    return undefined
  })
  const { connection } = await open(peer)
  const values = await Promise.all(['a', 'b', 'c'].map(path => connection.request('READ', [path])))
  expect(values.map(value => Buffer.from(value).toString())).toEqual([
    'value of 0',
    'value of 1',
    'value of 2',
  ])
})

test('no more than 64 are out at once, and none is forgotten', async () => {
  const waiting: number[] = []
  let most = 0
  const peer = await playDaemon(({ id }, socket) => {
    waiting.push(id)
    most = Math.max(most, waiting.length)
    setImmediate(() => socket.write(message(messageTypes.READ, waiting.shift() ?? 0, 'x')))
    return undefined
  })
  const { connection } = await open(peer)
  await Promise.all(Array.from({ length: 500 }, () => connection.request('READ', ['/a'])))
  expect(peer.requests).toHaveLength(500)
  expect(new Set(peer.requests.map(({ id }) => id)).size).toBe(500)
  expect(most).toBeLessThanOrEqual(64)
})

test('a request without an answer is given up; a late answer is nobody else’s', async () => {
  let silent: number | undefined
  const peer = await playDaemon(({ id, text }, socket) => {
    if (text === '/silent') {
      silent = id
      return undefined
    }
    if (silent !== undefined) socket.write(message(messageTypes.READ, silent, 'too late'))
    return message(messageTypes.READ, id, 'in time')
  })
  const { connection, ends } = await open(peer, 60)
  await expect(connection.request('READ', ['/silent'])).rejects.toMatchObject({
    code: 'XENSTORE_UNREACHABLE',
    message: expect.stringContaining('READ /silent: no answer within 60 ms'),
  })
  expect(Buffer.from(await connection.request('READ', ['/a'])).toString()).toBe('in time')
  expect(ends).toEqual([])
})

test('three silences in a row end the connection', async () => {
  const peer = await playDaemon(() => undefined)
  const { connection, ends } = await open(peer, 40)
  const asked = await Promise.allSettled(
    ['/a', '/b', '/c', '/d'].map(path => connection.request('READ', [path])),
  )
  expect(asked.every(({ status }) => status === 'rejected')).toBe(true)
  expect(ends).toEqual(['3 requests in a row were not answered'])
  expect(connection.isOpen).toBe(false)
})

test('a transaction that begins after its caller gave up is ended', async () => {
  const ended = new Promise<string>(resolve => {
    playDaemon(({ type, id, transaction, text }, socket) => {
      if (type === messageTypes.TRANSACTION_START)
        setTimeout(() => socket.write(message(type, id, '42\0')), 100)
      if (type === messageTypes.TRANSACTION_END) {
        resolve(`${text} ${transaction}`)
        return message(type, id, 'OK\0', transaction)
      }
      return undefined
    })
      .then(peer => open(peer, 40))
      .then(({ connection }) => connection.request('TRANSACTION_START', ['']))
      .catch(() => {})
  })
  expect(await ended).toBe('F 42')
})

test.each([
  ['ENOSPC', true],
  ['EQUOTA', true],
  ['E2BIG', true],
  ['EACCES', false],
])('%s is told by its name; about a quota: %s', async (errno, quota) => {
  const peer = await playDaemon(({ id }) => message(messageTypes.ERROR, id, `${errno}\0`))
  const { connection } = await open(peer)
  const error = await connection.request('MKDIR', ['/a']).catch(refused => refused)
  expect(isRefusal(error, errno)).toBe(true)
  expect(isQuota(error)).toBe(quota)
})

test('an answer of another type is not believed', async () => {
  const peer = await playDaemon(({ id }) => message(messageTypes.DIRECTORY, id, 'a\0'))
  const { connection } = await open(peer)
  await expect(connection.request('READ', ['/a'])).rejects.toThrow('READ /a: an answer of type 1')
})

test('a stream that lost its place ends the connection', async () => {
  const peer = await playDaemon(() => Buffer.alloc(64, 0xff))
  const { connection, ends } = await open(peer)
  await expect(connection.request('READ', ['/a'])).rejects.toThrow(/a xenstore message of 4294967295 bytes/)
  expect(ends).toHaveLength(1)
})

test('what a daemon would punish is not sent', async () => {
  const peer = await playDaemon(({ id, type }) => message(type, id, 'OK\0'))
  const { connection } = await open(peer)
  const nodes = new NodeRequests((name, texts, value) =>
    connection.request(name, texts, value === undefined ? {} : { value }),
  )
  const tooMuch = nodes.write('/a', new Uint8Array(4094))
  await expect(tooMuch).rejects.toThrow('4097 bytes; a request has at most 4096')
  await expect(connection.request('WATCH', ['/a', 'to\0ken'])).rejects.toThrow('a NUL inside an argument')
  await expect(nodes.remove('/')).rejects.toBeInstanceOf(XenstoreError)
  await nodes.write('/a', new Uint8Array(4093))
  expect(peer.requests).toHaveLength(1)
})

test('when the daemon goes, all that waits is refused, and all that comes', async () => {
  const peer = await playDaemon((_, socket) => {
    socket.destroy()
    return undefined
  })
  const { connection, ends } = await open(peer)
  const asked = await Promise.allSettled([1, 2, 3].map(() => connection.request('READ', ['/a'])))
  for (const each of asked) expect(each).toMatchObject({ reason: { code: 'XENSTORE_UNREACHABLE' } })
  await expect(connection.request('READ', ['/b'])).rejects.toThrow('the daemon closed the connection')
  expect(ends).toEqual(['the daemon closed the connection'])
})

test('a daemon that is too busy to take another connection is asked again', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'xenstore-crowd-'))
  const path = join(directory, 'socket')
  const listener = listenUnix(path, 'stream')
  const fds = [listener]
  onTestFinished(() => {
    for (const fd of fds) libc.close(fd)
    rmSync(directory, { recursive: true, force: true })
  })
  for (;;) {
    try {
      fds.push(connectUnix(path, 'stream', { nonBlocking: true }))
    } catch (error) {
      expect(String(error)).toContain('EAGAIN')
      break
    }
  }
  const opening = Connection.open({ path, timeoutMs: 1000, onEvent: () => {}, onClosed: () => {} })
  setTimeout(() => {
    for (let taken = 0; taken < 5; taken++) fds.push(libc.accept4(listener, 0))
  }, 60)
  const connection = await opening
  expect(connection.isOpen).toBe(true)
  await connection.close()
})

test.each(['/nonexistent/socket', '/etc/passwd'])('%s is refused with its name', async path => {
  const opened = Connection.open({ path, timeoutMs: 1000, onEvent: () => {}, onClosed: () => {} })
  await expect(opened).rejects.toBeInstanceOf(MediatorError)
  await expect(opened).rejects.toMatchObject({ code: 'XENSTORE_UNREACHABLE', path })
})
