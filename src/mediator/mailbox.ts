// What waits to go to one guest by the way back: delayed responses, which are kept, and notifications, which may be
// replaced by newer ones or dropped. Preallocated; it knows frames, not what they say.
import type { GuestLink } from '../guest-link/guest-link.ts'

/** Delayed responses a guest may await at once. */
export const delayedAtOnce = 32
/** Notifications that wait; a newer one about the same thing takes the place of the older. */
const notificationsAtOnce = 64

/** Frames in memory of their own, oldest first. */
class Ring {
  readonly size: number
  readonly #bytes: readonly Uint8Array[]
  readonly #words: readonly Int32Array[]
  readonly #lengths: Uint16Array
  #first = 0
  count = 0

  constructor(size: number, maxMessageBytes: number) {
    const stride = (maxMessageBytes + 3) & ~3
    const slab = new ArrayBuffer(size * stride)
    this.size = size
    this.#bytes = Array.from({ length: size }, (_, i) => new Uint8Array(slab, i * stride, stride))
    this.#words = Array.from({ length: size }, (_, i) => new Int32Array(slab, i * stride, stride >>> 2))
    this.#lengths = new Uint16Array(size)
  }

  /** Appends a frame; false when the ring is full or the frame too long. */
  put(words: Int32Array, length: number): boolean {
    if (this.count === this.size) return false
    const at = (this.#first + this.count) % this.size
    if (!this.#write(at, words, length)) return false
    this.count++
    return true
  }

  /** Writes the frame over one that waits with the same header and the same word at `key`; false when there is none. */
  replace(words: Int32Array, length: number, key: number): boolean {
    for (let i = 0; i < this.count; i++) {
      const at = (this.#first + i) % this.size
      const there = this.#words[at] as Int32Array
      if (there[0] === words[0] && (key === 0 || there[key] === words[key]))
        return this.#write(at, words, length)
    }
    return false
  }

  /** Hands frames to the link, oldest first, until it takes no more. Gives how many it took. */
  deliver(link: GuestLink): number {
    let taken = 0
    while (this.count > 0) {
      const at = this.#first
      if (!link.deliver(this.#bytes[at] as Uint8Array, this.#lengths[at] as number)) break
      this.#first = (at + 1) % this.size
      this.count--
      taken++
    }
    return taken
  }

  clear(): void {
    this.count = 0
  }

  #write(at: number, words: Int32Array, length: number): boolean {
    const to = this.#words[at] as Int32Array
    if (length > to.length * 4) return false
    for (let i = 0; i < (length + 3) >>> 2; i++) to[i] = words[i] as number
    this.#lengths[at] = length
    return true
  }
}

/** One guest's. A delayed response has its place from the moment its command is forwarded, so that none is ever lost. */
export class Mailbox {
  /** Notifications that found no place. */
  dropped = 0
  /** Notifications that a newer one about the same resource took the place of. */
  coalesced = 0
  readonly #delayed: Ring
  readonly #notifications: Ring
  /** Places kept for delayed responses that are still to come. */
  #awaited = 0

  constructor(maxMessageBytes: number) {
    this.#delayed = new Ring(delayedAtOnce, maxMessageBytes)
    this.#notifications = new Ring(notificationsAtOnce, maxMessageBytes)
  }

  /** Keeps a place for a delayed response; false when as many as may be are awaited: BUSY. */
  await(): boolean {
    if (this.#awaited + this.#delayed.count >= this.#delayed.size) return false
    this.#awaited++
    return true
  }

  /** The delayed response will not come. */
  renounce(): void {
    if (this.#awaited > 0) this.#awaited--
  }

  /** Takes a delayed response that was awaited; false when it was not. */
  putDelayed(words: Int32Array, length: number): boolean {
    if (this.#awaited === 0) return false
    this.#awaited--
    return this.#delayed.put(words, length)
  }

  /** Takes a notification; `resource` is the word that names what it is about, 0 for none. */
  putNotification(words: Int32Array, length: number, resource: number): void {
    if (this.#notifications.replace(words, length, resource)) this.coalesced++
    else if (!this.#notifications.put(words, length)) this.dropped++
  }

  /** Sends what the link takes: delayed responses first. */
  pump(link: GuestLink): void {
    if (this.#delayed.count > 0) this.#delayed.deliver(link)
    if (this.#delayed.count === 0 && this.#notifications.count > 0) this.#notifications.deliver(link)
  }

  /** Forgets everything: the guest begins anew. */
  clear(): void {
    this.#delayed.clear()
    this.#notifications.clear()
    this.#awaited = 0
  }
}
