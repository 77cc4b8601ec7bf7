// On and off of what several agents share: each one's wish, and what becomes of all of them. Knows no protocol.

/** How wishes become one state: see `sharing` in the platform file. */
export type Sharing = 'votes' | 'last-writer'

/**
 * Wishes are small numbers: 0 is off, and of several the highest wins. `floor` is the platform's own wish, which no
 * agent can undercut.
 */
export class Votes {
  readonly resources: number
  readonly #agents: number
  readonly #lastWriter: boolean
  readonly #wish: Uint8Array
  readonly #floor: Uint8Array
  readonly #state: Uint8Array
  /** Index of the agent that wrote last; 255 for none. */
  readonly #writer: Uint8Array

  constructor(floor: Uint8Array, agents: number, sharing: Sharing) {
    this.resources = floor.length
    this.#agents = agents
    this.#lastWriter = sharing === 'last-writer'
    this.#floor = floor
    this.#state = Uint8Array.from(floor)
    this.#wish = new Uint8Array(floor.length * agents)
    this.#writer = new Uint8Array(floor.length).fill(255)
  }

  /** What the resource really is. */
  state(resource: number): number {
    return this.#state[resource] as number
  }

  /** What the agent asked for last; 0 before. */
  wish(agent: number, resource: number): number {
    return this.#wish[resource * this.#agents + agent] as number
  }

  /** What the agent is told: its own wish where wishes are counted, else the truth. */
  view(agent: number, resource: number): number {
    return this.#lastWriter ? this.state(resource) : this.wish(agent, resource)
  }

  /** Takes the agent's wish; true when the state changed. */
  ask(agent: number, resource: number, wish: number): boolean {
    this.#wish[resource * this.#agents + agent] = wish
    this.#writer[resource] = agent
    return this.#settle(resource, wish)
  }

  /** Takes the agent's wish back; true when the state changed. */
  release(agent: number, resource: number): boolean {
    this.#wish[resource * this.#agents + agent] = 0
    if (this.#lastWriter && this.#writer[resource] !== agent) return false
    this.#writer[resource] = 255
    return this.#settle(resource, 0)
  }

  #settle(resource: number, last: number): boolean {
    let state = this.#floor[resource] as number
    if (this.#lastWriter) {
      if (last > state) state = last
    } else {
      const first = resource * this.#agents
      for (let i = first; i < first + this.#agents; i++) {
        const wish = this.#wish[i] as number
        if (wish > state) state = wish
      }
    }
    const changed = this.#state[resource] !== state
    this.#state[resource] = state
    return changed
  }
}
