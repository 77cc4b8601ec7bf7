// A front end that means harm, beside one that does not: every vhost-user message out of order, repeated, of wrong sizes,
// with wrong or missing descriptors, memory that overlaps, shrinks or is none, rings that point anywhere. The process
// lives, the other guest is served all along, and nothing grows. A fixed seed; HOSTILE_CASES says how many cases:
// a share of them by default, 100000 with `npm run test:hostile`.
import { mkdtempSync, openSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { VhostUserLink } from '../../src/guest-link/vhost-user/vhost-user.ts'
import * as libc from '../../src/native/libc.ts'
import { EAGAIN, MSG_DONTWAIT } from '../../src/native/linux.ts'
import { MappedMemory } from '../../src/native/mapped-memory.ts'
import { NativeMemory } from '../../src/native/native-memory.ts'
import { Reactor } from '../../src/native/reactor.ts'
import { connectUnix, socketPair } from '../../src/native/unix-socket.ts'
import { EchoHandler } from '../guest-link/handlers.ts'
import {
  FrontEndSocket,
  Guest,
  guestBase,
  mappings,
  memfd,
  u32,
  u64,
  userBase,
  vu,
} from '../virtio/front-end.ts'

const cases = Number(process.env['HOSTILE_CASES'] ?? 6000)
const folder = mkdtempSync(join(tmpdir(), 'hostile-'))
const paths = { hostile: join(folder, 'hostile.sock'), good: join(folder, 'good.sock') }

let seed = 0x5c_31
/** mulberry32: the same sequence every time. */
function random(below: number): number {
  seed = (seed + 0x6d2b79f5) | 0
  let t = Math.imul(seed ^ (seed >>> 15), 1 | seed)
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
  return ((t ^ (t >>> 14)) >>> 0) % below
}
const pick = <T>(list: readonly T[]): T => list[random(list.length)] as T
const chance = (oneIn: number): boolean => random(oneIn) === 0

const event = Buffer.from('0053050001000000020000000000000000', 'hex')
const fileBytes = 1 << 16
let reactor: Reactor
let links: VhostUserLink[]
let good: Guest
let faults: unknown[]
const scratch = NativeMemory.allocate(8192)
/** Descriptors that a hostile front end may send along. */
let sealed: number
let loose: number
let wrong: number[]
let kick: number
let guest: MappedMemory
let looseGuest: MappedMemory

const step = (rounds = 2) => {
  for (let i = 0; i < rounds; i++) reactor.step(0)
}
const openFds = () => readdirSync('/proc/self/fd').length

beforeAll(() => {
  faults = []
  reactor = new Reactor((_source, error) => faults.push(error))
  const parts = { reactor, handler: new EchoHandler(), log: () => {} }
  links = [
    new VhostUserLink({ path: paths.hostile, role: 'server', guest: 0 }, parts),
    new VhostUserLink({ path: paths.good, role: 'server', guest: 1 }, parts),
  ]
  good = Guest.start(paths.good, step)
  sealed = memfd(fileBytes)
  loose = memfd(fileBytes, 0)
  guest = new MappedMemory(fileBytes)
  guest.attach(sealed, fileBytes)
  looseGuest = new MappedMemory(fileBytes)
  kick = libc.eventfd()
  const [a, b] = socketPair('stream')
  wrong = [
    a,
    b,
    openSync('/dev/null', 'r+'),
    openSync('/dev/zero', 'r'),
    openSync('/proc/self/maps', 'r'),
    reactor.wakeFd,
  ]
})
afterAll(() => {
  good.close()
  for (const link of links) link.close()
  reactor.close()
  for (const fd of [sealed, loose, kick, ...wrong.slice(0, -1)]) libc.close(fd)
  rmSync(folder, { recursive: true })
})

/** Mostly what would be right, so that what comes after it gets far. */
const gpas = [guestBase, guestBase, guestBase, 0n, guestBase + 0x8000n, (1n << 64n) - 0x8000n, 1n << 52n]
const uvas = [userBase, userBase, userBase, 0n, userBase + 0x8000n, (1n << 64n) - 4096n]
const sizes = [fileBytes, fileBytes, fileBytes, 0x8000, 0, 4096, 2 ** 40, 1, 0xfff]
const offsets = [0, 0, 0, 0x1000, 0x8000, 3, 2 ** 40]
const aRegion = (): Buffer => u64(pick(gpas), pick(sizes), pick(uvas), pick(offsets))
const aMemfd = (): number => (chance(4) ? loose : chance(12) ? pick(wrong) : sealed)
const anEventfd = (): number => (chance(10) ? pick([...wrong, sealed]) : kick)
const index = (): number => (chance(12) ? pick([2, 7, 255, 0xffff_ffff]) : random(2))
const table = 0x0000
const available = 0x1000
const used = 0x2000
const eventRing = 0x4000
const at = (ring: number): bigint => userBase + BigInt(ring * eventRing)

interface Sent {
  readonly request: number
  readonly payload: Buffer
  readonly fds: number[]
}
const makers: readonly (() => Sent)[] = [
  () => ({ request: vu.GET_FEATURES, payload: u32(), fds: [] }),
  () => ({
    request: vu.SET_FEATURES,
    payload: u64(
      pick([
        0x1_7000_0001n,
        0x1_7000_0001n,
        0x1_3000_0001n,
        0x1_4000_0000n,
        1n,
        ~0n & 0xffff_ffff_ffff_ffffn,
      ]),
    ),
    fds: [],
  }),
  () => ({ request: vu.SET_OWNER, payload: u32(), fds: [] }),
  () => {
    const count = chance(6) ? random(12) : 1 + random(2)
    return {
      request: vu.SET_MEM_TABLE,
      payload: Buffer.concat([u32(count, 0), ...Array.from({ length: count }, aRegion)]),
      fds: Array.from({ length: count }, aMemfd),
    }
  },
  () => ({
    request: vu.SET_MEM_TABLE,
    payload: Buffer.concat([u32(1, 0), u64(guestBase, fileBytes, userBase, 0)]),
    fds: [aMemfd()],
  }),
  () => ({
    request: vu.SET_VRING_NUM,
    payload: u32(index(), pick([64, 64, 64, 1, 0, 3, 32768, 65536])),
    fds: [],
  }),
  () => {
    const ring = random(2)
    const skew = chance(8) ? BigInt(pick([1, 2, 8, 0x10000, -0x10000])) : 0n
    return {
      request: vu.SET_VRING_ADDR,
      payload: Buffer.concat([
        u32(chance(12) ? index() : ring, 0),
        u64(at(ring) + BigInt(table) + skew, at(ring) + BigInt(used), at(ring) + BigInt(available), 0),
      ]),
      fds: [],
    }
  },
  () => ({ request: vu.SET_VRING_BASE, payload: u32(index(), chance(4) ? random(0x1_0000) : 0), fds: [] }),
  () => ({ request: vu.GET_VRING_BASE, payload: u32(index(), 0), fds: [] }),
  () => ({ request: vu.SET_VRING_KICK, payload: u64(chance(20) ? 0x100 : index()), fds: [anEventfd()] }),
  () => ({ request: vu.SET_VRING_CALL, payload: u64(chance(20) ? 0x100 : index()), fds: [anEventfd()] }),
  () => ({ request: vu.SET_VRING_ERR, payload: u64(chance(20) ? 0x100 : index()), fds: [anEventfd()] }),
  () => ({ request: vu.GET_PROTOCOL_FEATURES, payload: u32(), fds: [] }),
  () => ({ request: vu.SET_PROTOCOL_FEATURES, payload: u64(pick([0x8009, 0x1, 0xffff_ffff])), fds: [] }),
  () => ({ request: vu.GET_QUEUE_NUM, payload: u32(), fds: [] }),
  () => ({ request: vu.SET_VRING_ENABLE, payload: u32(index(), pick([1, 1, 1, 0, 2])), fds: [] }),
  () => ({ request: vu.RESET_DEVICE, payload: u32(), fds: [] }),
  () => ({ request: vu.GET_MAX_MEM_SLOTS, payload: u32(), fds: [] }),
  () => ({ request: vu.ADD_MEM_REG, payload: Buffer.concat([u64(0), aRegion()]), fds: [aMemfd()] }),
  () => ({ request: vu.REM_MEM_REG, payload: Buffer.concat([u64(0), aRegion()]), fds: [] }),
  () => ({ request: vu.GET_INFLIGHT_FD, payload: u64(0, 0, random(2 ** 32)), fds: [] }),
  () => ({
    request: vu.SET_INFLIGHT_FD,
    payload: u64(pick(sizes), pick(offsets), 0x0040_0002),
    fds: [aMemfd()],
  }),
  () => ({ request: random(64), payload: Buffer.alloc(random(80), random(256)), fds: [] }),
]

/** A message as it should be, or with something wrong about it. */
function send(socket: FrontEndSocket): void {
  const { request, payload, fds } = pick(makers)()
  let flags = chance(3) ? 1 : 9
  let bytes: Buffer = payload
  let along = fds
  let size = -1
  switch (random(24)) {
    case 0:
      along = []
      break
    case 1:
      along = [...fds, kick, sealed]
      break
    case 2:
      along = Array.from({ length: 33 }, () => kick)
      break
    case 3:
      bytes = payload.subarray(0, random(payload.length + 1))
      break
    case 4:
      bytes = Buffer.concat([payload, Buffer.alloc(random(64))])
      break
    case 5:
      flags = random(16)
      break
    case 6:
      size = pick([4097, 0xffff_ffff, 4096])
      break
  }
  const whole = Buffer.concat([u32(request, flags, size < 0 ? bytes.length : size), bytes])
  if (!chance(20)) socket.bytes(whole, along)
  else {
    const cut = 1 + random(whole.length - 1)
    socket.bytes(whole.subarray(0, cut), along)
    step(1)
    if (chance(2)) socket.bytes(whole.subarray(cut), chance(8) ? [kick] : [])
  }
}

/** Starts both rings properly, for what comes next. */
function startRings(socket: FrontEndSocket): void {
  const memory = chance(3) ? loose : sealed
  guest.bytes.fill(0)
  socket.bytes(Buffer.concat([u32(vu.SET_FEATURES, 1, 8), u64(0x1_7000_0001n)]))
  socket.bytes(
    Buffer.concat([u32(vu.SET_MEM_TABLE, 1, 40), u32(1, 0), u64(guestBase, fileBytes, userBase, 0)]),
    [memory],
  )
  for (const ring of [0, 1]) {
    const say = (request: number, payload: Buffer, fds: number[] = []) =>
      socket.bytes(Buffer.concat([u32(request, 1, payload.length), payload]), fds)
    say(vu.SET_VRING_NUM, u32(ring, 64))
    say(vu.SET_VRING_BASE, u32(ring, 0))
    say(
      vu.SET_VRING_ADDR,
      Buffer.concat([u32(ring, 0), u64(at(ring), at(ring) + BigInt(used), at(ring) + BigInt(available), 0)]),
    )
    say(vu.SET_VRING_KICK, u64(ring), [kick])
    say(vu.SET_VRING_CALL, u64(ring), [kick])
    say(vu.SET_VRING_ENABLE, u32(ring, 1))
  }
  step(20)
}

/** Writes rings as no driver would, and kicks. */
function writeRings(): void {
  const memory = chance(3) && looseGuest.attached > 0 ? looseGuest : guest
  const view = new DataView(memory.buffer)
  for (let i = random(24); i >= 0; i--) {
    const ring = random(2) * eventRing
    const descriptor = ring + table + random(64) * 16
    view.setBigUint64(
      descriptor,
      guestBase + BigInt(pick([0, descriptor, 0x8000, fileBytes - 4, fileBytes, -1])),
      true,
    )
    view.setUint32(descriptor + 8, pick([4, 8, 16, 32, 64, 0, 0xffff_ffff, fileBytes]), true)
    view.setUint16(descriptor + 12, random(8), true)
    view.setUint16(descriptor + 14, chance(5) ? random(0x1_0000) : random(64), true)
    view.setUint16(ring + available + 4 + random(64) * 2, chance(20) ? random(0x1_0000) : random(64), true)
  }
  if (chance(10))
    for (let i = 0; i < 64; i++) view.setUint32(random(fileBytes / 4) * 4, random(2 ** 32), true)
  // One of the chains is right, now and then: what it says is answered.
  if (chance(2)) {
    for (const at of [0, eventRing]) {
      const [request, answer] = [at + 0x9000, at + 0x9100].map(
        offset => guestBase + BigInt(offset % fileBytes),
      )
      const flags = at === 0 ? 1 : 2
      view.setBigUint64(at + table, request ?? 0n, true)
      view.setUint32(at + table + 8, 32, true)
      view.setUint32(at + table + 12, flags | (1 << 16), true)
      view.setBigUint64(at + table + 16, answer ?? 0n, true)
      view.setUint32(at + table + 24, 64, true)
      view.setUint32(at + table + 28, 2, true)
      for (let i = 0; i < 64; i++) view.setUint16(at + available + 4 + i * 2, 0, true)
    }
  }
  const ring = random(2) * eventRing
  const idx = view.getUint16(ring + available + 2, true)
  view.setUint16(ring + available + 2, chance(12) ? random(0x1_0000) : idx + random(40), true)
  scratch.words.fill(0, 0, 2)
  scratch.words[0] = 1
  libc.write(kick, scratch.address, 8)
}

/** The memory that is not sealed shrinks and grows under whoever looks at it. */
function shrink(): void {
  looseGuest.detach()
  libc.ftruncate(loose, pick([0, 1, 0x1800, 0x8000, fileBytes, fileBytes]))
  if (chance(2)) libc.ftruncate(loose, fileBytes)
}

function drain(socket: FrontEndSocket): boolean {
  for (;;) {
    const length = libc.recv(socket.fd, scratch.address, 8192, MSG_DONTWAIT)
    if (length === -EAGAIN) return true
    if (length <= 0) return false
  }
}
const connect = (): FrontEndSocket => {
  const socket = new FrontEndSocket(connectUnix(paths.hostile, 'stream', { nonBlocking: true }), step)
  step(1)
  return socket
}

test(`${cases} cases: the process lives, the other guest is served, nothing grows`, {
  timeout: 300_000,
}, () => {
  let socket = connect()
  let before: { fds: number; maps: number } | undefined
  for (let i = 0; i < cases; i++) {
    switch (random(12)) {
      case 0:
        startRings(socket)
        break
      case 1:
      case 2:
      case 3:
        writeRings()
        break
      case 4:
        if (chance(6)) shrink()
        else links[0]?.deliver(event, event.length)
        break
      default:
        send(socket)
    }
    if (chance(40)) libc.write(kick, scratch.address, 8)
    step(3)
    if (!drain(socket) || chance(60)) {
      socket.close()
      step(3)
      socket = connect()
    }
    if (i % 64 === 0) {
      if (good.free < 4096) good.wipeBuffers()
      expect(good.ask(Buffer.from('0150140011223344', 'hex'))).toBe('015014000000000011223344')
      // What was made once is there by now.
      if (i >= cases / 3) before ??= { fds: openFds(), maps: mappings() }
    }
  }
  socket.close()
  step(3)
  socket = connect()
  expect(faults).toEqual([])
  expect(openFds()).toBeLessThanOrEqual((before?.fds ?? 0) + 8)
  expect(mappings()).toBeLessThanOrEqual((before?.maps ?? 0) + 64)
  socket.close()
  step(3)
  // Only the door and the good guest's connection are watched still.
  expect(links[0]?.occupied).toBe(false)
  expect(links[1]?.counters.commands).toBe(Math.ceil(cases / 64))
  // The harm was done in earnest: what is right was served, what is not was met.
  const { commands = 0, delivered = 0, badLengths = 0, connections = 0 } = links[0]?.counters ?? {}
  for (const count of [commands, delivered, badLengths, connections])
    expect(count).toBeGreaterThan(cases / 2000)
})
