// One domain on its way through the gate, and what became of it. State only: gate.ts moves it.
import type { AddressRange } from '../../guest-link/guest-link.ts'

/**
 * `arriving`: held, its configuration is awaited. `granting`: being planned and granted. `served`: it has its rights.
 * `denied`: it has none, told why. `unmanaged`: it asks for none. `leaving`: gone, its rights are being taken back.
 */
export type GateState = 'arriving' | 'granting' | 'served' | 'denied' | 'unmanaged' | 'leaving'

export class GatedDomain {
  readonly domid: number
  readonly uuid: string
  name: string | undefined
  state: GateState = 'arriving'
  /** Why it is denied. */
  reason: string | undefined
  agentId: number | undefined
  dtbPath: string | undefined
  /** SHA-256 of the partial tree, hexadecimal. */
  dtbHash: string | undefined
  dtdevs: readonly string[] = []
  /** Shared memory that its tree names, and registers passed through to it. */
  shmem: readonly AddressRange[] = []
  registers: readonly AddressRange[] = []
  /** Node paths of what it was given. */
  devices: readonly string[] = []
  /** An operator wants it held when the gate is done with it. */
  held = false
  /** It ran when the daemon was started: nobody lost a race for it. */
  wasRunning = false
  /** What was published of it last; never rejects. */
  publishing: Promise<void> = Promise.resolve()
  /** Its way through the gate; never rejects. */
  passage: Promise<void> = Promise.resolve()
  readonly #gone = new AbortController()

  constructor(domid: number, uuid: string) {
    this.domid = domid
    this.uuid = uuid
  }

  /** Aborted when the domain is gone, or will be waited for no longer. */
  get signal(): AbortSignal {
    return this.#gone.signal
  }

  get isPassing(): boolean {
    return this.state === 'arriving' || this.state === 'granting'
  }

  /** Ends the wait for its configuration. */
  interrupt(): void {
    this.#gone.abort()
  }
}
