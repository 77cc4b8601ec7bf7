// Frames that wait until their socket takes them, oldest first, in memory made once. It decides nothing.

/** A bounded queue of frames. */
export class KeptFrames {
  readonly #slots: readonly Uint8Array[]
  readonly #lengths: Uint16Array
  #first = 0
  #count = 0

  constructor(slots: number, maxMessageBytes: number) {
    const slab = new ArrayBuffer(slots * maxMessageBytes)
    this.#slots = Array.from(
      { length: slots },
      (_, i) => new Uint8Array(slab, i * maxMessageBytes, maxMessageBytes),
    )
    this.#lengths = new Uint16Array(slots)
  }

  get count(): number {
    return this.#count
  }

  /** Copies a frame in: false when it is too long, or there is no room. */
  put(frame: Uint8Array, length: number): boolean {
    if (this.#count === this.#slots.length) return false
    const at = (this.#first + this.#count) % this.#slots.length
    const slot = this.#slots[at]!
    if (length > slot.length) return false
    for (let i = 0; i < length; i++) slot[i] = frame[i]!
    this.#lengths[at] = length
    this.#count++
    return true
  }

  /** The oldest frame and its length, where there is one. */
  get oldest(): Uint8Array {
    return this.#slots[this.#first]!
  }
  get oldestLength(): number {
    return this.#lengths[this.#first]!
  }

  /** Forgets the oldest. */
  shift(): void {
    this.#first = (this.#first + 1) % this.#slots.length
    this.#count--
  }

  clear(): void {
    this.#count = 0
  }
}
