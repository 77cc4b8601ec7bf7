// The shared memory of the guest that is connected: its A2P area, and behind it the P2A area if it brought one.
import { MappedMemory } from '../../native/mapped-memory.ts'
import { SharedMemoryArea } from '../../scmi/shmem.ts'
import { areaBytesMax } from './abi.ts'

/** One link's window on guest memory; its addresses are reserved once, whoever comes and goes. */
export class GuestAreas {
  a2p: SharedMemoryArea | undefined = undefined
  p2a: SharedMemoryArea | undefined = undefined
  readonly #memory = new MappedMemory(2 * areaBytesMax)
  readonly #maxMessageBytes: number

  constructor(maxMessageBytes: number) {
    this.#maxMessageBytes = maxMessageBytes
  }

  /** Maps the areas of a memfd and makes them free; sizes as HELLO proved them. Gives the reason if it is not fit. */
  attach(fd: number, a2pBytes: number, p2aBytes: number): string | undefined {
    const fault = this.#memory.attach(fd, a2pBytes + p2aBytes, { requireSealed: true })
    if (fault !== undefined) return fault
    this.a2p = new SharedMemoryArea(this.#memory.buffer, 0, a2pBytes, this.#maxMessageBytes)
    this.a2p.open()
    if (p2aBytes > 0) {
      this.p2a = new SharedMemoryArea(this.#memory.buffer, a2pBytes, p2aBytes, this.#maxMessageBytes)
      this.p2a.release()
    }
    return undefined
  }

  /** Lets go of the guest's memory; whoever still looks at it sees zeros. */
  detach(): void {
    this.a2p = undefined
    this.p2a = undefined
    this.#memory.detach()
  }

  /** Detaches for good. Twice is once. */
  close(): void {
    this.detach()
    this.#memory.close()
  }
}
