// Fast channels of domains: descriptors that the platform file declares. Nothing listens at their addresses.
import { performance } from '../scmi/performance.ts'
import { type AnyMessage, existsAt, type Protocol } from '../scmi/schema.ts'
import { BODY, type Call } from './call.ts'
import type { FastChannelConfig } from './config-protocols.ts'
import { out, outBits, shiftOf, two32 } from './words.ts'

const DESCRIBE = performance.messages.PERFORMANCE_DESCRIBE_FASTCHANNEL // every protocol's is the same
const DOORBELL = outBits(DESCRIBE, 'attributes', 'doorbell')
const WIDTH = shiftOf(outBits(DESCRIBE, 'attributes', 'doorbell_width'))
const words = out(DESCRIBE, 'doorbell_preserve_mask_high') + 1 - BODY
const at = (field: string): number => out(DESCRIBE, field) - BODY
const widths = { 8: 0, 16: 1, 32: 2 } as const

/** The attribute bit of messages that have a fast channel, in PROTOCOL_MESSAGE_ATTRIBUTES. */
export const FAST_CHANNEL =
  (
    performance.messages.PROTOCOL_MESSAGE_ATTRIBUTES.response.fields.attributes.mask as Readonly<
      Record<string, number>
    >
  )['fast_channel'] ?? 0

function descriptor(channel: FastChannelConfig, sizeBytes: number): Uint32Array {
  const d = new Uint32Array(words)
  const put = (field: string, value: number) => {
    d[at(`${field}_low`)] = value
    d[at(`${field}_high`)] = value / two32
  }
  d[at('rate_limit')] = channel.rateLimitUs
  put('chan_addr', channel.address)
  d[at('chan_size')] = sizeBytes
  const { doorbell } = channel
  if (doorbell !== undefined) {
    d[0] = DOORBELL | (widths[doorbell.width] << WIDTH)
    put('doorbell_addr', doorbell.address)
    put('doorbell_set_mask', doorbell.set)
    put('doorbell_preserve_mask', doorbell.preserve)
  }
  return d
}

/** @param twoWords ids of messages whose channel moves two words, as limits do; the others' moves one */
export function fastChannels(
  protocol: Protocol,
  domains: readonly { readonly fastChannels: readonly FastChannelConfig[] }[],
  twoWords: readonly number[] = [],
) {
  const descriptors = domains.map(d => {
    const list = new Array<Uint32Array | undefined>(256).fill(undefined)
    for (const channel of d.fastChannels)
      list[channel.message] = descriptor(channel, twoWords.includes(channel.message) ? 8 : 4)
    return list
  })
  const offered = new Uint8Array(256)
  for (const d of domains) for (const { message } of d.fastChannels) offered[message] = 1
  const since = new Uint32Array(256).fill(0xffff_ffff)
  for (const message of Object.values(protocol.messages) as AnyMessage[])
    since[message.id] = existsAt(message, 0x1_0000) ? 0x1_0000 : (message.since ?? 0x1_0000)
  return {
    /** Whether any domain has a fast channel for the message. */
    offered: (message: number): boolean => offered[message] !== 0 && offered[message] !== undefined,
    /** Whether the domain has any fast channel. */
    has: (domain: number): boolean => (domains[domain]?.fastChannels.length ?? 0) > 0,
    /** Whether the message exists at the version. */
    known: (message: number, version: number): boolean =>
      message < 256 && version >= (since[message] as number),
    /** Writes the descriptor; false where the domain has none for the message. */
    describe(call: Call, message: number): boolean {
      const list = descriptors[call.resource] as readonly (Uint32Array | undefined)[]
      const found = message < 256 ? list[message] : undefined
      if (found === undefined) return false
      for (let i = 0; i < words; i++) call.words[BODY + i] = found[i] as number
      return true
    },
  }
}
