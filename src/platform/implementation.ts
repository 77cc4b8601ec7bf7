// What each protocol of the platform consists of: its declaration, a handler for each message, and what an agent holds.
import type { Protocol } from '../scmi/schema.ts'
import { NOT_SUPPORTED, SUCCESS } from '../scmi/status.ts'
import type { Handler } from './call.ts'
import type { Completion, Delayed } from './delayed.ts'
import type { Events, Subscriptions } from './events.ts'
import type { Permissions } from './permissions.ts'
import type { Deviations } from './profiles.ts'
import type { Versions } from './versions.ts'

/** What the protocols of one platform share. */
export interface Shared {
  /** How many agents there are. */
  readonly agents: number
  readonly permissions: Permissions
  readonly versions: Versions
  readonly events: Events
  readonly delayed: Delayed
  /** Where this platform is not as the standard has it. */
  readonly deviations: Deviations
}

type CommonMessage =
  | 'PROTOCOL_VERSION'
  | 'PROTOCOL_ATTRIBUTES'
  | 'PROTOCOL_MESSAGE_ATTRIBUTES'
  | 'NEGOTIATE_PROTOCOL_VERSION'

/** A handler for every message of a protocol but those that all protocols answer alike. */
export type Handlers<P extends Protocol> = {
  readonly [K in Exclude<keyof P['messages'], CommonMessage>]: Handler
}

/** One protocol as the platform implements it. */
export interface Implementation<P extends Protocol = Protocol> {
  readonly protocol: P
  /** How many resources it has; their ids are 0 to this minus 1. */
  readonly resources: number
  /** The same for each further numbering that a selector chooses: how many there are of selector 1, 2 … */
  readonly selectable?: readonly number[]
  /** Answers PROTOCOL_ATTRIBUTES. */
  readonly attributes: Handler
  readonly handlers: Handlers<P>
  /** Attribute bits of a message, for PROTOCOL_MESSAGE_ATTRIBUTES; all zero if left out. */
  messageAttributes?(message: number): number
  /** Optional messages that this platform leaves out. */
  readonly absent?: readonly number[]
  readonly subscriptions?: Subscriptions
  /** Carries out a request that was accepted to be answered later. */
  readonly complete?: Completion | undefined
  /** Gives back all that the agent holds here; subscriptions are dropped by the caller. */
  release(agent: number): void
}

/** Answers a *_NOTIFY: one subscription, where the resource can notify and the agent has a way to be told. */
export const subscribe =
  (subscriptions: Subscriptions, notification: number, capable: Uint8Array): Handler =>
  call => {
    if (!call.p2a || capable[call.resource] === 0) return NOT_SUPPORTED
    subscriptions.set(notification, call.resource, call.agent, (call.args[1] as number) & 1)
    return SUCCESS
  }

/** One flag per resource. */
export const flags = <T>(list: readonly T[], flag: (item: T) => boolean): Uint8Array =>
  Uint8Array.from(list, item => (flag(item) ? 1 : 0))
