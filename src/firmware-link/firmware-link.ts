// What every firmware-link is: the carrier of frames between the mediator and one SCMI platform.
import type { Transfer } from '../transfer.ts'

/** Who takes what comes back from a platform; the mediator is one. */
export interface FirmwareHandler {
  /**
   * The response to `transfer` lies in its bytes, header included, already proven to answer it (type, protocol,
   * message and token) and with the agent's own header restored. COMMS_ERROR alone when the platform was silent.
   */
  complete(transfer: Transfer): void
  /** A notification (type 3) that came on `channel`; not looked at yet. Copy what must outlive the call. */
  arrived(channel: number, frame: Uint8Array, length: number): void
  /**
   * The delayed response to a command that was sent with this `tag`, the agent's own token in its header. `length` 0:
   * it never came, and is not waited for any more.
   */
  delayed(tag: number, frame: Uint8Array, length: number): void
  /**
   * The connection of `channel` is back after it was lost. Behind it may be a platform that has forgotten everything:
   * permissions, subscriptions, negotiated versions. Not called for the first connection.
   */
  reconnected?(channel: number): void
}

/** One platform, reached over one channel per agent. On the relay thread. */
export interface FirmwareLink {
  /** As configuration names it: `embedded`, `stream-socket`, … */
  readonly kind: string
  /** Channels there are, numbered from 0; the platform knows an agent by its channel. */
  readonly channels: number
  /** Largest frame, header included, that a channel carries. */
  readonly maxMessageBytes: number
  /**
   * Sends the command in `transfer.bytes[0 .. length)` under a token of the link's own; its answer comes exactly
   * once through `FirmwareHandler.complete`, possibly before this returns. False when the channel takes no more
   * now: nothing was sent, and the transfer is still the caller's.
   */
  send(channel: number, transfer: Transfer): boolean
  /** Lets deadlines pass: answers COMMS_ERROR for what is overdue at `now` (monotonic microseconds, modulo 2^32). */
  expire(now: number): void
  /**
   * Calls `done` once: when every channel has answered, or with an error that names what did not, when that has taken
   * too long. A link without it can be used as soon as it is made.
   */
  whenReady?(done: (error?: unknown) => void): void
  close(): void
}
