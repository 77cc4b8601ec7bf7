// One guest on the relay thread: its grants, identity, link and counters. Data; the mediator acts on it.
import type { AuditProducer } from '../audit/ring.ts'
import type { GuestLink } from '../guest-link/guest-link.ts'
import type { Grants } from '../permissions/grants.ts'
import type { VirtualIdentity } from './identity.ts'

/** Slots of guests that one relay serves. */
export const maxGuests = 64

export interface GuestState {
  readonly slot: number
  /** Which tenant of the slot this is; audit records carry it. */
  readonly generation: number
  readonly name: string
  readonly agentId: number
  /** The firmware channel that is this guest's agent; several guests share one where the firmware has no more. */
  readonly channel: number
  grants: Grants
  identity: VirtualIdentity
  /** Set when the link is open. */
  link: GuestLink | undefined
  readonly counters: Float64Array
  readonly audit: AuditProducer
  /** Messages under way below, by the parity of the epoch of the grants they were judged by. */
  readonly inFlight: Int32Array
  epoch: number
  /** Called when messages of an earlier epoch have all been answered. */
  onQuiet: (() => void) | undefined
}
