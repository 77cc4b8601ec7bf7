// What Xen's toolstack side is configured with, and what it is built from. No behaviour.
import type { AddressRange } from '../../guest-link/guest-link.ts'
import type { Lifecycle } from '../../lifecycle/lifecycle.ts'
import type { GuestLinkSpec } from '../../lifecycle/views.ts'
import type { XenstoreClient } from '../../xenstore/client.ts'
import type { Holds } from './holds.ts'
import type { Hypervisor } from './hypervisor.ts'

/** What becomes of a domain: it runs without rights, or it is destroyed. */
export type Sanction = 'deny' | 'destroy'

export interface XenToolstackOptions {
  /** Where libxl keeps what it knows of domains. */
  readonly userdata: string
  /** For a domain that had run before it could be held. */
  readonly late: Sanction
  /** For a domain whose tree contradicts the host's, or that cannot be granted what it asks for. */
  readonly refused: Sanction
  /** Milliseconds that a domain is held for its configuration to appear. */
  readonly configurationMs: number
  /** Milliseconds between looks at the hypervisor that nothing asked for. */
  readonly lookMs?: number
  readonly version: string
}

export interface XenToolstackParts {
  readonly store: XenstoreClient
  readonly hypervisor: Hypervisor
  readonly lifecycle: Pick<
    Lifecycle,
    'addDomain' | 'removeDomain' | 'renameDomain' | 'domains' | 'lost' | 'tell'
  >
  readonly holds: Holds
  /** The link that a domain is served by, and the agent id that it shall have. */
  readonly serving: (domain: { name: string; uuid: string; devices: readonly AddressRange[] }) => {
    readonly link: GuestLinkSpec
    readonly agentId?: number
  }
  readonly log: (level: 'info' | 'warn' | 'error', text: string) => void
}
