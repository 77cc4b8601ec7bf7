// Pins: who has them, which function they have, and their configurations. Physical state; no message.
import { NO_FUNCTION } from '../scmi/pin-control.ts'
import type { PinControlConfig } from './config-protocols.ts'

const nobody = -1

/** Ownership and settings stand at pins; a group is its pins. Agents are indices here. */
export class PinState {
  readonly pins: number
  /** Pins of each group. */
  readonly groups: readonly Uint16Array[]
  readonly #owner: Int16Array
  /** Signed, as all words here that a call returns: one above 2^31 would need a place on the heap. */
  readonly #function: Int32Array
  /** Types that each pin has, ascending, and their values. */
  readonly #types: readonly Uint8Array[]
  readonly #values: readonly Int32Array[]

  constructor(config: PinControlConfig | undefined) {
    const pins = config?.pins ?? []
    const configsOf = (pin: PinControlConfig['pins'][number]) => pin.configs ?? config?.configs ?? []
    this.pins = pins.length
    this.groups = (config?.groups ?? []).map(g => Uint16Array.from(g.pins))
    this.#owner = new Int16Array(pins.length).fill(nobody)
    this.#function = Int32Array.from(pins, p => p.function ?? NO_FUNCTION | 0)
    this.#types = pins.map(p => Uint8Array.from(configsOf(p), c => c.type))
    this.#values = pins.map(p => Int32Array.from(configsOf(p), c => c.value | 0))
  }

  /** Index of the agent that requested the pin; -1 for none. */
  owner(pin: number): number {
    return this.#owner[pin] as number
  }

  take(agent: number, pin: number): void {
    this.#owner[pin] = agent
  }

  give(pin: number): void {
    this.#owner[pin] = nobody
  }

  /** Gives back all that the agent requested. What it set stays: it is no reset of the pins. */
  release(agent: number): void {
    for (let pin = 0; pin < this.pins; pin++) if (this.#owner[pin] === agent) this.#owner[pin] = nobody
  }

  /** The pin's function, signed; NO_FUNCTION is -1. */
  functionOf(pin: number): number {
    return this.#function[pin] as number
  }

  setFunction(pin: number, id: number): void {
    this.#function[pin] = id
  }

  /** Types of configuration that the pin has. */
  types(pin: number): Uint8Array {
    return this.#types[pin] as Uint8Array
  }

  /** Whether the pin has a configuration of the type. */
  has(pin: number, type: number): boolean {
    return this.types(pin).indexOf(type) >= 0
  }

  /** The value of a type that the pin has, signed. */
  value(pin: number, type: number): number {
    return (this.#values[pin] as Int32Array)[this.types(pin).indexOf(type)] as number
  }

  /** Sets the value, signed, of a type that the pin has. */
  set(pin: number, type: number, value: number): void {
    const values = this.#values[pin] as Int32Array
    values[this.types(pin).indexOf(type)] = value
  }
}
