// What runs behind a back end, and what is offered to a front end for it. No behaviour.
import {
  F_EVENT_IDX,
  F_INDIRECT_DESC,
  F_PROTOCOL_FEATURES,
  F_VERSION_1_HIGH,
  PROTOCOL_CONFIGURE_MEM_SLOTS,
  PROTOCOL_INFLIGHT_SHMFD,
  PROTOCOL_MQ,
  PROTOCOL_REPLY_ACK,
} from './features.ts'
import type { InflightLog } from './inflight.ts'

/** What runs behind a back end. */
export interface VhostDevice {
  /** Rings it has. */
  readonly rings: number
  /** Its own feature bits, below bit 24. */
  readonly features: number
  /** Whether memory may be told region by region (CONFIGURE_MEM_SLOTS). */
  readonly memorySlots: boolean
  /** A ring runs from now on. */
  ringStarted(index: number): void
  /**
   * A ring is to stop: whether nothing of it is under way any more. If not, `stopped` is called when that is so; until
   * then nothing new is taken from it.
   */
  ringStopping(index: number): boolean
  /**
   * The device's own log of a ring whose front end keeps none: the ring's size, and where its table is in the front end.
   * `known`: it was written for this very ring. Undefined: none is kept; a ring whose memory goes loses what is under way.
   */
  ownLog?(index: number, size: number, address: number): { log: InflightLog; known: boolean } | undefined
  /** A ring is gone with its memory, whatever was under way. */
  ringDropped(index: number): void
}

/** GET_FEATURES: the low word and the high one. */
export const offeredLow = ({ features }: VhostDevice): number =>
  features | F_INDIRECT_DESC | F_EVENT_IDX | F_PROTOCOL_FEATURES
export const offeredHigh = F_VERSION_1_HIGH

/** GET_PROTOCOL_FEATURES, the low word; the high one is 0. */
export const offeredProtocol = ({ memorySlots }: VhostDevice): number =>
  PROTOCOL_MQ |
  PROTOCOL_REPLY_ACK |
  PROTOCOL_INFLIGHT_SHMFD |
  (memorySlots ? PROTOCOL_CONFIGURE_MEM_SLOTS : 0)
