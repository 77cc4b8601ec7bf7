// What the toolstack asks of the hypervisor. native/xen-domains.ts has it, over Xen's own libraries.
import type { AddressRange } from '../../guest-link/guest-link.ts'
import type { DomainInfo } from '../../native/xen-domains.ts'

export type { DomainInfo }

export interface Hypervisor {
  /** Every domain, by id. XEN_REFUSED. */
  list(): readonly DomainInfo[]
  get(domid: number): DomainInfo | undefined
  /** Pauses are counted: each wants its unpause. DOMAIN_UNKNOWN, XEN_REFUSED. */
  pause(domid: number): void
  unpause(domid: number): void
  destroy(domid: number): void
  /** The device tree blob that a domain was built with, out of its memory; only before it has run. DTB_REFUSED. */
  guestTree(domid: number): Uint8Array
  /** Whether its builder is still at it: it cannot run yet, and has no tree in its memory. */
  isBeingBuilt(domid: number): boolean
  /**
   * Gives a domain that is not served the shared page its tree names, where it has none: its driver would die without.
   * `devices`: registers passed through. DTB_REFUSED, XEN_REFUSED.
   */
  provideSharedPage(
    domain: { readonly domid: number; readonly uuid: string },
    shmem: AddressRange,
    devices: readonly AddressRange[],
  ): void
}
