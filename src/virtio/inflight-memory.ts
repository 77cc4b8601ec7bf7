// Where the logs of a device's rings lie: a memfd that the front end keeps for us, or, for front ends that do not, a file
// of our own beside the socket. Whose file it was stands in it.
import { close, fcntl, ftruncate, memfdCreate } from '../native/libc.ts'
import { F_ADD_SEALS, F_SEAL_GROW, F_SEAL_SHRINK, MFD_ALLOW_SEALING, MFD_CLOEXEC } from '../native/linux.ts'
import type { MappedMemory } from '../native/mapped-memory.ts'
import { attachOwnFile } from '../native/own-file.ts'
import { processStart } from '../native/provenance.ts'
import { InflightLog, inflightBytes } from './inflight.ts'
import { maxRingSize } from './ring-layout.ts'
import { lendWindow, returnWindow } from './windows.ts'

/** A memfd for logs of `rings` rings of `size` entries; -1 when there is none to be had. */
export function inflightMemfd(rings: number, size: number): number {
  const fd = memfdCreate('scmi-inflight', MFD_CLOEXEC | MFD_ALLOW_SEALING)
  if (fd < 0) return -1
  const fitted = ftruncate(fd, rings * inflightBytes(size)) === 0
  if (fitted && fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) === 0) return fd
  close(fd)
  return -1
}

/** Logs in a front end's memfd. */
export class FrontEndLogs {
  readonly rings: number
  readonly size: number
  readonly #window: MappedMemory

  private constructor(window: MappedMemory, rings: number, size: number) {
    this.#window = window
    this.rings = rings
    this.size = size
  }

  /** Maps logs that begin at `offset` of `fd`, or gives the reason why not. The descriptor stays the caller's. */
  static map(fd: number, length: number, offset: number, rings: number, size: number): FrontEndLogs | string {
    if (rings < 1 || size < 1 || size > maxRingSize) return `logs of ${rings} rings of ${size} entries`
    if (length < rings * inflightBytes(size)) return `${length} bytes do not hold logs of ${rings} rings`
    const window = lendWindow(rings * inflightBytes(size))
    const fault = window.attach(fd, rings * inflightBytes(size), { offset, requireSealed: true })
    if (fault === undefined) return new FrontEndLogs(window, rings, size)
    returnWindow(window)
    return fault
  }

  /** The log of a ring; undefined when it has another size. */
  log(ring: number, size: number): InflightLog | undefined {
    if (ring >= this.rings || size !== this.size) return undefined
    return new InflightLog(this.#window.buffer, ring * inflightBytes(size), size)
  }

  /** Lets go of them; logs that were given must not be used any more. */
  release(): void {
    returnWindow(this.#window)
  }
}

/** Words of our own file before the log: magic, process, its start (two words), the ring's address (two words), size. */
const ownHeaderBytes = 64
const magic = 0x4c465353 // 'SSFL'
const ownBytes = (size: number): number => ownHeaderBytes + inflightBytes(size)

/** A log of one ring in a file of our own. */
export class OwnLog {
  readonly #path: string
  #window: MappedMemory | undefined = undefined

  constructor(path: string) {
    this.#path = path
  }

  /**
   * The log for the ring of `size` entries whose table is at `address` in the front end `pid`. `known`: the former
   * process left it for this very ring. SYSTEM when the file cannot be made.
   */
  open(pid: number, size: number, address: number): { log: InflightLog; known: boolean } {
    this.release()
    const window = lendWindow(ownBytes(size))
    try {
      attachOwnFile(window, this.#path, ownBytes(size))
    } catch (error) {
      returnWindow(window)
      throw error
    }
    this.#window = window
    const words = window.words
    const start = processStart(pid)
    const owner = [magic, pid, start % 2 ** 32, Math.floor(start / 2 ** 32), address % 2 ** 32, size]
    const log = new InflightLog(window.buffer, ownHeaderBytes, size)
    const known = start > 0 && owner.every((word, i) => words[i] === word)
    if (!known) {
      log.reset(0)
      for (const [i, word] of owner.entries()) words[i] = word
    }
    return { log, known }
  }

  /** Lets go of it; the file stays, for a successor. */
  release(): void {
    if (this.#window !== undefined) returnWindow(this.#window)
    this.#window = undefined
  }
}
