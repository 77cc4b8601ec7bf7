// How a message ends: counted, recorded where that is due, handed to its guest. It decides nothing.
import {
  ABSENT as DECIDED_ABSENT,
  ALLOWED as DECIDED_ALLOWED,
  BUSY as DECIDED_BUSY,
  DENIED as DECIDED_DENIED,
  ERROR as DECIDED_ERROR,
} from '../audit/decision.ts'
import { GRANTED, NO_RULE } from '../permissions/reasons.ts'
import { messageId, protocolId } from '../scmi/header.ts'
import { BUSY, DENIED, NOT_FOUND, SUCCESS } from '../scmi/status.ts'
import type { Transfer } from '../transfer.ts'
import { ALLOWED, DENIED as COUNT_DENIED, ERRORS } from './counters.ts'
import type { GuestState } from './guest.ts'

/** Transfer.plan: a place in the audit ring is kept for the message. The other bits are Admission's. */
const RESERVED = 0x1

/** Ends messages. Each is ended by exactly one of these calls; nothing reads its transfer afterwards. */
export class Answers {
  /** Whether queries that were allowed are recorded too. */
  readonly everything: boolean
  readonly #now: () => number

  constructor(everything: boolean, now: () => number) {
    this.everything = everything
    this.#now = now
  }

  /** Keeps a place for the record of what is about to take effect. False when the guest's share is full: `busy`. */
  reserve(transfer: Transfer, guest: GuestState): boolean {
    if (!guest.audit.reserve(guest.generation)) return false
    transfer.plan |= RESERVED
    return true
  }

  /** The answer in `transfer` stands, made by the firmware or by us; `decision` goes into the record, if one is due. */
  finish(transfer: Transfer, guest: GuestState, decision: number, status: number): void {
    const counter = status === SUCCESS ? ALLOWED : ERRORS
    guest.counters[counter] = (guest.counters[counter] as number) + 1
    if ((transfer.plan & RESERVED) !== 0)
      this.#keep(transfer, guest, status === BUSY ? DECIDED_BUSY : decision, status)
    guest.link.complete(transfer)
  }

  /** The answer in `transfer` is a constant, about what is not the guest's. BUSY instead when that cannot be recorded. */
  constant(transfer: Transfer, guest: GuestState, decision: number, status: number, reason: number): void {
    if (!this.record(transfer, guest, decision, status, reason)) return this.busy(transfer, guest)
    guest.counters[COUNT_DENIED] = (guest.counters[COUNT_DENIED] as number) + 1
    guest.link.complete(transfer)
  }

  deny(transfer: Transfer, guest: GuestState, reason: number): void {
    transfer.answer(DENIED)
    this.constant(transfer, guest, DECIDED_DENIED, DENIED, reason)
  }

  /** Malformed, or about what is not there. */
  refuse(transfer: Transfer, guest: GuestState, status: number): void {
    guest.counters[ERRORS] = (guest.counters[ERRORS] as number) + 1
    if (this.everything)
      this.record(transfer, guest, status === NOT_FOUND ? DECIDED_ABSENT : DECIDED_ERROR, status, NO_RULE)
    transfer.answer(status)
    guest.link.complete(transfer)
  }

  /** Its guest's share of something is used up, or the firmware takes no more now. */
  busy(transfer: Transfer, guest: GuestState): void {
    guest.counters[ERRORS] = (guest.counters[ERRORS] as number) + 1
    if ((transfer.plan & RESERVED) !== 0) this.#keep(transfer, guest, DECIDED_BUSY, BUSY)
    transfer.answer(BUSY)
    guest.link.complete(transfer)
  }

  /** Appends a record; false when the guest's share of the ring is full. */
  record(transfer: Transfer, guest: GuestState, decision: number, status: number, reason: number): boolean {
    return guest.audit.append(
      protocolId(transfer.header),
      messageId(transfer.header),
      transfer.resource,
      decision,
      status,
      (this.#now() - transfer.arrivedAt) | 0,
      guest.agentId,
      guest.generation,
      transfer.argument0,
      transfer.argument1,
      reason,
    )
  }

  /** Fills the place that was kept. What had no effect may join an equal record instead. */
  #keep(transfer: Transfer, guest: GuestState, decision: number, status: number): void {
    if (decision !== DECIDED_ALLOWED) {
      guest.audit.cancel()
      this.record(transfer, guest, decision, status, NO_RULE)
      return
    }
    guest.audit.complete(
      protocolId(transfer.header),
      messageId(transfer.header),
      transfer.resource,
      decision,
      status,
      (this.#now() - transfer.arrivedAt) | 0,
      guest.agentId,
      guest.generation,
      transfer.argument0,
      transfer.argument1,
      GRANTED,
    )
  }
}
