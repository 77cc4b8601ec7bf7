// How fast one guest's calls may follow one another: a burst at once, then so many a second. It delays, and drops nothing.

/** A token bucket, kept as the time at which it would be full (GCRA): no clock of its own, no garbage. */
export class Bucket {
  readonly #intervalUs: number
  readonly #slackUs: number
  /** [0] when the bucket is full again, in monotonic microseconds. */
  readonly #times = new Float64Array(1)

  constructor(perSecond: number, burst: number) {
    this.#intervalUs = 1e6 / perSecond
    this.#slackUs = (burst - 1) * this.#intervalUs
  }

  /** Takes a token. Gives the whole milliseconds until it is there: 0 when it is. `clock` as `Reactor.clock`. */
  take(clock: Float64Array): number {
    const times = this.#times
    const now = clock[1] as number
    if ((times[0] as number) < now) times[0] = now
    const waitUs = (times[0] as number) - now - this.#slackUs
    times[0] = (times[0] as number) + this.#intervalUs
    return waitUs <= 0 ? 0 : Math.ceil(waitUs / 1000)
  }
}
