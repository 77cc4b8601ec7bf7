// What the link to one Xen domain is configured with. No behaviour.
import type { Xen } from '../../native/libxen.ts'
import type { AddressRange, Conduit } from '../guest-link.ts'

/** What one domain's link is configured with. */
export interface XenSmcOptions {
  readonly xen: Xen
  readonly domid: number
  /** The UUID it must have, where it is known. */
  readonly uuid?: string
  /** It was served by a former run: a domain that no journal knows is another one of the same id. */
  readonly returning?: boolean
  /** Function id that the guest's tree names; its 32-bit and its 64-bit form are served. */
  readonly smcId: number
  /** The area that the guest's tree names, in guest-physical addresses. */
  readonly shmem: AddressRange
  readonly conduit: Conduit
  /** `arm,scmi-smc-param`: x1 (page) and x2 (offset) of the call must name the area. */
  readonly takesParameters?: boolean
  /** Registers passed through to the guest, which its page must not cover. */
  readonly devices?: readonly AddressRange[]
  /** Where the journal of monitors lies. */
  readonly journal: string
  /** Calls of all its vCPUs that may follow one another at once, and how many a second from then on. */
  readonly callsAtOnce?: number
  readonly callsPerSecond?: number
  /** When the daemon stops, leave its calls to wait for the next one instead of to Xen. */
  readonly leaveArmed?: boolean
  /** Where the kernel tells what the CPUs are vulnerable to, if not where Linux has it. */
  readonly vulnerabilities?: string
  readonly maxMessageBytes?: number
  /** The guest's slot, for its transfers. */
  readonly guest: number
}
