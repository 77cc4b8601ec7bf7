// The raw hypervisor side of a trap socket: its memfd, its packets, one at a time. Nothing is checked: hostile guests
// use it as it is, TrapConnection puts manners on it. ABI: docs/trap-socket.md.
import { MediatorError } from '../errors.ts'
import { CALL, callBytes, DOORBELL, helloMagic, helloVersion, RETURN } from '../guest-link/trap-socket/abi.ts'
import { close, fcntl, ftruncate, memfdCreate, recv, send } from '../native/libc.ts'
import {
  EAGAIN,
  errnoName,
  F_ADD_SEALS,
  F_SEAL_GROW,
  F_SEAL_SHRINK,
  MFD_ALLOW_SEALING,
  MFD_CLOEXEC,
  MSG_DONTWAIT,
  MSG_NOSIGNAL,
} from '../native/linux.ts'
import { MappedMemory } from '../native/mapped-memory.ts'
import { NativeMemory } from '../native/native-memory.ts'
import { RightsMessage } from '../native/rights-message.ts'
import { connectUnix } from '../native/unix-socket.ts'

/** What the daemon sent. */
export type Packet =
  | { readonly type: 'return'; readonly vcpu: number; readonly x0: bigint }
  | { readonly type: 'doorbell'; readonly channel: number }
  | { readonly type: 'unknown'; readonly bytes: Uint8Array }
  | { readonly type: 'closed'; readonly reason: string }

const packetRoom = 4096
const maxFds = 8

/** A new memfd of `bytes`, sealed against shrinking and growing unless told otherwise. Gives its fd. */
export function makeMemory(bytes: number, seals = F_SEAL_SHRINK | F_SEAL_GROW): number {
  const fd = memfdCreate('scmi-guest', MFD_ALLOW_SEALING | MFD_CLOEXEC)
  if (fd < 0) throw new MediatorError('SYSTEM', `memfd_create: ${errnoName(fd)}`)
  const result = ftruncate(fd, bytes)
  const sealed = result < 0 || seals === 0 ? result : fcntl(fd, F_ADD_SEALS, seals)
  if (sealed >= 0) return fd
  close(fd)
  throw new MediatorError('SYSTEM', `a memfd of ${bytes} bytes: ${errnoName(sealed)}`)
}

/** One connection with its memory: the A2P area at 0, the P2A area, if any, behind it. */
export class TrapWire {
  readonly path: string
  readonly a2pBytes: number
  readonly p2aBytes: number
  /** The memory as this side sees it, and its file. */
  readonly memory: MappedMemory
  readonly memoryFd: number
  readonly fd: number
  readonly #message = new RightsMessage(256, maxFds)
  readonly #packet = NativeMemory.allocate(packetRoom)
  #open = true

  /** Makes the memory and connects; says nothing yet. SOCKET_PATH when nobody listens. */
  constructor(path: string, a2pBytes: number, p2aBytes: number) {
    this.path = path
    this.a2pBytes = a2pBytes
    this.p2aBytes = p2aBytes
    this.memory = new MappedMemory(a2pBytes + p2aBytes)
    this.memoryFd = makeMemory(a2pBytes + p2aBytes)
    try {
      const fault = this.memory.attach(this.memoryFd, a2pBytes + p2aBytes)
      if (fault !== undefined) throw new MediatorError('SYSTEM', `the guest's memory: ${fault}`)
      this.fd = connectUnix(path, 'seqpacket', { nonBlocking: true })
    } catch (error) {
      this.memory.close()
      close(this.memoryFd)
      throw error
    }
  }

  /** Sends HELLO as it should be, or with other words and descriptors. Gives the bytes taken, or -errno. */
  hello(
    words: readonly number[] = [helloMagic, helloVersion, this.a2pBytes, this.p2aBytes],
    fds: readonly number[] = [this.memoryFd],
  ): number {
    this.#message.words.set(words.slice(0, 64))
    return this.#message.send(this.fd, Math.min(words.length, 64) * 4, fds.slice(0, maxFds))
  }

  /** Rings: CALL with x0, x1 … in `registers`, the others 0. Gives the bytes taken, or -errno. */
  call(registers: readonly (number | bigint)[], vcpu = 0): number {
    const view = new DataView(this.#packet.buffer)
    this.#packet.bytes.fill(0, 0, callBytes)
    view.setUint32(0, CALL, true)
    view.setUint32(4, vcpu, true)
    for (const [i, value] of registers.slice(0, 8).entries())
      view.setBigUint64(8 + 8 * i, BigInt.asUintN(64, BigInt(value)), true)
    return send(this.fd, this.#packet.address, callBytes, MSG_DONTWAIT | MSG_NOSIGNAL)
  }

  /** Sends any packet of at most 4096 bytes. Gives the bytes taken, or -errno. */
  send(bytes: Uint8Array): number {
    const length = Math.min(bytes.length, packetRoom)
    this.#packet.bytes.set(bytes.subarray(0, length))
    return send(this.fd, this.#packet.address, length, MSG_DONTWAIT | MSG_NOSIGNAL)
  }

  /** The next packet that came; undefined while there is none. */
  receive(): Packet | undefined {
    const length = recv(this.fd, this.#packet.address, packetRoom, MSG_DONTWAIT)
    if (length === -EAGAIN) return undefined
    if (length < 0) return { type: 'closed', reason: errnoName(length) }
    if (length === 0) return { type: 'closed', reason: 'the daemon hung up' }
    const [type = 0, second = 0] = this.#packet.words
    if (type === RETURN && length >= 16) {
      const x0 = new DataView(this.#packet.buffer).getBigInt64(8, true)
      return { type: 'return', vcpu: second, x0 }
    }
    if (type === DOORBELL && length >= 8) return { type: 'doorbell', channel: second }
    return { type: 'unknown', bytes: this.#packet.bytes.slice(0, length) }
  }

  /** Hangs up and lets go of the memory; whoever still has a view of it sees zeros. Twice is once. */
  close(): void {
    if (!this.#open) return
    this.#open = false
    close(this.fd)
    this.memory.close()
    close(this.memoryFd)
    this.#message.release()
    this.#packet.release()
  }
}
