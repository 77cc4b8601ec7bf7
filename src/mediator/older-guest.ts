// Between a guest that is shown older protocol versions and the mediator, which speaks the platform's: the little that
// differs is changed on the way, both ways. Allocates nothing per message.
import type { FrameHandler, GuestLink } from '../guest-link/guest-link.ts'
import type { Older } from '../permissions/older.ts'
import { ABSENT, commandLength, UNKNOWN_PROTOCOL, wellFormed } from '../permissions/rules.ts'
import { NEGOTIATE_PROTOCOL_VERSION, PROTOCOL_MESSAGE_ATTRIBUTES, PROTOCOL_VERSION } from '../scmi/common.ts'
import { messageId, NOTIFICATION, protocolId, reservedMask, tableIndex } from '../scmi/header.ts'
import { INVALID_PARAMETERS, NOT_FOUND, NOT_SUPPORTED, PROTOCOL_ERROR, SUCCESS } from '../scmi/status.ts'
import type { Transfer } from '../transfer.ts'
import { ERRORS, MESSAGES } from './counters.ts'
import type { GuestState } from './guest.ts'

/** Bits 9:8 of the header: anything but a command. */
const typeMask = 0x300

/** A guest's link as the mediator sees it, and the mediator as the guest's link sees it. */
export class OlderGuest implements GuestLink, FrameHandler {
  /** The link and the guest; set before the first frame. */
  link: GuestLink | undefined = undefined
  guest: GuestState | undefined = undefined
  readonly #older: Older
  readonly #handler: FrameHandler

  constructor(older: Older, handler: FrameHandler) {
    this.#older = older
    this.#handler = handler
  }

  get kind(): string {
    return this.link?.kind ?? 'none'
  }
  get maxMessageBytes(): number {
    return this.link?.maxMessageBytes ?? 0
  }
  get maxInFlight(): number {
    return this.link?.maxInFlight ?? 0
  }
  get hasP2A(): boolean {
    return this.link?.hasP2A === true
  }
  get occupied(): boolean {
    return this.link?.occupied === true
  }
  get run(): Uint32Array | undefined {
    return this.link?.run
  }
  suspend(): void {
    if (this.link?.suspend === undefined) this.link?.close()
    else this.link.suspend()
  }
  close(): void {
    this.link?.close()
  }
  resumed(): void {
    this.#handler.resumed?.(this)
  }
  restarted(): void {
    this.#handler.restarted?.(this)
  }
  room(): void {
    this.#handler.room?.(this)
  }

  /** A command of the guest: answered here where it is none at the guest's version, else handed on as the platform's. */
  handle(transfer: Transfer): void {
    const { ints } = transfer
    const header = ints[0] as number
    const protocol = protocolId(header)
    if ((header & (reservedMask | typeMask)) !== 0 || this.#older.differs[protocol] === 0)
      return this.#handler.handle(transfer, this)
    const at = tableIndex(header)
    const { rules, grow } = this.#older
    const kind = rules.kind[at] as number
    if (kind === UNKNOWN_PROTOCOL) return this.#refuse(transfer, NOT_SUPPORTED)
    // The mediator says so to whoever does not hold the protocol, whatever the message.
    if (this.guest?.grants.protocols[protocol] === 0) return this.#handler.handle(transfer, this)
    if (kind === ABSENT) return this.#refuse(transfer, NOT_FOUND)
    if (transfer.length !== commandLength(rules, ints, at, transfer.length))
      return this.#refuse(transfer, PROTOCOL_ERROR)
    // The platform may know more values than the guest's version allows.
    if (!wellFormed(rules.checks[at], ints)) return this.#refuse(transfer, INVALID_PARAMETERS)
    const argument = ints[1] as number
    switch (messageId(header)) {
      case PROTOCOL_MESSAGE_ATTRIBUTES:
        if ((argument & ~0xff) === 0 && (rules.kind[(at & 0xff00) | argument] as number) <= ABSENT)
          return this.#refuse(transfer, NOT_FOUND)
        break
      case NEGOTIATE_PROTOCOL_VERSION:
        if (argument >>> 0 !== rules.versions.get(protocol)) return this.#refuse(transfer, NOT_SUPPORTED)
        transfer.words[1] = this.#older.platform[protocol] as number
        break
    }
    for (let lacking = grow[at] as number; lacking > 0; lacking -= 4) {
      ints[transfer.length >>> 2] = 0
      transfer.length += 4
    }
    this.#handler.handle(transfer, this)
  }

  /** An answer of the mediator. */
  complete(transfer: Transfer): void {
    const { header, ints } = transfer
    const protocol = protocolId(header)
    if (this.#older.differs[protocol] === 1 && ints[1] === SUCCESS) {
      const at = tableIndex(header)
      const { cut, hide, rules } = this.#older
      if (messageId(header) === PROTOCOL_VERSION) transfer.words[2] = rules.versions.get(protocol) ?? 0
      const most = cut[at] as number
      if (most !== 0 && transfer.length > most) transfer.length = most
      const pairs = hide[at]
      if (pairs !== undefined)
        for (let i = 0; i < pairs.length; i += 2) {
          const word = pairs[i] as number
          if (word * 4 < transfer.length) ints[word] = (ints[word] as number) & ~(pairs[i + 1] as number)
        }
    }
    this.link?.complete(transfer)
  }

  /** A delayed response, which is the same in both versions, or a notification. */
  deliver(frame: Uint8Array, length: number): boolean {
    const header = (frame[0] as number) | ((frame[1] as number) << 8) | ((frame[2] as number) << 16)
    const most = this.#older.cutNotification[tableIndex(header)] as number
    const cut = ((header >>> 8) & 3) === NOTIFICATION && most !== 0 && length > most
    return this.link?.deliver(frame, cut ? most : length) === true
  }

  #refuse(transfer: Transfer, status: number): void {
    const counters = this.guest?.counters
    if (counters !== undefined) {
      counters[MESSAGES] = (counters[MESSAGES] as number) + 1
      counters[ERRORS] = (counters[ERRORS] as number) + 1
    }
    transfer.header = transfer.ints[0] as number
    transfer.answer(status)
    this.link?.complete(transfer)
  }
}
