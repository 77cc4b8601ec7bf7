// vCPUs of one domain that wait, in order of arrival: at most eight, each once. It says nothing of what for.
import { ringPlaces } from '../../native/monitor-ring.ts'

export class WaitingVcpus {
  readonly #vcpus = new Int32Array(ringPlaces)
  #head = 0
  #count = 0

  get empty(): boolean {
    return this.#count === 0
  }
  /** The one that waits longest; -1 when none does. */
  get first(): number {
    return this.#count === 0 ? -1 : (this.#vcpus[this.#head] as number)
  }

  add(vcpu: number): void {
    this.#vcpus[(this.#head + this.#count++) % ringPlaces] = vcpu
  }

  /** Takes the one that waits longest. */
  take(): number {
    const { first } = this
    if (first >= 0) {
      this.#head = (this.#head + 1) % ringPlaces
      this.#count--
    }
    return first
  }

  clear(): void {
    this.#count = 0
  }
}
