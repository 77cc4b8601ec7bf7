// Slots in lists, one for each state, each in order of what its slots wait for. One array only: nothing is allocated after
// the construction, and what is known of a slot lies together. What a state or a wait means is its owner's matter.

/** Instead of a slot: there is none. */
export const noSlot = -1

// Words of a slot.
const STATE = 0
const WAIT = 1
const NEXT = 2
const PREVIOUS = 3
const shift = 2

/** Doubly linked lists over `slots` slots; at first no slot is in any. Times are words that wrap, compared by difference. */
export class SlotLists {
  readonly #slots: Int32Array
  readonly #head: Int32Array
  readonly #tail: Int32Array

  constructor(slots: number, states: number) {
    this.#slots = new Int32Array(slots << shift)
    this.#head = new Int32Array(states).fill(noSlot)
    this.#tail = new Int32Array(states).fill(noSlot)
  }

  /** The list that a slot is in, or was in last. */
  state(slot: number): number {
    return this.#slots[(slot << shift) + STATE] as number
  }

  /** What a slot waits for: a time, or a count. */
  wait(slot: number): number {
    return this.#slots[(slot << shift) + WAIT] as number
  }

  /** First slot of a list. */
  first(state: number): number {
    return this.#head[state] as number
  }

  /** The slot behind one, in its list. */
  next(slot: number): number {
    return this.#slots[(slot << shift) + NEXT] as number
  }

  /** Says of a slot that is in no list which state it has. */
  leave(slot: number, state: number): void {
    this.#slots[(slot << shift) + STATE] = state
  }

  /** Puts a slot that is in no list into that of `state`, behind those that wait for the same. Mostly the walk is short. */
  append(slot: number, state: number, wait: number): void {
    const slots = this.#slots
    let after = this.#tail[state] as number
    while (after !== noSlot && ((wait - (slots[(after << shift) + WAIT] as number)) | 0) < 0)
      after = slots[(after << shift) + PREVIOUS] as number
    const before = (after === noSlot ? this.#head[state] : slots[(after << shift) + NEXT]) as number
    const at = slot << shift
    slots[at + STATE] = state
    slots[at + WAIT] = wait
    slots[at + NEXT] = before
    slots[at + PREVIOUS] = after
    if (after === noSlot) this.#head[state] = slot
    else slots[(after << shift) + NEXT] = slot
    if (before === noSlot) this.#tail[state] = slot
    else slots[(before << shift) + PREVIOUS] = slot
  }

  /** Takes a slot out of its list; its state stays written. */
  remove(slot: number): void {
    const slots = this.#slots
    const at = slot << shift
    const state = slots[at + STATE] as number
    const before = slots[at + NEXT] as number
    const after = slots[at + PREVIOUS] as number
    if (after === noSlot) this.#head[state] = before
    else slots[(after << shift) + NEXT] = before
    if (before === noSlot) this.#tail[state] = after
    else slots[(before << shift) + PREVIOUS] = after
  }
}
