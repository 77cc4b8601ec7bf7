// Messages with file descriptors (SCM_RIGHTS) over a Unix socket, in buffers made once. Their meaning is the caller's.
import { close, recvmsg, sendmsg } from './libc.ts'
import { MSG_CMSG_CLOEXEC, MSG_CTRUNC, MSG_DONTWAIT, MSG_NOSIGNAL, SCM_RIGHTS, SOL_SOCKET } from './linux.ts'
import { NativeMemory } from './native-memory.ts'

// struct msghdr of 64-bit Linux, in 32-bit words; the upper halves of lengths stay zero.
const iovAt = 4
const iovCountAt = 6
const controlAt = 8
const controlLengthAt = 10
const flagsAt = 12
const iovOffset = 64
const controlOffset = 128
/** struct cmsghdr: 64-bit length, level, type; then the descriptors, the whole padded to 8. */
const cmsgBytes = 16

/** One reusable message: up to `capacity` bytes and `maxFds` descriptors. */
export class RightsMessage {
  /** The payload, to read after `receive` and to fill before `send`. */
  readonly memory: NativeMemory
  readonly bytes: Uint8Array
  readonly words: Uint32Array
  /** Descriptors of the last `receive`: fds[0 .. fdCount). They are the caller's to close. */
  readonly fds: Int32Array
  fdCount = 0
  /** Whether the last `receive` lost descriptors for lack of room (the kernel closed those) . */
  fdsLost = false
  readonly #header: NativeMemory
  readonly #capacity: number
  readonly #controlRoom: number

  constructor(capacity: number, maxFds: number) {
    this.memory = NativeMemory.allocate(capacity)
    this.bytes = this.memory.bytes
    this.words = this.memory.words
    this.fds = new Int32Array(maxFds)
    this.#capacity = capacity
    this.#controlRoom = cmsgBytes + ((maxFds * 4 + 7) & ~7)
    this.#header = NativeMemory.allocate(controlOffset + this.#controlRoom)
    const header = this.#header
    setPointer(header.words, iovAt, header.address + iovOffset)
  }

  /**
   * Receives one message with MSG_DONTWAIT: its bytes, 0 at the end of the stream, or -errno. Every descriptor that
   * came is in `fds`, close-on-exec. From a stream: at most `length` bytes, to payload byte `at` on.
   */
  receive(fd: number, at = 0, length = this.#capacity - at): number {
    const words = this.#header.words
    setPointer(words, iovOffset / 4, this.memory.address + at)
    words[iovOffset / 4 + 2] = length
    words[iovCountAt] = 1
    setPointer(words, controlAt, this.#header.address + controlOffset)
    words[controlLengthAt] = this.#controlRoom
    words[flagsAt] = 0
    this.fdCount = 0
    this.fdsLost = false
    const result = recvmsg(fd, this.#header.address, MSG_DONTWAIT | MSG_CMSG_CLOEXEC)
    if (result < 0) return result
    this.fdsLost = ((words[flagsAt] ?? 0) & MSG_CTRUNC) !== 0
    this.#collect(words[controlLengthAt] ?? 0)
    return result
  }

  /** Sends `length` bytes of the payload with `fds`, which stay open here too: bytes taken, or -errno. */
  send(fd: number, length: number, fds: readonly number[]): number {
    const words = this.#header.words
    setPointer(words, iovOffset / 4, this.memory.address)
    words[iovOffset / 4 + 2] = length
    words[iovCountAt] = 1
    words[flagsAt] = 0
    if (fds.length > this.fds.length)
      throw new RangeError(`${fds.length} descriptors, room for ${this.fds.length}`)
    setPointer(words, controlAt, fds.length === 0 ? 0 : this.#header.address + controlOffset)
    words[controlLengthAt] = fds.length === 0 ? 0 : cmsgBytes + ((fds.length * 4 + 7) & ~7)
    const at = controlOffset / 4
    words[at] = cmsgBytes + fds.length * 4
    words[at + 1] = 0
    words[at + 2] = SOL_SOCKET
    words[at + 3] = SCM_RIGHTS
    for (let i = 0; i < fds.length; i++) words[at + 4 + i] = fds[i] ?? 0
    return sendmsg(fd, this.#header.address, MSG_DONTWAIT | MSG_NOSIGNAL)
  }

  /** Closes what the last `receive` brought. */
  closeFds(): void {
    for (let i = 0; i < this.fdCount; i++) close(this.fds[i] ?? -1)
    this.fdCount = 0
  }

  /** Gives the buffers back. */
  release(): void {
    this.memory.release()
    this.#header.release()
  }

  /** Walks the control messages, of which the kernel sends one per kind. */
  #collect(controlLength: number): void {
    const words = this.#header.words
    for (let at = 0; at + cmsgBytes <= controlLength; ) {
      const word = (controlOffset + at) >>> 2
      const length = words[word] ?? 0
      if (length < cmsgBytes || at + length > controlLength) return
      if (words[word + 2] === SOL_SOCKET && words[word + 3] === SCM_RIGHTS) {
        for (let i = 0; i < (length - cmsgBytes) >>> 2; i++) {
          this.fds[this.fdCount] = words[word + 4 + i] ?? 0
          this.fdCount++
        }
      }
      at += (length + 7) & ~7
    }
  }
}

/** Writes an address as two words, low word first. */
function setPointer(words: Uint32Array, at: number, address: number): void {
  words[at] = address % 2 ** 32
  words[at + 1] = Math.floor(address / 2 ** 32)
}
