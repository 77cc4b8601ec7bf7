// A vhost-user front end with a guest behind it, in a test: its own encoding of messages, memory of its own, and the
// product's driver side for rings. Everything runs in one thread: `step` lets the back end work.
import { readFileSync } from 'node:fs'
import * as libc from '../../src/native/libc.ts'
import {
  EAGAIN,
  F_ADD_SEALS,
  F_SEAL_GROW,
  F_SEAL_SHRINK,
  MFD_ALLOW_SEALING,
  MFD_CLOEXEC,
  MSG_DONTWAIT,
  SOCK_NONBLOCK,
} from '../../src/native/linux.ts'
import { MappedMemory } from '../../src/native/mapped-memory.ts'
import { NativeMemory } from '../../src/native/native-memory.ts'
import { RightsMessage } from '../../src/native/rights-message.ts'
import { connectUnix } from '../../src/native/unix-socket.ts'
import { DriverQueue, ringOffsets } from '../../src/virtio/driver-queue.ts'

/** Request numbers, as the standard of vhost-user lists them. */
export const vu = {
  GET_FEATURES: 1,
  SET_FEATURES: 2,
  SET_OWNER: 3,
  SET_MEM_TABLE: 5,
  SET_VRING_NUM: 8,
  SET_VRING_ADDR: 9,
  SET_VRING_BASE: 10,
  GET_VRING_BASE: 11,
  SET_VRING_KICK: 12,
  SET_VRING_CALL: 13,
  SET_VRING_ERR: 14,
  GET_PROTOCOL_FEATURES: 15,
  SET_PROTOCOL_FEATURES: 16,
  GET_QUEUE_NUM: 17,
  SET_VRING_ENABLE: 18,
  GET_INFLIGHT_FD: 31,
  SET_INFLIGHT_FD: 32,
  RESET_DEVICE: 34,
  GET_MAX_MEM_SLOTS: 36,
  ADD_MEM_REG: 37,
  REM_MEM_REG: 38,
} as const

/** VERSION_1, EVENT_IDX, INDIRECT_DESC, bit 30 and VIRTIO_SCMI_F_P2A_CHANNELS: what QEMU and Linux agree to. */
export const everything = 0x1_7000_0001n
export const P2A = 1n
const EVENT_IDX = 1n << 29n

/** Where the guest's memory lies for it, and in the front end; above 4 GiB both. */
export const guestBase = 0x1_4000_0000n
export const userBase = 0x7f12_3456_0000n

/** A memfd of `size` bytes. */
export function memfd(size: number, seals = F_SEAL_SHRINK | F_SEAL_GROW): number {
  const fd = libc.memfdCreate('guest', MFD_CLOEXEC | MFD_ALLOW_SEALING)
  libc.ftruncate(fd, size)
  if (seals !== 0) libc.fcntl(fd, F_ADD_SEALS, seals)
  return fd
}

/** Little-endian u64 and u32 words. */
export const u64 = (...values: (bigint | number)[]): Buffer =>
  Buffer.from(BigUint64Array.from(values, BigInt).buffer)
export const u32 = (...values: number[]): Buffer => Buffer.from(Uint32Array.from(values).buffer)

/** A region as SET_MEM_TABLE lists it. */
const region = (gpa: bigint, size: number, uva: bigint, offset = 0): Buffer => u64(gpa, size, uva, offset)

/** A message, header and payload. */
export const message = (request: number, payload: Uint8Array, flags = 1): Buffer =>
  Buffer.concat([u32(request, flags, payload.length), payload])

export interface Reply {
  readonly request: number
  readonly flags: number
  readonly payload: Buffer
  readonly fds: number[]
}

/** The socket alone: whoever speaks decides what. */
export class FrontEndSocket {
  readonly fd: number
  readonly step: () => void
  readonly #rights = new RightsMessage(8192, 40)
  readonly #in = NativeMemory.allocate(8192)
  closed = false

  constructor(fd: number, step: () => void) {
    this.fd = fd
    this.step = step
  }

  static connect(path: string, step: () => void): FrontEndSocket {
    const socket = new FrontEndSocket(connectUnix(path, 'stream', { nonBlocking: true }), step)
    step()
    return socket
  }

  /** The next connection to a socket on which we listen. */
  static async accepted(listening: number, step: () => void): Promise<FrontEndSocket> {
    for (let tries = 0; tries < 1000; tries++) {
      const fd = libc.accept4(listening, SOCK_NONBLOCK)
      if (fd >= 0) return new FrontEndSocket(fd, step)
      await new Promise(done => setTimeout(done, 10))
    }
    throw new Error('nobody connected')
  }

  /** Sends bytes as they are; gives what the system call gave. */
  bytes(bytes: Uint8Array, fds: readonly number[] = []): number {
    this.#rights.bytes.set(bytes)
    return this.#rights.send(this.fd, bytes.length, fds)
  }

  /** Sends a message and lets the back end work. */
  send(
    request: number,
    payload: Uint8Array = new Uint8Array(0),
    fds: readonly number[] = [],
    flags = 1,
  ): void {
    this.bytes(message(request, payload, flags), fds)
    this.step()
  }

  /** A reply that is there; undefined when none is. */
  reply(): Reply | undefined {
    const length = this.#rights.receive(this.fd, 0, 12)
    if (length === -EAGAIN) return undefined
    if (length <= 0) {
      this.closed = true
      return undefined
    }
    const [request = 0, flags = 0, size = 0] = this.#rights.words
    const fds = Array.from(this.#rights.fds.subarray(0, this.#rights.fdCount))
    const got = size === 0 ? 0 : libc.recv(this.fd, this.#in.address, size, MSG_DONTWAIT)
    if (length !== 12 || got !== size) throw new Error('a reply in pieces')
    return { request, flags, payload: Buffer.from(this.#in.bytes.subarray(0, size)), fds }
  }

  /** Asks for something that has a reply. */
  ask(
    request: number,
    payload: Uint8Array = new Uint8Array(0),
    fds: readonly number[] = [],
    flags = 1,
  ): Reply {
    this.send(request, payload, fds, flags)
    for (let tries = 0; tries < 1000 && !this.closed; tries++) {
      const reply = this.reply()
      if (reply !== undefined) return reply
      this.step()
    }
    throw new Error(`request ${request} was not answered`)
  }

  /** Whether the back end has hung up. */
  get gone(): boolean {
    this.step()
    if (!this.closed) this.reply()
    return this.closed
  }

  close(): void {
    libc.close(this.fd)
    this.#rights.release()
    this.#in.release()
  }
}

export interface FrontEndOptions {
  readonly features?: bigint
  readonly ringSize?: number
  readonly eventRingSize?: number
  readonly seals?: number
  /** Rings that the driver sets up: both, unless it does without events. */
  readonly rings?: readonly number[]
  /** ADD_MEM_REG in place of SET_MEM_TABLE. */
  readonly slots?: boolean
  /** Entries to begin with. */
  readonly base?: readonly [number, number]
  /** What is said besides, before the driver starts. */
  readonly prepare?: ((socket: FrontEndSocket) => void) | undefined
}

const memoryBytes = 1 << 20
const eventAt = 0x10000
const buffersAt = 0x20000

/** A guest: two rings and buffers in a memfd, behind a front end that does as QEMU does. */
export class Guest {
  socket: FrontEndSocket
  readonly memory = new MappedMemory(memoryBytes)
  readonly memfd: number
  commands: DriverQueue
  events: DriverQueue
  readonly kicks = [libc.eventfd(), libc.eventfd()]
  readonly calls = [libc.eventfd(), libc.eventfd()]
  readonly errs = [libc.eventfd(), libc.eventfd()]
  readonly features: bigint
  readonly ringSize: number
  readonly eventRingSize: number
  readonly #counter = NativeMemory.allocate(8)
  #buffer = buffersAt

  constructor(socket: FrontEndSocket, options: FrontEndOptions = {}) {
    this.socket = socket
    this.features = options.features ?? everything
    this.ringSize = options.ringSize ?? 64
    this.eventRingSize = options.eventRingSize ?? 16
    this.memfd = memfd(memoryBytes, options.seals ?? F_SEAL_SHRINK | F_SEAL_GROW)
    const fault = this.memory.attach(this.memfd, memoryBytes)
    if (fault !== undefined) throw new Error(fault)
    this.commands = this.#queue(0, this.ringSize)
    this.events = this.#queue(eventAt, this.eventRingSize)
  }

  #queue(at: number, size: number): DriverQueue {
    const shared = {
      buffer: this.memory.buffer,
      hi: Number(guestBase >> 32n),
      lo: Number(guestBase & 0xffff_ffffn) | 0,
    }
    return new DriverQueue(shared, at, size, (this.features & EVENT_IDX) !== 0n)
  }

  /** The driver begins anew, with empty rings. */
  wipe(): void {
    this.memory.bytes.fill(0)
    this.#buffer = buffersAt
    this.commands = this.#queue(0, this.ringSize)
    this.events = this.#queue(eventAt, this.eventRingSize)
  }

  /** Connects, negotiates and starts both rings. */
  static start(path: string, step: () => void, options: FrontEndOptions = {}): Guest {
    const guest = new Guest(FrontEndSocket.connect(path, step), options)
    guest.negotiate()
    options.prepare?.(guest.socket)
    guest.startDriver(options)
    return guest
  }

  negotiate(): void {
    const { socket } = this
    socket.ask(vu.GET_FEATURES)
    const offered = socket.ask(vu.GET_PROTOCOL_FEATURES).payload.readUInt32LE(0)
    socket.send(vu.SET_PROTOCOL_FEATURES, u64(offered & 0x8009)) // what QEMU knows: MQ, REPLY_ACK, CONFIGURE_MEM_SLOTS
    socket.send(vu.SET_OWNER)
  }

  /** What QEMU sends when a driver sets DRIVER_OK. */
  startDriver(options: FrontEndOptions = {}): void {
    const { slots = false, base = [0, 0], rings = [0, 1], features = this.features } = options
    const { socket } = this
    socket.send(vu.SET_FEATURES, u64(features))
    this.giveMemory(slots)
    for (const index of rings) {
      const size = index === 0 ? this.ringSize : this.eventRingSize
      socket.send(vu.SET_VRING_NUM, u32(index, size))
      socket.send(vu.SET_VRING_BASE, u32(index, base[index] ?? 0))
      socket.send(vu.SET_VRING_ADDR, this.addresses(index))
      socket.send(vu.SET_VRING_KICK, u64(index), [this.kicks[index] ?? -1])
      socket.send(vu.SET_VRING_CALL, u64(index), [this.calls[index] ?? -1])
    }
    for (const index of [0, 1]) socket.send(vu.SET_VRING_ENABLE, u32(index, 1))
    socket.step()
  }

  giveMemory(slots = false): void {
    const place = region(guestBase, memoryBytes, userBase)
    if (slots) this.socket.send(vu.ADD_MEM_REG, Buffer.concat([u64(0), place]), [this.memfd])
    else this.socket.send(vu.SET_MEM_TABLE, Buffer.concat([u32(1, 0), place]), [this.memfd])
  }

  /** Takes away what `giveMemory` gave as a slot. */
  takeMemory(): void {
    this.socket.send(vu.REM_MEM_REG, Buffer.concat([u64(0), region(guestBase, memoryBytes, userBase)]))
  }

  addresses(index: number): Buffer {
    const at = userBase + BigInt(index === 0 ? 0 : eventAt)
    const { available, used } = ringOffsets(index === 0 ? this.ringSize : this.eventRingSize)
    return Buffer.concat([u32(index, 0), u64(at, at + BigInt(used), at + BigInt(available), 0)])
  }

  /** The back end went and came back: QEMU says all of it anew but the features, and begins where the used ring ends. */
  reconnect(path: string, prepare: (socket: FrontEndSocket) => void = () => {}): void {
    this.resume(FrontEndSocket.connect(path, this.socket.step), prepare)
  }

  /** The same over a connection that is there. */
  resume(socket: FrontEndSocket, prepare: (socket: FrontEndSocket) => void = () => {}): void {
    this.socket.close()
    this.socket = socket
    prepare(socket)
    const usedOf = (at: number, size: number): number =>
      new Uint16Array(this.memory.buffer)[(at + ringOffsets(size).used + 2) / 2] ?? 0
    this.startDriver({ base: [usedOf(0, this.ringSize), usedOf(eventAt, this.eventRingSize)] })
  }

  /** What QEMU sends when the driver or the machine stops; gives the two bases. */
  stopDriver(): [number, number] {
    const { socket } = this
    for (const index of [0, 1]) socket.send(vu.SET_VRING_ENABLE, u32(index, 0))
    const bases = [0, 1].map(index => socket.ask(vu.GET_VRING_BASE, u32(index, 0)).payload.readUInt32LE(4))
    return bases as [number, number]
  }

  /** Bytes for buffers that are left, and all of them again once nothing is under way. */
  get free(): number {
    return memoryBytes - this.#buffer
  }
  wipeBuffers(): void {
    this.#buffer = buffersAt
  }

  /** A fresh place for `length` bytes. */
  place(length: number): number {
    const at = this.#buffer
    this.#buffer = at + ((length + 15) & ~15)
    if (this.#buffer > memoryBytes) throw new Error('the guest has no memory left')
    return at
  }

  /** Makes a command available and kicks if that is wanted. Gives head and the place of the answer. */
  post(frame: Uint8Array, room = 136): { head: number; at: number } {
    const request = this.place(frame.length)
    const at = this.place(room)
    this.memory.bytes.set(frame, request)
    this.commands.begin(this.place(64))
    this.commands.segment(request, frame.length, false)
    this.commands.segment(at, room, true)
    const head = this.commands.end()
    if (this.commands.wantsKick()) this.kick(0)
    return { head, at }
  }

  /** Gives the eventq a buffer. */
  offer(room = 136): number {
    const at = this.place(room)
    this.events.begin()
    this.events.segment(at, room, true)
    this.events.end()
    if (this.events.wantsKick()) this.kick(1)
    return at
  }

  /** Sends a command and gives the answer in hexadecimal; it must come within one round. */
  ask(frame: Uint8Array, room = 136): string {
    const { head, at } = this.post(frame, room)
    let came = -1
    for (let tries = 0; tries < 1000 && came === -1; tries++) {
      this.socket.step()
      came = this.commands.take()
    }
    if (came !== head) throw new Error(`head ${came} came back, not ${head}`)
    const { written } = this.commands
    this.commands.release(head)
    return this.hex(at, written)
  }

  hex(at: number, length: number): string {
    return Buffer.from(this.memory.bytes.subarray(at, at + length)).toString('hex')
  }

  kick(index: number): void {
    this.#counter.words[0] = 1
    this.#counter.words[1] = 0
    libc.write(this.kicks[index] ?? -1, this.#counter.address, 8)
  }

  /** Signals since this was last asked. */
  signals(index: number): number {
    return libc.read(this.calls[index] ?? -1, this.#counter.address, 8) < 0
      ? 0
      : (this.#counter.words[0] ?? 0)
  }

  close(): void {
    this.socket.close()
    this.memory.close()
    for (const fd of [this.memfd, ...this.kicks, ...this.calls, ...this.errs]) libc.close(fd)
    this.#counter.release()
  }
}

/** Mappings of this process, to see whether they grow. */
export const mappings = (): number => readFileSync('/proc/self/maps', 'utf8').split('\n').length
