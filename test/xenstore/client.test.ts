// The client against a socket that plays the daemon: connection lost and renewed, watches, transactions begun anew. What
// real daemons do is in test/system/xenstore.
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, onTestFinished, test, vi } from 'vitest'
import { XenstoreClient } from '../../src/xenstore/client.ts'
import { messageTypes } from '../../src/xenstore/wire.ts'
import { message, type Peer, playDaemon, type Request } from './exchanges.ts'

const { WATCH, WATCH_EVENT, UNWATCH, ERROR, TRANSACTION_START, TRANSACTION_END } = messageTypes

async function start(peer: Peer): Promise<XenstoreClient> {
  const client = new XenstoreClient({ path: peer.path, firstPauseMs: 5, longestPauseMs: 20, timeoutMs: 2000 })
  onTestFinished(() => client.stop())
  await client.start()
  return client
}

const ok = ({ type, id, transaction }: Request): Buffer => message(type, id, 'OK\0', transaction)

/** OK, and for a watch its first event behind it. */
const watching = (request: Request): Buffer =>
  request.type !== WATCH
    ? ok(request)
    : Buffer.concat([ok(request), message(WATCH_EVENT, 0, `${request.text.replace('|', '\0')}\0`)])

test('a watch hears of itself and of what lies below, until it is closed', async () => {
  const peer = await playDaemon(watching)
  const client = await start(peer)
  const heard: string[] = []
  const watch = await client.watch('/local', path => heard.push(path))
  const token = peer.requests[0]?.text.split('|')[1]
  for (const socket of peer.connections) socket.write(message(WATCH_EVENT, 0, `/local/domain\0${token}\0`))
  await vi.waitFor(() => expect(heard).toEqual(['/local', '/local/domain']))
  await watch.close()
  expect(peer.requests.at(-1)).toMatchObject({ type: UNWATCH, text: `/local|${token}` })
  for (const socket of peer.connections) socket.write(message(WATCH_EVENT, 0, `/local/x\0${token}\0`))
  await client.nodes.write('/a', 'b')
  expect(heard).toHaveLength(2)
})

test('a lost connection is made again, every watch is set, and then it is told', async () => {
  const peer = await playDaemon(watching)
  const client = await start(peer)
  const told: string[] = []
  client.onLost = () => told.push('lost')
  client.onRescan = () =>
    told.push(`rescan after ${peer.requests.filter(({ type }) => type === WATCH).length}`)
  const heard: string[] = []
  await client.watch('@introduceDomain', path => heard.push(path))
  await client.watch('/local', path => heard.push(path))
  await peer.away()
  await vi.waitFor(() => expect(told).toEqual(['lost']))
  await expect(client.nodes.read('/a')).rejects.toMatchObject({ code: 'XENSTORE_UNREACHABLE' })
  await peer.back()
  await vi.waitFor(() => expect(told).toEqual(['lost', 'rescan after 4']))
  expect(heard.toSorted()).toEqual(['/local', '/local', '@introduceDomain', '@introduceDomain'])
  expect(client.isConnected).toBe(true)
  await client.nodes.write('/a', 'b')
})

test('a watch that is asked for while there is no daemon is set when there is one', async () => {
  const peer = await playDaemon(watching)
  const client = await start(peer)
  await peer.away()
  await vi.waitFor(() => expect(client.isConnected).toBe(false))
  const heard: string[] = []
  await client.watch('/local', path => heard.push(path))
  await peer.back()
  await vi.waitFor(() => expect(heard).toEqual(['/local']))
})

test('a watch that the daemon refuses is refused to the caller, and not set again', async () => {
  const peer = await playDaemon(request =>
    request.type === WATCH ? message(ERROR, request.id, 'E2BIG\0') : ok(request),
  )
  const client = await start(peer)
  await expect(client.watch('/local', () => {})).rejects.toMatchObject({ errno: 'E2BIG' })
  const rescanned = new Promise<void>(resolve => {
    client.onRescan = resolve
  })
  for (const socket of peer.connections) socket.destroy()
  await rescanned
  await client.nodes.write('/a', 'b')
  expect(peer.requests.filter(({ type }) => type === WATCH)).toHaveLength(1)
})

test('a transaction is begun anew while the daemon says EAGAIN', async () => {
  let started = 0
  const peer = await playDaemon(request => {
    if (request.type === TRANSACTION_START) return message(request.type, request.id, `${++started}\0`)
    if (request.type === TRANSACTION_END && started < 3) return message(ERROR, request.id, 'EAGAIN\0')
    return ok(request)
  })
  const client = await start(peer)
  let runs = 0
  const result = await client.transaction(async nodes => {
    await nodes.write('/a', String(++runs))
    return runs
  })
  expect(result).toBe(3)
  expect(peer.requests.map(({ transaction, text }) => `${transaction} ${text}`)).toEqual([
    '0 ',
    '1 /a|1',
    '1 T',
    '0 ',
    '2 /a|2',
    '2 T',
    '0 ',
    '3 /a|3',
    '3 T',
  ])
})

test('EAGAIN for ever is told after as many attempts as were allowed', async () => {
  const peer = await playDaemon(request => {
    if (request.type === TRANSACTION_START) return message(request.type, request.id, '7\0')
    return request.type === TRANSACTION_END ? message(ERROR, request.id, 'EAGAIN\0') : ok(request)
  })
  const client = await start(peer)
  const committed = client.transaction(nodes => nodes.write('/a', 'b'), { attempts: 4 })
  await expect(committed).rejects.toMatchObject({
    errno: 'EAGAIN',
    message: expect.stringContaining('4 attempts'),
  })
  expect(peer.requests.filter(({ type }) => type === TRANSACTION_START)).toHaveLength(4)
})

test('a transaction whose work fails is ended without effect, and what failed is told', async () => {
  const peer = await playDaemon(request =>
    request.type === TRANSACTION_START ? message(request.type, request.id, '7\0') : ok(request),
  )
  const client = await start(peer)
  const work = client.transaction(() => Promise.reject(new Error('of its own')))
  await expect(work).rejects.toThrow('of its own')
  expect(peer.requests.at(-1)).toMatchObject({ type: TRANSACTION_END, text: 'F', transaction: 7 })
})

test('a client that is stopped while it looks for the daemon looks no longer', async () => {
  const peer = await playDaemon(ok)
  const client = await start(peer)
  await peer.away()
  await client.stop()
  await client.stop()
  await peer.back()
  await sleep(60) // three times its longest pause
  expect(peer.connections.size).toBe(0)
  await expect(client.nodes.read('/a')).rejects.toMatchObject({ code: 'XENSTORE_UNREACHABLE' })
})
