// The hypervisor side of a trap socket, written from docs/trap-socket.md with DataViews alone: the tests' other party.

import * as libc from '../../src/native/libc.ts'
import {
  F_ADD_SEALS,
  F_SEAL_SHRINK,
  MFD_ALLOW_SEALING,
  MSG_DONTWAIT,
  MSG_NOSIGNAL,
} from '../../src/native/linux.ts'
import { NativeMemory } from '../../src/native/native-memory.ts'
import { RightsMessage } from '../../src/native/rights-message.ts'
import { connectUnix } from '../../src/native/unix-socket.ts'

export const smcId = 0x82000010
export const notSupported = 'ffffffffffffffff'
const done = '0000000000000000'

/** A memfd of `bytes`, and a view of it. */
export function sharedMemory(bytes: number, seals = F_SEAL_SHRINK) {
  const fd = libc.memfdCreate('guest', MFD_ALLOW_SEALING)
  if (libc.ftruncate(fd, bytes) < 0) throw new Error('ftruncate')
  if (seals !== 0 && libc.fcntl(fd, F_ADD_SEALS, seals) < 0) throw new Error('fcntl')
  const address = bytes === 0 ? 0 : libc.mmap(0, bytes, 3, 1, fd, 0)
  const view = new DataView(bytes === 0 ? new ArrayBuffer(0) : libc.viewMemory(address, bytes))
  return { fd, view, address, bytes }
}
export type SharedMemory = ReturnType<typeof sharedMemory>

/** One connection; `step` runs the daemon's side in between. */
export class Hypervisor {
  readonly fd: number
  readonly memory: SharedMemory
  readonly step: () => void
  readonly #message = new RightsMessage(256, 16)
  readonly #packet = NativeMemory.allocate(256)
  readonly a2pBytes: number

  constructor(
    path: string,
    step: () => void,
    a2pBytes = 128,
    p2aBytes = 128,
    memory = sharedMemory(a2pBytes + p2aBytes),
  ) {
    this.a2pBytes = a2pBytes
    this.memory = memory
    this.step = step
    this.fd = connectUnix(path, 'seqpacket', { nonBlocking: true })
  }

  /** Connects and introduces itself as a well-behaved one does. */
  static join(path: string, step: () => void, a2pBytes = 128, p2aBytes = 128): Hypervisor {
    const hypervisor = new Hypervisor(path, step, a2pBytes, p2aBytes)
    hypervisor.hello([0x494d4353, 1, a2pBytes, p2aBytes], [hypervisor.memory.fd])
    step()
    step()
    return hypervisor
  }

  hello(words: readonly number[], fds: readonly number[]): void {
    this.#message.words.set(words)
    if (this.#message.send(this.fd, words.length * 4, fds) < 0) throw new Error('HELLO was not taken')
  }

  /** Sends CALL; `registers` are x0, x1, … as numbers, the others 0. */
  call(registers: readonly number[] = [smcId], vcpu = 0): number {
    const view = new DataView(this.#packet.buffer)
    this.#packet.bytes.fill(0)
    view.setUint32(0, 1, true)
    view.setUint32(4, vcpu, true)
    registers.forEach((value, i) => {
      view.setBigUint64(8 + 8 * i, BigInt.asUintN(64, BigInt(value)), true)
    })
    return libc.send(this.fd, this.#packet.address, 72, MSG_NOSIGNAL | MSG_DONTWAIT)
  }

  /** Where a ready-made CALL lies, with 128 bytes of room behind it. */
  packetAddress(): number {
    this.#packet.words.fill(0)
    this.#packet.words.set([1, 0, smcId])
    return this.#packet.address
  }

  /** Sends raw bytes. */
  packet(words: readonly number[]): number {
    this.#packet.words.set(words)
    return libc.send(this.fd, this.#packet.address, words.length * 4, MSG_NOSIGNAL | MSG_DONTWAIT)
  }

  /** The next packet as hexadecimal words; '' when none waits, 'closed' at the end. */
  next(): string {
    const length = libc.recv(this.fd, this.#packet.address, 256, MSG_DONTWAIT)
    if (length === 0 || length === -104) return 'closed'
    if (length < 0) return ''
    return Array.from(this.#packet.words.subarray(0, length / 4), word =>
      word.toString(16).padStart(8, '0'),
    ).join(' ')
  }

  /** x0 of the next packet, which must be a RETURN for `vcpu` with x1 to x3 zero. */
  returned(vcpu = 0): string {
    const words = this.next().split(' ')
    if (words.length !== 10 || words[0] !== '00000002' || Number.parseInt(words[1] ?? '', 16) !== vcpu)
      return `not a RETURN for ${vcpu}: ${words.join(' ')}`
    if (words.slice(4).some(word => word !== '00000000')) return `x1 to x3: ${words.slice(4).join(' ')}`
    return `${words[3]}${words[2]}`
  }

  /** Writes a message into the A2P area, channel claimed, as the table of the standard places it. */
  write(header: number, payload: readonly number[] = [], length = 4 + payload.length): void {
    const { view } = this.memory
    view.setUint32(4, 0, true)
    view.setUint32(16, 0, true)
    view.setUint32(20, length, true)
    view.setUint32(24, header, true)
    payload.forEach((byte, i) => {
      view.setUint8(28 + i, byte)
    })
  }

  /** Writes, rings, and gives x0 as soon as it is there. */
  send(header: number, payload: readonly number[] = [], length = 4 + payload.length): string {
    this.write(header, payload, length)
    this.call()
    this.step()
    return this.returned()
  }

  get status(): number {
    return this.memory.view.getUint32(4, true)
  }

  /** The answer in the A2P area, `length` bytes from the header on, in hexadecimal. */
  get answer(): string {
    const length = this.memory.view.getUint32(20, true)
    return Buffer.from(this.memory.view.buffer, 24, length).toString('hex')
  }

  close(): void {
    libc.close(this.fd)
    libc.close(this.memory.fd)
    if (this.memory.address > 0) libc.munmap(this.memory.address, this.memory.bytes)
    this.#message.release()
    this.#packet.release()
  }
}

export const returnedDone = done
