// Requests that wait for a resource another request is about, in order. A list through the transfers: no allocation.
import type { Space } from '../scmi/space.ts'
import type { Transfer } from '../transfer.ts'

/** First come, first served, by resource. As long as there are transfers, so never full. */
export class WaitingList {
  #first: Transfer | undefined = undefined
  #last: Transfer | undefined = undefined

  add(transfer: Transfer): void {
    transfer.next = undefined
    if (this.#last === undefined) this.#first = transfer
    else this.#last.next = transfer
    this.#last = transfer
  }

  /** Takes the oldest that is about this resource. */
  take(space: Space, id: number): Transfer | undefined {
    let before: Transfer | undefined
    for (let at = this.#first; at !== undefined; before = at, at = at.next) {
      if (at.resource !== id || at.space !== space) continue
      this.#remove(before, at)
      return at
    }
    return undefined
  }

  /** Takes the oldest of the guest in `slot`. */
  takeOf(slot: number): Transfer | undefined {
    let before: Transfer | undefined
    for (let at = this.#first; at !== undefined; before = at, at = at.next) {
      if (at.guest !== slot) continue
      this.#remove(before, at)
      return at
    }
    return undefined
  }

  #remove(before: Transfer | undefined, transfer: Transfer): void {
    if (before === undefined) this.#first = transfer.next
    else before.next = transfer.next
    if (this.#last === transfer) this.#last = before
    transfer.next = undefined
  }
}
