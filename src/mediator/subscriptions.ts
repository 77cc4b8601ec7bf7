// Which guest asked to be notified of what. The firmware knows one agent a channel; several guests may stand behind it.
import type { Counts } from '../permissions/grants.ts'
import type { Rules } from '../permissions/rules.ts'
import { base } from '../scmi/base.ts'
import { type GuestState, maxGuests } from './guest.ts'
import type { KeptKind, KeptSession } from './kept-session.ts'

const slotWords = (maxGuests + 31) >>> 5

/** One subscription message of the schema. */
interface Kind {
  /** Table index of the command, and the notification's: protocol in 15:8, id in 7:0. */
  readonly command: number
  readonly notification: number
  readonly protocol: number
  /** About the protocol as a whole, which counts as one resource. */
  readonly whole: boolean
  /** By resource: a bit a slot. */
  readonly bits: Uint32Array
  readonly count: number
}

/** All guests' subscriptions, by notification and resource. Changing one and asking for one allocate nothing. */
export class Subscriptions {
  readonly #kinds: readonly Kind[]
  readonly #ofCommand = new Map<number, Kind>()
  readonly #ofNotification = new Map<number, Kind>()
  /** By slot: where a successor of this process finds them. */
  readonly #kept = new Array<KeptSession | undefined>(maxGuests).fill(undefined)

  constructor(rules: Rules, counts: Counts) {
    this.#kinds = rules.entries.flatMap((entry, command) => {
      const { subscribes, resource } = entry?.message ?? {}
      if (entry === undefined || subscribes === undefined || entry.protocol === base.id) return []
      const { protocol } = entry
      const whole = resource === undefined
      const count = whole ? 1 : (counts[protocol] ?? 0)
      const bits = new Uint32Array(count * slotWords)
      return [{ command, notification: (protocol << 8) | subscribes, protocol, whole, bits, count }]
    })
    for (const kind of this.#kinds) {
      this.#ofCommand.set(kind.command, kind)
      this.#ofNotification.set(kind.notification, kind)
    }
  }

  /** What there is to subscribe to. */
  get kinds(): readonly KeptKind[] {
    return this.#kinds
  }

  /** From now on what the guest in `slot` subscribes to is kept there too. */
  keep(slot: number, kept: KeptSession | undefined): void {
    this.#kept[slot] = kept
  }

  /** Whether the guest in `slot` asked, by the command with this table index. */
  has(command: number, id: number, slot: number): boolean {
    return test(this.#ofCommand.get(command), id, slot)
  }

  set(command: number, id: number, slot: number, on: boolean): void {
    const kind = this.#ofCommand.get(command)
    if (kind === undefined || id >= kind.count) return
    const at = id * slotWords + (slot >>> 5)
    const mask = 1 << (slot & 31)
    kind.bits[at] = on ? (kind.bits[at] as number) | mask : (kind.bits[at] as number) & ~mask
    this.#kept[slot]?.set(command, id, on)
  }

  /** Whether the guest in `slot` wants this notification: protocol in 15:8, id in 7:0. */
  wants(notification: number, id: number, slot: number): boolean {
    return test(this.#ofNotification.get(notification), id, slot)
  }

  /** Whether another guest behind the same channel asked for the same. */
  othersOn(
    channel: number,
    command: number,
    id: number,
    slot: number,
    guests: readonly (GuestState | undefined)[],
  ): boolean {
    const kind = this.#ofCommand.get(command)
    for (let other = 0; other < guests.length; other++)
      if (other !== slot && guests[other]?.channel === channel && test(kind, id, other)) return true
    return false
  }

  /** Every subscription of a slot, as command's table index and resource. Allocates. */
  of(slot: number): { command: number; protocol: number; whole: boolean; id: number }[] {
    return this.#kinds.flatMap(kind =>
      Array.from({ length: kind.count }, (_, id) => id)
        .filter(id => test(kind, id, slot))
        .map(id => ({ command: kind.command, protocol: kind.protocol, whole: kind.whole, id })),
    )
  }
}

function test(kind: Kind | undefined, id: number, slot: number): boolean {
  if (kind === undefined || id < 0 || id >= kind.count) return false
  return (((kind.bits[id * slotWords + (slot >>> 5)] as number) >>> (slot & 31)) & 1) === 1
}
