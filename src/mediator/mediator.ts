// The way of a message: judge it, answer it here or send it on, and see the answer back. Knows transfers, no bytes' way.
import {
  ALLOWED as DECIDED_ALLOWED,
  LOCAL as DECIDED_LOCAL,
  PLACEHOLDER as DECIDED_PLACEHOLDER,
  VOTE as DECIDED_VOTE,
} from '../audit/decision.ts'
import type { FirmwareHandler, FirmwareLink } from '../firmware-link/firmware-link.ts'
import type { FrameHandler, GuestLink } from '../guest-link/guest-link.ts'
import { type Dense, platformId } from '../permissions/dense.ts'
import { FORWARD, HARMLESS_RELEASE, LOCAL, PLACEHOLDER, verdict } from '../permissions/filter.ts'
import { type Counts, owns } from '../permissions/grants.ts'
import {
  MACHINES_POWER,
  NOT_GRANTED_AGAIN,
  NOT_OWNED,
  NOTHING_TO_RELEASE,
  OTHERS_VOTE,
  PRIVILEGED_MESSAGE,
  PROTOCOL_NOT_HELD,
} from '../permissions/reasons.ts'
import {
  awaitsDelayed,
  CONTROL,
  firstArgument,
  LISTS_IDS,
  PRIVILEGED,
  RESOURCE,
  type Rules,
  SUBSCRIBES,
  secondArgument,
  spaceIn,
  wellFormed,
} from '../permissions/rules.ts'
import { tableIndex } from '../scmi/header.ts'
import type { Space } from '../scmi/space.ts'
import { BUSY, COMMS_ERROR, DENIED, INVALID_PARAMETERS, NOT_SUPPORTED, SUCCESS } from '../scmi/status.ts'
import { headerBytes, type Transfer } from '../transfer.ts'
import { Admission, MALFORMED, NOTHING_TO_SEND, WAITS } from './admission.ts'
import { Answers } from './answers.ts'
import type { Arbiter } from './arbiter.ts'
import { MESSAGES } from './counters.ts'
import { type GuestState, maxGuests, REFUSED, SERVED } from './guest.ts'
import { OWN, OwnExchanges, type OwnHandler } from './own-exchanges.ts'
import { Placeholders } from './placeholders.ts'
import { answerAboutProtocol, NOT_OURS } from './protocol-answers.ts'
import { Restoration } from './restoration.ts'
import { conceal, showOwnView } from './rewrite.ts'
import { Routing } from './routing.ts'
import { TakingUp } from './taking-up.ts'
import { answerFromList, toGuestIds, toPlatformIds } from './translate.ts'
import { WaitingList } from './waiting-list.ts'

const base = 0x10
const noResource = -1
/** Transfer.plan: the subscription is new, and void if the firmware refuses it. Lower bits are Admission's and Answers'. */
const SUBSCRIBED = 0x100

/** What the mediator is built over. */
export interface MediatorParts {
  readonly rules: Rules
  readonly counts: Counts
  readonly arbiter: Arbiter
  readonly firmware: FirmwareLink
  /** Audit queries that were allowed too. */
  readonly auditQueries: boolean
  /** Monotonic microseconds of this round, signed. */
  readonly now: () => number
  /** How the operator is told something about a guest, in a line. */
  readonly log: (level: 'info' | 'warn', text: string) => void
}

/** The relay's middle: between the guests' links and one firmware-link. One thread, no waiting, no allocation per message. */
export class Mediator implements FrameHandler, FirmwareHandler, OwnHandler {
  readonly guests = new Array<GuestState | undefined>(maxGuests).fill(undefined)
  /** The mediator's own commands: releases, and what the main thread asks. */
  readonly own: OwnExchanges
  readonly admission: Admission
  /** The way back: delayed responses and notifications. */
  readonly routing: Routing
  /** Channels behind which the platform may have forgotten everything. */
  readonly restoration: Restoration
  /** Guests that outlived a former run of this daemon. */
  readonly takingUp: TakingUp
  readonly rules: Rules
  readonly #counts: Counts
  readonly #arbiter: Arbiter
  readonly #firmware: FirmwareLink
  readonly #now: () => number
  readonly #placeholders: Placeholders
  readonly #answers: Answers
  readonly #waiting = new WaitingList()
  /** The resource whose waiting requests are being looked through. */
  #servingSpace = noResource
  #servingId = noResource

  constructor(parts: MediatorParts) {
    const { rules, arbiter, firmware, now } = parts
    this.rules = rules
    this.#counts = parts.counts
    this.#arbiter = arbiter
    this.#firmware = firmware
    this.#now = now
    this.#placeholders = new Placeholders(rules)
    this.#answers = new Answers(parts.auditQueries, now)
    this.own = new OwnExchanges(rules, arbiter, firmware, this, now)
    this.admission = new Admission(rules, arbiter, this.own)
    this.routing = new Routing(rules, parts.counts, arbiter, this.own, this.guests)
    const { own, admission, routing, guests } = this
    const released = (protocol: number, id: number): void => this.released(protocol, id)
    this.restoration = new Restoration({ rules, arbiter, own, admission, routing, guests, released })
    this.takingUp = new TakingUp({ rules, routing, guests, now, log: parts.log })
  }

  handle(transfer: Transfer, link: GuestLink): void {
    const guest = this.guests[transfer.guest]
    transfer.header = transfer.ints[0] as number
    transfer.arrivedAt = this.#now()
    if (guest === undefined) {
      transfer.answer(DENIED)
      return link.complete(transfer)
    }
    guest.counters[MESSAGES] = (guest.counters[MESSAGES] as number) + 1
    this.#judge(transfer, guest)
  }

  complete(transfer: Transfer): void {
    if (transfer.guest === OWN) this.own.completed(transfer)
    else if (transfer.awaited === 0 || --transfer.awaited === 0) this.whole(transfer)
    this.own.pump()
  }

  arrived(channel: number, frame: Uint8Array, length: number): void {
    this.routing.arrived(channel, frame, length)
  }

  delayed(tag: number, frame: Uint8Array, length: number): void {
    this.routing.delayed(tag, frame, length)
  }

  reconnected(channel: number): void {
    this.restoration.begin(channel)
  }

  /** The last answer to a guest's command is there; the command's own lies in `transfer`. */
  whole(transfer: Transfer): void {
    const guest = this.guests[transfer.guest]
    if (guest === undefined) return
    const { header, plan, resource, space, epoch, tag } = transfer
    const at = tableIndex(header)
    let status = transfer.ints[1] as number
    if (plan !== 0) this.admission.settle(transfer, guest, status)
    if (status !== SUCCESS) {
      if (tag !== 0) this.routing.renounce(tag)
      if ((plan & SUBSCRIBED) !== 0)
        this.routing.subscriptions.set(at, resource === noResource ? 0 : resource, guest.slot, false)
    }
    if (status !== SUCCESS)
      transfer.length = 8 // nothing that follows an error is for a guest to see
    else if (conceal(this.rules, guest.grants, guest.link.hasP2A, transfer, at)) {
      showOwnView(this.rules, this.#arbiter, transfer, at)
      const { dense } = guest.grants
      if (dense !== undefined && !toGuestIds(this.rules, dense, transfer, at)) {
        status = NOT_SUPPORTED
        transfer.answer(NOT_SUPPORTED)
      }
    } else {
      status = COMMS_ERROR
      transfer.answer(COMMS_ERROR)
    }
    // Handing the answer over ends the transfer: nothing is read from it afterwards.
    this.#answers.finish(transfer, guest, DECIDED_ALLOWED, status)
    if (this.admission.locks(plan)) {
      this.admission.unlock(space, resource)
      this.released(space, resource)
    }
    guest.inFlight.end(epoch)
  }

  /** Takes up requests that waited for a resource, until one of them is under way. */
  released(space: Space, id: number): void {
    // Not while that is being done already: a request that ends at once must not pile up calls.
    if (this.#servingSpace === space && this.#servingId === id) return
    const formerSpace = this.#servingSpace
    const formerId = this.#servingId
    this.#servingSpace = space
    this.#servingId = id
    while (!this.#arbiter.busy(space, id)) {
      const next = this.#waiting.take(space, id)
      if (next === undefined) break
      const guest = this.guests[next.guest]
      // Judged anew: its guest may have lost the resource meanwhile.
      if (guest !== undefined) this.#judge(next, guest)
    }
    this.#servingSpace = formerSpace
    this.#servingId = formerId
  }

  /** A guest begins anew: what it negotiated, subscribed to and awaits is void. Its votes stand: its devices may still run. */
  restarted(link: GuestLink): void {
    for (const guest of this.guests) {
      if (guest?.link !== link) continue
      guest.begun = true
      guest.identity.reset()
      this.forget(guest)
      this.routing.restart(guest)
      guest.kept?.begin(link.run, guest.identity.version)
    }
  }

  /** A guest goes on, with this process or with what a former one left of this very run; else it begins anew. */
  resumed(link: GuestLink): void {
    const guest = this.guests.find(each => each?.link === link)
    if (guest === undefined) return
    if (guest.begun) return guest.kept?.mark(link.run)
    if (guest.kept?.claim(link.run) !== true) return this.restarted(link)
    guest.begun = true
    this.takingUp.takeUp(guest)
  }

  /** What waits to go to the guest behind `link` is tried again. */
  room(link: GuestLink): void {
    for (let slot = 0; slot < maxGuests; slot++) {
      const guest = this.guests[slot]
      if (guest?.link === link && !guest.closing) guest.mailbox.pump(link)
    }
  }

  /** Ends requests of a guest that wait for a resource, answered BUSY to whoever still listens. */
  forget(guest: GuestState): void {
    for (;;) {
      const transfer = this.#waiting.takeOf(guest.slot)
      if (transfer === undefined) return
      this.#answers.busy(transfer, guest)
    }
  }

  #judge(transfer: Transfer, guest: GuestState): void {
    const rules = this.rules
    const { ints } = transfer
    const at = tableIndex(transfer.header)
    this.#note(transfer, guest, at)
    const judged = verdict(rules, this.#counts, guest.grants, guest.link.hasP2A, ints, transfer.length)
    switch (judged) {
      case FORWARD:
        if (guest.standing !== SERVED) return this.#holdOff(transfer, guest)
        return rules.kind[at] === RESOURCE
          ? this.#aboutResource(transfer, guest, at)
          : this.#aboutProtocol(transfer, guest, at)
      case LOCAL:
        return this.#aboutBase(transfer, guest, at)
      case PLACEHOLDER: {
        const status = this.#placeholders.answer(transfer, at)
        return this.#answers.constant(transfer, guest, DECIDED_PLACEHOLDER, status, NOT_OWNED)
      }
      case HARMLESS_RELEASE:
        transfer.answer(SUCCESS)
        return this.#answers.constant(transfer, guest, DECIDED_PLACEHOLDER, SUCCESS, NOTHING_TO_RELEASE)
      case DENIED:
        return this.#answers.deny(transfer, guest, this.#why(transfer, guest, at))
      default:
        return this.#answers.refuse(transfer, guest, judged)
    }
  }

  /** What would go to a firmware that has not been told yet what it forgot, or that would not hear of it. */
  #holdOff(transfer: Transfer, guest: GuestState): void {
    if (guest.standing === REFUSED) return this.#answers.deny(transfer, guest, NOT_GRANTED_AGAIN)
    this.#answers.busy(transfer, guest)
  }

  /** Keeps what the records will tell, before an answer is written over the command. */
  #note(transfer: Transfer, guest: GuestState, at: number): void {
    const resourceWord = this.rules.resource[at] as number
    const whole = transfer.length >= headerBytes + (this.rules.size[at] as number)
    transfer.plan = 0
    transfer.awaited = 0
    transfer.tag = 0
    transfer.space = whole ? spaceIn(this.rules, transfer.ints, at) : at >>> 8
    transfer.resource = resourceWord === 0 ? noResource : word(transfer, resourceWord, noResource)
    transfer.argument0 = word(
      transfer,
      firstArgument(resourceWord, ((this.rules.flags[at] as number) & PRIVILEGED) !== 0),
      0,
    )
    transfer.argument1 = word(transfer, secondArgument, 0)
    const { dense } = guest.grants
    if (dense !== undefined && resourceWord !== 0) this.#noteDense(transfer, dense, resourceWord, at)
  }

  /** The same of a guest with ids of its own: what is kept are the platform's. */
  #noteDense(transfer: Transfer, dense: Dense, resourceWord: number, at: number): void {
    transfer.resource = platformId(dense, transfer.space, transfer.resource)
    const other = this.rules.other[at] as number
    if (other !== 0 && other === firstArgument(resourceWord, false))
      transfer.argument0 = platformId(dense, this.rules.otherSpace[at] as number, transfer.argument0)
  }

  /** A guest's own Base protocol. */
  #aboutBase(transfer: Transfer, guest: GuestState, at: number): void {
    if (this.#recorded(at) && !this.#answers.reserve(transfer, guest))
      return this.#answers.busy(transfer, guest)
    const status = guest.identity.answer(transfer, guest.link.hasP2A, guest.link.maxMessageBytes)
    this.#answers.finish(transfer, guest, DECIDED_LOCAL, status)
  }

  /** A message of a protocol that the guest holds, about no resource. */
  #aboutProtocol(transfer: Transfer, guest: GuestState, at: number): void {
    if (((this.rules.flags[at] as number) & SUBSCRIBES) !== 0) return this.#subscribe(transfer, guest, at)
    if (this.#recorded(at) && !this.#answers.reserve(transfer, guest))
      return this.#answers.busy(transfer, guest)
    if (this.#isListed(guest, at)) return this.#fromList(transfer, guest, at)
    const status = answerAboutProtocol(this.rules, transfer, at, guest.link.hasP2A)
    if (status === NOT_OURS) this.#forward(transfer, guest, at)
    else this.#answers.finish(transfer, guest, DECIDED_LOCAL, status)
  }

  /** A message about a resource that the guest owns; a control may still be up to those who share it. */
  #aboutResource(transfer: Transfer, guest: GuestState, at: number): void {
    const flags = this.rules.flags[at] as number
    if ((flags & SUBSCRIBES) !== 0) return this.#subscribe(transfer, guest, at)
    const control = (flags & CONTROL) !== 0
    const outcome = control ? this.admission.judge(transfer, guest, at) : 0
    if (outcome > 0) return this.#answers.deny(transfer, guest, outcome)
    switch (outcome) {
      case WAITS:
        return this.#waiting.add(transfer)
      case MALFORMED:
        return this.#answers.refuse(transfer, guest, INVALID_PARAMETERS)
      case NOTHING_TO_SEND:
        return this.#unvote(transfer, guest)
    }
    // The record of what takes effect is kept a place before it does.
    if (this.#recorded(at) && !this.#answers.reserve(transfer, guest))
      return this.#answers.busy(transfer, guest)
    if (this.#isListed(guest, at)) return this.#fromList(transfer, guest, at)
    // Nor is a delayed response asked for that would find no place.
    if (awaitsDelayed(this.rules, transfer.ints, at) && !this.routing.await(transfer, guest))
      return this.#answers.busy(transfer, guest)
    this.admission.begin(transfer, guest, at)
    this.#forward(transfer, guest, at)
  }

  /** A subscription. Several guests may stand behind one channel: the firmware hears of the first and of the last. */
  #subscribe(transfer: Transfer, guest: GuestState, at: number): void {
    const { ints } = transfer
    const resource = transfer.resource === noResource ? 0 : transfer.resource
    if (!wellFormed(this.rules.checks[at], ints))
      return this.#answers.refuse(transfer, guest, INVALID_PARAMETERS)
    if (!this.#answers.reserve(transfer, guest)) return this.#answers.busy(transfer, guest)
    const { subscriptions } = this.routing
    const { slot } = guest
    const on = ((ints[this.rules.enableWord[at] as number] as number) & 1) === 1
    if (on && !subscriptions.has(at, resource, slot)) transfer.plan |= SUBSCRIBED
    subscriptions.set(at, resource, slot, on)
    if (!subscriptions.othersOn(guest.channel, at, resource, slot, this.guests))
      return this.#forward(transfer, guest, at)
    transfer.answer(SUCCESS)
    this.#answers.finish(transfer, guest, DECIDED_LOCAL, SUCCESS)
  }

  /** A release while others need the resource: SUCCESS, and nothing is sent. */
  #unvote(transfer: Transfer, guest: GuestState): void {
    if (!this.#answers.record(transfer, guest, DECIDED_VOTE, SUCCESS, OTHERS_VOTE))
      return this.#answers.busy(transfer, guest)
    this.admission.unvote(transfer, guest)
    transfer.answer(SUCCESS)
    this.#answers.finish(transfer, guest, DECIDED_VOTE, SUCCESS)
  }

  /** Whether the answer is a list of resources and the guest has ids of its own. */
  #isListed(guest: GuestState, at: number): boolean {
    return guest.grants.dense !== undefined && ((this.rules.flags[at] as number) & LISTS_IDS) !== 0
  }

  /** A list of resources in the guest's own ids, from what the platform was found to have. */
  #fromList(transfer: Transfer, guest: GuestState, at: number): void {
    const { dense } = guest.grants
    const rule = this.rules.lists[at]
    if (dense === undefined || rule === undefined || !wellFormed(this.rules.checks[at], transfer.ints))
      transfer.answer(INVALID_PARAMETERS)
    else answerFromList(rule, dense, transfer, at, guest.link.hasP2A, guest.link.maxMessageBytes)
    this.#answers.finish(transfer, guest, DECIDED_LOCAL, transfer.ints[1] as number)
  }

  /** Sends it on; from here on ids in it are the platform's. */
  #forward(transfer: Transfer, guest: GuestState, at: number): void {
    const { dense } = guest.grants
    if (dense !== undefined) toPlatformIds(this.rules, dense, transfer, at)
    transfer.epoch = guest.inFlight.begin()
    if (this.#firmware.send(guest.channel, transfer)) return
    // What was booked is undone, and releases already out are awaited: that is what completion does.
    transfer.answer(BUSY)
    this.complete(transfer)
  }

  /** Whether a message that is allowed gets a record: controls do, queries by choice. */
  #recorded(at: number): boolean {
    return this.#answers.everything || ((this.rules.flags[at] as number) & CONTROL) !== 0
  }

  /** Why a message is denied, as a reason number; `transfer.resource` becomes the one that it is about. */
  #why(transfer: Transfer, guest: GuestState, at: number): number {
    const protocol = at >>> 8
    if (protocol !== base && guest.grants.protocols[protocol] === 0) return PROTOCOL_NOT_HELD
    if (((this.rules.flags[at] as number) & PRIVILEGED) !== 0) return PRIVILEGED_MESSAGE
    if ((this.rules.always[at] as number) !== 0) return MACHINES_POWER
    const other = this.rules.other[at] as number
    if (other !== 0 && owns(guest.grants.owned[transfer.space], transfer.resource)) {
      transfer.space = this.rules.otherSpace[at] as number
      transfer.resource = word(transfer, other, noResource)
      const { dense } = guest.grants
      if (dense !== undefined) transfer.resource = platformId(dense, transfer.space, transfer.resource)
    }
    return NOT_OWNED
  }
}

/** Word `at` of the command, signed; `otherwise` beyond its end. */
const word = (transfer: Transfer, at: number, otherwise: number): number =>
  transfer.length >= headerBytes + at * 4 ? (transfer.ints[at] as number) : otherwise
