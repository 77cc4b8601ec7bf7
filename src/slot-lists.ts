// Slots in lists, one for each state, each in order of what its slots wait for. Arrays only: nothing is allocated after
// the construction. What a state or a wait means is its owner's matter.

/** Instead of a slot: there is none. */
export const noSlot = -1

/** Doubly linked lists over `slots` slots; at first no slot is in any. Times are words that wrap, compared by difference. */
export class SlotLists {
  /** State of each slot: the list it is in, or was in last. */
  readonly state: Uint8Array
  /** What each slot waits for: a time, or a count. */
  readonly at: Int32Array
  /** First slot of each list. */
  readonly head: Int32Array
  /** The slot behind each, in its list. */
  readonly next: Int32Array
  readonly #tail: Int32Array
  readonly #previous: Int32Array

  constructor(slots: number, states: number) {
    this.state = new Uint8Array(slots)
    this.at = new Int32Array(slots)
    this.head = new Int32Array(states).fill(noSlot)
    this.next = new Int32Array(slots).fill(noSlot)
    this.#tail = new Int32Array(states).fill(noSlot)
    this.#previous = new Int32Array(slots).fill(noSlot)
  }

  /** Puts a slot that is in no list into that of `state`, behind those that wait for the same. Mostly the walk is short. */
  append(slot: number, state: number, at: number): void {
    this.state[slot] = state
    this.at[slot] = at
    let after = this.#tail[state] as number
    while (after !== noSlot && ((at - (this.at[after] as number)) | 0) < 0)
      after = this.#previous[after] as number
    const before = (after === noSlot ? this.head[state] : this.next[after]) as number
    this.#previous[slot] = after
    this.next[slot] = before
    if (after === noSlot) this.head[state] = slot
    else this.next[after] = slot
    if (before === noSlot) this.#tail[state] = slot
    else this.#previous[before] = slot
  }

  /** Takes a slot out of its list; its state stays written. */
  remove(slot: number): void {
    const state = this.state[slot] as number
    const after = this.#previous[slot] as number
    const before = this.next[slot] as number
    if (after === noSlot) this.head[state] = before
    else this.next[after] = before
    if (before === noSlot) this.#tail[state] = after
    else this.#previous[before] = after
  }
}
