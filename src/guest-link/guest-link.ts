// What every guest-link is: the carrier of frames between one agent and the mediator. It knows bytes, not policy.
import type { Transfer } from '../transfer.ts'

/** What a guest-link hands its frames to; the mediator is one. */
export interface FrameHandler {
  /**
   * Takes the command in `transfer.bytes[0 .. length)`, with `transfer.header` already set from its first word.
   * Answers it exactly once through the link's `complete`, at once or later; never throws.
   */
  handle(transfer: Transfer, link: GuestLink): void
  /**
   * The guest behind `link` begins anew (it connected, its machine or its driver was reset): what it subscribed to,
   * negotiated and awaits is void. Called before its first command, the very first time too.
   */
  restarted?(link: GuestLink): void
  /**
   * In place of `restarted`: the guest goes on where it stood, for all the link can see. It was stopped meanwhile, or it
   * outlived a former run of this daemon; in that case what stands is what was left for the run that `link.run` names.
   */
  resumed?(link: GuestLink): void
  /** The guest behind `link` may have made room for what waits to go to it. */
  room?(link: GuestLink): void
}

/** A range of guest-physical addresses, in bytes. */
export interface AddressRange {
  readonly start: number
  readonly size: number
}

/**
 * Who sees to the PSCI and SMCCC calls of a Xen guest whose SMCs are trapped. `smc`: its own tree is changed so that it
 * calls by SMC, and they are served here. `psci`: served here, for a guest that calls by SMC anyhow. `off`: nobody, every
 * call but SCMI's is answered -1.
 */
export const conduits = ['smc', 'psci', 'off'] as const
export type Conduit = (typeof conduits)[number]

/** What is asked of a guest-link: which kind, and where. */
export type GuestLinkSpec =
  | { readonly kind: 'trap-socket'; readonly path: string; readonly smcId?: number }
  | { readonly kind: 'message-socket'; readonly path: string }
  | VhostUserSpec
  | XenSmcSpec

/** A vhost-user socket. */
export interface VhostUserSpec {
  readonly kind: 'vhost-user'
  readonly path: string
  /** Whether the daemon listens at `path`, or the front end does. */
  readonly role: 'server' | 'client'
  /** Permission bits, owner and group of the socket file, where the daemon listens. */
  readonly mode?: number
  readonly uid?: number
  readonly gid?: number
}

/** A Xen domain, by the domid that it is added with, whose SMCs the hypervisor's monitor hands over. */
export interface XenSmcSpec {
  readonly kind: 'xen-smc'
  /** The domain's UUID, as libxl writes it: another domain of the same id is refused. */
  readonly uuid?: string
  /** `smc` when it is left out. */
  readonly conduit?: Conduit
  /** Function id, where not the one that the tree names. */
  readonly smcId?: number
  /** Registers passed through to the guest (`iomem` of its configuration), which its page must not cover. */
  readonly devices?: readonly AddressRange[]
  /** When the daemon stops, leave the guest's calls to wait for the next daemon, instead of to Xen. */
  readonly leaveArmed?: boolean
}

/** One guest's way in and out, on the relay thread. */
export interface GuestLink {
  /** What kind of link, as configuration and `scmictl` name it: `trap-socket`, `message-socket`, … */
  readonly kind: string
  /** Largest frame, header included, that this guest may send and can receive. */
  readonly maxMessageBytes: number
  /** Commands that may be in flight at once: 1 for shared memory. */
  readonly maxInFlight: number
  /** Whether delayed responses and notifications have a way to the guest (P2A). */
  readonly hasP2A: boolean
  /** Whether a guest is connected now. */
  readonly occupied: boolean
  /**
   * Names the guest's present run for a successor of this process that meets it again: eight words, new ones whenever
   * they change. Undefined where none could, or nothing is known to tell it from another run.
   */
  readonly run?: Uint32Array | undefined
  /** Writes the response in `transfer.bytes[0 .. length)` to the guest, signals it and takes the transfer back. */
  complete(transfer: Transfer): void
  /**
   * Sends a delayed response or a notification: a whole frame, copied before this returns.
   * False when it cannot be taken now (no buffer, the guest has not emptied its area).
   */
  deliver(frame: Uint8Array, length: number): boolean
  /** The daemon stops, and this guest may meet the next one; `close` where a link makes no difference. */
  suspend?(): void
  /** Closes sockets, unmaps memory, forgets transfers in flight (a late `complete` is then harmless). Twice is once. */
  close(): void
}
