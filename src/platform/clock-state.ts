// Clocks: their rates, parents, extended values, and who keeps them running. Physical state; no message.
import type { ClockConfig } from './config-protocols.ts'
import { DescribedValues } from './described-values.ts'
import { agentIndex } from './numbering.ts'

const none = -1

/**
 * Every agent has its own view of whether a clock is enabled; the clock runs while any agent enables it, the platform
 * itself does (`alwaysOn`), or a clock that it feeds runs. Rates are the clock's own: a parent's rate is not inherited.
 */
export class ClockState {
  readonly count: number
  /** Rates a clock may have. */
  readonly rates: readonly DescribedValues[]
  /** Clocks a clock may be fed from. */
  readonly parents: readonly Uint16Array[]
  /** Extended configuration types of a clock. */
  readonly extendedTypes: readonly Uint8Array[]
  readonly #agents: number
  readonly #rate: Float64Array
  readonly #view: Uint8Array
  readonly #enables: Uint16Array
  /** Enables, plus one for `alwaysOn`, plus running clocks that it feeds. */
  readonly #holds: Uint16Array
  readonly #parent: Int32Array
  readonly #extended: readonly Uint32Array[]

  constructor(clocks: ClockConfig['clocks'], agents: number) {
    this.count = clocks.length
    this.#agents = agents
    this.rates = clocks.map(c => new DescribedValues(c.rates))
    this.parents = clocks.map(c => Uint16Array.from(c.parents))
    this.extendedTypes = clocks.map(c => Uint8Array.from(c.extended, e => e.type))
    this.#extended = clocks.map(c => Uint32Array.from(c.extended, e => e.value))
    this.#rate = Float64Array.from(clocks, (c, i) => c.rate ?? this.rates[i]?.values[0] ?? 0)
    this.#parent = Int32Array.from(clocks, c => c.parent ?? c.parents[0] ?? none)
    this.#view = new Uint8Array(clocks.length * agents)
    this.#enables = new Uint16Array(clocks.length)
    this.#holds = new Uint16Array(clocks.length)
    for (const clock of clocks) {
      if (clock.alwaysOn) this.#hold(clock.id)
      for (const id of clock.enabledBy) this.enable(agentIndex(id), clock.id, 1)
    }
  }

  /** Hz. */
  rate(clock: number): number {
    return this.#rate[clock] as number
  }

  /** Agents that enable the clock. */
  enableCount(clock: number): number {
    return this.#enables[clock] as number
  }

  /** Whether the clock physically runs. */
  running(clock: number): boolean {
    return this.#holds[clock] !== 0
  }

  /** Whether the agent enabled the clock. */
  enabledBy(agent: number, clock: number): boolean {
    return this.#view[clock * this.#agents + agent] !== 0
  }

  /** The clock that feeds it; -1 for none. */
  parent(clock: number): number {
    return this.#parent[clock] as number
  }

  /** Index of an extended configuration type among the clock's; -1 where it does not have it. */
  extendedIndex(clock: number, type: number): number {
    return (this.extendedTypes[clock] as Uint8Array).indexOf(type)
  }

  /** An extended configuration value, by index. */
  extended(clock: number, index: number): number {
    return (this.#extended[clock] as Uint32Array)[index] as number
  }

  setExtended(clock: number, index: number, value: number): void {
    ;(this.#extended[clock] as Uint32Array)[index] = value
  }

  /** Takes the rate in `rates[clock].cell`, rounded already; true when it changed. */
  setRate(clock: number): boolean {
    const rate = (this.rates[clock] as DescribedValues).cell[0] as number
    if (this.#rate[clock] === rate) return false
    this.#rate[clock] = rate
    return true
  }

  /** Enables or disables the clock in the agent's view. */
  enable(agent: number, clock: number, enable: number): void {
    const at = clock * this.#agents + agent
    if (this.#view[at] === enable) return
    this.#view[at] = enable
    this.#enables[clock] = (this.#enables[clock] as number) + (enable === 0 ? -1 : 1)
    if (enable !== 0) this.#hold(clock)
    else this.#drop(clock)
  }

  /** Feeds the clock from another; a running clock starts the new one before it leaves the old. */
  setParent(clock: number, parent: number): void {
    const old = this.#parent[clock] as number
    if (old === parent) return
    this.#parent[clock] = parent
    if (!this.running(clock)) return
    this.#hold(parent)
    this.#drop(old)
  }

  /** Withdraws all enables of the agent. */
  release(agent: number): void {
    for (let clock = 0; clock < this.count; clock++) this.enable(agent, clock, 0)
  }

  /** One more reason to run; the first starts the clock that feeds it. No cycles: the platform file is checked. */
  #hold(clock: number): void {
    for (let id = clock; id !== none; id = this.#parent[id] as number) {
      const before = this.#holds[id] as number
      this.#holds[id] = before + 1
      if (before > 0) return
    }
  }

  #drop(clock: number): void {
    for (let id = clock; id !== none; id = this.#parent[id] as number) {
      const left = (this.#holds[id] as number) - 1
      this.#holds[id] = left
      if (left > 0) return
    }
  }
}
