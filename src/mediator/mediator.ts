// The way of a message: judge it, answer it here or send it on, and see the answer back. Knows transfers, no bytes' way.
import {
  ALLOWED as DECIDED_ALLOWED,
  BUSY as DECIDED_BUSY,
  DENIED as DECIDED_DENIED,
  LOCAL as DECIDED_LOCAL,
  PLACEHOLDER as DECIDED_PLACEHOLDER,
  VOTE as DECIDED_VOTE,
} from '../audit/decision.ts'
import type { FirmwareHandler, FirmwareLink } from '../firmware-link/firmware-link.ts'
import type { FrameHandler, GuestLink } from '../guest-link/guest-link.ts'
import { FORWARD, HARMLESS_RELEASE, LOCAL, PLACEHOLDER, verdict } from '../permissions/filter.ts'
import type { Counts } from '../permissions/grants.ts'
import {
  EXCLUSIVELY_HELD,
  GRANTED,
  HOST_HOLDS,
  NOT_OWNED,
  NOTHING_TO_RELEASE,
  OTHERS_VOTE,
  PRIVILEGED_MESSAGE,
  PROTOCOL_NOT_HELD,
} from '../permissions/reasons.ts'
import { ABSENT, CONTROL, PRIVILEGED, type Rules, SUBSCRIBES, wellFormed } from '../permissions/rules.ts'
import { NEGOTIATE_PROTOCOL_VERSION, PROTOCOL_MESSAGE_ATTRIBUTES, PROTOCOL_VERSION } from '../scmi/common.ts'
import { messageId, protocolId, tableIndex } from '../scmi/header.ts'
import { BUSY, DENIED, INVALID_PARAMETERS, NOT_FOUND, NOT_SUPPORTED, SUCCESS } from '../scmi/status.ts'
import type { Transfer } from '../transfer.ts'
import { type Arbiter, NOBODY } from './arbiter.ts'
import { ALLOWED, DENIED as COUNT_DENIED, ERRORS, MESSAGES } from './counters.ts'
import { type GuestState, maxGuests } from './guest.ts'
import { OWN, OwnExchanges } from './own-exchanges.ts'
import { Placeholders } from './placeholders.ts'
import { conceal } from './rewrite.ts'
import { WaitingList } from './waiting-list.ts'

// What is still to be done when the answer comes: bits of Transfer.plan.
const AUDITED = 0x1
/** The request set the guest's vote, which it did not have. */
const VOTED = 0x2
/** The request withdrew the guest's vote, which it had. */
const UNVOTED = 0x4
/** The request asks for the resource on this channel, or releases it. */
const HOLDS = 0x8
const RELEASES = 0x10
/** The request took exclusive hold. */
const TOOK = 0x20
/** The resource was marked busy. */
const LOCKED = 0x40

const base = 0x10
const noResource = -1
/** Delayed responses and notifications are not routed to guests yet, so no guest is promised any. */
const wayBack = false
const NO_CHANNEL = -1

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
}

/** The relay's middle: between the guests' links and one firmware-link. One thread, no waiting, no allocation per message. */
export class Mediator implements FrameHandler, FirmwareHandler {
  readonly guests = new Array<GuestState | undefined>(maxGuests).fill(undefined)
  /** The mediator's own commands: releases, and what the main thread asks. */
  readonly own: OwnExchanges
  /** Delayed responses and notifications that nobody waits for. */
  arrivedUnasked = 0
  readonly rules: Rules
  readonly #counts: Counts
  readonly #arbiter: Arbiter
  readonly #firmware: FirmwareLink
  readonly #auditQueries: boolean
  readonly #now: () => number
  readonly #placeholders: Placeholders
  readonly #waiting = new WaitingList()

  constructor(parts: MediatorParts) {
    this.rules = parts.rules
    this.#counts = parts.counts
    this.#arbiter = parts.arbiter
    this.#firmware = parts.firmware
    this.#auditQueries = parts.auditQueries
    this.#now = parts.now
    this.#placeholders = new Placeholders(parts.rules)
    this.own = new OwnExchanges(parts.rules, parts.arbiter, parts.firmware, parent => this.complete(parent))
  }

  handle(transfer: Transfer, link: GuestLink): void {
    const guest = this.guests[transfer.guest]
    transfer.header = transfer.ints[0] as number
    transfer.plan = 0
    transfer.awaited = 0
    transfer.resource = noResource
    transfer.arrivedAt = this.#now()
    if (guest === undefined) {
      transfer.answer(DENIED)
      return link.complete(transfer)
    }
    const counters = guest.counters
    counters[MESSAGES] = (counters[MESSAGES] as number) + 1
    const { words } = transfer
    const judged = verdict(this.rules, this.#counts, guest.grants, wayBack, words, transfer.length)
    const at = tableIndex(words[0] as number)
    const resourceWord = this.rules.resource[at] as number
    if (resourceWord !== 0 && transfer.length > resourceWord * 4)
      transfer.resource = transfer.ints[resourceWord] as number
    if (judged === FORWARD) return this.#admit(transfer, guest, link, at)
    if (judged === LOCAL) {
      const status = guest.identity.answer(transfer, wayBack, link.maxMessageBytes)
      return this.#answered(
        transfer,
        guest,
        link,
        status === SUCCESS ? ALLOWED : ERRORS,
        DECIDED_LOCAL,
        status,
      )
    }
    if (judged === PLACEHOLDER) {
      if (!this.#record(transfer, guest, DECIDED_PLACEHOLDER, SUCCESS, NOT_OWNED))
        return this.#busy(transfer, guest, link)
      this.#placeholders.answer(transfer, at, transfer.resource >>> 0)
      counters[COUNT_DENIED] = (counters[COUNT_DENIED] as number) + 1
      return link.complete(transfer)
    }
    if (judged === HARMLESS_RELEASE) {
      if (!this.#record(transfer, guest, DECIDED_PLACEHOLDER, SUCCESS, NOTHING_TO_RELEASE))
        return this.#busy(transfer, guest, link)
      counters[COUNT_DENIED] = (counters[COUNT_DENIED] as number) + 1
      transfer.answer(SUCCESS)
      return link.complete(transfer)
    }
    if (judged === DENIED) return this.#deny(transfer, guest, link, this.#why(transfer, guest))
    this.#refuse(transfer, guest, link, judged)
  }

  complete(transfer: Transfer): void {
    if (transfer.guest === OWN) return this.own.completed(transfer)
    const guest = this.guests[transfer.guest]
    const link = guest?.link
    if (guest === undefined || link === undefined) return
    if (transfer.awaited > 0) {
      transfer.awaited--
      if (transfer.awaited > 0) return
    }
    const status = transfer.ints[1] as number
    if (transfer.plan !== 0) this.#settle(transfer, guest, status)
    if (status === SUCCESS) {
      const at = tableIndex(transfer.header)
      conceal(this.rules, guest.grants, wayBack, transfer, at)
      const view = this.rules.views[at]
      if (view !== undefined) {
        const protocol = protocolId(transfer.header)
        if (this.#arbiter.shared(protocol, transfer.resource)) {
          const own = this.#arbiter.voted(protocol, transfer.resource, transfer.guest) ? view.on : view.off
          transfer.words[view.word] = ((transfer.words[view.word] as number) & ~view.mask) | own
        }
      }
    }
    // Handing the answer over ends the transfer: nothing is read from it afterwards.
    const { epoch, header, plan, resource } = transfer
    this.#answered(transfer, guest, link, status < 0 ? ERRORS : ALLOWED, DECIDED_ALLOWED, status)
    if ((plan & LOCKED) !== 0) this.#unlock(protocolId(header), resource)
    guest.inFlight[epoch & 1] = (guest.inFlight[epoch & 1] as number) - 1
    const { onQuiet } = guest
    if (onQuiet !== undefined && guest.inFlight[(guest.epoch + 1) & 1] === 0) onQuiet()
  }

  arrived(): void {
    // Guests have no way back yet: nothing that would bring such a message is ever forwarded.
    this.arrivedUnasked++
  }

  /**
   * Withdraws what the guest in `slot` asked for of one resource, and gives up its exclusive hold. When nobody else
   * needs the resource, it is released on every channel where the firmware may hold it. Gives the commands sent.
   */
  withdraw(protocol: number, id: number, slot: number): number {
    const arbiter = this.#arbiter
    if (arbiter.owner(protocol, id) === slot) arbiter.own(protocol, id, NOBODY)
    if (!arbiter.voted(protocol, id, slot)) return 0
    arbiter.vote(protocol, id, slot, false)
    return arbiter.othersVote(protocol, id, slot) ? 0 : this.own.release(protocol, id, NO_CHANNEL, undefined)
  }

  /** A guest begins anew: what it negotiated and subscribed to is void. Its votes stand: its devices may still run. */
  restarted(link: GuestLink): void {
    for (const guest of this.guests) if (guest?.link === link) guest.identity.reset()
  }

  /** Forgets requests of the guest in `slot` that wait for a resource; its link is closed. */
  forget(slot: number): void {
    this.#waiting.drop(slot)
  }

  /** What the guest asked for may take effect if it is the only holder, or its vote counts. */
  #admit(transfer: Transfer, guest: GuestState, link: GuestLink, at: number): void {
    const rules = this.rules
    const protocol = protocolId(transfer.header)
    const { words } = transfer
    const entryKnowsResource = (rules.resource[at] as number) !== 0
    if (!entryKnowsResource) {
      const local = this.#aboutProtocol(transfer, at, wayBack)
      if (local !== undefined) {
        return this.#answered(
          transfer,
          guest,
          link,
          local === SUCCESS ? ALLOWED : ERRORS,
          DECIDED_LOCAL,
          local,
        )
      }
    }
    const control = ((rules.flags[at] as number) & CONTROL) !== 0
    if (!control) return this.#forward(transfer, guest, link)
    const resourceWord = rules.resource[at] as number
    transfer.argument0 = argument(transfer, resourceWord === 1 ? 2 : 1)
    transfer.argument1 = argument(transfer, 3)
    if (!entryKnowsResource) return this.#forwardControl(transfer, guest, link)
    const arbiter = this.#arbiter
    const id = transfer.resource
    const { slot } = guest
    const exclusiveMask = rules.exclusiveMask[at] as number
    const exclusiveWord = rules.exclusiveWord[at] as number
    const exclusive =
      exclusiveMask !== 0 && (exclusiveWord === 0 || ((words[exclusiveWord] as number) & exclusiveMask) !== 0)
    if (exclusive && arbiter.shared(protocol, id)) {
      if (arbiter.hostHolds(protocol, id)) return this.#deny(transfer, guest, link, HOST_HOLDS)
      const owner = arbiter.owner(protocol, id)
      if (owner !== NOBODY && owner !== slot) return this.#deny(transfer, guest, link, EXCLUSIVELY_HELD)
      if (owner === NOBODY) {
        arbiter.own(protocol, id, slot)
        transfer.plan |= TOOK
      }
    }
    const vote = rules.votes[at]
    if (vote === undefined) return this.#forwardControl(transfer, guest, link)
    if (arbiter.busy(protocol, id)) return this.#waiting.add(transfer)
    const value = ((words[vote.word] as number) & vote.mask) >>> 0
    if (value === vote.neutral) return this.#forwardControl(transfer, guest, link)
    if (value !== vote.off) {
      transfer.plan |= HOLDS | LOCKED
      if (!arbiter.voted(protocol, id, slot)) transfer.plan |= VOTED
    } else if (arbiter.othersVote(protocol, id, slot)) {
      if (!wellFormed(rules.checks[at], words)) return this.#refuse(transfer, guest, link, INVALID_PARAMETERS)
      if (!this.#record(transfer, guest, DECIDED_VOTE, SUCCESS, OTHERS_VOTE))
        return this.#busy(transfer, guest, link)
      arbiter.vote(protocol, id, slot, false)
      transfer.answer(SUCCESS)
      guest.counters[ALLOWED] = (guest.counters[ALLOWED] as number) + 1
      return link.complete(transfer)
    } else {
      transfer.plan |= RELEASES | LOCKED
      if (arbiter.voted(protocol, id, slot)) transfer.plan |= UNVOTED
    }
    this.#forwardControl(transfer, guest, link)
  }

  /** VERSION, NEGOTIATE and the parts of MESSAGE_ATTRIBUTES that are the mediator's to answer; undefined: forward. */
  #aboutProtocol(transfer: Transfer, at: number, hasP2A: boolean): number | undefined {
    const protocol = protocolId(transfer.header)
    const rules = this.rules
    const argumentWord = transfer.words[1] as number
    const presented = rules.versions.get(protocol) as number
    switch (messageId(transfer.header)) {
      case PROTOCOL_VERSION:
        transfer.answer(SUCCESS)
        transfer.words[2] = presented
        transfer.length = 12
        return SUCCESS
      case NEGOTIATE_PROTOCOL_VERSION: {
        // Channels may be shared and forms are compiled for one version: only the one presented is there.
        const status = argumentWord === presented ? SUCCESS : NOT_SUPPORTED
        transfer.answer(status)
        return status
      }
      case PROTOCOL_MESSAGE_ATTRIBUTES: {
        const about = (at & 0xff00) | (argumentWord & 0xff)
        const flags = rules.flags[about] as number
        const there =
          argumentWord <= 0xff &&
          (rules.kind[about] as number) > ABSENT &&
          (flags & PRIVILEGED) === 0 &&
          (hasP2A || (flags & SUBSCRIBES) === 0)
        if (there) return undefined
        transfer.answer(NOT_FOUND)
        return NOT_FOUND
      }
      default:
        return undefined
    }
  }

  /** Forwards a control: its audit record is kept a place before it takes effect. */
  #forwardControl(transfer: Transfer, guest: GuestState, link: GuestLink): void {
    if (!guest.audit.reserve(guest.generation)) {
      if ((transfer.plan & TOOK) !== 0)
        this.#arbiter.own(protocolId(transfer.header), transfer.resource, NOBODY)
      return this.#busy(transfer, guest, link)
    }
    transfer.plan |= AUDITED
    const protocol = protocolId(transfer.header)
    const id = transfer.resource
    if ((transfer.plan & LOCKED) !== 0) this.#arbiter.setBusy(protocol, id, true)
    if ((transfer.plan & VOTED) !== 0) this.#arbiter.vote(protocol, id, guest.slot, true)
    if ((transfer.plan & UNVOTED) !== 0) this.#arbiter.vote(protocol, id, guest.slot, false)
    if ((transfer.plan & RELEASES) !== 0) {
      transfer.awaited = 1 // its own answer; the releases add theirs
      this.own.release(protocol, id, guest.channel, transfer)
    }
    this.#forward(transfer, guest, link)
  }

  #forward(transfer: Transfer, guest: GuestState, link: GuestLink): void {
    transfer.epoch = guest.epoch
    const parity = guest.epoch & 1
    guest.inFlight[parity] = (guest.inFlight[parity] as number) + 1
    if (this.#firmware.send(guest.channel, transfer)) return
    guest.inFlight[parity] = (guest.inFlight[parity] as number) - 1
    transfer.answer(BUSY)
    if (transfer.plan === 0) return this.#busy(transfer, guest, link)
    // A vote, a hold or a record is to be undone: that is what completion does.
    guest.inFlight[parity] = (guest.inFlight[parity] as number) + 1
    this.complete(transfer)
  }

  /** Books what the firmware's answer means for votes and holds. */
  #settle(transfer: Transfer, guest: GuestState, status: number): void {
    const { plan } = transfer
    const protocol = protocolId(transfer.header)
    const id = transfer.resource
    const arbiter = this.#arbiter
    if (status === SUCCESS) {
      if ((plan & HOLDS) !== 0) arbiter.hold(protocol, id, guest.channel, true)
      if ((plan & RELEASES) !== 0) arbiter.hold(protocol, id, guest.channel, false)
    } else {
      // Others may have released it while this vote stood: then nobody needs it now.
      if ((plan & VOTED) !== 0) this.withdraw(protocol, id, guest.slot)
      if ((plan & UNVOTED) !== 0) arbiter.vote(protocol, id, guest.slot, true)
      if ((plan & TOOK) !== 0) arbiter.own(protocol, id, NOBODY)
    }
  }

  /** Lets the next request for a resource have its turn. */
  #unlock(protocol: number, id: number): void {
    this.#arbiter.setBusy(protocol, id, false)
    const next = this.#waiting.take(protocol, id)
    const guest = next === undefined ? undefined : this.guests[next.guest]
    if (next !== undefined && guest?.link !== undefined)
      this.#admit(next, guest, guest.link, tableIndex(next.header))
  }

  /** Why a message is denied, as a reason number. */
  #why(transfer: Transfer, guest: GuestState): number {
    const protocol = protocolId(transfer.header)
    if (protocol !== base && guest.grants.protocols[protocol] === 0) return PROTOCOL_NOT_HELD
    return ((this.rules.flags[tableIndex(transfer.header)] as number) & PRIVILEGED) !== 0
      ? PRIVILEGED_MESSAGE
      : NOT_OWNED
  }

  #deny(transfer: Transfer, guest: GuestState, link: GuestLink, reason: number): void {
    if (!this.#record(transfer, guest, DECIDED_DENIED, DENIED, reason))
      return this.#busy(transfer, guest, link)
    guest.counters[COUNT_DENIED] = (guest.counters[COUNT_DENIED] as number) + 1
    transfer.answer(DENIED)
    link.complete(transfer)
  }

  #refuse(transfer: Transfer, guest: GuestState, link: GuestLink, status: number): void {
    guest.counters[ERRORS] = (guest.counters[ERRORS] as number) + 1
    transfer.answer(status)
    link.complete(transfer)
  }

  #busy(transfer: Transfer, guest: GuestState, link: GuestLink): void {
    this.#refuse(transfer, guest, link, BUSY)
  }

  /** Counts, records where that is asked for, and hands the answer in `transfer` to the guest. */
  #answered(
    transfer: Transfer,
    guest: GuestState,
    link: GuestLink,
    counter: number,
    decision: number,
    status: number,
  ): void {
    guest.counters[counter] = (guest.counters[counter] as number) + 1
    if ((transfer.plan & AUDITED) !== 0) {
      guest.audit.complete(
        protocolId(transfer.header),
        messageId(transfer.header),
        transfer.resource,
        status === BUSY ? DECIDED_BUSY : decision,
        status,
        (this.#now() - transfer.arrivedAt) | 0,
        guest.agentId,
        guest.generation,
        transfer.argument0,
        transfer.argument1,
        GRANTED,
      )
    } else if (this.#auditQueries) this.#record(transfer, guest, decision, status, GRANTED)
    link.complete(transfer)
  }

  /** Appends an audit record; false when the guest's share is full. */
  #record(transfer: Transfer, guest: GuestState, decision: number, status: number, reason: number): boolean {
    return guest.audit.append(
      protocolId(transfer.header),
      messageId(transfer.header),
      transfer.resource,
      decision,
      status,
      (this.#now() - transfer.arrivedAt) | 0,
      guest.agentId,
      guest.generation,
      argument(transfer, 2),
      argument(transfer, 3),
      reason,
    )
  }
}

/** Word `at` of the command, signed; 0 beyond its end. */
const argument = (transfer: Transfer, at: number): number =>
  transfer.length > at * 4 ? (transfer.ints[at] as number) : 0
