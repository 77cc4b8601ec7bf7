// What every protocol has: VERSION, ATTRIBUTES, MESSAGE_ATTRIBUTES, NEGOTIATE_PROTOCOL_VERSION; and shapes that recur.
import {
  bits,
  type Fields,
  hidden,
  type Layout,
  layout,
  message,
  resourceId,
  text,
  uint32,
  type Version,
} from './schema.ts'

/** Version words that protocols use. */
export const v1 = 0x1_0000
export const v2 = 0x2_0000
export const v2_1 = 0x2_0001
export const v3 = 0x3_0000
export const v3_1 = 0x3_0001
export const v4 = 0x4_0000

export const PROTOCOL_VERSION = 0x0
export const PROTOCOL_ATTRIBUTES = 0x1
export const PROTOCOL_MESSAGE_ATTRIBUTES = 0x2
export const NEGOTIATE_PROTOCOL_VERSION = 0x10

/** The four messages of every protocol, with the protocol's own attributes and its bits of message attributes. */
export function common<const A extends Fields>(spec: {
  attributes: Layout<A>
  attributesChanges?: readonly { since: Version; response: Layout }[]
  messageAttributes?: Parameters<typeof bits>[0]
  /** Message attribute bits a guest never sees set. */
  hide?: readonly string[]
  negotiateSince: Version
}) {
  return {
    PROTOCOL_VERSION: message({
      id: PROTOCOL_VERSION,
      doc: 'Returns the newest version of the protocol that the platform has: major in 31:16, minor in 15:0.',
      effect: 'query',
      command: layout({}),
      response: layout({ version: uint32 }),
    }),
    PROTOCOL_ATTRIBUTES: message({
      id: PROTOCOL_ATTRIBUTES,
      doc: 'Returns how many resources there are and what the platform can do with them.',
      effect: 'query',
      command: layout({}),
      response: spec.attributes,
      ...(spec.attributesChanges && { changes: spec.attributesChanges }),
    }),
    PROTOCOL_MESSAGE_ATTRIBUTES: message({
      id: PROTOCOL_MESSAGE_ATTRIBUTES,
      doc: 'Tells whether a message exists for the caller, and its options.',
      effect: 'query',
      command: layout({ message_id: uint32 }),
      response: layout({ attributes: bits(spec.messageAttributes ?? {}, { hide: spec.hide ?? [] }) }),
    }),
    NEGOTIATE_PROTOCOL_VERSION: message({
      id: NEGOTIATE_PROTOCOL_VERSION,
      doc: 'Asks the platform to behave as an older version from now on.',
      effect: 'control',
      since: spec.negotiateSince,
      command: layout({ version: uint32 }),
      response: layout({}),
    }),
  } as const
}

/** The `notify_enable` word of subscriptions: bit 0. */
export const notifyEnable = bits({ enable: [0, 1] })
/** A resource's name of at most 15 characters. */
export const name16 = text(16)
/** A resource's extended name of at most 63 characters. */
export const name64 = text(64)

/** A `*_NAME_GET` message: the extended name of a resource. */
export const nameGet = <const K extends string>(id: number, resource: K, since: Version, what: string) =>
  message({
    id,
    doc: `Returns the extended name of ${what}.`,
    effect: 'query',
    since,
    optional: true,
    resource: resource as never,
    command: layout({ [resource]: resourceId } as Record<K, typeof resourceId>),
    response: layout({ flags: uint32, name: name64 }),
    placeholder: 'not-supported',
  })

/** A `*_NOTIFY` message: subscribes the caller to one notification about one resource. */
export const notify = <const K extends string>(spec: {
  id: number
  resource: K
  subscribes: number
  since?: Version
  doc: string
}) =>
  message({
    id: spec.id,
    doc: spec.doc,
    effect: 'control',
    optional: true,
    ...(spec.since !== undefined && { since: spec.since }),
    resource: spec.resource as never,
    subscribes: spec.subscribes,
    command: layout({ [spec.resource]: resourceId, notify_enable: notifyEnable } as Record<
      K,
      typeof resourceId
    > & {
      notify_enable: typeof notifyEnable
    }),
    response: layout({}),
    placeholder: 'not-supported',
  })

/** Where a fast channel and its doorbell are: addresses that lead past the mediator, so all hidden. */
export const fastChannelDescriptor = layout({
  attributes: bits({ doorbell: [0, 1], doorbell_width: [1, 2] }),
  rate_limit: bits({ microseconds: [0, 20] }),
  chan_addr_low: hidden(uint32),
  chan_addr_high: hidden(uint32),
  chan_size: hidden(uint32),
  doorbell_addr_low: hidden(uint32),
  doorbell_addr_high: hidden(uint32),
  doorbell_set_mask_low: hidden(uint32),
  doorbell_set_mask_high: hidden(uint32),
  doorbell_preserve_mask_low: hidden(uint32),
  doorbell_preserve_mask_high: hidden(uint32),
})
