// The ring on which Xen hands over the trapped calls of one domain: vm_event version 7 (public/vm_event.h, io/ring.h).
//
// Xen and this process alone map the ring. A vCPU waits from its request until its response; a domain of at most eight
// vCPUs never has more requests out than the ring has places, and only so can a monitor of a dead process be taken down.
import { pageBytes, viewPage, type Xen } from './libxen.ts'

/** Places of the ring, and so vCPUs that a domain may have. */
export const ringPlaces = 8

const headerBytes = 64
const entryWords = 400 / 4
const interfaceVersion = 7
/** Words of the header. */
const requestsWord = 0
const requestEventWord = 1
const responsesWord = 2
const responseEventWord = 3
/** Words of an entry. */
const versionWord = 0
const flagsWord = 1
const reasonWord = 2
const vcpuWord = 3
const VCPU_PAUSED = 1
const PRIVILEGED_CALL = 11

/** `take`: nothing waits; what waits is no call of a waiting vCPU, and was passed over. */
export const NOTHING = -1
export const NO_CALL = -2

const nothing = new Int32Array(pageBytes / 4)

export class MonitorRing {
  readonly #xen: Xen
  #address: number
  #words: Int32Array
  #taken = 0
  #given = 0

  /** Over the page that `Xen.monitorEnable` mapped: begins the ring anew. */
  constructor(xen: Xen, address: number) {
    this.#xen = xen
    this.#address = address
    this.#words = new Int32Array(viewPage(address))
    for (let i = 0; i < headerBytes / 4; i++) this.#words[i] = 0
    Atomics.store(this.#words, requestEventWord, 1)
    Atomics.store(this.#words, responseEventWord, 1)
  }

  /** Takes the next request: the vCPU that waits, NOTHING, or NO_CALL for an event that is none of ours. */
  take(): number {
    const words = this.#words
    if (Atomics.load(words, requestsWord) === this.#taken) {
      // Xen rings for a request at this place; one that came in between would ring no bell.
      Atomics.store(words, requestEventWord, (this.#taken + 1) | 0)
      if (Atomics.load(words, requestsWord) === this.#taken) return NOTHING
    }
    const at = this.#entry(this.#taken)
    this.#taken = (this.#taken + 1) | 0
    const vcpu = words[at + vcpuWord] as number
    const waits = ((words[at + flagsWord] as number) & VCPU_PAUSED) !== 0
    const sound = words[at + versionWord] === interfaceVersion && words[at + reasonWord] === PRIVILEGED_CALL
    if (sound && waits && vcpu >= 0 && vcpu < ringPlaces) return vcpu
    if (waits && vcpu >= 0) this.release(vcpu)
    return NO_CALL
  }

  /** Lets a vCPU go on, once the event channel is rung. What its registers say is done before. */
  release(vcpu: number): void {
    const words = this.#words
    const at = this.#entry(this.#given)
    for (let i = 0; i < entryWords; i++) words[at + i] = 0
    words[at + versionWord] = interfaceVersion
    words[at + flagsWord] = VCPU_PAUSED
    words[at + reasonWord] = PRIVILEGED_CALL
    words[at + vcpuWord] = vcpu
    this.#given = (this.#given + 1) | 0
    Atomics.store(words, responsesWord, this.#given)
  }

  /** Unmaps the ring. Twice is once. */
  close(): void {
    if (this.#address === 0) return
    this.#words = nothing
    this.#xen.unmapPage(this.#address)
    this.#address = 0
  }

  #entry(index: number): number {
    return headerBytes / 4 + (index & (ringPlaces - 1)) * entryWords
  }
}
