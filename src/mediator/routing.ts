// The way back: whose a delayed response or a notification is, and what of it that guest may see. Allocates nothing but
// where subscriptions are taken back.
import { guestId } from '../permissions/dense.ts'
import { type Counts, type Grants, noGrants, owns } from '../permissions/grants.ts'
import type { Rules } from '../permissions/rules.ts'
import { header, NOTIFICATION, tableIndex } from '../scmi/header.ts'
import { fits } from '../scmi/schema.ts'
import type { Space } from '../scmi/space.ts'
import { COMMS_ERROR, DENIED, SUCCESS } from '../scmi/status.ts'
import { maxMessageBytesLimit, type Transfer } from '../transfer.ts'
import type { Arbiter } from './arbiter.ts'
import { type GuestState, maxGuests } from './guest.ts'
import { guestAgentId } from './identity.ts'
import type { OwnExchanges } from './own-exchanges.ts'
import { Subscriptions } from './subscriptions.ts'

const slotBits = Math.ceil(Math.log2(maxGuests))
const slotMask = (1 << slotBits) - 1
/** Sessions are told apart by so many bits of a tag: a tag is a small integer, never 0. */
const sessionMask = 0xff_ffff
/** Frame words of every notification's cause and of every delayed response's resource. */
const CAUSE = 1
const DELAYED_RESOURCE = 2

const nothing = (): void => {}

/** Sends what comes from the platform unasked to the guests it is for. */
export class Routing {
  readonly subscriptions: Subscriptions
  /** Delayed responses and notifications that were nobody's: not subscribed to, for a former guest, malformed. */
  unrouted = 0
  readonly #rules: Rules
  readonly #arbiter: Arbiter
  readonly #own: OwnExchanges
  readonly #guests: readonly (GuestState | undefined)[]
  readonly #bytes = new Uint8Array(maxMessageBytesLimit)
  readonly #ints = new Int32Array(this.#bytes.buffer)
  #sessions = 0

  constructor(
    rules: Rules,
    counts: Counts,
    arbiter: Arbiter,
    own: OwnExchanges,
    guests: readonly (GuestState | undefined)[],
  ) {
    this.#rules = rules
    this.#arbiter = arbiter
    this.#own = own
    this.#guests = guests
    this.subscriptions = new Subscriptions(rules, counts)
  }

  /** A number for one run of a guest; delayed responses to its commands find it by that. */
  session(): number {
    this.#sessions = (this.#sessions % sessionMask) + 1
    return this.#sessions
  }

  /** Keeps a place for the delayed response to a command that is about to be sent; false: BUSY. */
  await(transfer: Transfer, guest: GuestState): boolean {
    if (!guest.mailbox.await()) return false
    transfer.tag = (guest.session << slotBits) | guest.slot
    return true
  }

  /** The command was refused: its delayed response will not come. */
  renounce(tag: number): void {
    this.#guestOf(tag)?.mailbox.renounce()
  }

  /** The delayed response to the command with this tag; `length` 0 when it never came. */
  delayed(tag: number, frame: Uint8Array, length: number): void {
    const guest = this.#guestOf(tag)
    if (guest === undefined) {
      this.unrouted++
      return
    }
    if (length === 0) return guest.mailbox.renounce()
    const ints = this.#copy(frame, length)
    const at = tableIndex(ints[0] as number)
    const form = this.#rules.entries[at]?.form.delayed
    let whole = 8
    if (ints[1] === SUCCESS) {
      if (form === undefined || !fits(form, length - 8)) ints[1] = COMMS_ERROR
      else if (!owns(guest.grants.owned[at >>> 8], ints[DELAYED_RESOURCE] as number))
        ints[1] = DENIED // lost meanwhile
      else {
        ints[DELAYED_RESOURCE] = asNamedBy(guest, at >>> 8, ints[DELAYED_RESOURCE] as number)
        whole = length
      }
    }
    if (!guest.mailbox.putDelayed(ints, whole)) this.unrouted++
    guest.mailbox.pump(guest.link)
  }

  /** A notification on a channel: goes to every guest behind it that owns what it is about and asked for it. */
  arrived(channel: number, frame: Uint8Array, length: number): void {
    const ints = this.#copy(frame, length)
    const at = tableIndex(ints[0] as number)
    const rule = this.#rules.notifications[at]
    if (rule === undefined || length < 8 || !fits(rule.payload, length - 4)) {
      this.unrouted++
      return
    }
    const protocol = at >>> 8
    const whole = rule.resource === 0
    const resource = whole ? 0 : (ints[rule.resource] as number)
    const cause = ints[CAUSE] as number
    // Who asked in vain for what others hold is nobody's business.
    if (rule.requested && this.#arbiter.shared(protocol, resource)) return
    ints[0] = header(protocol, at & 0xff, NOTIFICATION)
    let taken = false
    for (let slot = 0; slot < maxGuests; slot++) {
      const guest = this.#guests[slot]
      if (guest === undefined || guest.channel !== channel || guest.closing || !guest.link.hasP2A) continue
      if (!this.subscriptions.wants(at, resource, slot)) continue
      if (whole ? guest.grants.protocols[protocol] === 0 : !owns(guest.grants.owned[protocol], resource))
        continue
      ints[CAUSE] = cause === guest.agentId ? guestAgentId : 0
      if (!whole) ints[rule.resource] = asNamedBy(guest, protocol, resource)
      guest.mailbox.putNotification(ints, length, rule.resource)
      guest.mailbox.pump(guest.link)
      taken = true
    }
    if (!taken) this.unrouted++
  }

  /** Tries again what guests had no room for. */
  pump(): void {
    for (let slot = 0; slot < maxGuests; slot++) {
      const guest = this.#guests[slot]
      if (guest !== undefined && !guest.closing) guest.mailbox.pump(guest.link)
    }
  }

  /** A guest begins anew: it awaits and is subscribed to nothing. */
  restart(guest: GuestState): void {
    guest.session = this.session()
    guest.mailbox.clear()
    this.unsubscribe(guest, noGrants())
  }

  /** Takes back what a guest subscribed to beyond `kept`. */
  unsubscribe(guest: GuestState, kept: Grants): void {
    for (const { command, protocol, whole, id } of this.subscriptions.of(guest.slot)) {
      if (whole ? kept.protocols[protocol] === 1 : owns(kept.owned[protocol], id)) continue
      this.subscriptions.set(command, id, guest.slot, false)
      if (!this.subscriptions.othersOn(guest.channel, command, id, guest.slot, this.#guests))
        this.tell(guest.channel, command, id, 0)
    }
  }

  /**
   * Behind a channel there may be a platform that has forgotten who subscribed to what: it is told again, but for guests
   * in the slots `refused`. `sent` is called for each command, `answered` with its status and what it was about.
   */
  resubscribe(
    channel: number,
    refused: ReadonlySet<number>,
    witness: { readonly sent: () => void; readonly answered: (about: string, status: number) => void },
  ): void {
    const told = new Set<number>()
    for (const guest of this.#guests) {
      if (guest === undefined || guest.channel !== channel || refused.has(guest.slot)) continue
      for (const { command, id } of this.subscriptions.of(guest.slot)) {
        const key = command * 0x1_0000 + id
        if (told.has(key)) continue
        told.add(key)
        witness.sent()
        this.tell(channel, command, id, 1, transfer =>
          witness.answered(`${this.#rules.entries[command]?.name} ${id}`, transfer.ints[1] as number),
        )
      }
    }
  }

  /** Tells the firmware, on a channel, that somebody behind it subscribes (`enable` 1), or nobody any more (0). */
  tell(
    channel: number,
    command: number,
    id: number,
    enable: number,
    answered: (transfer: Transfer) => void = nothing,
  ): void {
    const rules = this.#rules
    const frame = new Uint8Array(4 + (rules.size[command] as number))
    const ints = new Int32Array(frame.buffer)
    ints[0] = header(command >>> 8, command & 0xff)
    const resourceWord = rules.resource[command] as number
    if (resourceWord !== 0) ints[resourceWord] = id
    ints[rules.enableWord[command] as number] = enable
    this.#own.request(channel, frame, answered)
  }

  #guestOf(tag: number): GuestState | undefined {
    const guest = this.#guests[tag & slotMask]
    return guest !== undefined && !guest.closing && guest.session === tag >>> slotBits ? guest : undefined
  }

  #copy(frame: Uint8Array, length: number): Int32Array {
    const count = Math.min(length, this.#bytes.length)
    for (let i = 0; i < count; i++) this.#bytes[i] = frame[i] as number
    return this.#ints
  }
}

/** The id that a guest, who owns the resource, names it by. What sends messages by itself has one numbering. */
const asNamedBy = ({ grants: { dense } }: GuestState, space: Space, id: number): number =>
  dense === undefined ? id : guestId(dense, space, id)
