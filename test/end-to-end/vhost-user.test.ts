// Guests of a VMM at a real scmid, over vhost-user: they are served under their permissions, independently, and one whose
// front end listens goes on after the daemon was killed. The VMM is this test, with memory and rings of its own.
import { readFileSync, rmSync, statSync } from 'node:fs'
import { afterAll, beforeAll, expect, test } from 'vitest'
import * as libc from '../../src/native/libc.ts'
import { listenUnix } from '../../src/native/unix-socket.ts'
import { FrontEndSocket, Guest } from '../virtio/front-end.ts'
import { DaemonProcess, ensureBuilt, example } from './daemon-process.ts'

const ring = new Int32Array(new SharedArrayBuffer(4))
/** The daemon works on its own: a step is a moment's rest. */
const step = (): void => {
  Atomics.wait(ring, 0, 0, 2)
}
const [DENIED, NOT_SUPPORTED] = ['fdffffff', 'ffffffff']
const frame = (...words: number[]): Buffer => Buffer.from(Uint32Array.from(words, each => each >>> 0).buffer)
const hex = (...words: number[]): string => frame(...words).toString('hex')
const header = (protocol: number, id: number, token = 0): number => id | (protocol << 10) | (token << 18)
const RATE_GET = header(0x14, 0x6)
const CONFIG_SET = header(0x14, 0x7)

let daemon: DaemonProcess
const guests: Guest[] = []
const add = (name: string, link: { path: string; role: 'server' | 'client'; mode?: number }) =>
  daemon.client.addDomain(
    { name, dtb: readFileSync(example(`${name}.dtb`)), link: { kind: 'vhost-user', ...link } },
    { dryRun: false },
  )
beforeAll(async () => {
  ensureBuilt()
  daemon = await DaemonProcess.start()
}, 120_000)
afterAll(async () => {
  for (const guest of guests) guest.close()
  await daemon.destroy()
})

test('two guests have their own clocks and nobody else’s; one that is malformed or dies troubles nobody', async () => {
  const paths = [daemon.path('a.sock'), daemon.path('b.sock')] as const
  await add('guest-a', { path: paths[0], role: 'server', mode: 0o660 })
  await add('guest-b', { path: paths[1], role: 'server' })
  expect(statSync(paths[0]).mode & 0o777).toBe(0o660)
  const [a, b] = paths.map(path => Guest.start(path, step)) as [Guest, Guest]
  guests.push(a)
  expect(a.ask(frame(RATE_GET, 0))).toBe(hex(RATE_GET, 0, 125_000_000, 0))
  expect(b.ask(frame(RATE_GET, 1))).toBe(hex(RATE_GET, 0, 133_333_333, 0))
  expect(b.ask(frame(CONFIG_SET, 0, 1, 0))).toBe(hex(CONFIG_SET) + DENIED)
  expect(a.ask(frame(CONFIG_SET, 0, 1, 0))).toBe(hex(CONFIG_SET, 0))
  expect(a.ask(frame(header(0x55, 0)))).toBe(hex(header(0x55, 0)) + NOT_SUPPORTED)
  // b's ring makes no sense any more, and then b is gone.
  new Uint16Array(b.memory.buffer)[(64 * 16 + 2) / 2] = 0x4000
  b.kick(0)
  step()
  expect(a.ask(frame(RATE_GET, 0))).toBe(hex(RATE_GET, 0, 125_000_000, 0))
  b.close()
  expect(a.ask(frame(RATE_GET, 0))).toBe(hex(RATE_GET, 0, 125_000_000, 0))
  // And it comes back.
  const again = Guest.start(paths[1], step)
  guests.push(again)
  expect(again.ask(frame(RATE_GET, 1))).toBe(hex(RATE_GET, 0, 133_333_333, 0))
})

test('a guest whose front end listens goes on after kill -9: each command is answered once', async () => {
  const path = daemon.path('c.sock')
  const listening = listenUnix(path, 'stream')
  await add('guest-c', { path, role: 'client' })
  const guest = new Guest(await FrontEndSocket.accepted(listening, step))
  guests.push(guest)
  guest.negotiate()
  guest.startDriver()
  expect(guest.ask(frame(RATE_GET, 10))).toBe(hex(RATE_GET, 0, 40_000_000, 0))

  const answers = new Map<number, number>()
  const collect = (): void => {
    for (let head = guest.commands.take(); head >= 0; head = guest.commands.take())
      answers.set(head, (answers.get(head) ?? 0) + 1)
  }
  const posted = Array.from({ length: 20 }, (_, token) => guest.post(frame(header(0x14, 0x6, token), 10)))
  await daemon.end('SIGKILL')
  collect()
  posted.push(...Array.from({ length: 20 }, (_, i) => guest.post(frame(header(0x14, 0x6, 20 + i), 10))))
  const { directory } = daemon
  daemon = await DaemonProcess.start({ directory })
  guest.resume(await FrontEndSocket.accepted(listening, step))
  for (let tries = 0; tries < 1000 && answers.size < posted.length; tries++) {
    step()
    collect()
  }
  expect(posted.map(({ head }) => answers.get(head))).toEqual(posted.map(() => 1))
  for (const [token, { at }] of posted.entries())
    expect(guest.hex(at, 16)).toBe(hex(header(0x14, 0x6, token), 0, 40_000_000, 0))
  libc.close(listening)
  rmSync(path, { force: true })
}, 120_000)
