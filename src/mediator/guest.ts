// One guest on the relay thread: its grants, identity, link and counters. Data; the mediator acts on it.
import type { AuditProducer } from '../audit/ring.ts'
import type { GuestLink } from '../guest-link/guest-link.ts'
import type { Grants } from '../permissions/grants.ts'
import type { Rules } from '../permissions/rules.ts'
import type { VirtualIdentity } from './identity.ts'
import type { InFlight } from './in-flight.ts'
import type { KeptSession } from './kept-session.ts'
import type { Mailbox } from './mailbox.ts'

// How a guest stands: values of GuestState.standing.
export const SERVED = 0
/** The firmware is being told again what it forgot: BUSY. */
export const RESTORING = 1
/** The firmware did not grant again what it forgot: DENIED. */
export const REFUSED = 2

/** Slots of guests that one relay serves. */
export const maxGuests = 64

export interface GuestState {
  readonly slot: number
  /** Which tenant of the slot this is; audit records carry it. */
  readonly generation: number
  name: string
  readonly agentId: number
  /** The firmware channel that is this guest's agent; several guests share one where the firmware has no more. */
  readonly channel: number
  grants: Grants
  identity: VirtualIdentity
  /** Of a guest that is shown older versions than the platform's. */
  readonly rules: Rules | undefined
  readonly link: GuestLink
  readonly counters: Float64Array
  readonly audit: AuditProducer
  readonly inFlight: InFlight
  /** What waits to go to it by the way back. */
  readonly mailbox: Mailbox
  /** Which run of the guest this is: a delayed response for an earlier one is nobody's. */
  session: number
  /** Whether it began or went on since its link was opened. */
  begun: boolean
  /** What a successor of this process is to find of the session; of guests that can outlive it. */
  readonly kept: KeptSession | undefined
  /** SERVED, RESTORING or REFUSED: what goes to the firmware, and whether. */
  standing: number
  /** Its link is closed, and what it asked for is being withdrawn. */
  closing: boolean
}
