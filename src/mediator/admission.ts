// What a control means for those who share its resource: who may ask, what is sent, what is booked when the answer comes.
// It answers nobody; the mediator does, by what it says.
import { owns } from '../permissions/grants.ts'
import { EXCLUSIVELY_HELD, HOST_HOLDS, STATE_NOT_SHARED } from '../permissions/reasons.ts'
import { type Rules, wellFormed } from '../permissions/rules.ts'
import type { Space } from '../scmi/space.ts'
import { COMMS_ERROR, SUCCESS } from '../scmi/status.ts'
import type { Transfer } from '../transfer.ts'
import { type Arbiter, NOBODY } from './arbiter.ts'
import type { GuestState } from './guest.ts'
import type { OwnExchanges } from './own-exchanges.ts'

/** Forward it, after `begin`. Any number above 0 is a reason to deny it. */
const ADMITTED = 0
/** Another request for the resource is under way: ask again when that has ended. */
export const WAITS = -1
/** Others still need what it releases: take its vote back, answer SUCCESS, send nothing. */
export const NOTHING_TO_SEND = -2
/** Not as the standard has it; what is shared hears of no such request. */
export const MALFORMED = -3

// What is still to be done when the answer comes: bits of Transfer.plan.
/** The request sets the guest's vote, which it did not have. */
const VOTES = 0x2
/** The request withdraws the guest's vote, which it had. */
const UNVOTES = 0x4
/** The request asks for the resource on this channel, or releases it. */
const HOLDS = 0x8
const RELEASES = 0x10
/** The request takes exclusive hold, which nobody had. */
const TAKES = 0x20
/** Requests for the resource wait until this one has ended. */
const LOCKS = 0x40
/** Others need what it would release, but it does more than that: the rest is sent. */
const KEEPS = 0x80

/** Any channel: no channel has this number. */
const NO_CHANNEL = -1

/** Admits controls about resources, and books their outcome. Allocates nothing but in `withdrawAll`. */
export class Admission {
  readonly #rules: Rules
  readonly #arbiter: Arbiter
  readonly #own: OwnExchanges

  constructor(rules: Rules, arbiter: Arbiter, own: OwnExchanges) {
    this.#rules = rules
    this.#arbiter = arbiter
    this.#own = own
  }

  /** What is to become of a control that the filter lets pass. Writes `transfer.plan`, changes nothing else. */
  judge(transfer: Transfer, guest: GuestState, at: number): number {
    const { ints } = transfer
    const arbiter = this.#arbiter
    const { space, resource: id } = transfer
    const shared = arbiter.shared(space, id)
    if (shared && !wellFormed(this.#rules.checks[at], ints)) return MALFORMED
    const vote = this.#rules.votes[at]
    const exclusive = this.#exclusive(ints, at)
    if (vote === undefined && !exclusive) return ADMITTED
    if (arbiter.busy(space, id)) return WAITS
    const { slot } = guest
    let plan = LOCKS
    if (exclusive) {
      const owner = arbiter.owner(space, id)
      if (shared && arbiter.hostHolds(space, id)) return HOST_HOLDS
      if (shared && owner !== NOBODY && owner !== slot) return EXCLUSIVELY_HELD
      if (owner === NOBODY) plan |= TAKES // unshared too: it may become shared while the setting stands
    }
    if (vote !== undefined) {
      const value = (ints[vote.word] as number) & vote.mask
      const voted = arbiter.voted(space, id, slot)
      if (value === vote.off) {
        const needed = arbiter.othersVote(space, id, slot)
        if (needed && !exclusive) return NOTHING_TO_SEND
        plan |= (needed ? KEEPS : RELEASES) | (voted ? UNVOTES : 0)
      } else if (value !== vote.neutral) {
        if (shared && value !== vote.on) return STATE_NOT_SHARED
        plan |= HOLDS | (voted ? 0 : VOTES)
      }
    }
    transfer.plan |= plan
    return ADMITTED
  }

  /** Books an admitted control before it goes out. Releases on other channels go first, and are awaited with it. */
  begin(transfer: Transfer, guest: GuestState, at: number): void {
    const { plan } = transfer
    if ((plan & LOCKS) === 0) return
    const arbiter = this.#arbiter
    const { space, resource: id } = transfer
    arbiter.lock(space, id)
    if ((plan & TAKES) !== 0) arbiter.own(space, id, guest.slot)
    if ((plan & VOTES) !== 0) arbiter.vote(space, id, guest.slot, true)
    if ((plan & UNVOTES) !== 0) arbiter.vote(space, id, guest.slot, false)
    const vote = this.#rules.votes[at]
    if ((plan & HOLDS) !== 0 && vote !== undefined)
      arbiter.ask(space, id, (transfer.ints[vote.word] as number) & vote.mask)
    if ((plan & KEEPS) !== 0 && vote !== undefined)
      transfer.ints[vote.word] = ((transfer.ints[vote.word] as number) & ~vote.mask) | vote.neutral
    if ((plan & RELEASES) !== 0) {
      transfer.awaited = 1 // its own answer; the releases add theirs
      this.#own.release(space, id, guest.channel, transfer)
    }
  }

  /** Takes the guest's vote back where others still need the resource. */
  unvote(transfer: Transfer, guest: GuestState): void {
    this.#arbiter.vote(transfer.space, transfer.resource, guest.slot, false)
  }

  /** Books what the firmware's answer means for votes and holds. */
  settle(transfer: Transfer, guest: GuestState, status: number): void {
    const { plan } = transfer
    if ((plan & LOCKS) === 0) return
    const { space, resource: id } = transfer
    const arbiter = this.#arbiter
    if (status === SUCCESS) {
      if ((plan & HOLDS) !== 0) arbiter.hold(space, id, guest.channel, true)
      if ((plan & RELEASES) !== 0) arbiter.release(space, id, guest.channel)
      return
    }
    // Silence is no refusal: what was asked for may have come about.
    if ((plan & HOLDS) !== 0 && status === COMMS_ERROR) arbiter.hold(space, id, guest.channel, true)
    if ((plan & TAKES) !== 0 && arbiter.owner(space, id) === guest.slot) arbiter.own(space, id, NOBODY)
    if ((plan & UNVOTES) !== 0) arbiter.vote(space, id, guest.slot, true)
    // Others may have released it while this vote stood: then nobody needs it now.
    if ((plan & VOTES) !== 0) this.#withdrawVote(space, id, guest.slot)
  }

  /** Whether requests for the resource wait for the one with this plan. */
  locks(plan: number): boolean {
    return (plan & LOCKS) !== 0
  }

  /** Lets go of the resource of a request that has ended. */
  unlock(space: Space, id: number): void {
    this.#arbiter.unlock(space, id)
  }

  /**
   * Withdraws what a guest asked for of resources that are not among `kept` (bitmaps by space), and gives up its
   * exclusive holds. What nobody else needs is released on every channel where the firmware may hold it.
   */
  withdrawAll(slot: number, kept: readonly (Uint32Array | undefined)[]): void {
    const arbiter = this.#arbiter
    for (const space of arbiter.spaces) {
      for (const id of arbiter.stakes(space, slot)) {
        if (owns(kept[space], id)) continue
        if (arbiter.owner(space, id) === slot) arbiter.own(space, id, NOBODY)
        this.#withdrawVote(space, id, slot)
      }
    }
    this.releaseAbandoned()
  }

  /** Releases what nobody asks for any more. */
  releaseAbandoned(): void {
    for (const space of this.#arbiter.spaces)
      for (const id of this.#arbiter.abandoned(space)) this.#own.release(space, id, NO_CHANNEL, undefined)
  }

  #withdrawVote(space: Space, id: number, slot: number): void {
    const arbiter = this.#arbiter
    if (!arbiter.voted(space, id, slot)) return
    arbiter.vote(space, id, slot, false)
    if (!arbiter.othersVote(space, id, slot)) this.#own.release(space, id, NO_CHANNEL, undefined)
  }

  /** Whether the command sets what only one holder at a time may set. */
  #exclusive(ints: Int32Array, at: number): boolean {
    const mask = this.#rules.exclusiveMask[at] as number
    if (mask === 0) return false
    const word = this.#rules.exclusiveWord[at] as number
    return word === 0 || ((ints[word] as number) & mask) !== 0
  }
}
