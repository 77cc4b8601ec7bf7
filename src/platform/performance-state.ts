// Performance domains: levels, each agent's limits, and the level in force. Physical state; no message.
import type { PerformanceConfig } from './config-protocols.ts'

/**
 * Levels here are values, never indices. Every agent has its own limits; what is in force is their intersection, and
 * where two agents' limits do not meet, the lower maximum wins (heat is worse than slowness). The level is the last
 * writer's, moved into the limits when they change; as in SCP-firmware, it stays there when they widen again.
 */
export class PerformanceState {
  readonly count: number
  /** The levels of a domain, ascending. */
  readonly levels: readonly Uint32Array[]
  readonly #agents: number
  readonly #ownMax: Uint32Array
  readonly #ownMin: Uint32Array
  readonly #max: Uint32Array
  readonly #min: Uint32Array
  readonly #level: Uint32Array
  /** Index of the agent whose level is in force; -1 for the platform's. */
  readonly #setBy: Int16Array
  readonly #initial: Uint32Array

  constructor(domains: PerformanceConfig['domains'], agents: number) {
    this.count = domains.length
    this.#agents = agents
    this.levels = domains.map(d => Uint32Array.from(d.levels, l => l.level))
    this.#ownMax = new Uint32Array(domains.length * agents)
    this.#ownMin = new Uint32Array(domains.length * agents)
    this.#max = new Uint32Array(domains.length)
    this.#min = new Uint32Array(domains.length)
    this.#initial = Uint32Array.from(domains, (d, i) => d.initial ?? this.highest(i))
    this.#level = Uint32Array.from(this.#initial)
    this.#setBy = new Int16Array(domains.length).fill(-1)
    for (let domain = 0; domain < domains.length; domain++) {
      for (let agent = 0; agent < agents; agent++) this.#widen(agent, domain)
      this.#settle(domain)
    }
  }

  highest(domain: number): number {
    return (this.levels[domain] as Uint32Array).at(-1) as number
  }

  lowest(domain: number): number {
    return (this.levels[domain] as Uint32Array)[0] as number
  }

  /** The level in force. */
  level(domain: number): number {
    return this.#level[domain] as number
  }

  /** The limits in force. */
  max(domain: number): number {
    return this.#max[domain] as number
  }

  min(domain: number): number {
    return this.#min[domain] as number
  }

  /** The agent's own limits. */
  ownMax(agent: number, domain: number): number {
    return this.#ownMax[domain * this.#agents + agent] as number
  }

  ownMin(agent: number, domain: number): number {
    return this.#ownMin[domain * this.#agents + agent] as number
  }

  /** Sets the agent's own limits. What changed shows in `max`, `min` and `level`. */
  setLimits(agent: number, domain: number, max: number, min: number): void {
    this.#ownMax[domain * this.#agents + agent] = max
    this.#ownMin[domain * this.#agents + agent] = min
    this.#settle(domain)
  }

  setLevel(agent: number, domain: number, level: number): void {
    this.#level[domain] = level
    this.#setBy[domain] = agent
    this.#settle(domain)
  }

  /** Withdraws the agent's limits, and its level where that is in force. */
  release(agent: number, domain: number): void {
    this.#widen(agent, domain)
    if (this.#setBy[domain] === agent) {
      this.#setBy[domain] = -1
      this.#level[domain] = this.#initial[domain] as number
    }
    this.#settle(domain)
  }

  #widen(agent: number, domain: number): void {
    this.#ownMax[domain * this.#agents + agent] = this.highest(domain)
    this.#ownMin[domain * this.#agents + agent] = this.lowest(domain)
  }

  #settle(domain: number): void {
    let max = this.highest(domain)
    let min = this.lowest(domain)
    const first = domain * this.#agents
    for (let at = first; at < first + this.#agents; at++) {
      const ownMax = this.#ownMax[at] as number
      const ownMin = this.#ownMin[at] as number
      if (ownMax < max) max = ownMax
      if (ownMin > min) min = ownMin
    }
    if (min > max) min = max
    this.#max[domain] = max
    this.#min[domain] = min
    this.#level[domain] = this.#within(domain, max, min)
  }

  /** The lowest level that is as fast as wanted and within the limits; else the fastest within them. */
  #within(domain: number, max: number, min: number): number {
    const levels = this.levels[domain] as Uint32Array
    const wanted = Math.min(max, Math.max(min, this.#level[domain] as number))
    let slower = levels[0] as number
    for (let i = 0; i < levels.length; i++) {
      const level = levels[i] as number
      if (level >= wanted) return level <= max ? level : slower
      slower = level
    }
    return slower
  }
}
