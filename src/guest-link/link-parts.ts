// What every guest-link on a socket is built from, and what it counts. No behaviour.
import type { Reactor } from '../native/reactor.ts'
import type { FrameHandler } from './guest-link.ts'

/** How a link tells the operator something, in one line; what it says to the guest goes another way. */
export type LinkLog = (level: 'info' | 'warn' | 'error', text: string) => void

/** The parts a link works with; the thread that owns the reactor builds them. */
export interface LinkParts {
  readonly reactor: Reactor
  readonly handler: FrameHandler
  readonly log: LinkLog
}

/** What a link has seen since it opened. Plain numbers that only grow. */
export class LinkCounters {
  connections = 0
  /** Connections refused while another one lived. */
  refusedConnections = 0
  /** Commands handed to the handler. */
  commands = 0
  /** Answers of the handler that reached the guest. */
  responses = 0
  /** Frames whose length cannot be, answered PROTOCOL_ERROR. */
  badLengths = 0
  /** Commands refused because as many as may be were in flight. */
  busy = 0
  /** Calls for a function id or an area that is not this guest's. */
  unknownCalls = 0
  /** Doorbells without a message. */
  spuriousDoorbells = 0
  /** Answers that did not fit the guest's area, replaced by COMMS_ERROR. */
  oversized = 0
  /** Answers that came after their guest had gone. */
  late = 0
  /** Delayed responses and notifications delivered, and those that could not be. */
  delivered = 0
  undelivered = 0
}
