// One guest's messages under way below, told apart by the grants they were judged by. It counts; it judges nothing.

/**
 * Grants in force are an epoch. A change of grants takes hold at once for what comes next; what was forwarded before
 * may still be under way, and must have been answered before anything is withdrawn. Two epochs are told apart at a
 * time, so changes wait for one another.
 */
export class InFlight {
  readonly #counts = new Int32Array(2)
  #epoch = 0
  #former: (() => void) | undefined = undefined
  readonly #queue: (() => void)[] = []

  /** A message goes out. Gives the epoch it belongs to. */
  begin(): number {
    const at = this.#epoch & 1
    this.#counts[at] = (this.#counts[at] as number) + 1
    return this.#epoch
  }

  /** A message of `epoch` has been answered. */
  end(epoch: number): void {
    const at = epoch & 1
    this.#counts[at] = (this.#counts[at] as number) - 1
    if (this.#former !== undefined && this.#counts[(this.#epoch + 1) & 1] === 0) this.#turned()
  }

  /** Begins a new epoch; calls back when no message of any former one is under way, perhaps before it returns. */
  whenQuiet(done: () => void): void {
    this.#queue.push(done)
    this.#turn()
  }

  #turn(): void {
    while (this.#former === undefined) {
      const done = this.#queue.shift()
      if (done === undefined) return
      this.#epoch++
      if (this.#counts[(this.#epoch + 1) & 1] === 0) done()
      else this.#former = done
    }
  }

  #turned(): void {
    const done = this.#former
    this.#former = undefined
    done?.()
    this.#turn()
  }
}
