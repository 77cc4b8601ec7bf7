// What runs, in the order it was started, to be stopped in reverse. It knows none of it.
import { MediatorError } from './errors.ts'

export class Running {
  readonly #stops: (() => unknown)[] = []
  #stopping = false
  #last: Promise<void> = Promise.resolve()

  /** Call it as soon as there is something to stop. Throws when stopping has begun: there is no point in going on. */
  add(stop: () => unknown): void {
    this.#stops.push(stop)
    if (this.#stopping) throw new MediatorError('SYSTEM', 'stopped while starting')
  }

  /**
   * Stops everything that was added and not stopped yet, last first, whatever fails on the way; throws the first fault
   * then. Twice is once, and what was added meanwhile.
   */
  stop(): Promise<void> {
    this.#stopping = true
    const turn = this.#last.then(() => this.#unwind())
    this.#last = turn.catch(() => {})
    return turn
  }

  async #unwind(): Promise<void> {
    const faults: unknown[] = []
    for (let stop = this.#stops.pop(); stop !== undefined; stop = this.#stops.pop()) {
      try {
        await stop()
      } catch (fault) {
        faults.push(fault)
      }
    }
    if (faults.length > 0) throw faults[0]
  }
}
