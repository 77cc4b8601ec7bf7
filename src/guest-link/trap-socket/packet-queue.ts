// The packets that wait to leave a trap socket: a few small ones, in order, in native memory. It reads nothing.
import { send } from '../../native/libc.ts'
import { MSG_DONTWAIT, MSG_NOSIGNAL } from '../../native/linux.ts'
import { NativeMemory } from '../../native/native-memory.ts'
import { DOORBELL, doorbellBytes, RETURN, returnBytes } from './abi.ts'

/**
 * As many packets as can wait: while one does, no CALL is read, so there is at most the answer to the last one read,
 * the answer to the one in flight and one doorbell. A power of two.
 */
const capacity = 4
const stride = 64
const sendFlags = MSG_DONTWAIT | MSG_NOSIGNAL

/** Packets towards the guest's hypervisor side. */
export class PacketQueue {
  readonly #memory = NativeMemory.allocate(capacity * stride)
  readonly #lengths = new Int32Array(capacity)
  #head = 0
  #count = 0
  #doorbells = 0

  get empty(): boolean {
    return this.#count === 0
  }

  /** Queues RETURN for `vcpu`: x0 as a signed number, extended to 64 bits; x1 to x3 are 0. */
  putReturn(vcpu: number, x0: number): void {
    const at = this.#slot(returnBytes)
    const words = this.#memory.ints
    words[at] = RETURN
    words[at + 1] = vcpu
    words[at + 2] = x0
    words[at + 3] = x0 >> 31
    for (let i = 4; i < returnBytes / 4; i++) words[at + i] = 0
  }

  /** Queues DOORBELL for `channel`, unless one waits already: it says no more the second time. */
  putDoorbell(channel: number): void {
    if (this.#doorbells > 0) return
    this.#doorbells++
    const at = this.#slot(doorbellBytes)
    this.#memory.ints[at] = DOORBELL
    this.#memory.ints[at + 1] = channel
  }

  /** Sends what waits: 0 when all of it left, -EAGAIN when the socket takes no more, another -errno when it is dead. */
  flush(fd: number): number {
    while (this.#count > 0) {
      const length = this.#lengths[this.#head]!
      const result = send(fd, this.#memory.address + this.#head * stride, length, sendFlags)
      if (result < 0) return result
      if (length === doorbellBytes) this.#doorbells--
      this.#head = (this.#head + 1) % capacity
      this.#count--
    }
    return 0
  }

  /** Forgets what waits. */
  clear(): void {
    this.#count = 0
    this.#doorbells = 0
  }

  release(): void {
    this.#memory.release()
  }

  /** The first word of the next packet's place. */
  #slot(length: number): number {
    const slot = (this.#head + this.#count) % capacity
    this.#lengths[slot] = length
    this.#count++
    return (slot * stride) / 4
  }
}
