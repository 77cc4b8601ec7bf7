// Power capping domains: each agent's cap and the one in force, averaging intervals, measurements. Physical state; no message.
import { CAP_DISABLED } from '../scmi/power-capping.ts'
import type { PowerCappingConfig } from './config-protocols.ts'

const nobody = -1

/**
 * Every agent has its own cap, or none; in force is the lowest of them and the platform's own. The averaging interval
 * is the last writer's, and the boot value again when that agent is reset.
 */
export class PowerCappingState {
  readonly count: number
  /** Hears of measurements: domain, power before and now. */
  watch: (domain: number, before: number, now: number) => void = () => {}
  readonly #agents: number
  /** CAP_DISABLED for none. */
  readonly #platform: Uint32Array
  readonly #own: Uint32Array
  /** By domain, in force: handlers read here, for a word above 2^31 that a call returns needs a place on the heap. */
  readonly caps: Uint32Array
  readonly pais: Uint32Array
  readonly #bootPai: Uint32Array
  readonly #paiBy: Int16Array
  /** The average power of each domain. */
  readonly powers: Uint32Array

  constructor(domains: PowerCappingConfig['domains'], agents: number) {
    this.count = domains.length
    this.#agents = agents
    // A cap that cannot be set is there all the same.
    this.#platform = Uint32Array.from(
      domains,
      d => d.ownCap ?? (d.cap.min === d.cap.max ? d.cap.max : CAP_DISABLED),
    )
    this.#own = new Uint32Array(domains.length * agents).fill(CAP_DISABLED)
    this.caps = Uint32Array.from(this.#platform)
    this.#bootPai = Uint32Array.from(domains, d => d.initialPai ?? d.pai.min)
    this.pais = Uint32Array.from(this.#bootPai)
    this.#paiBy = new Int16Array(domains.length).fill(nobody)
    this.powers = Uint32Array.from(domains, d => d.measured)
  }

  /** The cap in force; CAP_DISABLED for none. */
  cap(domain: number): number {
    return this.caps[domain] as number
  }

  /** The agent's own cap; CAP_DISABLED for none. */
  ownCap(agent: number, domain: number): number {
    return this.#own[domain * this.#agents + agent] as number
  }

  /** Sets the agent's cap to the word at `at`, or lifts it with CAP_DISABLED; whether the one in force changed. */
  setCap(agent: number, domain: number, words: Uint32Array, at: number): boolean {
    this.#own[domain * this.#agents + agent] = words[at] as number
    return this.#settle(domain)
  }

  #settle(domain: number): boolean {
    const first = domain * this.#agents
    let lowest = this.#platform[domain] as number
    for (let at = first; at < first + this.#agents; at++) {
      const own = this.#own[at] as number
      if (own !== CAP_DISABLED && (lowest === CAP_DISABLED || own < lowest)) lowest = own
    }
    const before = this.caps[domain] as number
    this.caps[domain] = lowest
    return before !== lowest
  }

  /** The averaging interval in ms. */
  pai(domain: number): number {
    return this.pais[domain] as number
  }

  /** Sets the averaging interval to the word at `at`; whether it changed. */
  setPai(agent: number, domain: number, words: Uint32Array, at: number): boolean {
    const before = this.pais[domain] as number
    this.pais[domain] = words[at] as number
    this.#paiBy[domain] = agent
    return before !== this.pais[domain]
  }

  /** Lifts the agent's cap, and takes its interval back where that is in force; whether anything changed. */
  release(agent: number, domain: number): boolean {
    this.#own[domain * this.#agents + agent] = CAP_DISABLED
    const capped = this.#settle(domain)
    if (this.#paiBy[domain] !== agent) return capped
    const before = this.pais[domain] as number
    this.#paiBy[domain] = nobody
    this.pais[domain] = this.#bootPai[domain] as number
    return capped || before !== this.pais[domain]
  }

  /** The average power. */
  power(domain: number): number {
    return this.powers[domain] as number
  }

  /** What the meter reads from now on. Subscribers are told when the platform is flushed. */
  setPower(domain: number, power: number): void {
    const before = this.powers[domain] as number
    this.powers[domain] = power
    if (before !== power) this.watch(domain, before, power)
  }
}
