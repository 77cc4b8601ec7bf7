// Resources that several holders can reach: who has asked for what. Bookkeeping only; the mediator sends and answers.
import { type Counts, type Grants, owns } from '../permissions/grants.ts'
import { type Space, spaceIds } from '../scmi/space.ts'

/** Nobody holds a shared rate, level or reset exclusively. */
export const NOBODY = -1

/** Where the tables are that a successor of this process should find: zeros at first, taken in a fixed order. */
export interface Books {
  take(words: number): Uint32Array
}

const heap: Books = { take: words => new Uint32Array(words) }

/** What is known of one space's resources. The first five tables are `Books`. */
interface State {
  readonly count: number
  /** Guests' votes: `slotWords` words a resource, a bit a slot. */
  readonly votes: Uint32Array
  /** Channels on which the firmware may still hold an ON: `channelWords` words a resource. */
  readonly held: Uint32Array
  /** Channels on which its last release went out, and was not followed by another request. */
  readonly released: Uint32Array
  /** What was asked for on each channel when that was not a release. */
  readonly wanted: Int32Array
  /** The slot of the guest that set the rate, level or reset first, and one; 0 for none. */
  readonly owner: Int32Array
  /** What is being asked for now. */
  readonly asked: Int32Array
  /** Guests that own the resource, and the host. */
  readonly holders: Uint16Array
  readonly host: Uint8Array
  /** Requests and releases on their way to the firmware: requests for one resource go one after the other. */
  readonly locks: Uint16Array
}

/**
 * Votes of all guests, by resource. The host (Dom0) reaches the firmware without us: where it uses a resource its vote
 * is taken to stand for ever, so that no guest's release cuts it. Methods on the message path allocate nothing.
 */
export class Arbiter {
  readonly #slots: number
  readonly #slotWords: number
  readonly #channelWords: number
  readonly #channels: number
  readonly #states: readonly (State | undefined)[]
  /** Spaces that the platform has resources in. */
  readonly spaces: readonly Space[]

  /** Words of the tables that are `Books`. */
  static words(counts: Counts, slots: number, channels: number): number {
    const each = ((slots + 31) >>> 5) + 2 * ((channels + 31) >>> 5) + channels + 1
    let words = 0
    for (let space = 0; space < spaceIds; space++) words += (counts[space] ?? 0) * each
    return words
  }

  /** For `slots` guests and `channels` firmware channels, over the platform's resources. */
  constructor(counts: Counts, slots: number, channels: number, books: Books = heap) {
    this.#slots = slots
    this.#slotWords = (slots + 31) >>> 5
    this.#channelWords = (channels + 31) >>> 5
    this.#channels = channels
    this.#states = Array.from({ length: spaceIds }, (_, space) => {
      const count = counts[space] ?? 0
      if (count === 0) return undefined
      return {
        count,
        votes: books.take(count * this.#slotWords),
        held: books.take(count * this.#channelWords),
        released: books.take(count * this.#channelWords),
        wanted: signed(books.take(count * channels)),
        owner: signed(books.take(count)),
        asked: new Int32Array(count),
        holders: new Uint16Array(count),
        host: new Uint8Array(count),
        locks: new Uint16Array(count),
      }
    })
    this.spaces = [...this.#states.keys()].filter(space => this.#states[space] !== undefined)
  }

  /** Bounds what a file held: bits of slots and channels that there are, owners that can be. */
  bound(): void {
    for (const space of this.spaces) {
      const { count, votes, held, released, owner } = this.#states[space] as State
      clearBeyond(votes, this.#slotWords, this.#slots)
      clearBeyond(held, this.#channelWords, this.#channels)
      clearBeyond(released, this.#channelWords, this.#channels)
      for (let id = 0; id < count; id++)
        if ((owner[id] as number) < 0 || (owner[id] as number) > this.#slots) owner[id] = 0
    }
  }

  /**
   * Counts holders anew: `guests` are the grants of every guest there is, `host` what the host uses itself. Guests in the
   * slots `absent` are not there yet: they hold what they have asked for.
   */
  setHolders(guests: Iterable<Grants>, host: Grants, absent: Iterable<number> = []): void {
    for (const space of this.spaces) this.#states[space]?.holders.fill(0)
    for (const space of this.spaces) {
      const state = this.#states[space] as State
      for (let id = 0; id < state.count; id++) state.host[id] = owns(host.owned[space], id) ? 1 : 0
    }
    for (const grants of guests) {
      for (const space of this.spaces) {
        const state = this.#states[space] as State
        const owned = grants.owned[space]
        if (owned === undefined) continue
        for (let id = 0; id < state.count; id++)
          if (owns(owned, id)) state.holders[id] = (state.holders[id] ?? 0) + 1
      }
    }
    for (const slot of absent)
      for (const space of this.spaces) {
        const { holders } = this.#states[space] as State
        for (const id of this.stakes(space, slot)) holders[id] = (holders[id] ?? 0) + 1
      }
  }

  /** Whether two or more can reach it. */
  shared(space: Space, id: number): boolean {
    const state = this.#states[space]
    return state !== undefined && (state.holders[id] as number) + (state.host[id] as number) > 1
  }

  hostHolds(space: Space, id: number): boolean {
    return this.#states[space]?.host[id] === 1
  }

  /** Whether the guest in `slot` has asked for it. */
  voted(space: Space, id: number, slot: number): boolean {
    const state = this.#states[space]
    return (
      state !== undefined &&
      (((state.votes[id * this.#slotWords + (slot >>> 5)] as number) >>> (slot & 31)) & 1) === 1
    )
  }

  /** Whether anybody but `slot` has, or anybody at all for NOBODY: a guest, or the host. */
  othersVote(space: Space, id: number, slot: number): boolean {
    const state = this.#states[space]
    if (state === undefined) return false
    if (state.host[id] === 1) return true
    const at = id * this.#slotWords
    for (let word = 0; word < this.#slotWords; word++) {
      const mine = slot !== NOBODY && word === slot >>> 5 ? ~(1 << (slot & 31)) : -1
      if (((state.votes[at + word] as number) & mine) !== 0) return true
    }
    return false
  }

  vote(space: Space, id: number, slot: number, on: boolean): void {
    const state = this.#states[space]
    if (state !== undefined) setBit(state.votes, id * this.#slotWords, slot, on)
  }

  /** Whether the firmware may still hold an ON that came on `channel`. */
  held(space: Space, id: number, channel: number): boolean {
    const state = this.#states[space]
    return (
      state !== undefined &&
      (((state.held[id * this.#channelWords + (channel >>> 5)] as number) >>> (channel & 31)) & 1) === 1
    )
  }

  /** Books what the firmware was told: `on` with what `ask` was given last. */
  hold(space: Space, id: number, channel: number, on: boolean): void {
    const state = this.#states[space]
    if (state === undefined) return
    setBit(state.held, id * this.#channelWords, channel, on)
    if (!on) return
    state.wanted[id * this.#channels + channel] = state.asked[id] as number
    setBit(state.released, id * this.#channelWords, channel, false)
  }

  /** What a request asks for that is about to go out: requests for one resource go one after the other. */
  ask(space: Space, id: number, value: number): void {
    const state = this.#states[space]
    if (state !== undefined) state.asked[id] = value
  }

  /** What was asked for last on `channel`, releases left out; 0 for nothing. */
  wanted(space: Space, id: number, channel: number): number {
    return this.#states[space]?.wanted[id * this.#channels + channel] ?? 0
  }

  /** Whether the resource was last released on `channel`. */
  released(space: Space, id: number, channel: number): boolean {
    const state = this.#states[space]
    return (
      state !== undefined &&
      (((state.released[id * this.#channelWords + (channel >>> 5)] as number) >>> (channel & 31)) & 1) === 1
    )
  }

  /** A release that a guest asked for went out on `channel`. */
  release(space: Space, id: number, channel: number): void {
    const state = this.#states[space]
    if (state === undefined) return
    setBit(state.held, id * this.#channelWords, channel, false)
    setBit(state.released, id * this.#channelWords, channel, true)
  }

  /** Resources there are. */
  count(space: Space): number {
    return this.#states[space]?.count ?? 0
  }

  /** The slot that has the resource's rate, level or reset to itself, or NOBODY. */
  owner(space: Space, id: number): number {
    return (this.#states[space]?.owner[id] ?? 0) - 1
  }

  own(space: Space, id: number, slot: number): void {
    const state = this.#states[space]
    if (state !== undefined) state.owner[id] = slot + 1
  }

  /** Whether a request or a release is under way. */
  busy(space: Space, id: number): boolean {
    return (this.#states[space]?.locks[id] ?? 0) > 0
  }

  /** One more is under way. */
  lock(space: Space, id: number): void {
    const state = this.#states[space]
    if (state !== undefined) state.locks[id] = (state.locks[id] as number) + 1
  }

  /** One has ended. */
  unlock(space: Space, id: number): void {
    const state = this.#states[space]
    if (state !== undefined && (state.locks[id] as number) > 0)
      state.locks[id] = (state.locks[id] as number) - 1
  }

  /** Resources of `space` that the guest in `slot` has a vote for, or holds exclusively. Allocates. */
  stakes(space: Space, slot: number): number[] {
    const state = this.#states[space]
    const ids: number[] = []
    for (let id = 0; id < (state?.count ?? 0); id++)
      if (this.voted(space, id, slot) || this.owner(space, id) === slot) ids.push(id)
    return ids
  }

  /**
   * Resources of `space` that nobody asks for while the firmware may still hold them: the host let go of what
   * others had released before, or a release failed. Allocates.
   */
  abandoned(space: Space): number[] {
    const state = this.#states[space]
    const ids: number[] = []
    for (let id = 0; id < (state?.count ?? 0); id++)
      if (this.#heldAnywhere(space, id) && !this.othersVote(space, id, NOBODY) && !this.busy(space, id))
        ids.push(id)
    return ids
  }

  #heldAnywhere(space: Space, id: number): boolean {
    const held = this.#states[space]?.held
    const at = id * this.#channelWords
    for (let word = at; word < at + this.#channelWords; word++) if (held?.[word] !== 0) return true
    return false
  }
}

const signed = ({ buffer, byteOffset, length }: Uint32Array): Int32Array =>
  new Int32Array(buffer, byteOffset, length)

/** Clears bits from `bits` on in every group of `each` words. */
function clearBeyond(words: Uint32Array, each: number, bits: number): void {
  const rest = bits & 31
  if (rest === 0) return
  for (let at = each - 1; at < words.length; at += each) words[at] = (words[at] as number) & (2 ** rest - 1)
}

function setBit(words: Uint32Array, at: number, bit: number, on: boolean): void {
  const word = at + (bit >>> 5)
  const mask = 1 << (bit & 31)
  words[word] = on ? (words[word] as number) | mask : (words[word] as number) & ~mask
}
