// A guest that outlived a former run of this daemon and noticed nothing: what it had negotiated and subscribed to stands
// again, as far as it still may. Off the message path: it allocates.
import { owns } from '../permissions/grants.ts'
import type { Rules } from '../permissions/rules.ts'
import { BUSY, COMMS_ERROR, SUCCESS } from '../scmi/status.ts'
import { type GuestState, SERVED } from './guest.ts'
import type { Routing } from './routing.ts'

/** How long until a silent platform is told again. */
const againMicros = 200_000

/** What the firmware was told and did not answer. */
interface Owed {
  readonly guest: GuestState
  readonly session: number
  readonly command: number
  readonly id: number
  readonly since: number
}

export interface TakingUpParts {
  readonly rules: Rules
  readonly routing: Routing
  readonly guests: readonly (GuestState | undefined)[]
  readonly now: () => number
  readonly log: (level: 'info' | 'warn', text: string) => void
}

export class TakingUp {
  readonly #parts: TakingUpParts
  #owed: Owed[] = []

  constructor(parts: TakingUpParts) {
    this.#parts = parts
  }

  /**
   * Takes up what stands in the guest's file, which it claimed. The platform may have forgotten it: it is told before
   * any command of the guest. What the guest does not own any more, and what the platform refuses, is let go.
   */
  takeUp(guest: GuestState): void {
    const { kept, slot, link, identity } = guest
    const { routing, guests, log } = this.#parts
    if (kept === undefined) return
    identity.resume(kept.version, kept.notifyErrors && link.hasP2A)
    const all = kept.subscriptions()
    const still = all.filter(({ command, id }) => this.#may(guest, command, id))
    log('info', `${guest.name}: goes on as a former run left it (subscriptions: ${still.length})`)
    for (const each of all) if (!still.includes(each)) kept.set(each.command, each.id, false)
    for (const { command, id } of still) {
      const told = routing.subscriptions.othersOn(guest.channel, command, id, slot, guests)
      routing.subscriptions.set(command, id, slot, true)
      // A platform that is being told everything again is told this too.
      if (!told && guest.standing === SERVED) this.#tell(guest, command, id)
    }
  }

  /** Tells again what was not answered. Call it now and then. */
  pump(): void {
    if (this.#owed.length === 0) return
    const { guests, routing, now } = this.#parts
    const owed = this.#owed
    this.#owed = []
    for (const each of owed) {
      const { guest, session, command, id, since } = each
      const { slot } = guest
      const stands = guests[slot] === guest && guest.session === session && guest.standing === SERVED
      if (!stands || !routing.subscriptions.has(command, id, slot)) continue
      if (((now() - since) | 0) < againMicros) this.#owed.push(each)
      else this.#tell(guest, command, id)
    }
  }

  #may({ grants, link }: GuestState, command: number, id: number): boolean {
    const protocol = command >>> 8
    if (!link.hasP2A) return false
    return this.#parts.rules.resource[command] === 0
      ? grants.protocols[protocol] === 1
      : owns(grants.owned[protocol], id)
  }

  #tell(guest: GuestState, command: number, id: number): void {
    const { routing, guests, rules, now, log } = this.#parts
    const { slot, session } = guest
    routing.tell(guest.channel, command, id, 1, transfer => {
      const status = transfer.ints[1] as number
      if (status === SUCCESS || guests[slot] !== guest || guest.session !== session) return
      if (status === COMMS_ERROR || status === BUSY) {
        this.#owed.push({ guest, session, command, id, since: now() })
        return
      }
      routing.subscriptions.set(command, id, slot, false)
      log(
        'warn',
        `${guest.name}: ${rules.entries[command]?.name} ${id} ended with a restart: status ${status}`,
      )
    })
  }
}
